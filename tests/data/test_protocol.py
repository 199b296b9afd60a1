from __future__ import annotations

import pytest

from fastreid.data.protocol import check_protocol, embedded_images

KNOWN = [("a.jpg", 0, 0)], [("b.jpg", 0, 1)]
UNKNOWN = [("a.jpg", 0, -1)], [("b.jpg", 0, -1)]


@pytest.mark.parametrize(
    ("protocol", "images"),
    [("market1501", KNOWN), ("cameraless", KNOWN), ("cameraless", UNKNOWN), ("auto", KNOWN), ("auto", UNKNOWN)],
)
def test_what_fits(protocol, images):
    check_protocol(protocol, "shop", *images)


@pytest.mark.parametrize("protocol", ["market1501", "auto", "cuhk03"])
def test_unknown_cameras_are_an_error_that_names_the_key(protocol):
    with pytest.raises(
        ValueError, match=r"shop: no camera is known of 1 of 2 .* set TEST\.PROTOCOL cameraless .* camid"
    ):
        check_protocol(protocol, "shop", KNOWN[0], UNKNOWN[1])


def test_query_in_the_gallery_is_an_error_without_cameras():
    check_protocol("market1501", "shop", KNOWN[0], KNOWN[0])  # left out, being of the same camera
    with pytest.raises(ValueError, match=r"shop: \./a\.jpg is a query and in the gallery, .*take it out"):
        check_protocol("cameraless", "shop", KNOWN[0], [("./a.jpg", 0, 1)])
    with pytest.raises(ValueError, match=r"shop: \./a\.jpg is a query and in the gallery"):
        check_protocol("auto", "shop", UNKNOWN[0], [("./a.jpg", 0, -1)])


def test_leave_one_out_has_each_image_once():
    one, two, three = ("a.jpg", 0, 0), ("./a.jpg", 0, 5), ("b.jpg", 1, -1)
    for query, gallery in (([], [one, three]), ([one, three], [one, three]), ([one], [two, three]), ([one, three], [])):
        assert embedded_images("leave_one_out", "shop", query, gallery) == ([one, three], 0)
    with pytest.raises(ValueError, match=r"shop: \./a\.jpg has the identities 0 and 7; give an image one"):
        embedded_images("leave_one_out", "shop", [one], [("./a.jpg", 7, 0)])
    with pytest.raises(ValueError, match="shop has no test images"):
        embedded_images("leave_one_out", "shop", [], [])


def test_other_protocols_need_queries():
    assert embedded_images("market1501", "shop", *KNOWN) == ([*KNOWN[0], *KNOWN[1]], 1)
    with pytest.raises(ValueError, match=r"shop has no query images .* leave_one_out, TEST\.EVALUATOR Retrieval"):
        embedded_images("market1501", "shop", [], KNOWN[1])


def test_sets_without_queries_and_gallery_are_for_training_only():
    with pytest.raises(
        ValueError, match=r"shop has no query images .*for training only.* take it out of DATASETS\.TESTS"
    ):
        embedded_images("market1501", "shop", [], [])


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03", "cameraless", "auto"])
def test_queries_without_a_gallery_want_to_leave_one_out(protocol):
    with pytest.raises(ValueError, match=r"shop has queries, but no gallery; .* leave_one_out, .* RetrievalEvaluator"):
        embedded_images(protocol, "shop", UNKNOWN[0], [])
