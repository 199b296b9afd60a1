"""Checks of the image files themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .build import register_check
from .facts import MODES, STATES
from .finding import Finding
from .subject import Subject

__all__ = ["check_appearance", "check_files", "check_shapes", "check_storage"]

# state -> kind, what it means
_FAULTS = {
    "missing": ("missing-image", "listed, but not there"),
    "empty": ("empty-file", "without a byte in the file"),
    "not-an-image": ("not-an-image", "in no format that PIL knows"),
    "truncated": ("truncated-image", "cut off"),
    "unreadable": ("unreadable-image", "that cannot be read"),
}
TINY_SHARE = 0.25  # of INPUT.SIZE_TEST
MOST_STRETCHED = 3.0  # times as slim or as wide as the median image


@register_check(*(kind for kind, _ in _FAULTS.values()), "decoder-warning")
def check_files(subject: Subject) -> Iterator[Finding]:
    """Report files that training could not read, and those whose decoder complained."""
    if subject.facts is None:
        return
    for state, (kind, what) in _FAULTS.items():
        files = np.flatnonzero(subject.facts["state"] == STATES.index(state))
        if files.size:
            yield subject.of_files("error", kind, f"{what}, which stops a run: {subject.where(files)}", files)
    odd = [file for file in sorted(subject.texts) if subject.readable[file]]
    if odd:
        yield subject.of_files(
            "note", "decoder-warning", f"that can be read, but with complaints: {subject.where(odd)}", odd
        )


@register_check("tiny-image", "landscape", "stretched-image")
def check_shapes(subject: Subject) -> Iterator[Finding]:
    """Report images far from the size of the model's input, and from the shape of the others."""
    if subject.facts is None or not subject.readable.any():
        return
    files = np.flatnonzero(subject.readable)
    heights, widths = (subject.facts[side][files].astype(float) for side in ("height", "width"))
    least = [TINY_SHARE * side for side in subject.size]
    tiny = files[(heights < least[0]) | (widths < least[1])]
    if tiny.size:
        limit = f"less than {TINY_SHARE:.0%} of the model's input {subject.size[0]} x {subject.size[1]}"
        sizes = f"lower than {least[0]:g} or narrower than {least[1]:g} pixels, {limit}: {subject.where(tiny)}"
        yield subject.of_files("warning", "tiny-image", sizes, tiny)
    ratios = heights / widths
    median = float(np.median(ratios))
    wide = (ratios < 1) & (median > 1)
    if wide.any():
        what = f"wider than high (turned, or not cropped?), where the median is {median:.2f} times as high as wide"
        yield subject.of_files("warning", "landscape", f"{what}: {subject.where(files[wide])}", files[wide])
    slim = (np.maximum(ratios / median, median / ratios) > MOST_STRETCHED) & ~wide
    if slim.any():
        what = f"more than {MOST_STRETCHED:g} times as slim or as wide as the median image"
        yield subject.of_files("warning", "stretched-image", f"{what}: {subject.where(files[slim])}", files[slim])


@register_check("cmyk", "palette", "transparency", "unused-alpha", "16-bit", "unusual-mode", "exif-rotated")
def check_storage(subject: Subject) -> Iterator[Finding]:
    """Report what the loader converts on reading."""
    if subject.facts is None:
        return
    facts, fine = subject.facts, subject.readable

    def stored(*modes: str) -> np.ndarray:
        return fine & np.isin(facts["mode"], [MODES.index(mode) for mode in modes])

    cases = (
        ("warning", "cmyk", stored("CMYK"), "in CMYK, converted without a colour profile, so that colours may be off"),
        ("note", "palette", stored("P", "PA"), "with a palette, converted to RGB without loss"),
        ("warning", "transparency", fine & facts["transparent"], "with transparent pixels, drawn in the colours below"),
        (
            "note",
            "unused-alpha",
            fine & facts["has_alpha"] & ~facts["transparent"],
            "with an alpha channel, all opaque",
        ),
        (
            "warning",
            "16-bit",
            stored("I;16", "I"),
            "of 16 bits, cut to the upper 8: 10 or 12 bits in them come out dark",
        ),
        ("note", "unusual-mode", stored("other"), "in an unusual colour space, converted to RGB by PIL"),
        (
            "note",
            "exif-rotated",
            fine & (facts["orientation"] > 1),
            "turned or mirrored by EXIF on reading; not all programs do so",
        ),
    )
    for severity, kind, found, what in cases:
        if found.any():
            files = np.flatnonzero(found)
            yield subject.of_files(severity, kind, f"{what}: {subject.where(files)}", files)


@register_check("grey", "blank-image")
def check_appearance(subject: Subject) -> Iterator[Finding]:
    """Report images without colour, and images of one flat colour."""
    if subject.facts is None:
        return
    blank = subject.readable & subject.facts["blank"]
    grey = subject.readable & subject.facts["grey"] & ~blank
    if blank.any():
        files = np.flatnonzero(blank)
        yield subject.of_files("warning", "blank-image", f"of one flat colour: {subject.where(files)}", files)
    if grey.any():
        files = np.flatnonzero(grey)
        yield subject.of_files("note", "grey", f"without colour, as infrared is: {subject.where(files)}", files)
