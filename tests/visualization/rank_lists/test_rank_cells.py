from __future__ import annotations

import numpy as np
import pytest

from fastreid.evaluation.rank_lists import JUNK, MATCH, OTHER, RankList
from fastreid.visualization.rank_lists.rank_cells import Cell, Hidden, Look, sections_of, shown_places


def ranking(kinds, matches=(), query=0):
    """A rank list of images 1, 2, 3 ... of the kinds o, m and j; ``matches``: (place, rank)."""
    kinds = np.array([{"o": OTHER, "m": MATCH, "j": JUNK}[kind] for kind in kinds])
    counts = kinds != JUNK
    places = np.arange(1, len(kinds) + 1)
    return RankList(
        query,
        places,
        kinds,
        np.where(counts, np.cumsum(counts), 0),
        1 - places / 100,
        np.array([place for place, _ in matches], dtype=np.int64),
        np.array([rank for _, rank in matches], dtype=np.int64),
        np.array([1 - rank / 100 for _, rank in matches]),
        0.5,
    )


def rows(found, number=0):
    """A section as text: places, and +n for a note."""
    return [
        " ".join(str(cell.place) if isinstance(cell, Cell) else f"+{cell.count}" for cell in row)
        for row in found[number].rows
    ]


@pytest.mark.parametrize(
    ("kinds", "look", "expected"),
    [
        ("omo", Look(), ["1 2 3"]),
        ("omo", Look(max_rank=2), ["1 2"]),
        ("jojmj", Look(max_rank=2), ["1 2 3 4"]),  # what comes behind the last rank is not shown
        ("jojmj", Look(max_rank=2, junk=False), ["2 4"]),
        ("jjjjjojm", Look(), ["1 2 +3 6 7 8"]),
        ("jjj", Look(), ["1 2 +1"]),
        ("", Look(), []),
        ("o" * 21, Look(max_rank=21), ["1 2 3 4 5 6 7 8 9 10", "11 12 13 14 15 16 17 18 19 20", "21"]),
        ("o" * 10 + "jjjj" + "o", Look(max_rank=50), ["1 2 3 4 5 6 7 8 9 10", "11 12 +2 15"]),
    ],
)
def test_ranks_and_junk_stand_where_they_are(kinds, look, expected):
    found = sections_of(ranking(kinds), look)
    assert rows(found) == expected
    for row in found[0].rows:
        for cell in row:
            if isinstance(cell, Cell):
                assert (cell.rank == 0) == (cell.kind == JUNK) == (kinds[cell.place - 1] == "j")
                assert cell.score == pytest.approx(1 - cell.place / 100)


@pytest.mark.parametrize(("most", "hardest", "expected"), [(10, True, "5 3 9"), (2, True, "5 3"), (2, False, "9 3")])
def test_true_matches_from_either_end(most, hardest, expected):
    matches = [(9, 1), (3, 4), (5, 20)]
    found = sections_of(ranking("mo", matches), Look(max_rank=most, labels=True, hardest_first=hardest))
    assert rows(found, 1) == [expected]
    assert [cell.rank for cell in found[1].rows[0]] == [dict(matches)[int(place)] for place in expected.split()]
    assert all(cell.kind == MATCH for cell in found[1].rows[0])
    count = "The 3" if most == 10 else "2 of 3"
    assert found[1].title == f"{count} true matches, the {'hardest' if hardest else 'easiest'} first"


def test_no_match_and_one_match_have_titles_of_their_own():
    assert sections_of(ranking("o"), Look(labels=True))[1].title == "No true match in the gallery"
    assert sections_of(ranking("o", [(7, 3)]), Look(labels=True))[1].title == "The only true match"
    assert len(sections_of(ranking("o"), Look())) == 1


def test_many_matches_stand_in_rows_of_ten():
    found = sections_of(ranking("o", [(i, i) for i in range(1, 26)]), Look(max_rank=25, labels=True))
    assert [len(row) for row in found[1].rows] == [10, 10, 5]


def test_the_shown_places_are_query_ranking_and_matches():
    look = Look(max_rank=2, labels=True)
    assert shown_places(ranking("jjjoo", [(9, 8)], query=77), look) == [77, 1, 2, 4, 5, 9]
    assert Hidden(1) in sections_of(ranking("jjjoo"), look)[0].rows[0]


@pytest.mark.parametrize("ranks", [0, 1001])
def test_numbers_of_ranks_out_of_range(ranks):
    with pytest.raises(ValueError, match=f"--max-rank must be from 1 to 1000 images, got {ranks}"):
        Look(max_rank=ranks)
