from __future__ import annotations

import logging

import pytest

from fastreid.data.datasets import OwnDataset

TRAIN = [("a.jpg", "anna", "door"), ("b.jpg", "bob", "yard")]
QUERY = [("q.jpg", "zoe", "yard")]
GALLERY = [("g.jpg", "anna", "door"), ("h.jpg", "zoe", "door")]


def test_labels_and_numbers():
    data = OwnDataset({"train": TRAIN, "query": QUERY, "gallery": GALLERY}, name="shop")
    assert data.train == [("a.jpg", "shop_anna", "shop_door"), ("b.jpg", "shop_bob", "shop_yard")]
    assert data.query == [("q.jpg", 1, 1)]
    assert data.gallery == [("g.jpg", 0, 0), ("h.jpg", 1, 0)]


def test_combining_keeps_an_identity_of_several_splits_one():
    data = OwnDataset({"train": TRAIN, "query": QUERY, "gallery": GALLERY}, name="shop", combineall=True)
    assert [item[:2] for item in data.train] == [
        ("a.jpg", "shop_anna"), ("b.jpg", "shop_bob"),
        ("q.jpg", "shop_zoe"), ("g.jpg", "shop_anna"), ("h.jpg", "shop_zoe"),
    ]  # fmt: skip


def test_combining_takes_every_image_once():
    images = [(f"{n}.jpg", str(n // 2), None) for n in range(6)]
    data = OwnDataset({"train": images[:4], "test": images}, name="shop", combineall=True)
    assert [item[0] for item in data.train] == [f"{n}.jpg" for n in range(6)]


def test_without_cameras():
    data = OwnDataset({"train": [("a.jpg", "x", None)], "test": [("b.jpg", "y", None), ("c.jpg", "y", None)]}, name="s")
    assert data.train == [("a.jpg", "s_x", "s_0")]
    assert [*data.query, *data.gallery] == [("b.jpg", 0, -1), ("c.jpg", 0, -1)]


def test_table_says_that_no_camera_is_known(caplog):
    with caplog.at_level(logging.INFO):
        OwnDataset({"train": [("a.jpg", "x", None)]}, name="s").show_train()
        OwnDataset({"train": TRAIN}, name="s").show_train()
    assert "=> Loaded s in csv format" in caplog.text
    assert [record.getMessage().split("|")[-2].strip() for record in caplog.records] == ["0", "2"]


def test_rule_that_splits_a_test():
    """The first image, sorted by path, of each identity with two or more; everything else is the gallery."""
    test = [
        ("z/2.jpg", "two", None), ("a/9.jpg", "one", None), ("z/1.jpg", "two", None),
        ("m/1.jpg", "three", None), ("m/3.jpg", "three", None), ("m/2.jpg", "three", None),
    ]  # fmt: skip
    data = OwnDataset({"test": test}, name="s")
    assert [item[0] for item in data.query] == ["m/1.jpg", "z/1.jpg"]
    assert [item[0] for item in data.gallery] == ["a/9.jpg", "m/2.jpg", "m/3.jpg", "z/2.jpg"]
    assert sorted(item[0] for item in [*data.query, *data.gallery]) == sorted(item[0] for item in test)
    again = OwnDataset({"test": test[::-1]}, name="s")
    assert (again.query, again.gallery) == (data.query, data.gallery)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"query": QUERY}, "shop has images of the split query, but none of gallery"),
        ({"gallery": GALLERY}, "shop has images of the split gallery, but none of query"),
        (
            {"query": QUERY, "gallery": GALLERY, "test": TRAIN},
            "shop has images of the split test beside query or gallery",
        ),
    ],
)
def test_splits_that_do_not_fit(splits, message):
    with pytest.raises(ValueError, match=message):
        OwnDataset(splits, name="shop")
