from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from fastreid.visualization import lettering
from fastreid.visualization.lettering import load_font, shortened_to, text_width, write


@pytest.fixture
def without_fonts(monkeypatch, tmp_path):
    """An installation whose Pillow is old and whose matplotlib has no fonts."""

    def load_default(*size):
        if size:
            raise TypeError("load_default() takes 0 positional arguments")
        return old()

    old = ImageFont.load_default_imagefont if hasattr(ImageFont, "load_default_imagefont") else ImageFont.load_default
    caches = (lettering.load_font, lettering._length, lettering.shortened_to)
    monkeypatch.setattr(lettering, "_font_folder", lambda: tmp_path)
    monkeypatch.setattr(ImageFont, "load_default", load_default)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def ink(text, **how):
    picture = Image.new("RGB", (300, 30), "white")
    write(ImageDraw.Draw(picture), how.pop("place", (100, 5)), text, **{"size": 12, "colour": "#000000", **how})
    return np.flatnonzero((np.asarray(picture).min(axis=2) < 200).any(axis=0))


@pytest.mark.parametrize("text", ["query/0042_c3s1_000123_00.jpg", "short", "Äpfel und Birnen in Übermaß"])
@pytest.mark.parametrize("width", [300, 90, 30])
def test_what_is_too_long_keeps_its_end(text, width):
    found = shortened_to(width, text, 12)
    assert text_width(found, 12) <= width
    if found != text:
        assert found[0] == "…" and text.endswith(found[1:])
        longer = text[len(text) - len(found) :]
        assert text_width(f"…{longer}", 12) > width
    else:
        assert text_width(text, 12) <= width


def test_a_text_is_one_line():
    assert shortened_to(500, "a\nb\t c", 12) == "a b c"


def test_text_begins_ends_or_is_centred_at_its_place():
    width = text_width("rank 7", 12)
    for align, start in (("left", 100), ("middle", 100 - width / 2), ("right", 100 - width)):
        columns = ink("rank 7", align=align)
        assert columns[0] == pytest.approx(start, abs=2)
        assert columns[-1] == pytest.approx(start + width, abs=2)


def test_letters_of_other_languages_are_drawn():
    pictures = {text: ink(text, size=20).tolist() for text in "äñжλ"}
    assert len({tuple(columns) for columns in pictures.values()}) > 2  # a font without them draws the same box
    assert text_width("w", 12, bold=True) > text_width("w", 12)
    assert load_font(12) is load_font(12)


def test_an_old_pillow_writes_what_it_can(without_fonts):
    assert isinstance(load_font(16), ImageFont.ImageFont)
    assert ink("id 7 … 中文").size > 10
    assert text_width(shortened_to(40, "0042_c3s1_000123_00.jpg", 12), 12) <= 40
