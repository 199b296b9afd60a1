from __future__ import annotations

import os
import sys

import pytest

from fastreid.data.storage.page_cache import drop_pages, is_cached

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@linux
def test_file_that_was_just_read_is_in_memory(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(bytes(100_000))
    path.read_bytes()
    assert is_cached(str(path), 99_999) in (True, None)


@linux
def test_file_that_is_forgotten_is_read_from_the_disk(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(bytes(range(256)) * 1000)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    assert drop_pages(str(path))
    if is_cached(str(path)) is not False:
        pytest.skip("this file system keeps its files in memory, or does not tell")
    assert path.read_bytes() == bytes(range(256)) * 1000
    assert is_cached(str(path))


def test_system_that_cannot(tmp_path, monkeypatch):
    path = tmp_path / "some"
    path.write_bytes(b"x")
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    assert drop_pages(str(path)) is False
    assert is_cached(str(path)) is None
