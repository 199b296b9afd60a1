"""Runs side by side: the same images, whatever their order and place, or an error that says what differs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fastreid.evaluation import compare_queries
from fastreid.visualization.report import name_runs

from .folders import judge, write_features, write_images


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def rows(place):
    return write_images(place / "images")


@pytest.fixture(scope="module")
def first(place, rows):
    return write_features(place / "a", rows)


def test_a_run_is_its_evaluation_and_its_ranking(first):
    (run,) = judge(first)
    assert 0 < run.results["mAP"] < 100
    known = run.precision()[np.isfinite(run.precision())]
    assert 100 * known.mean() == pytest.approx(run.results["mAP"])
    lists = run.lists([3, 4], 5)
    assert [own.average_precision for own in lists] == run.precision()[[3, 4]].tolist()
    pairs = run.pairs(run.lists(range(36), 5))
    own = (run.test.camids[:36][pairs["query"]] == 0) & (pairs["camera"] == 1)
    (row,) = [
        row
        for row in run.details["breakdown"]["camera_pairs"]["worst"]
        if (row["query_camera"], row["gallery_camera"]) == (0, 1)
    ]
    assert 100 * pairs["precision"][own].mean() == pytest.approx(row["mAP"])
    assert run.pairs([])["query"].size == 0
    (blind,) = judge(first, **{"TEST.PROTOCOL": "cameraless", "TEST.ROC.ENABLED": False})
    assert blind.pairs(blind.lists([0], 5)) is not None  # cameras are known, though the protocol hides them
    (single,) = judge(
        first, **{"TEST.PROTOCOL": "leave_one_out", "TEST.EVALUATOR": "RetrievalEvaluator", "TEST.ROC.ENABLED": False}
    )
    assert single.pairs(single.lists([0], 5)) is None
    assert len(single.ranked) == 108


def test_the_order_of_the_images_does_not_matter(place, rows, first):
    shuffled = np.random.default_rng(3).permutation(len(rows))
    other = write_features(place / "shuffled", [rows[number] for number in shuffled])
    features = np.load(first / "features.npy")[shuffled]
    np.save(other / "features.npy", features)
    one, two = judge(first, other)
    np.testing.assert_array_equal(two.precision(), one.precision())
    for own, theirs in zip(one.lists(range(36), 8), two.lists(range(36), 8), strict=True):
        np.testing.assert_array_equal(two.places[theirs.places], own.places)
        assert two.places[theirs.query] == own.query
    assert two.compare(one)["mAP"]["difference"] == pytest.approx(0)


def test_images_in_another_place_are_the_same_images(place, rows, first):
    moved = [row._replace(img_path="/elsewhere/" + row.img_path.rpartition("/")[2]) for row in rows]
    other = write_features(place / "moved", moved, seed=1)
    one, two = judge(first, other)
    found, expected = (
        two.compare(one),
        compare_queries(one.queries, {**two.queries, "img_path": one.queries["img_path"]}),
    )
    assert found["mAP"] == expected["mAP"]
    assert two.places.tolist() == list(range(len(rows)))


def test_what_does_not_go_together_is_an_error(place, rows, first):
    def with_rows(name, own):
        return judge(first, write_features(place / name, own))

    with pytest.raises(
        ValueError, match=r"36 queries and 72 gallery images, but .*fewer has 35 queries and 72; compare"
    ):
        with_rows("fewer", rows[1:])
    wrong = [*rows[:40], rows[40]._replace(img_path="/x/other.jpg"), *rows[41:]]
    with pytest.raises(
        ValueError, match=r"not of the same images: at place 40 of the test set one has .*/x/other\.jpg"
    ):
        with_rows("strangers", wrong)
    relabelled = [*rows[:40], rows[40]._replace(identity="9"), *rows[41:]]
    with pytest.raises(ValueError, match=r"1 images have another identity or camera in .*relabelled"):
        with_rows("relabelled", relabelled)


def test_queries_of_which_none_has_a_match_are_not_compared(place, rows):
    own = [row._replace(identity="lonely") if row.split == "query" else row for row in rows]
    one, two = judge(write_features(place / "none", own), write_features(place / "none2", own, seed=1))
    assert two.compare(one) is None


def test_runs_are_told_apart_by_name(tmp_path):
    assert name_runs(["x/a", "y/b"], None) == ["a", "b"]
    assert name_runs(["x/a/f", "x/b/f", "x/c"], None) == ["a/f", "b/f", "x/c"]
    assert name_runs(["a", "b"], ["one", "two"]) == ["one", "two"]
    with pytest.raises(ValueError, match=r"--names must name each of 2 folders, got 1: one"):
        name_runs(["a", "b"], ["one"])
    with pytest.raises(ValueError, match="different names"):
        name_runs(["a", "b"], ["one", "one"])
    with pytest.raises(ValueError, match="different names"):
        name_runs([str(tmp_path), str(tmp_path)], None)


def test_drawn_galleries(place, rows, first):
    one, two = judge(
        first, write_features(place / "drawn", rows, seed=1), **{"TEST.EVALUATOR": "RandomGalleryEvaluator"}
    )
    assert len(one.ranked) == 108 - 13  # in the first split; 13 identities, each with an image in the gallery
    matched = int(np.isfinite(one.queries["mAP"]).sum())
    assert two.compare(one)["queries"] == matched < 10 * (108 - 13)
    assert one.pairs(one.lists([0], 3)) is None


def test_a_damaged_folder_is_an_error(place, first):
    broken = shutil.copytree(first, place / "broken")
    meta = json.loads((broken / "meta.json").read_text())
    (broken / "meta.json").write_text(json.dumps({**meta, "complete": False}))
    with pytest.raises(ValueError, match="are not complete"):
        judge(broken)
