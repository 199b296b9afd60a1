from __future__ import annotations

import pytest

from fastreid.data.protocol import check_protocol

KNOWN = [("a.jpg", 0, 0)], [("b.jpg", 0, 1)]
UNKNOWN = [("a.jpg", 0, -1)], [("b.jpg", 0, -1)]


@pytest.mark.parametrize(
    ("protocol", "images"),
    [("market1501", KNOWN), ("cameraless", KNOWN), ("cameraless", UNKNOWN), ("auto", KNOWN), ("auto", UNKNOWN)],
)
def test_what_fits(protocol, images):
    check_protocol(protocol, "shop", *images)


@pytest.mark.parametrize("protocol", ["market1501", "auto"])
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
