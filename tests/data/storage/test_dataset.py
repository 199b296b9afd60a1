from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, ImageDataset, Market1501
from fastreid.data.datasets.build import build_dataset
from fastreid.data.image_source import find_images
from fastreid.data.storage import contents_of, locate_images, open_dataset, open_storage, pack_dataset
from fastreid.data.stored_path import StorageError, StoredPath
from fastreid.engine.checkpoint_state import dataset_fingerprint

from .conftest import OWN

KINDS = ("packed", "tar")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def registered(monkeypatch):
    """Register a data set for the time of a test."""
    monkeypatch.setattr(DATASET_REGISTRY, "_objects", dict(DATASET_REGISTRY._objects))
    return DATASET_REGISTRY.register()


@pytest.mark.parametrize("name", OWN)
def test_items_are_those_of_the_files(sets, kind, name):
    pack_dataset(name, "x", kind=kind)
    for options in ({}, {"combineall": True}, {"mode": "query"}):
        files, stored = build_dataset(name, **options), open_dataset(name, storage=["x"], **options)
        for split in ("train", "query", "gallery", "data"):
            assert getattr(stored, split) == getattr(files, split), split
            assert {type(item[0]) for item in getattr(stored, split)} <= {StoredPath}
        assert stored.parse_data(stored.train) == files.parse_data(files.train)
        assert dataset_fingerprint(stored.train) == dataset_fingerprint(files.train)
        assert len(stored) == len(files) and stored[0][1:] == files[0][1:]


def test_images_are_read_from_the_storage(sets, kind):
    pack_dataset("Market1501", "x", kind=kind)
    wanted = [image.tobytes() for image, *_ in map(build_dataset("Market1501").__getitem__, range(19))]
    shutil.rmtree("datasets")
    stored = open_dataset("Market1501", storage=["x"])
    assert [stored[number][0].tobytes() for number in range(19)] == wanted


@pytest.mark.parametrize("root", ["datasets", "datasets/", "/somewhere/else"])
def test_paths_begin_with_the_root_of_the_run(sets, root):
    pack_dataset("Market1501", "x")
    shutil.copytree("datasets", "moved")
    wanted = [item[0].removeprefix("moved") for item in build_dataset("Market1501", root="moved").train]
    found = [item[0] for item in open_dataset("Market1501", root=root, storage=["x"]).train]
    assert found == [os.path.join(root, path.lstrip("/")) for path in wanted]


@pytest.mark.parametrize("name", [name for name in OWN if ":" in name])
def test_ones_own_labels_have_the_prefix_of_the_run(sets, name):
    """It depends on the other sets of the run: csv:shop/train.csv is shop-train.csv beside csv:street/train.csv."""
    pack_dataset(name, "x")
    for options in ({}, {"combineall": True}):
        files = build_dataset(name, label="shop-train.csv", **options)
        stored = open_dataset(name, label="shop-train.csv", storage=["x"], **options)
        assert stored.train == files.train and stored.query == files.query and stored.gallery == files.gallery


@pytest.mark.parametrize("name", OWN)
def test_images_to_extract_are_those_of_the_files(sets, kind, name):
    pack_dataset(name, "x", kind=kind)
    splits = ("query", "gallery", "train")
    assert find_images(name, splits=splits, storage=["x"]) == find_images(name, splits=splits)


def test_what_the_log_says_is_what_it_says_of_files(sets, caplog):
    caplog.set_level("INFO")
    for name in ("Market1501", "folder:crops"):
        pack_dataset(name, "x", overwrite=True)
        tables = []
        for data in (build_dataset(name), open_dataset(name, storage=["x"])):
            caplog.clear()
            data.show_train()
            data.show_test()
            tables.append([message for message in caplog.messages if "published" not in message])
        assert tables[0] == tables[1] and len(tables[0]) == 2


def test_combined_set_may_have_images_of_no_split(sets, registered):
    """As the val list of MSMT17."""

    @registered
    class WithMore(ImageDataset):
        def __init__(self, root="", **options):
            names = sorted(os.listdir("crops/person 0"))
            items = [(f"crops/person 0/{name}", "w_0", "w_0") for name in names]
            self.more = items[2:]
            super().__init__(items[:2], [(items[0][0], 0, 0)], [(items[1][0], 0, 1)], **options)

        def combine_all(self):
            self._train = [*self.train, *self.more]

    pack_dataset("WithMore", "x")
    stored = open_dataset("WithMore", storage=["x"], combineall=True)
    assert stored.train == build_dataset("WithMore", combineall=True).train and len(stored.train) == 3
    assert stored.train[2][0].read() == Path(stored.train[2][0]).read_bytes()
    assert len(open_dataset("WithMore", storage=["x"]).train) == 2


def test_items_with_more_entries_are_an_error(sets, registered):
    @registered
    class Longer(ImageDataset):
        def __init__(self, root="", **options):
            super().__init__([("a.jpg", "w_0", "w_0", 7)], [], [], **options)

    with pytest.raises(
        ValueError, match=r"Longer has the item \('a.jpg', 'w_0', 'w_0', 7\); only \(img_path, pid, cam"
    ):
        pack_dataset("Longer", "x")


