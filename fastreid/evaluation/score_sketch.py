"""Coarse histograms of the scores of each query identity, for what is resampled."""

from __future__ import annotations

import numpy as np
import torch

from ..utils import comm
from .pair_scores import BINS, ScoreScale

__all__ = ["ScoreSketch"]

_COLUMNS = 1024  # gallery images that are looked at, at most
_BARS, _FEWEST_BARS = 512, 64  # of a histogram; powers of two
_VALUES = 1 << 23  # numbers of one table, at most, as long as a histogram has more than the fewest bars


class ScoreSketch:
    """Count the scores of impostor pairs by query identity; a consumer of ``rank_matches``.

    It is as long as the identities are many, not the pairs. Of a gallery of more than 1,024 images about as many are
    looked at, evenly spread, so that it costs a fixed time for each query: for how much a rate moves with the people
    that is enough, and the rate itself is computed from all pairs.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        scale: of the bins.
        num_gallery: G, number of gallery images.

    Attributes:
        impostors: ``(I, T)`` int64, impostor pairs of each identity, in ascending order of identities, by score; the
            highest scores are in the last bar.
    """

    def __init__(self, q_pids: np.ndarray, *, scale: ScoreScale, num_gallery: int) -> None:
        identities, self._group = np.unique(q_pids, return_inverse=True)
        self._scale = scale
        self._bars = _BARS
        while self._bars > _FEWEST_BARS and self._bars * identities.size > _VALUES:
            self._bars //= 2
        self._shift = (BINS // self._bars).bit_length() - 1  # from a bin to its bar
        self._step = max(1, -(-num_gallery // _COLUMNS))
        self.impostors = np.zeros((identities.size, self._bars), dtype=np.int64)

    def add(
        self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int, start: int = 0
    ) -> None:
        """Take in one query, or a part of it; see :class:`~.rank_blocks.ScoreConsumer`. The arrays stay as they are."""
        seen = others[-start % self._step :: self._step]
        bars = self._scale.bins(seen[seen > -np.inf]) >> self._shift
        self.impostors[self._group[query]] += np.bincount(bars, minlength=self._bars)

    def gather(self) -> None:
        """Add up what all ranks have counted; every rank must call it."""
        self.impostors = comm.all_gather_tensor(torch.from_numpy(self.impostors[None])).sum(dim=0).numpy()

    def count(self, scores: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Count other pairs in the same way.

        Args:
            scores: ``(P,)`` of the pairs.
            query: ``(P,)`` int64, the query of each.

        Returns:
            ``(I, T)`` int64.
        """
        bars = self._group[query] * self._bars + (self._scale.bins(scores) >> self._shift)
        return np.bincount(bars, minlength=self.impostors.size).reshape(self.impostors.shape)
