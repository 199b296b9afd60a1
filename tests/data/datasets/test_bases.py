from __future__ import annotations

import inspect
import logging

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, Dataset, ImageDataset, dataset_root

from ..conftest import write_image

TRAIN = [("a.jpg", "mine_1", "mine_0"), ("b.jpg", "mine_1", "mine_1"), ("c.jpg", "mine_2", "mine_0")]
QUERY = [("d.jpg", 3, 0), ("e.jpg", -1, 0)]
GALLERY = [("f.jpg", 3, 1, "extra"), ("g.jpg", 0, 1)]


class Mine(ImageDataset):
    dataset_name = "mine"
    _junk_pids = [-1, 0]


def test_parameters_are_those_of_old():
    for cls in (Dataset, ImageDataset):
        parameters = list(inspect.signature(cls).parameters.values())
        assert [p.name for p in parameters] == [
            "train", "query", "gallery", "transform", "mode", "combineall", "verbose", "kwargs",
        ]  # fmt: skip
        assert [p.default for p in parameters[3:7]] == [None, "train", False, True]


@pytest.mark.parametrize("name", sorted(DATASET_REGISTRY))
def test_every_data_set_is_named_and_takes_a_root(name):
    cls = DATASET_REGISTRY.get(name)
    assert cls.dataset_name
    assert next(iter(inspect.signature(cls).parameters)) == "root"


def test_splits_may_be_lists_or_functions_that_are_called_once():
    calls = []

    def query():
        calls.append("query")
        return QUERY

    data = Mine(TRAIN, query, lambda: GALLERY)
    assert calls == []
    assert (data.train, data.query, data.query, data.gallery) == (TRAIN, QUERY, QUERY, GALLERY)
    assert calls == ["query"]


@pytest.mark.parametrize(("mode", "items"), [("train", TRAIN), ("query", QUERY), ("gallery", GALLERY)])
def test_mode_chooses_the_split(mode, items):
    data = Dataset(TRAIN, QUERY, GALLERY, mode=mode)
    assert (data.data, len(data), data[1]) == (items, len(items), items[1])


def test_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="mode must be train, query or gallery, got 'test'"):
        Mine(TRAIN, QUERY, GALLERY, mode="test")


def test_counts():
    data = Mine(TRAIN, QUERY, GALLERY)
    assert data.parse_data(TRAIN) == (2, 2)
    assert (data.get_num_pids(TRAIN), data.get_num_cams(QUERY)) == (2, 1)
    assert data.parse_data([]) == (0, 0)


def test_combining_adds_the_test_splits_without_junk():
    data = Mine(TRAIN, QUERY, GALLERY, combineall=True)
    assert data.train == [
        *TRAIN,
        ("d.jpg", "mine_test_3", "mine_test_0"),
        ("f.jpg", "mine_test_3", "mine_test_1", "extra"),
    ]
    assert (data.query, data.gallery) == (QUERY, GALLERY)
    assert len(TRAIN) == 3


def test_combining_takes_an_image_once_and_unknown_cameras_as_one():
    both = [("d.jpg", 3, -1), ("e.jpg", 4, -1)]
    data = Mine(TRAIN, both, both, combineall=True)
    assert data.train[3:] == [
        ("d.jpg", "mine_test_3", "mine_test_0"),
        ("e.jpg", "mine_test_4", "mine_test_0"),
    ]


def test_options_for_others_are_logged(caplog):
    assert Mine(TRAIN, QUERY, GALLERY, cuhk03_labeled=True).unknown_options == ("cuhk03_labeled",)
    assert "Mine does not know the options cuhk03_labeled; left out" in caplog.text


def test_summary_tables(caplog):
    data = Mine(TRAIN, QUERY, GALLERY)
    with caplog.at_level(logging.INFO):
        data.show_train()
        data.show_test()
    train, test = (record.getMessage().splitlines() for record in caplog.records)
    assert train[0] == test[0] == "=> Loaded Mine in csv format: "
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in (train[1], train[3], *test[3:])]
    assert rows == [
        ["subset", "# ids", "# images", "# cameras"],
        ["train", "2", "3", "2"],
        ["query", "2", "2", "1"],
        ["gallery", "2", "2", "1"],
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        data.show_summary()
        Mine(TRAIN, QUERY, GALLERY, verbose=False).show_train()
    assert len(caplog.records) == 1
    assert len(caplog.text.splitlines()) == 6


def test_item_is_read_and_transformed(tmp_path):
    items = [(write_image(tmp_path / "a.png"), "mine_1", "mine_0")]
    image, *rest = ImageDataset(items, [], [])[0]
    assert (image.mode, image.size, rest) == ("RGB", (8, 16), ["mine_1", "mine_0", items[0][0]])
    assert ImageDataset(items, [], [], transform=lambda image: image.size)[0][0] == (8, 16)


def test_missing_files_are_an_error(tmp_path):
    data = Mine(TRAIN, QUERY, GALLERY)
    data.check_before_run(str(tmp_path))
    data.check_before_run([str(tmp_path), str(tmp_path)])
    with pytest.raises(RuntimeError, match=r'".*list\.txt" is not found, which Mine needs; .*FASTREID_DATASETS'):
        data.check_before_run([str(tmp_path), str(tmp_path / "list.txt")])


def test_root_is_read_when_it_is_used(monkeypatch):
    monkeypatch.delenv("FASTREID_DATASETS", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert dataset_root() == "datasets"
    monkeypatch.setenv("FASTREID_DATASETS", "~/data")
    assert dataset_root() == "/home/somebody/data"
    assert dataset_root("/elsewhere") == "/elsewhere"
    monkeypatch.setenv("FASTREID_DATASETS", "")
    assert dataset_root() == "datasets"
