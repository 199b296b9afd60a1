from __future__ import annotations

import random

import numpy as np

from fastreid.data.datasets import ImageDataset
from fastreid.data.inspect import inspect_dataset
from fastreid.data.inspect.queries import true_matches
from fastreid.data.inspect.subject import LabelledSplit


def inspect(query, gallery, *, train=(), **options):
    """Check labels alone: items are (name, pid, camid)."""
    return inspect_dataset(ImageDataset(list(train), query, gallery), read_images=False, **options)


def kinds(report):
    found = {finding.kind: finding.severity for finding in report.findings}
    return {kind: severity for kind, severity in found.items() if kind != "no-train"}


def test_true_matches_equal_their_definition():
    rng = np.random.default_rng(0)
    query, gallery = (LabelledSplit(*(rng.integers(0, most, count) for most in (60, 12, 4))) for count in (50, 80))
    for by_camera in (True, False):
        found = true_matches(query, gallery, by_camera=by_camera)
        for q in range(50):
            expected = sum(
                query.pids[q] == gallery.pids[g]
                and not (query.cams[q] == gallery.cams[g] if by_camera else query.files[q] == gallery.files[g])
                for g in range(80)
            )
            assert found[q] == expected


def test_auto_means_what_it_means_in_a_test():
    known, unknown = [("q", 1, 0)], [("q", 1, -1)]
    assert inspect(known, [("g", 1, 1)]).subject.protocol == "market1501"
    assert inspect(unknown, [("g", 1, -1)]).subject.protocol == "cameraless"
    assert inspect([], []).subject.protocol == ""


def test_cameras_that_are_known_in_part_are_an_error():
    report = inspect([("q", 1, 0)], [("g", 1, -1), ("h", 1, 1)])
    assert kinds(report) == {"protocol": "error"}
    assert "no camera is known of 1 of 3 test images, but TEST.PROTOCOL market1501" in report.findings[0].message
    assert report.summary["queries"] == {}


def test_a_protocol_that_needs_cameras_is_an_error_without():
    items = [("q", 1, -1)], [("g", 1, -1)]
    assert kinds(inspect(*items, protocol="cuhk03")) == {"protocol": "error"}
    assert kinds(inspect(*items, protocol="cameraless")) == {}


def test_a_gallery_without_queries_is_an_error():
    gallery = [("g", 1, 0), ("h", 1, 0)]
    report = inspect([], gallery)
    assert kinds(report) == {"no-query": "error"}
    assert "has no query images" in report.findings[0].message
    assert kinds(inspect([], gallery, protocol="leave_one_out")) == {}


def test_queries_without_a_gallery_are_for_leave_one_out():
    query = [("g", 1, -1), ("h", 1, -1)]
    report = inspect(query, [])
    assert kinds(report) == {"no-gallery": "note"}
    assert report.summary["queries"] == {"total": 2, "with_match": 2, "median_matches": 1}
    assert kinds(inspect(query, [], protocol="leave_one_out")) == {}
    report = inspect(query, [], protocol="cameraless")
    assert kinds(report) == {"no-query": "error"}
    assert "has queries, but no gallery" in report.findings[0].message


def test_reasons_why_a_query_has_no_match():
    query = [("a", 1, 0), ("b", 2, 0), ("c", 3, 0), ("d", 3, 1)]
    gallery = [("e", 2, 0), ("f", 3, 0), ("g", 3, 0)]
    found = {finding.kind: finding for finding in inspect(query, gallery).findings}
    assert found["query-absent"].cases[0].text == "identity 1"
    assert found["query-absent"].message.startswith("1 of 4 queries: the gallery does not have their identity")
    assert [case.text for case in found["query-own-camera"].cases] == ["identity 2", "identity 3"]
    assert "no-true-match" not in found
    found = {finding.kind: finding for finding in inspect(query[:3], gallery).findings}
    assert found["no-true-match"].message.startswith("none of 3 queries has a true match by the protocol market1501")


def test_without_cameras_an_image_is_no_match_of_itself():
    items = [("a", 1, -1), ("b", 2, -1)], [("a", 1, -1), ("c", 2, -1)]
    assert kinds(inspect(*items)) == {"image-in-query-and-gallery": "error", "query-own-image": "warning"}


def test_by_leave_one_out_each_image_is_a_query_once():
    report = inspect([("a", 1, 0), ("b", 1, 0)], [("a", 1, 0), ("c", 2, 0)], protocol="leave_one_out")
    assert kinds(report) == {"query-absent": "warning"}
    assert report.summary["queries"] == {"total": 3, "with_match": 2, "median_matches": 1}
    assert "there is no other image of their identity" in report.findings[0].message


class WithDistractors(ImageDataset):
    """Identity 0 is nobody."""

    distractor_pids = frozenset({0})


def test_by_the_protocol_of_cuhk03_all_test_images_are_both():
    items = [("a", 1, 0), ("b", 1, 1)]
    assert kinds(inspect(items, items, protocol="cuhk03")) == {"image-in-query-and-gallery": "note"}
    assert kinds(inspect(items, items)) == {"image-in-query-and-gallery": "warning"}


def test_distractors_must_not_be_looked_for():
    data = WithDistractors([], [("a", 1, 0)], [("b", 1, 1), ("c", 0, 0), ("d", 0, 1)])
    assert kinds(inspect_dataset(data, read_images=False)) == {}
    report = inspect_dataset(data, read_images=False, protocol="leave_one_out")
    assert kinds(report) == {"query-nobody": "error"}
    assert report.findings[0].count == 2


def test_the_number_of_queries_with_a_match_is_that_of_the_evaluation():
    draw = random.Random(0)
    query = [(f"q{number}", draw.randrange(30), draw.randrange(3)) for number in range(40)]
    gallery = [(f"g{number}", draw.randrange(30), draw.randrange(3)) for number in range(40)]
    expected = [any(pid == other and camera != seen for _, other, seen in gallery) for _, pid, camera in query]
    report = inspect(query, gallery)
    assert report.summary["queries"]["with_match"] == sum(expected)
    without = [finding.count for finding in report.findings if finding.kind in ("query-absent", "query-own-camera")]
    assert sum(without) == 40 - sum(expected)
