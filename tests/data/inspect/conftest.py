"""A small painted data set without a fault, and copies of it to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fastreid.data.synthetic import Benchmark, write_benchmark


@pytest.fixture(scope="session")
def painted(tmp_path_factory) -> Path:
    """People 1 to 4 to train on, with 2 images by each of 6 cameras; 5 to 7 for the test, with 1 + 2; 3 distractors."""
    folder = tmp_path_factory.mktemp("painted") / "set"
    write_benchmark(folder, Benchmark(train_identities=4, test_identities=3, gallery_images=2, distractors=3))
    return folder


@pytest.fixture
def spoiled(painted, tmp_path) -> Path:
    """A copy."""
    return Path(shutil.copytree(painted, tmp_path / "set"))


@pytest.fixture(autouse=True)
def _no_images_around(tmp_path_factory, monkeypatch):
    """Images that lie in the folder that tests are run in are no unlisted files of sets with made-up paths."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
