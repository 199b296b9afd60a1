from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from ...utils import comm

__all__ = ["InferenceSampler"]


class InferenceSampler(Sampler[int]):
    """Give each rank one stretch of the data set in order; the stretches in rank order are the whole, each image once.

    Every rank takes ``ceil(size / world)`` images, the last ones what is left, which may be nothing.

    Args:
        size: number of images, at least 1.

    Raises:
        ValueError: if there is no image.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"InferenceSampler needs at least one image to go through, got size {size}")
        stretch = -(-size // comm.get_world_size())  # rounded up
        begin = comm.get_rank() * stretch
        self._mine = range(min(begin, size), min(begin + stretch, size))

    def __iter__(self) -> Iterator[int]:
        """Yield this rank's indices, in ascending order."""
        return iter(self._mine)

    def __len__(self) -> int:
        return len(self._mine)
