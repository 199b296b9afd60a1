from __future__ import annotations

import math

import numpy as np
import pytest

from fastreid.evaluation.rank_lists import JUNK, MATCH, OTHER, rank_matrix
from fastreid.visualization.marks import MARKS, QUERY
from fastreid.visualization.rank_lists import rank_sheet
from fastreid.visualization.rank_lists.rank_cells import Cell, Look, sections_of
from fastreid.visualization.rank_lists.rank_list import ImageTexts, draw_rank_list

from ..pictures import PlainImages, rows_of


def ranked(gallery=30, seed=0, identities=4):
    """The rank list of a query, and the texts of its test set."""
    rng = np.random.default_rng(seed)
    pids, cams = rng.integers(0, identities, gallery + 1), rng.integers(0, 2, gallery + 1)
    test = rank_matrix(rng.random((1, gallery)), pids[:1], pids[1:], cams[:1], cams[1:], length=50)
    texts = ImageTexts([f"query/{i:04d}.jpg" for i in range(gallery + 1)], [*map(str, pids)], [*map(str, cams)])
    return test.lists([0])[0], texts


def written(monkeypatch):
    """Record the texts that are written from now on."""
    texts = []
    write = rank_sheet.write

    def record(draw, place, text, **how):
        texts.append(text)
        write(draw, place, text, **how)

    monkeypatch.setattr(rank_sheet, "write", record)
    return texts


@pytest.mark.parametrize(
    "look",
    [
        Look(),
        Look(labels=True),
        Look(max_rank=1, labels=True, hardest_first=False),
        Look(max_rank=50, labels=True),
        Look(max_rank=12, junk=False),
    ],
)
@pytest.mark.parametrize("shape", [(40, 60), (70, 30)])
def test_the_cells_of_the_picture_are_those_of_the_ranking(look, shape):
    ranking, texts = ranked()
    found = rows_of(draw_rank_list(ranking, texts, PlainImages(*shape), look))
    expected = [
        [(cell.place, MARKS[cell.kind]) for cell in row if isinstance(cell, Cell)]
        for section in sections_of(ranking, look)
        for row in section.rows
    ]
    expected[0].insert(0, (0, QUERY))
    assert found == expected
    if look.max_rank > 1:
        assert {mark for row in found for _, mark in row} == {QUERY, *MARKS.values()} - (
            set() if look.junk else {MARKS[JUNK]}
        )


def test_under_each_image_are_rank_score_identity_and_camera(monkeypatch):
    ranking, texts = ranked()
    texts_found = written(monkeypatch)
    draw_rank_list(ranking, texts, PlainImages(92, 92), Look(max_rank=10))
    shown = texts_found[texts_found.index("query") :]
    first = np.flatnonzero(ranking.ranks == 10)[0] + 1
    expected = ["query", f"id {texts.identities[0]}", f"cam {texts.cameras[0]}"]
    run = 0
    for place, rank, score in zip(ranking.places[:first], ranking.ranks, ranking.scores):
        run = run + 1 if rank == 0 else 0
        if run <= 2:
            labels = [f"id {texts.identities[place]}", f"cam {texts.cameras[place]}"]
            expected += [str(rank) if rank else "junk", f"{score:.3f}", *labels]
    assert [text for text in shown if not text.startswith("Ranking") and text[0] != "+"] == expected


def test_the_header_says_whose_ranking_it_is(monkeypatch):
    ranking, texts = ranked()
    found = written(monkeypatch)
    draw_rank_list(ranking, texts, PlainImages(), Look())
    assert found[:2] == [f"AP {100 * ranking.average_precision:.1f} %", "query/0000.jpg"]
    count, best = len(ranking.match_ranks), ranking.match_ranks[0]
    assert found[2] == (
        f"identity {texts.identities[0]} · camera {texts.cameras[0]} · {count} true matches, the first at rank {best}"
    )
    assert found[3:6] == [MARKS[kind].name for kind in (MATCH, OTHER, JUNK)]


def test_a_query_without_a_match_and_without_a_camera(monkeypatch):
    test = rank_matrix(np.array([[0.1, 0.2]]), [1], [2, 3], [-1], [-1, -1])
    texts = ImageTexts(["a.jpg"] * 3, ["x", "y", "z"], [""] * 3)
    found = written(monkeypatch)
    rows = rows_of(draw_rank_list(test.lists([0])[0], texts, PlainImages(), Look(labels=True)))
    assert [place for place, _ in rows[0]] == [0, 1, 2]
    assert found[:3] == ["no AP", "a.jpg", "identity x · no true match in the gallery"]
    assert found[-1] != "cam " and "No true match in the gallery" in found
    assert math.isnan(test.lists([0])[0].average_precision)


def test_an_empty_ranking_still_shows_its_query():
    test = rank_matrix(np.empty((1, 0)), np.array([1]), np.array([], int), np.array([0]), np.array([], int))
    texts = ImageTexts(["a.jpg"], ["x"], ["0"])
    assert rows_of(draw_rank_list(test.lists([0])[0], texts, PlainImages(40, 90))) == [[(0, QUERY)]]


def test_long_names_are_shortened_and_stand_in_lines_of_their_own(monkeypatch):
    ranking, texts = ranked(5)
    long = ImageTexts(["/a/" + "very_" * 60 + "end.jpg"] * 6, ["market1501_" + "9" * 40] * 6, texts.cameras)
    short = draw_rank_list(ranking, texts, PlainImages(92, 92), Look())
    found = written(monkeypatch)
    picture = draw_rank_list(ranking, long, PlainImages(92, 92), Look())
    assert picture.height > short.height and picture.width == short.width
    assert found[1].startswith("…") and found[1].endswith("end.jpg")
    assert all(text.startswith("…") for text in found if text.endswith("999"))


def test_notes_stand_for_long_runs_of_junk(monkeypatch):
    pids = np.array([1] * 9 + [2, 3])
    test = rank_matrix(np.arange(11.0)[None], np.array([1]), pids, np.array([0]), np.zeros(11, int))
    texts = ImageTexts(["a.jpg"] * 12, ["1"] * 12, ["0"] * 12)
    found = written(monkeypatch)
    rows = rows_of(draw_rank_list(test.lists([0])[0], texts, PlainImages(), Look(max_rank=2)))
    assert [place for place, _ in rows[0]] == [0, 1, 2, 10, 11]
    assert "+7" in found
