from __future__ import annotations

import pytest

from fastreid.evaluation.label_suspects import KINDS, Suspect, describe

NAMES = {3: "anna", 5: "bob"}.__getitem__


@pytest.mark.parametrize(
    ("suspect", "text"),
    [
        (
            Suspect("wrong_label", 1.0, (7, 8), (3,), 5, 0.1, 1.04, 12),
            "2 of 12 images of anna fit bob (1.04), not anna",
        ),
        (
            Suspect("two_people", 0.9, (7, 8), (3,), None, 0.1, 1.04, 12),
            "2 of 12 images of anna fit each other (1.04), not the rest (0.10)",
        ),
        (Suspect("two_people", 0.9, (7, 8), (3,), 5, 0.1, 1.0, 12), "not the rest (0.10); they fit bob"),
        (
            Suspect("one_person", 0.9, (7, 8), (3, 5), 5, 1.1, 1.04, 12),
            "the 12 images of anna and bob fit across the two (1.04) as within (1.10)",
        ),
        (
            Suspect("near_duplicate", 1.4, (7, 8), (3, 5), None, float("nan"), 0.9987, 3),
            "nearly the same picture (cosine 0.999), labelled anna and bob, and 2 more such pairs",
        ),
        (Suspect("near_duplicate", 0.7, (7, 8), (3,), None, float("nan"), 1.0, 1), "labelled both anna"),
    ],
)
def test_a_sentence_for_each_kind(suspect, text):
    assert text in describe(suspect, NAMES)
    assert suspect.kind in KINDS
