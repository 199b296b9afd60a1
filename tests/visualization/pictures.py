"""Images of one colour each, and a reader that finds them in a picture with the marks of their frames."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from PIL import Image

from fastreid.visualization.marks import MARKS, QUERY

LEVELS = (30, 90, 150, 210)
COLOURS = np.array([(r, g, b) for r in LEVELS for g in LEVELS for b in LEVELS])  # (64, 3)


def write_plain_images(paths, size=(8, 16)):
    """Write the image at each place, at most 64, in the colour of the place."""
    for path, colour in zip(paths, COLOURS, strict=False):
        Image.new("RGB", size, tuple(colour.tolist())).save(path, quality=95)


class PlainImages:
    """Gives the image at each place in its colour, as ``Thumbnails`` would."""

    def __init__(self, width=40, height=60):
        self.width, self.height = width, height

    def __call__(self, place):
        return Image.new("RGB", (self.width, self.height), tuple(COLOURS[place].tolist()))


SHARP = {"quality": 100, "subsampling": 0}
"""How JPEG files must be written for their colours to be told."""


def rows_of(picture):
    """Return the rows of a picture from top to bottom, each a list of places and marks from left to right.

    The query is in the first row.
    """
    pixels = np.asarray(picture).astype(int)
    steps = np.rint((pixels - LEVELS[0]) / 60).astype(int)
    known = (
        (np.abs(pixels - LEVELS[0] - 60 * steps) <= 24).all(axis=2) & (steps >= 0).all(axis=2) & (steps < 4).all(axis=2)
    )
    codes = np.where(known, steps @ (16, 4, 1), -1)  # (H, W) places, -1: no image
    lines = [(y, _runs(codes[y])) for y in range(0, len(pixels), 2)]
    rows = []
    for places, same in groupby(lines, key=lambda line: [place for place, _ in line[1]]):
        same = list(same)
        if places and len(same) >= 10:
            ys = [y for y, _ in same]
            starts = np.median([[start for _, start in runs] for _, runs in same], axis=0).astype(int)
            rows.append([(place, _mark(pixels, ys, start)) for place, start in zip(places, starts.tolist())])
    return rows


def _runs(codes):
    """Return the places of which a line has at least 20 pixels in a row, and where they begin."""
    edges = np.flatnonzero(np.diff(codes, prepend=-2, append=-2))
    runs = zip(edges[:-1].tolist(), np.diff(edges).tolist())
    return [(int(codes[start]), start) for start, length in runs if length >= 20 and codes[start] >= 0]


def _mark(pixels, ys, x):
    """Return the mark in whose colour most of what is left of an image is drawn."""
    left = pixels[ys[0] : ys[-1], x - 4 : x - 1].reshape(-1, 3)
    marks = (QUERY, *MARKS.values())
    colours = np.array([[int(mark.colour[i : i + 2], 16) for i in (1, 3, 5)] for mark in marks])
    far = np.abs(left[:, None] - colours).max(axis=2)  # (P, 4); JPEG files blur a little
    return marks[np.bincount(far.argmin(axis=1)[far.min(axis=1) < 40], minlength=4).argmax()]
