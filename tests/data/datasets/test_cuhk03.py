"""CUHK03, from files as MATLAB writes them: version 7.3 (HDF5) for the images, version 5 for the new protocol."""

from __future__ import annotations

import json
import logging
import os
import sys

import numpy as np
import pytest
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import CUHK03
from fastreid.utils import comm

h5py = pytest.importorskip("h5py", reason="CUHK03 needs h5py, which the extras h5py and dev bring")

# people of each of the five pairs, and which of the ten images of each there are
PEOPLE = (3, 2, 1, 0, 1)
NUMBERS = (0, 1, 5, 9)
TESTED = [[[1, 2], [5, 1]], [[1, 1], [2, 2]]]  # the people of the first two of 20 test sets
ALL = [(pair, person) for pair, count in enumerate(PEOPLE, 1) for person in range(1, count + 1)]


def name_of(pair, person, number):
    return f"{pair}_{person:03d}_{1 if number < 5 else 2}_{number + 1:02d}.png"


def pixels_of(kind, pair, person, number):
    """An image of 5 x 3 pixels (H, W, 3) that no other is equal to, and no mirror image of itself."""
    seed = [len(kind), pair, person, number]
    return np.random.default_rng(seed).integers(0, 256, (5, 3, 3), dtype=np.uint8)


def store(file, values):
    """Store an array as MATLAB does: axes in reverse; an empty one as its size, marked."""
    name = f"#refs#/{len(file['#refs#'])}"
    if values is None:
        file[name] = np.zeros(2, dtype=np.uint64)
        file[name].attrs["MATLAB_empty"] = 1
    else:
        file[name] = values.T
    return file[name].ref


def store_cell(file, references):
    """Store a cell array ``(rows, columns)`` of references; return a reference to it."""
    array = np.empty(references.shape[::-1], dtype=h5py.ref_dtype)
    array[...] = references.T
    name = f"#refs#/{len(file['#refs#'])}"
    file.create_dataset(name, data=array, dtype=h5py.ref_dtype)
    return file[name].ref


def write_release(place):
    (place / "cuhk03_release").mkdir(parents=True)
    with h5py.File(place / "cuhk03_release" / "cuhk-03.mat", "w", userblock_size=512) as file:
        file.create_group("#refs#")
        for kind in ("detected", "labeled"):
            pairs = np.empty((1, len(PEOPLE)), dtype=object)
            for pair, count in enumerate(PEOPLE, start=1):
                cell = np.empty((count, 10), dtype=object)
                for person in range(1, count + 1):
                    for number in range(10):
                        there = number in NUMBERS and (kind, number) != ("detected", 1)
                        cell[person - 1, number] = store(file, pixels_of(kind, pair, person, number) if there else None)
                pairs[0, pair - 1] = store_cell(file, cell)
            file.create_dataset(kind, data=pairs, dtype=h5py.ref_dtype)
        sets = np.empty((1, 20), dtype=object)
        for place_of_set in range(20):
            sets[0, place_of_set] = store(file, np.array(TESTED[place_of_set % 2], dtype=float))
        file.create_dataset("testsets", data=sets, dtype=h5py.ref_dtype)


def write_config(place, kind):
    """Write the new protocol: people of pairs 1 and 2 are trained on, the others tested; labels count from 1."""
    from scipy.io import savemat

    names = [name_of(*who, number) for who in ALL for number in NUMBERS if (kind, number) != ("detected", 1)]
    pids = [1 + ALL.index((int(name[0]), int(name[2:5]))) for name in names]
    train = [place + 1 for place, name in enumerate(names) if name[0] in "12"]
    test = [place + 1 for place, name in enumerate(names) if name[0] not in "12"]
    query = [number for number in test if names[number - 1][6] == "1"][:2]
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names

    def column(numbers):
        return np.array(numbers, dtype=float)[:, None]

    savemat(
        place / f"cuhk03_new_protocol_config_{kind}.mat",
        {
            "filelist": filelist,
            "labels": column(pids),
            "camId": column([int(name[6]) for name in names]),
            "train_idx": column(train),
            "query_idx": column(query),
            "gallery_idx": column([number for number in test if number not in query]),
        },
    )


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "1_001_1_01.png" / "p123_s4"
    write_release(root / "cuhk03")
    for kind in ("labeled", "detected"):
        write_config(root / "cuhk03", kind)
    return root


