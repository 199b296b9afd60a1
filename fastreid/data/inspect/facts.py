"""What there is to know about one image file, in a few bytes."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterable

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..data_utils import ImageReadError, read_image
from .looks import colours, gradients

__all__ = ["FACTS", "MODES", "STATES", "read_facts", "read_many"]

STATES = ("fine", "missing", "empty", "not-an-image", "truncated", "unreadable")
"""What became of reading a file: ``FACTS["state"]`` is a place in it."""

MODES = ("other", "RGB", "L", "1", "I;16", "I", "P", "CMYK", "LA", "PA", "RGBA")
"""Modes of PIL in which an image may be stored: ``FACTS["mode"]`` is a place in it."""

FACTS = np.dtype(
    [
        ("state", "u1"),  # in STATES; without a fine one, only the digest counts
        ("width", "i4"),  # in pixels, upright
        ("height", "i4"),
        ("mode", "u1"),  # in MODES, as stored
        ("orientation", "u1"),  # of EXIF, 1 to 8; 1: upright
        ("grey", "?"),  # the three channels are equal
        ("transparent", "?"),  # a pixel is not opaque
        ("has_alpha", "?"),
        ("blank", "?"),  # one flat colour
        ("digest", "u8", (2,)),  # of the bytes of the file
        ("gradients", "u8", (2,)),  # see looks.gradients
        ("colours", "u1", (48,)),  # see looks.colours
    ]
)
"""Facts of an image; about 100 bytes, so that a million of them take 100 MB."""

_GREY_TOLERANCE = 2  # levels of 255 between the channels of a grey pixel: what a JPEG may make of it
_BLANK = 2.0  # standard deviation, in levels of 255, of one flat colour
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\x00", b"MM\x00*")
_MAX_ORIENTATION = 8


def read_many(paths: Iterable[str]) -> tuple[np.ndarray, dict[int, str]]:
    """Read several images.

    Returns:
        ``(N,)`` of :data:`FACTS`, and by place in it what :func:`read_facts` had to say, where it had something.
    """
    found = [read_facts(path) for path in paths]
    facts = np.array([row for row, _ in found], dtype=FACTS)
    return facts, {place: text for place, (_, text) in enumerate(found) if text}


def read_facts(path: str) -> tuple[np.void, str]:
    """Read an image as training does, and note what there is to know.

    Returns:
        One record of :data:`FACTS`; and why the image cannot be read, or what its decoder complained about, or nothing.
    """
    facts = np.zeros((), dtype=FACTS)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        facts["state"] = STATES.index("unreadable" if os.path.exists(path) else "missing")
        return facts[()], error.strerror or type(error).__name__
    facts["digest"] = np.frombuffer(hashlib.blake2b(content, digest_size=16).digest(), dtype="<u8")
    if not content:
        facts["state"] = STATES.index("empty")
        return facts[()], ""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            image = read_image(io.BytesIO(content))
            _note_storage(facts, content)
        except ImageReadError as error:
            facts["state"] = STATES.index(_state(content, error.__cause__))
            known = isinstance(error.__cause__, UnidentifiedImageError)  # which names an object, not the file
            return facts[()], "" if known else str(error.__cause__)
    _note_pixels(facts, image)
    return facts[()], "; ".join(dict.fromkeys(str(complaint.message).strip() for complaint in complaints))


def _state(content: bytes, error: BaseException | None) -> str:
    """Tell what is wrong with a file that does not decode."""
    declared = int.from_bytes(content[4:8], "little") + 8  # the length that a WebP says it has
    if content.startswith(b"RIFF") and len(content) < declared:
        return "truncated"
    if isinstance(error, UnidentifiedImageError):
        return "truncated" if content.startswith(_SIGNATURES) else "not-an-image"
    return "truncated" if "truncated" in str(error).lower() else "unreadable"


def _note_storage(facts: np.ndarray, content: bytes) -> None:
    """Note how the image is stored."""
    with Image.open(io.BytesIO(content)) as image:
        mode = "I;16" if image.mode.startswith("I;") else image.mode
        facts["mode"] = MODES.index(mode) if mode in MODES else 0
        if image.format != "JPEG" or "exif" in image.info or "xmp" in image.info:  # as read_image does
            orientation = image.getexif().get(0x0112, 1)
            if isinstance(orientation, int) and 1 <= orientation <= _MAX_ORIENTATION:
                facts["orientation"] = orientation
        facts["has_alpha"] = mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        if facts["has_alpha"]:
            facts["transparent"] = image.convert("RGBA").getchannel("A").getextrema()[0] < 255
    facts["orientation"] = max(facts["orientation"], 1)


def _note_pixels(facts: np.ndarray, image: Image.Image) -> None:
    """Note what the image, RGB and upright, looks like."""
    facts["width"], facts["height"] = image.size
    pixels = np.asarray(image).astype(np.int16)  # (H, W, 3)
    facts["grey"] = (pixels.max(axis=2) - pixels.min(axis=2)).max() <= _GREY_TOLERANCE
    facts["blank"] = pixels.std(axis=(0, 1)).max() < _BLANK
    facts["gradients"] = gradients(image)
    facts["colours"] = colours(image)
