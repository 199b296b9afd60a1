from __future__ import annotations

import os
import struct

import pytest

from fastreid.data.storage.header import HEADER_SIZE, is_storage_file, read_index, write_index
from fastreid.data.stored_path import StorageError

INDEX = b"what is in it" * 20


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "some.pack"
    with open(place, "wb") as file:
        file.write(bytes(HEADER_SIZE) + b"images")
        write_index(file, INDEX)
    return place


def change(place, at, data):
    with open(place, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_header_is_as_documented(place):
    assert read_index(str(place)) == INDEX
    assert is_storage_file(str(place))
    magic, version, zero, begin, size, total = struct.unpack_from("<8sIIQQQ", place.read_bytes())
    assert (magic, version, zero) == (b"fastreid", 1, 0)
    assert (begin, size, total) == (HEADER_SIZE + 6, len(INDEX), place.stat().st_size)
    assert place.read_bytes()[begin : begin + size] == INDEX


@pytest.mark.parametrize("length", [20, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 50, -1])
def test_file_that_was_cut_off(place, length):
    os.truncate(place, length % place.stat().st_size)
    with pytest.raises(
        StorageError, match=rf"{place} has .* bytes, .*: it has been cut off; copy the file anew, or pack"
    ):
        read_index(str(place))


def test_file_with_something_behind_it(place):
    change(place, place.stat().st_size, b"x")
    with pytest.raises(StorageError, match=rf"{place} has \d+ bytes, but should have \d+: something has been added"):
        read_index(str(place))


@pytest.mark.parametrize("at", [HEADER_SIZE + 6, 40, -1])
def test_damaged_index(place, at):
    at %= place.stat().st_size
    change(place, at, bytes([place.read_bytes()[at] ^ 1]))
    with pytest.raises(StorageError, match=rf"the index of {place} is damaged: its SHA-256 .*; copy the file anew"):
        read_index(str(place))


@pytest.mark.parametrize(
    ("version", "remedy"), [(0, "; pack the data set anew"), (2, "; update the library, or pack the data set with")]
)
def test_other_version(place, version, remedy):
    change(place, 8, struct.pack("<I", version))
    with pytest.raises(StorageError, match=rf"{place} has version {version} of the format, .* reads version 1{remedy}"):
        read_index(str(place))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 a JPEG", bytes(200)])
def test_something_else(tmp_path, data):
    other = tmp_path / "other"
    other.write_bytes(data)
    assert not is_storage_file(str(other))
    with pytest.raises(StorageError, match=rf"{other} is no stored data set; make one with tools/pack_dataset.py"):
        read_index(str(other))


def test_nothing(tmp_path):
    assert not is_storage_file(str(tmp_path / "none"))
    assert not is_storage_file(str(tmp_path))
    with pytest.raises(StorageError, match=r"cannot read .*none: No such file"):
        read_index(str(tmp_path / "none"))


def test_file_without_a_header_is_no_storage(tmp_path):
    """Until the index is written, nobody takes an unfinished file for a whole one."""
    unfinished = tmp_path / "unfinished"
    unfinished.write_bytes(bytes(HEADER_SIZE) + b"images")
    assert not is_storage_file(str(unfinished))
