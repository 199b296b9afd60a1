"""What a pairwise loss compares the images of a batch with: one another, or the images of all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ...utils import comm

__all__ = ["CandidatePool", "Candidates"]


class Candidates(NamedTuple):
    """Images that every anchor of a batch is compared with.

    Args:
        features: ``(M, D)`` float, the anchors' own among them.
        targets: ``(M,)`` int64 identity labels.
        first: the place of the first anchor; the others follow it.
    """

    features: Tensor
    targets: Tensor
    first: int = 0

    def pairs(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compare them with anchors.

        Args:
            targets: ``(N,)`` int64 labels of the anchors.

        Returns:
            Two bool tensors ``(N, M)``: both are of one identity; both are the same image.
        """
        places = torch.arange(len(self.targets), device=targets.device)  # (M,)
        own = torch.arange(self.first, self.first + len(targets), device=targets.device)  # (N,)
        return targets[:, None] == self.targets[None, :], own[:, None] == places[None, :]


class CandidatePool:
    """Give a loss the candidates of each batch.

    Across ranks, each rank's images remain its anchors, and the gathered features carry gradient: what every rank's
    loss says of an image comes back to the rank that has it. So the mean of the losses over the ranks is the loss of
    one process on the whole batch, and after the averaging of a data-parallel model so is the gradient.

    Args:
        cross_rank: compare with the images of all ranks; on a single process it changes nothing.
    """

    def __init__(self, *, cross_rank: bool) -> None:
        self.cross_rank = cross_rank
        self._agreed: tuple[int, ...] | None = None

    def __call__(self, features: Tensor, targets: Tensor) -> Candidates:
        """Return the candidates of a batch; across ranks every rank must call it.

        Args:
            features: ``(N, D)`` float; across ranks N and D are the same on every rank and in every batch.
            targets: ``(N,)`` int64.

        Raises:
            ValueError: if the ranks have batches of different size, or one is not as large as the first was.
        """
        if not self.cross_rank or comm.get_world_size() == 1:
            return Candidates(features, targets)
        self._require_equal_batches(features)
        from torch.distributed.nn.functional import all_gather  # its backward pass adds up what the ranks send back

        everything = torch.cat(all_gather(features, group=dist.group.WORLD))  # (W * N, D)
        labels = [torch.empty_like(targets) for _ in range(comm.get_world_size())]
        dist.all_gather(labels, targets.contiguous())
        return Candidates(everything, torch.cat(labels), first=comm.get_rank() * len(features))

    def _require_equal_batches(self, features: Tensor) -> None:
        """Compare the shapes of the ranks once; later each rank compares its own with that, without a message."""
        shape = tuple(features.shape)
        if self._agreed is None:
            shapes = comm.all_gather(shape)
            if len(set(shapes)) > 1:
                raise ValueError(
                    f"MODEL.LOSSES.CROSS_RANK needs batches of one size, but the ranks have features {shapes}; give "
                    "every rank as many images, or set it to False"
                )
            self._agreed = shape
        if shape != self._agreed:
            raise ValueError(
                f"MODEL.LOSSES.CROSS_RANK needs batches of one size, but after features {self._agreed} rank "
                f"{comm.get_rank()} has {shape}; drop incomplete batches, or set it to False"
            )
