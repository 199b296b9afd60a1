from __future__ import annotations

from fastreid.data.datasets import ImageDataset, OwnDataset
from fastreid.data.labels import labels_as_texts


class Mine(ImageDataset):
    dataset_name = "mine"


def test_labels_of_training_and_test_can_be_compared():
    data = Mine([("a", "mine_3", "mine_0"), ("b", "other_3", "mine_x")], [("c", 3, 0)], [("d", 4, -1)])
    assert labels_as_texts(data, "train", data.train) == [("3", "0"), ("other_3", "x")]
    assert labels_as_texts(data, "query", data.query) == [("3", "0")]
    assert labels_as_texts(data, "gallery", data.gallery) == [("4", "")]


def test_labels_of_ones_own_are_as_they_were_written():
    splits = {"train": [("a", "anna", "door")], "test": [("b", "bob", None), ("c", "bob", None)]}
    data = OwnDataset(splits, name="shop")
    assert labels_as_texts(data, "train", data.train) == [("anna", "door")]
    assert labels_as_texts(data, "query", data.query) == [("bob", "")]
    combined = OwnDataset({**splits, "train": [("a", "anna", None)]}, name="shop", combineall=True)
    assert labels_as_texts(combined, "train", combined.train) == [("anna", ""), ("bob", ""), ("bob", "")]