def names(items):
    return [os.path.basename(path) for path, _, _ in items]


def test_images_are_written_as_they_are(root):
    data = CUHK03(str(root))
    place = root / "cuhk03"
    assert sorted(os.listdir(place)) == [
        "cuhk03_new_protocol_config_detected.mat", "cuhk03_new_protocol_config_labeled.mat", "cuhk03_release",
        "images_labeled",
    ]  # fmt: skip
    assert sorted(os.listdir(place / "images_labeled")) == sorted(name_of(*who, n) for who in ALL for n in NUMBERS)
    for pair, person in ALL:
        for number in NUMBERS:
            with Image.open(place / "images_labeled" / name_of(pair, person, number)) as image:
                assert np.array_equal(np.asarray(image), pixels_of("labeled", pair, person, number))
    assert len(data.train) == 20


def test_new_protocol(root):
    data = CUHK03(str(root))
    assert names(data.train) == [name_of(*who, n) for who in ALL[:5] for n in NUMBERS]
    assert [item[1:] for item in data.train[3:6]] == [
        ("cuhk03_0", "cuhk03_1"), ("cuhk03_1", "cuhk03_0"), ("cuhk03_1", "cuhk03_0"),
    ]  # fmt: skip
    assert [(name[:5], pid, camid) for name, (_, pid, camid) in zip(names(data.query), data.query)] == [
        ("3_001", 6, 0), ("3_001", 6, 0),
    ]  # fmt: skip
    assert [item[1:] for item in data.gallery] == [(6, 1), (6, 1), (7, 0), (7, 0), (7, 1), (7, 1)]
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


def test_detected_boxes(root):
    data = CUHK03(str(root), cuhk03_labeled=False)
    assert len(data.train) == 15 and "images_detected" in data.train[0][0]
    with Image.open(data.train[0][0]) as image:
        assert np.array_equal(np.asarray(image), pixels_of("detected", 1, 1, 0))
    assert not os.path.exists(root / "cuhk03" / "images_labeled")


@pytest.mark.parametrize("split_id", [0, 1, 2])
def test_classic_splits(root, split_id):
    data = CUHK03(str(root), split_id=split_id, cuhk03_classic_split=True)
    tested = {tuple(who) for who in TESTED[split_id % 2]}
    assert names(data.query) == [name_of(*who, n) for who in ALL if who in tested for n in NUMBERS]
    assert names(data.train) == [name_of(*who, n) for who in ALL if who not in tested for n in NUMBERS]
    assert data.query == data.gallery
    assert [item[1:] for item in data.query] == [(pid, camid) for pid in (0, 1) for camid in (0, 0, 1, 1)]
    assert [item[1] for item in data.train] == [f"cuhk03_{pid}" for pid in range(5) for _ in NUMBERS]
    combined = CUHK03(str(root), split_id=split_id, cuhk03_classic_split=True, combineall=True)
    assert len(combined.train) == len(ALL) * len(NUMBERS)  # each image once


@pytest.mark.parametrize("split_id", [-1, 20])
def test_split_that_is_not_there(root, split_id):
    with pytest.raises(ValueError, match=f"split_id must be 0 to 19, got {split_id}"):
        CUHK03(str(root), split_id=split_id, cuhk03_classic_split=True).train  # noqa: B018


@pytest.mark.parametrize("classic", [False, True])
def test_release_is_read_once(root, classic, monkeypatch):
    first = CUHK03(str(root), cuhk03_classic_split=classic)
    before = [names(first.train), names(first.query)]
    os.remove(root / "cuhk03" / "cuhk03_release" / "cuhk-03.mat")
    monkeypatch.setitem(sys.modules, "h5py", None)
    moved = root.rename(root.with_name("moved"))
    again = CUHK03(str(moved), cuhk03_classic_split=classic)
    assert [names(again.train), names(again.query)] == before
    assert all(os.path.isfile(item[0]) for item in again.train)


