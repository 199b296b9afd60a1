from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.data.data_utils import ImageReadError
from fastreid.visualization.rank_lists.painted_thumbnails import PaintedThumbnails
from fastreid.visualization.thumbnails import Thumbnails


class Items:
    """Six images, 1 x 2 pixels large, of which the one at 4 cannot be read."""

    def __init__(self):
        self.read = []

    def __getitem__(self, place):
        self.read.append(place)
        if place == 4:
            raise ImageReadError("cannot decode 4.jpg")
        return {"images": torch.full((3, 2, 1), place, dtype=torch.uint8)}


class Brighten:
    """Adds 100, and notes the size of each batch."""

    def __init__(self):
        self.sizes = []

    def __call__(self, images):
        self.sizes.append(len(images))
        return [(image + 100).permute(1, 2, 0).numpy() for image in images]


def test_images_are_painted_in_batches_and_once():
    items, paint = Items(), Brighten()
    plain = Thumbnails([f"/none/{i}.jpg" for i in range(6)], 4, 8)
    read = PaintedThumbnails(paint, items, plain, batch=2)
    assert (read.width, read.height) == (4, 8)
    read.prepare([5, 0, 1, 0])
    assert paint.sizes == [2, 1] and items.read == [5, 0, 1]
    for place in (0, 1, 5):
        assert read(place).size == (4, 8)
        assert (np.asarray(read(place)) == 100 + place).all()
    read.prepare([1, 2])
    assert items.read == [5, 0, 1, 2]
    with pytest.raises(KeyError):
        read(0)


def test_what_cannot_be_read_has_a_placeholder():
    plain = Thumbnails([f"/none/{i}.jpg" for i in range(6)], 40, 80)
    paint = Brighten()
    read = PaintedThumbnails(paint, Items(), plain)
    read.prepare([4])
    assert paint.sizes == [] and isinstance(read(4), Image.Image)
    assert read.broken is plain.broken and list(read.broken) == ["/none/4.jpg"]


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match="batch must be at least 1 image, got 0"):
        PaintedThumbnails(Brighten(), Items(), Thumbnails([], 4, 8), batch=0)
