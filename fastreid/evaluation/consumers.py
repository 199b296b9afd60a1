"""Let several parts of an evaluation see the scores of each query while they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..utils import comm
from .rank_blocks import ScoreConsumer

__all__ = ["Consumers", "gather_rows"]


class Consumers:
    """Hand what :func:`~.rank_blocks.rank_matches` finds to one consumer after the other.

    Args:
        consumers: all but the last must leave the arrays that they get as they are.
    """

    def __init__(self, consumers: Sequence[ScoreConsumer]) -> None:
        self._consumers = tuple(consumers)

    @classmethod
    def of(cls, *consumers: ScoreConsumer | None) -> ScoreConsumer | None:
        """Return one consumer for those that are not ``None``; ``None`` if all are."""
        there = [consumer for consumer in consumers if consumer is not None]
        return cls(there) if there else None

    def add(
        self, query: int, genuine: np.ndarray, cautious: np.ndarray, others: np.ndarray, own: int, start: int = 0
    ) -> None:
        """Take in one query, or a part of it; see :class:`~.rank_blocks.ScoreConsumer`."""
        for consumer in self._consumers:
            consumer.add(query, genuine, cautious, others, own, start)


def gather_rows(rows: Mapping[int, np.ndarray], num_query: int) -> list[np.ndarray]:
    """Put together what every rank found for its queries; every rank must call it, and gets the same.

    Args:
        rows: of this rank, by the number of the query, an int64 array of any length each; no query has two.
        num_query: Q, the number of all queries.

    Returns:
        For each query its array; an empty one where no rank has any.
    """
    nothing = np.empty(0, dtype=np.int64)
    own = [np.array(list(rows), dtype=np.int64), np.array([len(row) for row in rows.values()], dtype=np.int64)]
    own.append(np.concatenate([*rows.values(), nothing]).astype(np.int64))
    numbers, counts, values = (comm.all_gather_tensor(torch.from_numpy(array)).numpy() for array in own)
    found = [nothing] * num_query
    for number, row in zip(
        numbers.tolist(), np.split(values, np.cumsum(counts)[:-1]) if counts.size else [], strict=True
    ):
        found[number] = row
    return found
