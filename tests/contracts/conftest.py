"""Fixtures of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .helpers import write_market


@pytest.fixture(scope="session")
def tiny_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset root that holds a Market-1501 of 48 training, 5 query and 25 gallery images."""
    return write_market(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def market_root(tiny_market: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_market` as the dataset root of this process."""
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    return tiny_market


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are so small that a second thread only gets in the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
