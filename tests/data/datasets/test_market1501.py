"""Market1501, and with it what every data set does that reads labels from file names."""

from __future__ import annotations

import logging
import os
import re
import shutil

import pytest

from fastreid.data.datasets import FileNameDataset, Market1501
from fastreid.utils.registry import Registry

from ..conftest import MARKET_FILES, write_image, write_market


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("FASTREID_DATASETS", raising=False)


def file_names(items):
    return [os.path.basename(path) for path, _, _ in items]


def test_splits_and_labels(market_root):
    data = Market1501(str(market_root))
    assert file_names(data.train) == sorted(MARKET_FILES["bounding_box_train"])
    assert data.train[0][1:] == ("market1501_2", "market1501_0")
    assert data.train[-1][1:] == ("market1501_1002", "market1501_2")
    assert [(pid, cam) for _, pid, cam in data.query] == [(3, 0), (4, 5)]
    # junk (-1) is gone, the distractor (0) is not
    assert [(pid, cam) for _, pid, cam in data.gallery] == [(0, 4), (3, 1), (4, 1), (4, 5)]
    assert all(os.path.isfile(path) for path, _, _ in [*data.train, *data.query, *data.gallery])


def test_folder_that_looks_like_a_file_name_is_not_parsed(tmp_path):
    root = write_market(tmp_path / "2020_c3s1" / "0999_c5_data")
    data = Market1501(str(root))
    assert data.train[0][1:] == ("market1501_2", "market1501_0")
    assert data.query[1][1:] == (4, 5)


def test_order_does_not_depend_on_the_file_system(market_root, monkeypatch):
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scan(path), key=lambda entry: entry.name, reverse=True))
    assert file_names(Market1501(str(market_root)).train) == sorted(MARKET_FILES["bounding_box_train"])


def test_root_comes_from_the_variable(market_root, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(market_root))
    assert len(Market1501().query) == 2


def test_root_may_be_the_data_set_itself(market_root, caplog):
    inside = market_root / "Market-1501-v15.09.15"
    assert len(Market1501(str(inside)).query) == 2
    assert f"Market1501: no folder {inside / 'Market-1501-v15.09.15'}; taking {inside} itself for it" in caplog.text


def test_500k_adds_distractors(market_root):
    folder = market_root / "Market-1501-v15.09.15" / "images"
    write_image(folder / "0000_c2s1_000001_01.jpg")
    plain, large = Market1501(str(market_root)), Market1501(str(market_root), market1501_500k=True)
    assert len(large.gallery) == len(plain.gallery) + 1
    assert large.gallery[-1][1:] == (0, 1)
    assert (large.train, large.query) == (plain.train, plain.query)
    shutil.rmtree(folder)
    with pytest.raises(RuntimeError, match="is there, but has no images"):
        Market1501(str(market_root), market1501_500k=True)


def test_combining_leaves_junk_and_distractors_out(market_root):
    plain, combined = Market1501(str(market_root)), Market1501(str(market_root), combineall=True)
    assert combined.train[: len(plain.train)] == plain.train
    assert [item[1:] for item in combined.train[len(plain.train) :]] == [
        ("market1501_test_3", "market1501_test_0"),
        ("market1501_test_4", "market1501_test_5"),
        ("market1501_test_3", "market1501_test_1"),
        ("market1501_test_4", "market1501_test_1"),
        ("market1501_test_4", "market1501_test_5"),
    ]


