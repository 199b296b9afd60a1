"""Counts, identities and cameras: checks that need no image."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastreid.data.datasets import FileNameDataset, ImageDataset, OwnDataset
from fastreid.data.inspect import inspect_dataset
from fastreid.data.inspect.identities import gini


class Mine(ImageDataset):
    dataset_name = "mine"
    statistics = {"train": (2, 4), "query": (1, 1)}


def train(*labels):
    return [(f"{number}.jpg", f"mine_{pid}", f"mine_{cam}") for number, (pid, cam) in enumerate(labels)]


TEST = [("q.jpg", 8, 0)], [("g.jpg", 8, 1)]


def inspect(items, query=TEST[0], gallery=TEST[1]):
    return inspect_dataset(Mine(items, query, gallery), read_images=False)


def kinds(report):
    return {finding.kind: finding.severity for finding in report.findings}


CLEAN = train((1, 0), (1, 1), (2, 0), (2, 1))


def test_gini_equals_its_definition():
    sizes = np.array([1, 4, 4, 10, 31])
    expected = np.abs(sizes[:, None] - sizes[None]).sum() / (2 * sizes.size**2 * sizes.mean())
    assert gini(sizes) == pytest.approx(expected)


def test_counts_that_are_those_published():
    assert kinds(inspect(CLEAN)) == {}


def test_counts_that_differ_from_those_published():
    report = inspect([*CLEAN, ("x.jpg", "mine_3", "mine_0")])
    assert report.findings[0].kind == "not-published"
    assert report.findings[0].cases[0].text == "train: 3 identities and 5 images, published 2 identities and 4 images"


def test_a_count_that_nobody_has_published_does_not_differ(monkeypatch):
    monkeypatch.setattr(Mine, "statistics", {"train": (None, 4)})
    assert kinds(inspect(CLEAN)) == {}
    monkeypatch.setattr(Mine, "statistics", {"train": (None, 5)})
    assert inspect(CLEAN).findings[0].cases[0].text == "train: 2 identities and 4 images, published 5 images"


def test_no_image_in_any_split():
    assert kinds(inspect_dataset(ImageDataset([], [], []))) == {"no-images": "error"}


def test_identities_are_compared_whatever_the_labels_look_like():
    report = inspect(CLEAN, [("q.jpg", 2, 0)], [("g.jpg", 2, 1)])
    assert kinds(report) == {"identity-in-train-and-test": "error"}
    (finding,) = report.findings
    assert finding.cases[0].text == "identity 2"
    assert [path.rsplit("/")[-1] for path in finding.cases[0].paths] == ["2.jpg", "q.jpg"]
    assert "1 identity trained on and tested, in 2 training images and 2 test images" in finding.message


def test_identities_of_ones_own_are_compared_as_they_are_written():
    splits = {
        "train": [("a", "anna", "door"), ("b", "anna", "yard"), ("c", "bob", "door"), ("d", "bob", "yard")],
        "query": [("e", "anna", "door")],
        "gallery": [("f", "anna", "yard")],
    }
    report = inspect_dataset(OwnDataset(splits, name="shop"), read_images=False)
    assert kinds(report) == {"identity-in-train-and-test": "error"}
    assert report.findings[0].cases[0].text == "identity anna"
    assert list(report.summary["cameras"]) == ["door", "yard"]


def test_a_set_that_nobody_has_split_has_one_warning():
    images = [(str(number), str(number // 4), None) for number in range(12)]
    report = inspect_dataset(OwnDataset({"train": images, "test": images}, name="crops"), read_images=False)
    assert kinds(report) == {"not-split": "warning"}
    assert report.findings[0].count == 12


def test_images_that_are_listed_twice():
    report = inspect([*CLEAN, CLEAN[0]])
    assert kinds(report) == {"repeated-image": "warning", "not-published": "warning"}


def test_an_image_that_is_in_training_and_in_the_test():
    report = inspect(CLEAN, gallery=[*TEST[1], ("0.jpg", 9, 1)])
    assert kinds(report) == {"image-in-train-and-test": "error"}


def test_cameras_of_which_each_has_one_image_are_not_compared():
    report = inspect(train((1, 10), (1, 11), (2, 12), (2, 13)), [("q.jpg", 8, 14)], [("g.jpg", 8, 15)])
    assert kinds(report) == {}


class WithoutCameras(FileNameDataset):
    dataset_name = folder = "bare"
    splits = {"train": ".", "query": "q", "gallery": "g"}
    pattern = re.compile(r"(?P<pid>\d+)-")


def test_cameras_that_are_not_known_are_none_in_training_either(tmp_path):
    for name in ("1-a", "1-b", "2-a", "2-b", "q/3-a", "g/3-b"):
        (tmp_path / "bare" / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bare" / f"{name}.png").touch()
    data = WithoutCameras(str(tmp_path))
    assert data.train[0][1:] == ("bare_1", "bare_0")
    report = inspect_dataset(data, read_images=False)
    assert kinds(report) == {}
    assert report.summary["cameras"] == {}


def test_cameras_of_the_test_that_training_has_not():
    report = inspect(CLEAN, [("q.jpg", 8, 0), ("r.jpg", 8, 7)], [("g.jpg", 8, 1)])
    unseen = next(finding for finding in report.findings if finding.kind == "unseen-camera")
    assert unseen.message == "1 of 3 cameras of the test, with 1 image, without a training image"
    assert unseen.cases[0].text == "camera 7"


def test_the_summary_counts():
    report = inspect(train((1, 0), (1, 1), (1, 10), (2, 0), (2, 1)))
    assert report.summary["splits"]["train"] == {
        "images": 5, "identities": 2, "cameras": 3, "images_per_identity": [2, 2.5, 3], "distractors": 0,
    }  # fmt: skip
    assert list(report.summary["cameras"].items()) == [  # 10 after 1
        ("0", {"train": 2, "query": 1, "gallery": 0}),
        ("1", {"train": 2, "query": 0, "gallery": 1}),
        ("10", {"train": 1, "query": 0, "gallery": 0}),
    ]
    found = report.summary["training_identities"]
    assert (found["least"], found["median"], found["most"]) == (2, 2.5, 3)
    assert found["identities_by_images"] == {"2-3": 2}
    assert report.summary["images"] == {}
