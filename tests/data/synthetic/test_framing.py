"""What hides a part of a person, and cameras that look down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fastreid.data.synthetic import CAMERAS, HEIGHT, WIDTH, paint
from fastreid.data.synthetic.body import pose_body
from fastreid.data.synthetic.cover import COVERS, draw_cover, sample_cover
from fastreid.data.synthetic.framing import FRAMINGS, USUAL, Framing, sample_framing

from .test_identity import PERSON, rng

MAGENTA = (255, 0, 255)


def covers(count: int = 120) -> list:
    return [sample_cover(rng(seed)) for seed in range(count)]


def hidden(cover) -> float:
    """Return the part of the place of a person, in the middle of the picture, that a cover hides."""
    image = draw_cover(Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), MAGENTA), cover, 0.0)
    body = np.asarray(image)[int(0.1 * HEIGHT) :, int(0.5 * WIDTH) : int(1.5 * WIDTH)]
    return float((body != MAGENTA).any(axis=2).mean())


def test_covers_hide_about_half():
    parts = {kind: [] for kind in COVERS}
    for cover in covers():
        parts[cover.kind].append(hidden(cover))
    assert all(parts.values())
    assert 0.35 < np.mean([part for found in parts.values() for part in found]) < 0.65
    for kind, found in parts.items():
        assert 0.1 < min(found) <= max(found) < 0.85, kind
    assert 0.2 < len(parts["person"]) / 120 < 0.5


def test_a_cover_hides_and_changes_nothing_else():
    """Without blur and noise, what differs from the whole picture is what the cover hides."""
    clear = replace(CAMERAS[0], blur=0.0, noise=0.0, sharpness=1.0)
    for cover in covers(8):
        whole = paint(PERSON, clear, rng(3), Framing(occluders=False))
        behind = paint(PERSON, clear, rng(3), Framing(occluders=False, cover=cover))
        changed = (whole != behind).any(axis=2).mean()
        assert 0.1 < changed < 0.85
        assert (paint(PERSON, clear, rng(3), Framing(occluders=False, cover=cover)) == behind).all()


def test_usual_framing_leaves_the_picture_alone():
    assert (paint(PERSON, CAMERAS[0], rng(1), USUAL) == paint(PERSON, CAMERAS[0], rng(1))).all()
    assert sample_framing("usual", rng()) == USUAL


def test_whole_pictures_have_no_occluder():
    """Some of the shots have one; framed as whole they equal themselves without it."""
    changed = 0
    for seed in range(40):
        usual, whole = (
            paint(PERSON, CAMERAS[0], rng(seed), sample_framing(name, rng())) for name in ("usual", "whole")
        )
        changed += (usual != whole).any()
    assert 1 <= changed <= 14


def test_parts_are_of_all_three_kinds_and_large_enough():
    boxes = np.array([sample_framing("part", rng(seed)).box for seed in range(200)])
    left, top, right, bottom = boxes.T
    assert (boxes >= 0).all() and (boxes <= 1).all()
    assert ((right - left) * WIDTH > 24).all() and ((bottom - top) * HEIGHT > 48).all()
    upper, lower, side = (bottom < 0.7).mean(), (top > 0.3).mean(), (right - left < 0.71).mean()
    assert 0.4 < upper < 0.6 and 0.1 < lower < 0.3 and 0.2 < side < 0.4
    assert upper + lower + side == pytest.approx(1)


def test_unknown_framing_is_an_error():
    with pytest.raises(ValueError, match="framing must be one of usual, whole, occluded, part; got 'half'"):
        sample_framing("half", rng())
    assert list(FRAMINGS) == ["usual", "whole", "occluded", "part"]


def test_from_above_a_person_is_shorter_and_what_is_near_lies_lower():
    level, above = (pose_body(PERSON, phase=0, yaw=0, origin=(0, 0), unit=100, pitch=p) for p in (0.0, 0.5))
    assert above.place(0, 1, 0).y == pytest.approx(np.cos(0.5) * level.place(0, 1, 0).y)
    assert above.place(0, 0, 0.1).y == pytest.approx(10 * np.sin(0.5))
    assert level.place(0, 0, 0.1).y == 0
    assert above.place(0.1, 0, 0.3).x == level.place(0.1, 0, 0.3).x
