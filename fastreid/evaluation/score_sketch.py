"""Coarse histograms of the scores of each query identity, for what is resampled."""

from __future__ import annotations

import numpy as np
import torch

from ..utils import comm
from .pair_scores import BINS, ScoreScale

__all__ = ["ScoreSketch"]

_COLUMNS = 4096  # gallery images that are looked at, at most
_BARS = 512  # of a histogram
_VALUES = 1 << 23  # numbers of one table, at most, as long as a histogram has 64 bars


class ScoreSketch:
    """Count the scores of genuine and impostor pairs by query identity; a consumer of ``rank_matches``.

    It is as long as the identities are many, not the pairs. Of a gallery of more than 4,096 images some are looked at
    for impostors, evenly spread, so that it costs a fixed time for each query: for how much a rate moves with the
    people that is enough, and the rate itself is computed from all pairs.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        scale: of the bins.
        num_gallery: G, number of gallery images.

    Attributes:
        genuine: ``(I, T)`` int64, genuine pairs of each identity, in ascending order of identities, by score; the
            highest scores are in the last bar.
        impostors: ``(I, T)`` int64, impostor pairs likewise.
    """

    def __init__(self, q_pids: np.ndarray, *, scale: ScoreScale, num_gallery: int) -> None:
        identities, self._group = np.unique(q_pids, return_inverse=True)
        self._scale = scale
        self._bars = max(64, min(_BARS, _VALUES // max(identities.size, 1)))
        self._step = max(1, -(-num_gallery // _COLUMNS))
        self.genuine, self.impostors = (np.zeros((identities.size, self._bars), dtype=np.int64) for _ in range(2))

    def add(self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int) -> None:
        """Take in one query; see :class:`~.rank_blocks.ScoreConsumer`. The arrays stay as they are."""
        seen = others[:: self._step]
        row = self._group[query]
        self.genuine[row] += self._counted(genuine)
        self.impostors[row] += self._counted(seen[seen > -np.inf])

    def gather(self) -> None:
        """Add up what all ranks have counted; every rank must call it."""
        self.genuine, self.impostors = (
            comm.all_gather_tensor(torch.from_numpy(own[None])).sum(dim=0).numpy()
            for own in (self.genuine, self.impostors)
        )

    def _counted(self, scores: np.ndarray) -> np.ndarray:
        return np.bincount(self._scale.bins(scores) * self._bars // BINS, minlength=self._bars)
