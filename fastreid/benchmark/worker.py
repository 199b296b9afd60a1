"""The process that measures one case: ``python -P worker.py REQUEST``; see ``Checkout.measure``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["main"]


def main(request: dict[str, Any]) -> None:
    """Measure what ``request`` asks for and write ``figures`` and ``environment``, or ``failed``, as JSON.

    Args:
        request: ``root`` and ``package`` of the library, ``area`` and ``values`` of the case, ``answer``: the file.
    """
    sys.path.insert(0, request["root"])
    logging.getLogger(request["package"]).addHandler(logging.NullHandler())  # the library would log to the terminal
    try:
        benchmark = _join(request["package"], Path(request["root"]))
        area = importlib.import_module(f"{benchmark.__name__}.{request['area']}")
        environment = importlib.import_module(f"{benchmark.__name__}.environment")
        answer = {"figures": area.measure(**request["values"]), "environment": environment.environment()}
    except Exception as error:
        answer = {"failed": f"{type(error).__name__}: {error}"}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _join(package: str, root: Path) -> ModuleType:
    """Load the package beside this file as ``<package>.benchmark``, whatever ``package`` has of its own."""
    library = importlib.import_module(package)
    if not Path(library.__file__).resolve().is_relative_to(root):
        raise ImportError(f"{package} comes from {library.__file__}, not from {root}")
    here = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        f"{package}.benchmark", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
