"""The first images of each query's ranking, as the evaluator has it, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .features import FeatureSet
from .postprocess import Retrieval
from .rank import IdentityIndex, check_matrix, rank_rows
from .rank_shares import rank_matches_together
from .rates import rates_by_query
from .scores import SCORE_REGISTRY
from .similarity import METRIC_REGISTRY, origin_of

__all__ = ["JUNK", "MATCH", "OTHER", "PlacedRetrieval", "RankList", "RankedTest", "rank_matrix", "rank_test"]

OTHER, MATCH, JUNK = 0, 1, 2
"""Kinds of gallery images for a query: another identity, a true match, left out by the protocol."""

_PAIRS = 4096  # scores of chosen pairs that are computed at a time


@dataclass(frozen=True, eq=False)
class PlacedRetrieval:
    """What an evaluator ranks, and which images of the test set that is.

    Args:
        retrieval: queries and gallery with the labels that the protocol gives them, after the test-time options.
        query_places: ``(Q,)`` int64 positions of the queries in the test set.
        gallery_places: ``(G,)`` int64 likewise. An image that is its own gallery image is not shown.
    """

    retrieval: Retrieval
    query_places: np.ndarray
    gallery_places: np.ndarray


@dataclass(frozen=True, eq=False)
class RankList:
    """The beginning of one query's ranking, with the images that the protocol leaves out where they would stand.

    Args:
        query: position of the query in the test set.
        places: ``(L,)`` int64 positions of the images in the test set, the closest first.
        kinds: ``(L,)`` int64, :data:`OTHER`, :data:`MATCH` or :data:`JUNK`.
        ranks: ``(L,)`` int64, 1-based; 0 for junk, which has none.
        scores: ``(L,)`` float: cosines, or minus distances; with re-ranking its own scores.
        match_places: ``(M,)`` int64 positions of all true matches, the best rank first.
        match_ranks: ``(M,)`` int64 their ranks.
        match_scores: ``(M,)`` float their scores.
        average_precision: in (0, 1]; NaN without a true match.
    """

    query: int
    places: np.ndarray
    kinds: np.ndarray
    ranks: np.ndarray
    scores: np.ndarray
    match_places: np.ndarray
    match_ranks: np.ndarray
    match_scores: np.ndarray
    average_precision: float


class RankedTest:
    """A ranked test set; made by :func:`rank_test` and :func:`rank_matrix`.

    Args:
        ranks: for each query those of its true matches.
        nearest: what was kept of the scores.
        scores_of: returns the scores ``(P,)`` of chosen pairs: of queries ``(P,)`` and gallery images ``(P,)``.
        labels: identities and cameras of the queries, int64 ``(Q,)`` each, and an index of those of the gallery.
        query_places: ``(Q,)`` int64 positions of the queries in the test set.
        gallery_places: ``(G,)`` int64 likewise.

    Attributes:
        ranks: for each query ``(M,)`` int64 ranks of its true matches, ascending.
        numbers: ``(Q,)`` float64 by name, ``Rank-1``, ``mAP`` ... in [0, 1], NaN without a match; see
            ``rates_by_query``.
        query_places: ``(Q,)`` int64 positions of the queries in the test set.
        gallery_places: ``(G,)`` int64 likewise.
        length: images of other identities that were kept for each query.
    """

    def __init__(
        self,
        ranks: list[np.ndarray],
        nearest: _Nearest,
        scores_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
        labels: tuple[np.ndarray, np.ndarray, IdentityIndex],
        query_places: np.ndarray,
        gallery_places: np.ndarray,
    ) -> None:
        self.ranks = ranks
        self.numbers = rates_by_query(ranks)
        self.query_places, self.gallery_places = query_places, gallery_places
        self.length = nearest.length
        self._nearest, self._scores_of = nearest, scores_of
        self._labels, self._index = labels[:2], labels[2]

    def __len__(self) -> int:
        return len(self.ranks)

    def lists(self, queries: Sequence[int] | np.ndarray, length: int | None = None) -> list[RankList]:
        """Return the rank lists of some queries.

        Args:
            queries: their numbers, counted from 0.
            length: images with a rank in each list, at most as many as were kept; ``None``: all of these.

        Raises:
            ValueError: if more are wanted than were kept.
        """
        length = self.length if length is None else length
        if not 1 <= length <= self.length:
            raise ValueError(f"length must be from 1 to {self.length}, which were kept, got {length}")
        own = [self._index.lookup(*(of[number].item() for of in self._labels)) for number in queries]
        junk = [
            places[self.gallery_places[places] != self.query_places[number]]
            for number, (_, places) in zip(queries, own, strict=True)
        ]
        sizes = [len(places) for places in junk]
        rows = np.repeat(np.asarray(queries, dtype=np.int64), sizes)
        scores = self._scores_of(rows, np.concatenate([*junk, np.empty(0, dtype=np.int64)]))
        junk_scores = np.split(scores, np.cumsum(sizes)[:-1])
        return [
            self._list(int(number), matches, of_junk, its_scores, length)
            for number, (matches, _), of_junk, its_scores in zip(queries, own, junk, junk_scores, strict=True)
        ]

    def best_others(self) -> np.ndarray:
        """Return for each query the score of the nearest image of another identity, ``(Q,)``; NaN: there is none."""
        scores = (self._nearest.others(number)[1] for number in range(len(self)))
        return np.array([own[0] if own.size else np.nan for own in scores], dtype=np.float64)

    def _list(
        self, number: int, matches: np.ndarray, junk: np.ndarray, junk_scores: np.ndarray, length: int
    ) -> RankList:
        genuine, order = self._nearest.genuine[number]
        matches, genuine, ranks = matches[order], genuine[order], self.ranks[number]
        others, scores = self._nearest.others(number)
        length = min(length, len(others) + len(matches))
        is_match = np.zeros(length, dtype=bool)
        shown = ranks <= length
        is_match[ranks[shown] - 1] = True
        free = np.flatnonzero(~is_match)
        places, values = np.empty(length, dtype=np.int64), np.empty(length, dtype=scores.dtype)
        places[is_match], values[is_match] = matches[shown], genuine[shown]
        places[free], values[free] = others[: free.size], scores[: free.size]
        kinds = np.where(is_match, MATCH, OTHER)
        # Junk stands where its score would put it; what comes after the last image with a rank is not shown.
        before = (values[:, None] >= junk_scores).sum(axis=0) if length else np.zeros(len(junk), dtype=np.int64)
        seen = np.argsort(-junk_scores, kind="stable")
        seen = seen[before[seen] < length]
        at = before[seen]
        placed = {
            "places": self.gallery_places[np.insert(places, at, junk[seen])],
            "kinds": np.insert(kinds, at, JUNK),
            "ranks": np.insert(np.arange(1, length + 1), at, 0),
            "scores": np.insert(values, at, junk_scores[seen]),
        }
        return RankList(
            query=int(self.query_places[number]),
            **placed,
            match_places=self.gallery_places[matches],
            match_ranks=ranks,
            match_scores=genuine,
            average_precision=float(self.numbers["mAP"][number]),
        )


def rank_test(placed: PlacedRetrieval, *, length: int = 50, memory_gb: float = 1.0) -> RankedTest:
    """Rank all queries, and keep for each the beginning of its list.

    The ranks are those of the evaluator, to the last tie: they come from the same call.

    Args:
        placed: what an evaluator's ``placed_retrieval`` returns.
        length: images of other identities that are kept for each query, at least 1.
        memory_gb: as for ``rank_matches``; what is kept, 12 bytes an image, comes on top.

    Raises:
        ValueError: if ``length`` is below 1, or ``rank_matches`` raises it.
        KeyError: if the metric has no scores, see ``SCORE_REGISTRY``.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1 image, got {length}")
    retrieval = placed.retrieval
    nearest = _Nearest(len(retrieval.query), length)
    ranks = rank_matches_together(
        retrieval.query,
        retrieval.gallery,
        metric=retrieval.metric,
        memory_gb=memory_gb,
        adjust=retrieval.adjust,
        consumer=nearest,
    )
    query, gallery = retrieval.query, retrieval.gallery
    index = IdentityIndex(gallery.pids.cpu().numpy(), gallery.camids.cpu().numpy())
    labels = (query.pids.cpu().numpy(), query.camids.cpu().numpy(), index)
    scores_of = partial(_scores_of_pairs, retrieval)
    return RankedTest(ranks, nearest, scores_of, labels, placed.query_places, placed.gallery_places)


