from __future__ import annotations

import re

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, ImageDataset
from fastreid.data.inspect import inspect_dataset
from fastreid.data.inspect.loading import load_splits

from ..conftest import write_image


def kinds(report):
    return {finding.kind: finding.severity for finding in report.findings}


def test_a_name_that_nothing_has():
    loaded = load_splits("Market15O1")
    (finding,) = loaded.findings
    assert (loaded.dataset, loaded.splits) == (None, {})
    assert (finding.severity, finding.kind) == ("error", "cannot-build")
    assert finding.message.startswith(
        "the data set cannot be built: DATASET: no 'Market15O1'. Did you mean 'Market1501'?"
    )


def test_a_data_set_that_is_not_there(tmp_path):
    report = inspect_dataset("Market1501", root=str(tmp_path))
    assert kinds(report) == {"cannot-build": "error"}
    assert (report.verdict, report.exit_code()) == ("broken: 1 error", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pid\nb.jpg,1\n", "1 of 1 images that .*t.csv lists are not there: .*b.jpg"),
        ("path,pid,split\na.png,1,tran\n", "t.csv:2: split is 'tran'"),
        ("name,who\na.png,1\n", "t.csv:1: the columns are 'name', 'who'"),
        ("", "t.csv"),
    ],
)
def test_a_bad_table(tmp_path, text, message):
    write_image(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text(text)
    report = inspect_dataset(f"csv:{tmp_path / 't.csv'}")
    assert kinds(report) == {"cannot-build": "error"}
    assert re.search(message, report.findings[0].message)


class Broken(ImageDataset):
    """A user's own, with faults of all sorts."""

    dataset_name = "mine"

    def __init__(self, root="", **options):
        train = [("a.png", "mine_1", "mine_0"), ("a.png", None, "mine_0"), ("a.png", "mine_1"), (3, "mine_1", "mine_0")]
        super().__init__(train, lambda: [1 / 0], lambda: [("a.png", "2", 0), ("a.png", 2, 0.5)], **options)


def test_a_data_set_of_ones_own_that_fails(monkeypatch):
    monkeypatch.setitem(DATASET_REGISTRY._objects, "Broken", Broken)
    loaded = load_splits("Broken", most=2)
    train, query, gallery = loaded.findings
    assert loaded.splits == {"train": [("a.png", "mine_1", "mine_0")], "gallery": []}
    assert [finding.kind for finding in loaded.findings] == ["bad-item", "cannot-list", "bad-item"]
    assert train.count == 3
    assert [case.text for case in train.cases] == [
        "item 1: the pid is None; it must be a str or an int",
        "item 2: ('a.png', 'mine_1') has no three parts",
    ]
    assert query.message.startswith(f"query cannot be listed: ZeroDivisionError in {__file__}, line ")
    assert [case.text for case in gallery.cases] == [
        "item 0: the pid is '2'; it must be an int",
        "item 1: the camid is 0.5; it must be an int",
    ]


def test_what_is_logged_on_the_way_is_a_finding(tmp_path, caplog):
    for identity in ("anna", "bob"):
        for number in range(2):
            write_image(tmp_path / identity / f"{number}.png", seed=len(identity) * 10 + number)
    (tmp_path / "carl").mkdir()
    findings = load_splits(f"folder:{tmp_path}").findings
    assert [(finding.severity, finding.kind) for finding in findings] == [("warning", "data-set-warning")]
    assert findings[0].message.endswith("1 folders have no image, such as carl")


def test_a_data_set_may_be_given_itself(tmp_path):
    paths = [write_image(tmp_path / f"{number}.png", size=(64, 128), seed=number) for number in range(4)]
    data = ImageDataset([(path, f"_{number // 2}", "_0") for number, path in enumerate(paths)], [], [])
    report = inspect_dataset(data, workers=0)
    assert kinds(report) == {"no-test": "note", "single-camera": "note"}
    assert report.subject.name == "ImageDataset"
    assert report.subject.identities == ["0", "1"]


def test_options_go_to_the_data_set(tmp_path):
    for name in ("bounding_box_train/0001_c1.png", "query/0002_c1.png", "bounding_box_test/0002_c2.png"):
        write_image(tmp_path / "Market-1501-v15.09.15" / name, seed=len(name))
    write_image(tmp_path / "Market-1501-v15.09.15" / "images" / "0000_c3.png")
    loaded = load_splits("Market1501", root=str(tmp_path), options={"market1501_500k": True})
    assert len(loaded.splits["gallery"]) == 2
    (finding,) = load_splits("Market1501", root=str(tmp_path), options={"market1501_500K": True}).findings[:1]
    assert finding.kind == "cannot-build"
    assert "market1501_500K" in finding.message
