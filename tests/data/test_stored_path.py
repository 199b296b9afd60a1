from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastreid.data.data_utils import ImageReadError, read_image
from fastreid.data.stored_path import ContainerFile, ImageStore, StorageError, StoredPath, image_file

from .conftest import write_image

SIZES = [5, 0, 70_000, 11, 1]


def stored(path, datas, before=b"head"):
    """Put bytes one after the other into a file; return what reads them."""
    path.write_bytes(before + b"".join(datas))
    sizes = np.array([len(data) for data in datas])
    return ImageStore(
        [ContainerFile(str(path))],
        container=np.zeros(len(datas), np.int32),
        offset=len(before) + np.cumsum(sizes) - sizes,
        size=sizes,
        crc32=np.array([zlib.crc32(data) for data in datas], np.uint32),
    )


@pytest.fixture
def datas():
    return [os.urandom(size) for size in SIZES]


@pytest.fixture
def store(tmp_path, datas):
    return stored(tmp_path / "images.pack", datas)


def test_every_image_has_its_bytes_in_any_order(store, datas):
    paths = [StoredPath(f"{number}.jpg", store, number) for number in range(len(store))]
    for number in (3, 0, 4, 2, 1, 3):
        assert paths[number].read() == datas[number]


def test_path_is_a_path(store):
    path = StoredPath("a/b.jpg", store, 0)
    assert path == "a/b.jpg" and hash(path) == hash("a/b.jpg") and {path: 1}["a/b.jpg"] == 1
    assert os.path.basename(path) == "b.jpg"
    assert type(str(path)) is str


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda path: pickle.loads(pickle.dumps(path))])
def test_copy_reads_the_same_and_opens_the_file_for_itself(store, datas, copied):
    path = StoredPath("2.jpg", store, 2)
    assert path.read() == datas[2]
    other = copied(path)
    assert type(other) is StoredPath and other == path
    assert other._store.files[0]._opened is None
    assert other.read() == datas[2]


def test_file_is_opened_when_it_is_first_read(tmp_path):
    file = ContainerFile(str(tmp_path / "later.pack"))
    (tmp_path / "later.pack").write_bytes(b"0123456789")
    assert file.read(3, 4) == b"3456"


def read_many(numbers):
    return [_SHARED.read(number, "") for number in numbers]


_SHARED: ImageStore


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_processes_and_threads_do_not_disturb_each_other(store, datas):
    global _SHARED
    _SHARED = store
    store.read(0, "")  # opened before the fork
    orders = [np.random.default_rng(seed).integers(0, len(SIZES), 300).tolist() for seed in range(4)]
    wanted = [[datas[number] for number in order] for order in orders]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(read_many, orders, chunksize=1) == wanted
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read_many, orders)) == wanted


def test_child_opens_the_file_anew(store, monkeypatch):
    store.read(0, "")
    before = store.files[0]._opened[1]
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as after a fork
    store.read(0, "")
    assert store.files[0]._opened[1].fileno() != before.fileno()


def test_without_pread(store, datas, monkeypatch):
    monkeypatch.delattr(os, "pread")
    assert [store.read(number, "") for number in range(len(SIZES))] == datas


def test_damaged_image_is_named_with_its_file(store, tmp_path):
    place = tmp_path / "images.pack"
    data = bytearray(place.read_bytes())
    data[100] ^= 1
    place.write_bytes(data)
    store.read(3, "3.jpg")  # the others are whole
    with pytest.raises(StorageError, match=rf"2.jpg in {place} is damaged: .*; copy or pack {place} anew"):
        store.read(2, "2.jpg")


def test_file_that_was_cut_off_is_named(store, tmp_path):
    place = tmp_path / "images.pack"
    os.truncate(place, 1000)
    with pytest.raises(StorageError, match=rf"{place} ends after 1000 bytes, within an image .*; copy or pack it anew"):
        store.read(2, "2.jpg")


def test_file_that_is_gone_is_named(store, tmp_path):
    (tmp_path / "images.pack").unlink()
    with pytest.raises(StorageError, match=r"cannot read .*images.pack \(No such file or directory\); put it back"):
        store.read(2, "2.jpg")


def test_image_is_read_as_from_its_file(tmp_path):
    files = [write_image(tmp_path / f"{number}.jpg", size=(9, 17), seed=number) for number in range(3)]
    store = stored(tmp_path / "images.pack", [(tmp_path / f"{number}.jpg").read_bytes() for number in range(3)])
    for number, file in enumerate(files):
        path = StoredPath(file, store, number)
        np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(read_image(file)))
        np.testing.assert_array_equal(np.asarray(read_image(path, "L")), np.asarray(read_image(file, "L")))
    assert image_file(files[0]) is files[0]


def test_error_of_an_image_says_what_is_wrong_with_its_storage(store, tmp_path):
    with pytest.raises(ImageReadError, match=r"cannot decode the image x/0.jpg \(UnidentifiedImageError"):
        read_image(StoredPath("x/0.jpg", store, 0))  # whole, but no image
    os.truncate(tmp_path / "images.pack", 4)
    with pytest.raises(ImageReadError, match=r"images.pack ends after 4 bytes"):
        read_image(StoredPath("x/0.jpg", store, 0))