def rank_matrix(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    length: int = 50,
) -> RankedTest:
    """Do what :func:`rank_test` does with a matrix of distances that is there already.

    The ranks are those of ``evaluate_rank``. The queries come first in the test set, then the gallery; scores are minus
    the distances.

    Args:
        distmat: ``(Q, G)`` finite distances, lower is closer; is kept, and not changed.
        q_pids: ``(Q,)`` identities of the queries.
        g_pids: ``(G,)`` identities of the gallery.
        q_camids: ``(Q,)`` cameras of the queries.
        g_camids: ``(G,)`` cameras of the gallery; same identity and same camera as the query: junk.
        length: images of other identities that are kept for each query, at least 1.

    Raises:
        ValueError: if ``length`` is below 1, shapes do not fit, or a distance is NaN or infinite.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1 image, got {length}")
    distances = check_matrix(distmat, q_pids, g_pids, q_camids, g_camids)
    index = IdentityIndex(g_pids, g_camids)
    nearest = _Nearest(len(distances), length)
    ranks = rank_rows(
        (-row for row in distances),
        q_pids,
        q_camids,
        index,
        on_row=lambda number, genuine, slack, row, own: nearest.add(number, genuine, genuine - slack, row, own),
    )
    labels = (np.asarray(q_pids), np.asarray(q_camids), index)
    places = np.arange(sum(distances.shape))
    return RankedTest(
        ranks,
        nearest,
        lambda queries, images: -distances[queries, images],
        labels,
        places[: len(distances)],
        places[len(distances) :],
    )


class _Nearest:
    """Keep the scores of each query's true matches and of the nearest images of other identities; a ScoreConsumer.

    Attributes:
        length: images of other identities that are kept for each query.
        genuine: for each query the scores ``(M,)`` of its matches as they lie in the gallery, and their order by rank.
    """

    def __init__(self, num_query: int, length: int) -> None:
        self.length = length
        self.genuine: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0, dtype=np.int64))] * num_query
        self._places: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * num_query
        self._scores: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * num_query

    def add(
        self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int, start: int = 0
    ) -> None:
        """Take in one query, or a part of it; see :class:`~.rank_blocks.ScoreConsumer`."""
        if start == 0:
            self.genuine[query] = genuine.copy(), np.argsort(-cautious, kind="stable")
        length = min(self.length, others.size - own)
        if length < 1:
            return
        bar = np.partition(others, others.size - length)[others.size - length]
        near = np.flatnonzero(others >= bar)
        places = np.concatenate([self._places[query], near + start])
        scores = np.concatenate([self._scores[query], others[near]])
        order = np.argsort(-scores, kind="stable")[: self.length]  # equal scores stay in the order of the gallery
        self._places[query], self._scores[query] = places[order], scores[order]

    def others(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Return gallery positions and scores of the nearest images of other identities, the nearest first."""
        return self._places[query], self._scores[query]