def test_other_options_than_the_set_was_stored_with_are_an_error(sets, caplog):
    pack_dataset("Market1501", "x")
    other = r"Market1501 was stored in x with other options: market1501_500k was False and is True; pack it with these"
    for options in ({"market1501_500k": True}, {"chosen": {"market1501_500k": True}}):
        with pytest.raises(ValueError, match=other):
            open_dataset("Market1501", storage=["x"], **options)
    for options in ({"market1501_500k": False}, {"chosen": {"market1501_500k": False}}):
        assert open_dataset("Market1501", storage=["x"], **options).unknown_options == ()
    with pytest.raises(ValueError, match="market1501_5k is chosen, which it does not know"):
        open_dataset("Market1501", storage=["x"], chosen={"market1501_5k": False})
    open_dataset("Market1501", storage=["x"], of_another_set=True)
    assert "does not know the options of_another_set; left out" in caplog.text


def test_options_of_the_class_are_stored_with_their_defaults(sets, registered):
    @registered
    class Mine(Market1501):
        def __init__(self, root="", part=3, **options):
            super().__init__(root, **options)

    assert contents_of("Mine").options == {"market1501_500k": (False, False), "part": (3, 3)}
    assert contents_of("Mine", options={"part": 4}).options["part"] == (4, 3)
    assert contents_of("folder:crops").options == {}


def test_storages_of_one_set_with_several_options(sets):
    shutil.copytree("datasets/Market-1501-v15.09.15/query", "datasets/Market-1501-v15.09.15/images")
    options = {"market1501_500k": True}
    pack_dataset("Market1501", "x")
    pack_dataset("Market1501", "y", options=options)
    for chosen in (None, options):
        stored = open_dataset("Market1501", storage=["x", "y"], chosen=chosen)
        assert stored.gallery == build_dataset("Market1501", chosen=chosen).gallery
        assert len(stored.gallery) == (6 if chosen else 4)
    with pytest.raises(ValueError, match="market1501_500k was True and is False"):
        open_dataset("Market1501", storage=["y"])


def test_split_that_is_not_stored_is_an_error(sets):
    pack_dataset("Market1501", "x", splits=["train"])
    stored = open_dataset("Market1501", storage=["x"])
    assert stored.train
    with pytest.raises(ValueError, match="x holds only train of Market1501, but there is no query; pack the data set"):
        _ = stored.query
    with pytest.raises(ValueError, match=r"holds only train of Market1501, but DATASETS.COMBINEALL needs all splits"):
        _ = open_dataset("Market1501", storage=["x"], combineall=True).train


def test_set_that_is_not_stored_is_read_from_its_files(sets, caplog):
    caplog.set_level("INFO")
    pack_dataset("folder:crops", "x")
    assert type(open_dataset("Market1501", storage=["x"]).train[0][0]) is str
    assert "Market1501 is in none of DATASETS.STORAGE (x): it is read from its files" in caplog.text
    assert type(open_dataset("folder:crops", storage=["x"]).train[0][0]) is StoredPath
    assert "folder:crops is read from x: packed, 12 images" in caplog.text


def test_set_that_is_stored_twice_is_an_error(sets):
    pack_dataset("folder:crops", "x")
    pack_dataset("folder:crops", "y", kind="tar")
    with pytest.raises(ValueError, match=r"DATASETS.STORAGE has folder:crops twice, in x and y; take one of them out"):
        open_dataset("folder:crops", storage=["x", "y"])


def test_storage_is_also_looked_for_below_the_root(sets):
    pack_dataset("folder:crops", "datasets/x")
    assert open_dataset("folder:crops", storage=["x"]).storage.place == os.path.join("datasets", "x")
    with pytest.raises(
        StorageError, match=r"'y', which DATASETS.STORAGE names, is not found: looked for '.*/y' and '.*"
    ):
        open_dataset("folder:crops", storage=["y"])


def test_folder_that_is_no_storage(sets):
    with pytest.raises(StorageError, match=r"the folder crops has no index.pack, so it holds no stored data set"):
        open_storage("crops")


def test_shard_that_is_missing_or_cut_off_is_named(sets):
    pack_dataset("Market1501", "x", kind="tar", shard_mb=0.01)
    os.truncate("x/shard-000001.tar", 1000)
    with pytest.raises(StorageError, match=r"x/shard-000001.tar has 1000 bytes, but should have \d+; copy it anew"):
        open_dataset("Market1501", storage=["x"])
    os.remove("x/shard-000001.tar")
    with pytest.raises(
        StorageError, match=r"x/shard-000001.tar is missing, one of \d shards that index.pack lists; copy"
    ):
        open_dataset("Market1501", storage=["x"])


@pytest.mark.parametrize("kind", KINDS)
def test_storage_of_another_version_is_an_error_with_its_name(sets, kind):
    pack_dataset("Market1501", "x", kind=kind)
    place = "x" if kind == "packed" else "x/index.pack"
    with open(place, "r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", 0))
    with pytest.raises(StorageError, match=rf"{place} has version 0 of the format, .*; pack the data set anew"):
        open_dataset("Market1501", storage=["x"])


def test_images_that_results_name_are_found_in_the_storage(sets):
    pack_dataset("Market1501", "x")
    paths = [str(path) for path, *_ in build_dataset("Market1501").query]
    found = locate_images([*paths, "other.jpg"], ["x"])
    assert found == [*paths, "other.jpg"]
    assert [type(path) for path in found] == [StoredPath, StoredPath, str]
    assert [path.read() for path in found[:2]] == [Path(path).read_bytes() for path in paths]
    assert locate_images(paths, []) is paths
