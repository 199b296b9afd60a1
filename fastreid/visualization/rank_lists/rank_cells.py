"""Which images a picture of a rank list shows, in which order: all that is decided before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...evaluation.rank_lists import JUNK, MATCH, RankList

__all__ = ["RANKS_IN_A_ROW", "Cell", "Hidden", "Look", "Section", "sections_of", "shown_places"]

RANKS_IN_A_ROW = 10
"""Images with a rank in one row of a picture."""

_JUNK_IN_A_RUN = 2  # what is beyond is only counted
_MOST_RANKS = 1000  # a JPEG file has no more than 65,500 lines


@dataclass(frozen=True)
class Look:
    """What a picture of a rank list shows.

    Args:
        max_rank: images with a rank, from 1 to 1000; of a shorter list all there are.
        labels: show the true matches below, too: at most ``max_rank`` of them.
        hardest_first: of these, begin with the one that was found last; False: first.
        junk: show junk, where its score puts it; False: leave it out.

    Raises:
        ValueError: if ``max_rank`` is out of its range.
    """

    max_rank: int = 10
    labels: bool = False
    hardest_first: bool = True
    junk: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.max_rank <= _MOST_RANKS:
            raise ValueError(f"--max-rank must be from 1 to {_MOST_RANKS} images, got {self.max_rank}")


@dataclass(frozen=True)
class Cell:
    """One image of a picture.

    Args:
        place: position in the test set.
        kind: :data:`~fastreid.evaluation.rank_lists.OTHER`, ``MATCH`` or ``JUNK``.
        rank: 1-based; 0 for junk.
        score: as in the rank list.
    """

    place: int
    kind: int
    rank: int
    score: float


@dataclass(frozen=True)
class Hidden:
    """A note that stands for junk that is not shown.

    Args:
        count: of images, at least 1.
    """

    count: int


@dataclass(frozen=True)
class Section:
    """Rows of images under one title."""

    title: str
    rows: tuple[tuple[Cell | Hidden, ...], ...]


def sections_of(ranking: RankList, look: Look) -> list[Section]:
    """Return what the picture of a ranking shows: the ranking, and the true matches if they are wanted.

    Of a run of junk two images are shown, and a note counts the others, so that the ranks always fit.
    """
    found = [Section("Ranking, the closest first", _ranking_rows(ranking, look))]
    if look.labels:
        found.append(_true_matches(ranking, look))
    return found


def shown_places(ranking: RankList, look: Look) -> list[int]:
    """Return the positions of the images that the picture of a ranking shows, that of the query first."""
    rows = [row for section in sections_of(ranking, look) for row in section.rows]
    return [ranking.query, *(cell.place for row in rows for cell in row if isinstance(cell, Cell))]


def _ranking_rows(ranking: RankList, look: Look) -> tuple[tuple[Cell | Hidden, ...], ...]:
    rows: list[list[Cell | Hidden]] = [[]]
    run = ranks = 0
    for cell in _cells(ranking.places, ranking.kinds, ranking.ranks, ranking.scores):
        if ranks == look.max_rank:
            break
        if cell.kind == JUNK:
            run += 1
            if look.junk and run > _JUNK_IN_A_RUN:
                _hide_one_more(rows[-1])
            elif look.junk:
                rows[-1].append(cell)
            continue
        rows[-1].append(cell)
        run, ranks = 0, ranks + 1
        if ranks % RANKS_IN_A_ROW == 0:
            rows.append([])
    return tuple(tuple(row) for row in rows if row)


def _true_matches(ranking: RankList, look: Look) -> Section:
    there = len(ranking.match_places)
    order = range(there)[::-1] if look.hardest_first else range(there)
    chosen = list(order)[: look.max_rank]
    cells = _cells(
        ranking.match_places[chosen], [MATCH] * len(chosen), ranking.match_ranks[chosen], ranking.match_scores[chosen]
    )
    rows = tuple(tuple(cells[start : start + RANKS_IN_A_ROW]) for start in range(0, len(cells), RANKS_IN_A_ROW))
    if there < 2:
        return Section("The only true match" if there else "No true match in the gallery", rows)
    count = f"{len(chosen)} of {there}" if len(chosen) < there else f"The {there}"
    return Section(f"{count} true matches, the {'hardest' if look.hardest_first else 'easiest'} first", rows)


def _cells(places: Sequence[int], kinds: Sequence[int], ranks: Sequence[int], scores: Sequence[float]) -> list[Cell]:
    return [Cell(int(p), int(k), int(r), float(s)) for p, k, r, s in zip(places, kinds, ranks, scores, strict=True)]


def _hide_one_more(row: list[Cell | Hidden]) -> None:
    if row and isinstance(row[-1], Hidden):
        row[-1] = Hidden(row[-1].count + 1)
    else:
        row.append(Hidden(1))
