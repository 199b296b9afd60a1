from __future__ import annotations

import io

import numpy as np
import pytest

from fastreid.data.storage import SplitIndex, StorageIndex

PATHS = ["set/a.jpg", "set/ü 2.png", "set/\udcff.jpg", "/else/where.jpg"]


def an_index(**changes):
    values = {
        "dataset": "csv:shop/train.csv",
        "label": "train.csv",
        "kind": "tar",
        "options": {"market1501_500k": (True, False), "split_id": (0, 0)},
        "has_cameras": False,
        "files": [("shard-000000.tar", 2**40)],
        "paths": PATHS,
        "rooted": np.array([True, True, True, False]),
        "container": np.zeros(4, np.int32),
        "offset": np.array([512, 2**33, 3, 4]),
        "size": np.arange(4),
        "crc32": np.array([0, 1, 2, 2**32 - 1], np.uint32),
        "splits": {
            "train": SplitIndex(np.array([2, 0]), ["t_b", "t_a"], ["t_0", "t_0"], ["b", "a"], ["", ""]),
            "query": SplitIndex(np.array([1]), [3], [-1]),
            "gallery": SplitIndex(np.zeros(0, np.int64), [], []),
        },
    }
    return StorageIndex(**{**values, **changes})


def test_index_comes_back_as_it_was():
    index = an_index()
    again = StorageIndex.from_bytes(index.to_bytes())
    for name in ("dataset", "label", "kind", "options", "has_cameras", "files", "paths"):
        assert getattr(again, name) == getattr(index, name), name
    for name in ("rooted", "container", "offset", "size", "crc32"):
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
        assert getattr(again, name).dtype == getattr(index, name).dtype
    assert list(again.splits) == ["train", "query", "gallery"]
    for name, split in index.splits.items():
        np.testing.assert_array_equal(again.splits[name].images, split.images)
        for column in ("pids", "camids", "identities", "cameras"):
            assert getattr(again.splits[name], column) == getattr(split, column)
    assert type(again.splits["query"].pids[0]) is int and type(again.splits["train"].pids[0]) is str


def test_same_index_gives_the_same_bytes():
    assert an_index().to_bytes() == an_index().to_bytes()


def test_index_is_a_plain_npz():
    with np.load(io.BytesIO(an_index().to_bytes()), allow_pickle=False) as arrays:
        assert arrays["paths"][1].decode() == "set/ü 2.png"
        assert arrays["train.images"].tolist() == [2, 0]


def test_index_without_images():
    nothing = {name: np.zeros(0, np.int64) for name in ("rooted", "container", "offset", "size", "crc32")}
    assert StorageIndex.from_bytes(an_index(paths=[], splits={}, **nothing).to_bytes()).paths == []


@pytest.mark.parametrize("label", [1.5, None, (1,)])
def test_other_labels_are_an_error(label):
    split = SplitIndex(np.array([0]), [label], [0])
    with pytest.raises(TypeError, match="pids and camids must be ints or strings to be stored, got"):
        an_index(splits={"train": split}).to_bytes()


def test_labels_of_numpy_become_ints():
    split = SplitIndex(np.array([0, 1]), [np.int64(3), 3], [np.int32(0), 1])
    again = StorageIndex.from_bytes(an_index(splits={"query": split}).to_bytes()).splits["query"]
    assert again.pids == [3, 3] and {type(pid) for pid in again.pids} == {int}