def test_missing_data_set_says_all_there_is_to_know(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    with pytest.raises(RuntimeError) as error:
        Market1501()
    text = str(error.value)
    for part in (
        "The data set Market1501 is missing",
        f'"{tmp_path / "Market-1501-v15.09.15"}" is not found',
        f'"{tmp_path}" is there, but has no bounding_box_train, query, bounding_box_test',
        "Market-1501-v15.09.15/bounding_box_train/",
        "http://www.liangzheng.org/Project/project_reid.html",
        f"FASTREID_DATASETS is {tmp_path}",
        "DATASETS.ROOT",
    ):
        assert part in text
    monkeypatch.delenv("FASTREID_DATASETS")
    with pytest.raises(RuntimeError, match=r"'datasets' .FASTREID_DATASETS is not set"):
        monkeypatch.chdir(tmp_path)
        Market1501()


def test_missing_split_is_named(market_root):
    shutil.rmtree(market_root / "Market-1501-v15.09.15" / "query")
    with pytest.raises(RuntimeError, match=r'Market-1501-v15.09.15" is there, but has no query\n'):
        Market1501(str(market_root))


def test_empty_split_says_so(market_root):
    folder = market_root / "Market-1501-v15.09.15" / "query"
    shutil.rmtree(folder)
    folder.mkdir()
    data = Market1501(str(market_root))
    assert len(data.train) == 19
    with pytest.raises(
        RuntimeError, match=rf"Market1501: query is empty: no image in {re.escape(str(folder))} has a name"
    ):
        data.query  # noqa: B018


def test_split_of_junk_alone_is_empty(market_root):
    folder = market_root / "Market-1501-v15.09.15" / "query"
    for file in folder.iterdir():
        file.rename(folder / f"-1_{file.name[5:]}")
    with pytest.raises(RuntimeError, match=r"query is empty: .* and is not junk"):
        Market1501(str(market_root)).query  # noqa: B018


def test_strange_names_are_counted_and_other_files_are_not(market_root, caplog):
    folder = market_root / "Market-1501-v15.09.15" / "query"
    for name in ("holiday.jpg", "another_0003_c1.PNG"):
        write_image(folder / name)
    for name in ("Thumbs.db", "._0003_c1s1_000001_01.jpg", "readme.txt"):
        (folder / name).write_text("x")
    assert file_names(Market1501(str(market_root)).query) == MARKET_FILES["query"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(r"left out 2 of 4 images of query, .* such as .*another_0003_c1\.PNG", record.getMessage())


def test_difference_to_the_published_set_is_one_line(market_root, caplog, monkeypatch):
    data = Market1501(str(market_root))
    with caplog.at_level(logging.INFO):
        data.show_train()
        data.show_test()
    lines = [record.getMessage() for record in caplog.records if "published set" in record.getMessage()]
    assert lines == [
        "Market1501 is not the published set: train has 6 identities and 19 images (published: 751 and 12936)",
        "Market1501 is not the published set: query has 2 identities and 2 images (published: 750 and 3368); "
        "gallery has 3 identities and 4 images (published: 751 and 15913)",
    ]
    caplog.clear()
    monkeypatch.setattr(Market1501, "statistics", {"train": (6, 19), "query": (2, 2), "gallery": (3, 4)})
    with caplog.at_level(logging.INFO):
        data.show_train()
        data.show_test()
    assert "published" not in caplog.text


def test_data_set_of_ones_own_is_a_declaration(tmp_path, caplog):
    registry = Registry("DATASET")

    @registry.register()
    class Cars(FileNameDataset):
        dataset_name = "cars"
        folder = "cars"
        splits = {"query": ("day", "night"), "gallery": "all"}
        pattern = re.compile(r"car(?P<pid>\d+)-(?P<cam>\d+)")
        first_camera = 0

    for name in ("day/car7-0.png", "night/car3-12.png", "all/car7-3.jpeg"):
        write_image(tmp_path / "cars" / name)
    data = registry.get("Cars")(root=str(tmp_path))
    assert data.train == []
    assert [item[1:] for item in data.query] == [(7, 0), (3, 12)]
    assert [item[1:] for item in data.gallery] == [(7, 3)]
    data.show_test()
    assert "published" not in caplog.text


def test_camera_before_the_first_is_an_error(market_root):
    write_image(market_root / "Market-1501-v15.09.15" / "query" / "0009_c0s1_000001_01.jpg")
    with pytest.raises(ValueError, match=r"0009_c0s1.* says camera 0, but Market1501 counts cameras from 1; rename it"):
        Market1501(str(market_root)).query  # noqa: B018


@pytest.mark.data
def test_cut_of_the_real_images(market_mini):
    data = Market1501(str(market_mini))
    assert data.parse_data(data.train) == (240, 6)
    assert (len(data.train), len(data.query)) == (4100, 339)
    files = os.listdir(os.path.join(data.dataset_dir, "bounding_box_test"))
    assert len(data.gallery) == len([name for name in files if not name.startswith("-1")])
    assert {pid for _, pid, _ in data.query} < {pid for _, pid, _ in data.gallery}
    assert min(pid for _, pid, _ in data.gallery) == 0
