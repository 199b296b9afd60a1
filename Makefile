# Every target works in a fresh clone with nothing installed but make and Python 3.11 or newer with venv and pip.
#
#   PYTHON=...   the Python to make the environment with (default: the newest on the PATH)
#   VENV=...     where the environment is (default: .venv); empty: the active environment, used as it is
#   WORKERS=...  processes that run tests at a time (default: 2)

VENV ?= .venv
WORKERS ?= 2

ifeq ($(strip $(VENV)),)
PY := $(or $(PYTHON),python)
READY :=
else
PY := $(VENV)/bin/python
READY := $(VENV)/installed
endif

.DEFAULT_GOAL := help
.PHONY: help install quickstart test soak lint format clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 14

install: $(READY)  ## make the environment and install the package, editable, with what development needs

quickstart: $(READY)  ## draw synthetic data, train on it, evaluate, compare with the untrained network
	$(PY) tools/quickstart.py

test: lint  ## lint, format check and all tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS)

# FASTREID_SOAK_SEED=...  another seed of the random moments (default: 0)
soak: $(READY)  ## kill small runs 20 times and saves 50 times at random, and check that nothing is lost
	FASTREID_SOAK=1 OMP_NUM_THREADS=1 $(PY) -m pytest -m soak tests/engine/test_soak.py

lint: $(READY)  ## check style and format, change nothing
	$(PY) -m ruff check
	$(PY) -m ruff format --check

format: $(READY)  ## mend what can be mended
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

clean:  ## remove the environment and everything that was built; runs and data stay
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made anew if it is half-made; the package is installed again when what it needs has changed.
$(VENV)/installed: pyproject.toml setup.py
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	    python="$(PYTHON)"; python=$${python:-$$(.ci/find_python)} || exit 1; \
	    echo "Making the environment $(VENV) with $$python"; \
	    "$$python" -m venv --clear "$(VENV)"; }
	$(PY) -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@