def _scores_of_pairs(retrieval: Retrieval, queries: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the scores of chosen pairs: of ``queries`` ``(P,)`` and gallery ``images`` ``(P,)``, float ``(P,)``."""
    query, gallery, adjust = retrieval.query, retrieval.gallery, retrieval.adjust
    dtype = torch.promote_types(torch.promote_types(query.features.dtype, gallery.features.dtype), torch.float32)
    project = METRIC_REGISTRY.get(retrieval.metric)
    origin = origin_of(gallery.features[:512].to(dtype))

    def projected(of: FeatureSet, numbers: np.ndarray) -> tuple[Tensor, Tensor | float]:
        features, offset = project(of.features[torch.from_numpy(numbers)].to(dtype), origin)
        return features, 0.0 if offset is None else offset

    found = [np.empty(0, dtype=np.float32)]
    for start in range(0, len(queries), _PAIRS):
        part = slice(start, start + _PAIRS)
        (left, own_offset), (right, offset) = projected(query, queries[part]), projected(gallery, images[part])
        squared = left.square().sum(dim=1)
        similarity = ((left * right).sum(dim=1) + offset).cpu().numpy()
        if adjust is None:
            score = SCORE_REGISTRY.get(retrieval.metric)
            lengths = squared.cpu().numpy()
            found.append(np.concatenate([score(similarity[i : i + 1], own) for i, own in enumerate(lengths)]))
            continue
        itself = (squared + own_offset).cpu().numpy()
        numbers, which = np.unique(queries[part], return_inverse=True)
        for place, by in enumerate(map(adjust, numbers.tolist())):
            of_one = which == place
            moved = (similarity[of_one] - itself[of_one]) * by.factor + by.summands[images[part][of_one]] + by.shift
            similarity[of_one] = moved
        found.append(similarity)
    return np.concatenate(found)