def test_cache_of_old_is_used(root):
    """FastReID v1.3 wrote the same images, and splits with whole paths, which are not read."""
    CUHK03(str(root))
    os.remove(root / "cuhk03" / "cuhk03_release" / "cuhk-03.mat")
    stale = [{"train": [["/gone/1_001_1_01.png", 0, 0]], "query": [], "gallery": []}]
    (root / "cuhk03" / "splits_new_labeled.json").write_text(json.dumps(stale))
    assert len(CUHK03(str(root)).train) == 20
    with pytest.raises(RuntimeError, match=r"has no cuhk03_release/cuhk-03\.mat\n"):
        CUHK03(str(root), cuhk03_classic_split=True)


def test_missing_files_are_named(root):
    os.remove(root / "cuhk03" / "cuhk03_new_protocol_config_labeled.mat")
    with pytest.raises(RuntimeError, match=r"has no cuhk03_new_protocol_config_labeled\.mat\n(.|\n)*person-re-ranking"):
        CUHK03(str(root))
    assert len(CUHK03(str(root), cuhk03_classic_split=True).train) == 20  # which needs none


def test_without_h5py_it_says_what_to_install(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"CUHK03 needs h5py, once, .* pip install h5py"):
        CUHK03(str(root))
    assert "images_labeled" not in os.listdir(root / "cuhk03")


def test_what_stops_the_writing_leaves_nothing_behind(root, monkeypatch):
    def fail(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        CUHK03(str(root))
    assert [name for name in os.listdir(root / "cuhk03") if name.startswith("images")] == []


def test_images_that_are_not_there_are_counted(root):
    CUHK03(str(root))
    os.remove(root / "cuhk03" / "images_labeled" / "1_001_1_01.png")
    with pytest.raises(
        FileNotFoundError, match=r"1 of 20 images that .*config_labeled\.mat lists are not there: .*01_1_01\.png"
    ):
        CUHK03(str(root)).train  # noqa: B018


def test_one_process_of_a_machine_writes_and_the_others_wait(root, monkeypatch):
    events = []
    monkeypatch.setattr(CUHK03, "_extract", lambda self: events.append("write"))
    monkeypatch.setattr(comm, "synchronize", lambda: events.append("wait"))
    CUHK03(str(root))
    monkeypatch.setattr(comm, "get_local_rank", lambda: 1)
    CUHK03(str(root))
    assert events == ["write", "wait", "wait"]


def test_published_sizes_are_those_of_the_new_protocol(root, caplog):
    with caplog.at_level(logging.INFO):
        CUHK03(str(root), cuhk03_labeled=False).show_train()
        CUHK03(str(root), cuhk03_classic_split=True).show_test()
    assert "train has 5 identities and 15 images (published: 767 and 7365)" in caplog.text
    assert caplog.text.count("published") == 2  # in one line
    assert [sum(images for _, images in CUHK03.published[kind].values()) for kind in ("labeled", "detected")] == [
        14096, 14097,
    ]  # fmt: skip


def test_options_come_from_the_config(root):
    cfg = get_cfg()
    cfg.DATASETS.ROOT = str(root)
    cfg.DATASETS.NAMES = ("CUHK03",)
    cfg.DATALOADER.NUM_WORKERS = cfg.TEST.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.merge_from_list(["DATASETS.OPTIONS.CUHK03.cuhk03_labeled", "False"])
    assert len(build_reid_train_loader(cfg).dataset) == 15
    cfg.merge_from_list(["DATASETS.OPTIONS.CUHK03.cuhk03_classic_split", True, "DATASETS.OPTIONS.CUHK03.split_id", 1])
    cfg.TEST.PROTOCOL = "cuhk03"
    loader, num_query = build_reid_test_loader(cfg, "CUHK03")
    assert (len(loader.dataset), num_query) == (12, 6)
