"""The global stream of samples: what an index of it carries, and how the ranks share it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from ...utils import comm

__all__ = ["StreamIndex", "StreamSampler"]

_PART = 1 << 12  # samples of a pass that are Python objects at a time


class StreamIndex(int):
    """The index of an image in its data set, which also knows its place in the global stream of samples.

    It is an ordinary int to every data set. ``CommDataset`` derives all randomness of the item from
    ``(seed, position)``, so that the item does not depend on the worker or the rank that makes it.

    Attributes:
        seed: seed of the stream.
        position: place in the stream of the whole run over all ranks, from 0.

    Example:
        >>> index = StreamIndex(5, seed=1, position=70)
        >>> index, index.seed, index.position
        (5, 1, 70)
    """

    seed: int
    position: int

    def __new__(cls, index: int, seed: int, position: int) -> StreamIndex:
        """Make the index."""
        made = super().__new__(cls, index)
        made.seed = seed
        made.position = position
        return made

    def __getnewargs__(self) -> tuple[int, int, int]:
        # Workers that are not forked receive their indices pickled.
        return int(self), self.seed, self.position


class StreamSampler(Sampler[StreamIndex]):
    """Cut one endless stream of samples into the shares of the ranks; base of every training sampler.

    The stream is a chain of passes. A subclass says what a pass is, as a function of the seed and the pass's
    number alone; so the stream is the same on every rank, on any number of ranks, and from any ``start``. It is
    dealt out in rounds of ``world * share`` samples, of which rank ``r`` takes the ``r``-th ``share`` in a row.

    Args:
        share: samples in a row for one rank, at least 1: 1 deals single samples; a whole batch of one process keeps
            together what the stream has put together.
        seed: at least 0; ``None`` draws one that is the same on every rank.

    Attributes:
        seed: seed of the stream. May be set before iterating, as ``start`` may: a resumed run sets both.
        start: number of samples of the global stream to leave out, a multiple of ``world * share``.

    Raises:
        ValueError: if the seed is negative, or, when iterated, if ``start`` does not fit.
    """

    def __init__(self, *, share: int, seed: int | None) -> None:
        self.seed = comm.shared_random_seed() if seed is None else int(seed)
        if self.seed < 0:
            raise ValueError(f"the seed of {type(self).__name__} must be >= 0, or None to draw one, got {seed}")
        self.start = 0
        self._bookmark = (self.seed, 0, 0)  # seed, number and first position of a pass: where `stretch` looks first
        self._share = share
        self._rank = comm.get_rank()
        self._world = comm.get_world_size()

    def pass_length(self, number: int) -> int:
        """Return the number of samples of a pass, at least 1, without making the pass."""
        raise NotImplementedError

    def pass_indices(self, number: int) -> np.ndarray:
        """Return the data set indices of a pass in their order, ``(pass_length(number),)`` int64."""
        raise NotImplementedError

    def stretch(self, begin: int, count: int) -> np.ndarray:
        """Return ``count`` samples of the global stream from position ``begin`` on, ``(count,)`` int64.

        Going on where the last stretch ended costs no more than the passes in it, however far that is.

        Args:
            begin: at least 0.
            count: at least 1.
        """
        seed, number, first = self._bookmark
        if seed != self.seed or first > begin:
            number, first = 0, 0
        parts = []
        while first < begin + count:
            behind = first + self.pass_length(number)
            if behind > begin:
                parts.append(self.pass_indices(number)[max(begin - first, 0) : begin + count - first])
                self._bookmark = (self.seed, number, first)
            number, first = number + 1, behind
        return np.concatenate(parts)

    def __iter__(self) -> Iterator[StreamIndex]:
        """Yield this rank's share of the stream behind ``start``, without end."""
        start, seed = self.start, self.seed
        in_round = self._world * self._share
        if start < 0 or start % in_round:
            raise ValueError(
                f"{type(self).__name__}.start must be a multiple of {in_round}, the samples that {self._world} "
                f"process(es) take in one round, got {start}; set it to the iterations done times the global batch size"
            )
        make = functools.partial(int.__new__, StreamIndex)  # the class's own __new__ would take twice the time
        first = 0  # position of the pass's first sample
        for number in itertools.count():
            if first < start:
                behind = first + self.pass_length(number)
                if behind <= start:
                    first = behind
                    continue
            indices = self.pass_indices(number)  # (L,)
            positions = np.arange(max(first, start), first + len(indices))
            mine = positions[positions // self._share % self._world == self._rank]
            for part in np.array_split(mine, len(mine) // _PART + 1):
                made = map(make, indices[part - first].tolist())
                for index, position in zip(made, part.tolist(), strict=True):
                    index.seed, index.position = seed, position
                    yield index
            first += len(indices)
