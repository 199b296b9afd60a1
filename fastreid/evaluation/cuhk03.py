"""The single-gallery-shot protocol: one drawn image of each identity is the gallery, again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

__all__ = ["SingleShot", "single_shot_rates"]


class SingleShot:
    """Rank each query's true match in galleries with one image of each identity; a consumer of ``rank_matches``.

    For every query and every draw one image of each gallery identity is drawn, each with the same chance, and of the
    query's own identity one of the true matches. The rank is one plus the number of drawn images of other identities
    that score at least as high. Draws depend on the seed and the number of the query alone, not on the other queries.

    Source: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014.

    Args:
        g_pids: ``(G,)`` identities of the gallery.
        draws: for each query, at least 1.
        seed: at least 0; the same seed gives the same draws.

    Attributes:
        ranks: for each query taken in, by its number, ``(draws,)`` int64 ranks, 1-based; empty if it has no match.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(self, g_pids: np.ndarray, *, draws: int = 10, seed: int = 0) -> None:
        if draws < 1:
            raise ValueError(f"draws (TEST.CUHK03.DRAWS) must be at least 1, got {draws}")
        if seed < 0:
            raise ValueError(f"seed (TEST.CUHK03.SEED) must be >= 0, got {seed}")
        g_pids = np.asarray(g_pids)
        self._order = np.argsort(g_pids, kind="stable")  # (G,), an identity's images side by side
        _, self._starts, self._sizes = np.unique(g_pids[self._order], return_index=True, return_counts=True)
        self._draws, self._seed = draws, seed
        self._bars: dict[int, np.ndarray] = {}
        self.ranks: dict[int, np.ndarray] = {}

    def add(
        self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int, start: int = 0
    ) -> None:
        """Take in one query, or a part of it; see :class:`~.rank_blocks.ScoreConsumer`. The arrays stay as they are."""
        if start == 0:
            self.ranks[query] = np.ones(self._draws if genuine.size else 0, dtype=np.int64)
        if self.ranks[query].size == 0:
            return
        generator = np.random.default_rng([self._seed, query])
        drawn = self._starts + generator.integers(self._sizes, size=(self._draws, self._sizes.size))  # (R, I)
        if start == 0:
            self._bars[query] = cautious[generator.integers(genuine.size, size=self._draws)]  # (R,)
        places = self._order[drawn] - start
        is_here = (places >= 0) & (places < others.size)
        scores = others[np.where(is_here, places, 0)]  # (R, I), minus infinity for the query's own identity
        self.ranks[query] += np.count_nonzero(is_here & (scores >= self._bars[query][:, None]), axis=1)


def single_shot_rates(
    numbers: dict[str, np.ndarray], ranks: Sequence[np.ndarray], topk: Sequence[int] = (1, 5, 10)
) -> tuple[OrderedDict[str, float], dict[str, np.ndarray]]:
    """Replace the CMC of the whole gallery by the mean over the draws of :class:`SingleShot`.

    Args:
        numbers: of ``rates_by_query``, of the whole gallery: ``(Q,)`` each, in [0, 1], NaN without a match.
        ranks: for each of the Q queries ``(draws,)`` ranks; empty without a match.
        topk: the k of the CMC values in ``numbers``.

    Returns:
        The results with the names and the order of ``summarize``, in percent, 0 if no query has a match; and the
        numbers of each query, of which they are the means.
    """
    numbers = dict(numbers)
    for k in topk:
        numbers[f"Rank-{k}"] = np.array([np.mean(own <= k) if own.size else np.nan for own in ranks], dtype=np.float64)
    numbers["metric"] = (numbers["mAP"] + numbers["Rank-1"]) / 2
    has_match = np.isfinite(numbers["mAP"])
    means = {name: 100 * float(own[has_match].mean()) if has_match.any() else 0.0 for name, own in numbers.items()}
    return OrderedDict(means), numbers
