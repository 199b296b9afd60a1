"""What every test starts from."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seeded_streams() -> None:
    """A test that draws from a global stream draws the same every time, in any order of tests."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    """No test sees what another one, or a fixture of a wider scope, did to the package's logger (`setup_logger`)."""
    _reset_logger()
    yield
    _reset_logger()


def _reset_logger() -> None:
    logger = logging.getLogger("fastreid")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real images and weights beside a checkout; the test is skipped where there is none."""
    if not _SHARED.is_dir():
        pytest.skip(f"needs real images and weights, which are not part of the project: no folder {_SHARED}")
    return _SHARED


@pytest.fixture(scope="session")
def market_mini(shared_dir: Path) -> Path:
    """The dataset root with a cut of Market-1501."""
    root = shared_dir / "data" / "market-mini"
    if not root.is_dir():
        pytest.skip(f"needs real images, which are not part of the project: no folder {root}")
    return root


@pytest.fixture(scope="session", autouse=True)
def _one_thread_each() -> None:
    """Under pytest-xdist every worker has a core of its own; more threads than that only get in each other's way."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)
