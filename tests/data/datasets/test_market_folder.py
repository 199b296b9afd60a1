from __future__ import annotations

import shutil

import pytest

from fastreid.data.datasets import build_dataset

from ..conftest import write_image, write_market


@pytest.fixture
def shop(tmp_path):
    return write_market(tmp_path / "2020_c3", "shop") / "shop"


def test_splits_and_labels(shop):
    write_image(shop / "query" / "0003_c12_door.jpg")
    data = build_dataset(f"market:{shop}")
    assert data.train[0][1:] == ("shop_2", "shop_1")
    assert len(data.train) == 19
    assert [item[1:] for item in data.query] == [(3, 12), (3, 1), (4, 6)]
    assert [item[1:] for item in data.gallery] == [(0, 5), (3, 2), (4, 2), (4, 6)]


def test_either_part_may_be_missing(shop):
    shutil.move(shop / "bounding_box_train", shop / "aside")
    data = build_dataset(f"market:{shop}")
    assert (data.train, len(data.query)) == ([], 2)
    shutil.rmtree(shop / "query")
    with pytest.raises(RuntimeError, match=r"shop has no folder bounding_box_train, query; market:\.\.\. needs"):
        build_dataset(f"market:{shop}")
    shutil.move(shop / "aside", shop / "bounding_box_train")
    shutil.rmtree(shop / "bounding_box_test")
    data = build_dataset(f"market:{shop}")
    assert (len(data.train), data.query, data.gallery) == (19, [], [])


def test_combining_leaves_distractors_out(shop):
    data = build_dataset(f"market:{shop}", combineall=True)
    assert {item[1] for item in data.train[19:]} == {"shop_test_3", "shop_test_4"}


def test_number_that_is_too_long_names_its_file(shop):
    write_image(shop / "query" / f"{10**20}_c1.jpg")
    with pytest.raises(ValueError, match=rf"query.{10**20}_c1\.jpg: its identity or camera has more digits"):
        _ = build_dataset(f"market:{shop}").query
