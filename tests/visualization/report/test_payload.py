"""What the page reads is what was written: arrays and texts, also those that look like markup."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from fastreid.evaluation.breakdown import by_match_camera
from fastreid.evaluation.rank_lists import JUNK, MATCH, OTHER, RankList
from fastreid.visualization.report import payload

_TYPES = {"f4": "<f4", "u1": "<u1", "u2": "<u2", "u4": "<u4"}


def unpacked(value):
    """Do what the page does with a payload."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _TYPES:
        ((kind, text),) = value.items()
        return np.frombuffer(base64.b64decode(text), dtype=_TYPES[kind])
    return value


def loaded(text):
    """Return the name and the payload of a script."""
    assert text.startswith("Report.load(") and text.endswith(");\n") and text.isascii()
    name, own = json.loads(f"[{text.removeprefix('Report.load(').removesuffix(');' + chr(10))}]")
    return name, {key: unpacked(value) for key, value in own.items()}


@pytest.mark.parametrize("kind", _TYPES)
def test_numbers_come_back(kind):
    values = np.array([0, 1, 255] if kind == "u1" else [0, 1, 65535])
    np.testing.assert_array_equal(unpacked(payload.packed(values, kind)), values)
    assert unpacked(payload.packed([], kind)).size == 0


def test_numbers_that_do_not_fit_are_refused():
    np.testing.assert_array_equal(unpacked(payload.packed([0.5, np.nan, -1], "f4")), np.float32([0.5, np.nan, -1]))
    for values, kind in (([256], "u1"), ([-1], "u4"), ([70000], "u2")):
        with pytest.raises(ValueError, match=f"do not fit into {kind}"):
            payload.packed(values, kind)
    with pytest.raises(ValueError, match="not JSON compliant"):
        payload.script("a", {"x": float("nan")})


@pytest.mark.parametrize("text", ["</script>", "<!--", "ä \u2028 \U0001f600", '"\\', "\udc80"])
def test_any_text_comes_back_and_closes_no_script(text):
    script = payload.script("a", {"x": text})
    assert "<" not in script
    assert loaded(script) == ("a", {"x": text})


def test_images_and_paths():
    labels = (["b", "10", "9", "b"], ["", "c2", "c1", "c2"], ["query", "gallery", "", "gallery"])
    _, own = loaded(payload.script("images", payload.image_payload(*labels, [0, 2])))
    assert [own["identities"][code] for code in own["identity"]] == labels[0]
    assert [own["cameras"][code] for code in own["camera"]] == labels[1]
    assert [own["splits"][code] for code in own["split"]] == labels[2]
    assert own["identities"] == ["9", "10", "b"]
    assert own["cameras"][0] == ""
    assert own["queries"].tolist() == [0, 2]
    paths = ["/a/b/c.jpg", "c.jpg", "/a/b/</d.jpg", "/a/b/e f.jpg"]
    _, own = loaded(payload.script("paths-0", payload.path_payload(paths)))
    folders = [own["folders"][code] for code in own["folder"]]
    assert ["/".join(filter(None, (f, n))) for f, n in zip(folders, own["names"])] == paths


def ranking(query, *, places, kinds, match_ranks):
    matches = np.array(match_ranks, dtype=np.int64)
    kinds = np.array(kinds, dtype=np.int64)
    scores = np.linspace(0.9, 0.1, len(places)).astype(np.float32)
    return RankList(
        query=query,
        places=np.array(places, dtype=np.int64),
        kinds=kinds,
        ranks=np.where(kinds == JUNK, 0, np.cumsum(kinds != JUNK)),
        scores=scores,
        match_places=100 + matches,
        match_ranks=matches,
        match_scores=1 - matches / 1000,
        average_precision=float(np.mean(np.arange(1, len(matches) + 1) / matches)) if len(matches) else float("nan"),
    )


@pytest.fixture
def lists():
    return [
        ranking(0, places=[5, 6, 7, 8], kinds=[JUNK, MATCH, OTHER, OTHER], match_ranks=[1, 30]),
        ranking(1, places=[9, 8], kinds=[OTHER, OTHER], match_ranks=[]),
        ranking(2, places=[], kinds=[], match_ranks=range(1, 151)),
    ]


def test_lists_come_back(lists):
    number_of, most = np.arange(400)[::-1], payload.MOST_MATCHES
    _, own = loaded(payload.script("lists-0-0", payload.list_payload(lists, number_of)))
    for place, expected in enumerate(lists):
        part = slice(*own["start"][place : place + 2])
        np.testing.assert_array_equal(own["image"][part], number_of[expected.places])
        np.testing.assert_array_equal(own["kind"][part], expected.kinds)
        np.testing.assert_array_equal(own["score"][part], expected.scores)
        matches = slice(*own["matchStart"][place : place + 2])
        np.testing.assert_array_equal(own["matchRank"][matches], expected.match_ranks[:most])
        np.testing.assert_array_equal(own["matchImage"][matches], number_of[expected.match_places][:most])
        np.testing.assert_allclose(own["matchScore"][matches], expected.match_scores[:most], rtol=1e-6)
    assert own["start"].tolist() == [0, 4, 6, 6]


def test_queries_come_back(lists):
    cameras = [np.array([1, 0]), np.array([], dtype=np.int64), np.arange(150) % 2]
    pairs = by_match_camera([own.match_ranks for own in lists], cameras)
    columns = (pairs["query"], pairs["camera"], pairs["precision"])
    _, own = loaded(payload.script("q", payload.query_payload(lists, np.array([0.5, 0.9, np.nan]), columns)))
    np.testing.assert_allclose(own["ap"], [(1 + 2 / 30) / 2, np.nan, 1.0], rtol=1e-6)
    assert own["best"].tolist() == [1, 0, 1]
    assert own["matches"].tolist() == [2, 0, 150]
    np.testing.assert_allclose(own["top"], [lists[0].scores[1], lists[1].scores[0], np.nan])
    np.testing.assert_allclose(own["match"], [0.999, np.nan, 0.999], rtol=1e-6)
    np.testing.assert_allclose(own["other"], [0.5, 0.9, np.nan])
    assert own["pairStart"].tolist() == [0, 2, 2, 4]
    assert own["pairCamera"].tolist() == [0, 1, 0, 1]
    # of camera 0 the match at rank 30, behind 28 others; of camera 1 the one at rank 1
    np.testing.assert_allclose(own["pairAp"][:2], [1 / 29, 1.0], rtol=1e-6)
    assert "pairStart" not in payload.query_payload(lists, np.zeros(3))
