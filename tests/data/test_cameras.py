from __future__ import annotations

import logging

import pytest
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data import CommDataset
from fastreid.data.cameras import UNSEEN, camera_names, camera_places
from fastreid.data.collate import fast_batch_collator


class Numbered:
    dataset_name = "market"
    train = [("a.jpg", "market_1", "market_0"), ("b.jpg", "market_2", "market_3")]
    query = [("c.jpg", 7, 3), ("d.jpg", 8, -1)]
    gallery = [("e.jpg", 7, 0)]


class Written(Numbered):
    dataset_name = "shop"
    query = [("c.jpg", 0, 0), ("d.jpg", 1, -1)]

    def labels_as_written(self, split):
        return {"query": [("x", "till"), ("y", "")]}[split]


def test_names_are_those_of_training():
    assert camera_names(Numbered(), "train") == ["market_0", "market_3"]
    assert camera_names(Numbered(), "query") == ["market_3", ""]
    assert camera_names(Numbered(), "gallery") == ["market_0"]
    assert camera_names(Written(), "query") == ["shop_till", ""]


def config(cameras, on=True):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.WITH_SIE, cfg.MODEL.BACKBONE.SIE_CAMERAS = on, cameras
    return cfg


def test_places_in_the_list(caplog):
    caplog.set_level(logging.INFO)
    assert camera_places(config([], on=False), ["market_0"]) is None
    assert camera_places(config(["b", "a"]), ["a", "b", "", "c"]) == [1, 0, UNSEEN, UNSEEN]
    assert "2 of 4 test images are of cameras that the model has not seen" in caplog.text
    assert camera_places(config([]), ["a", "b"]) == [UNSEEN, UNSEEN]
    assert camera_places(config([]), ["c_2", "c_10", "c_2"], training=True) == [
        1,
        0,
        1,
    ]  # sorted as text, as labels are


@pytest.mark.parametrize("cameras", [None, [4, -1]])
def test_they_reach_the_batch(tmp_path, cameras):
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path in paths:
        Image.new("RGB", (4, 8)).save(path)
    items = [(path, "x_1", "x_0") for path in paths]
    data = CommDataset(items, lambda image: 0, cameras=cameras)
    batch = fast_batch_collator([data[0], data[1]])
    assert batch["cameras"].tolist() == cameras if cameras else "cameras" not in batch
