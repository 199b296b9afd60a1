from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.distance import cosine_similarity
from ...utils import comm
from .pairwise import pair_loss
from .utils import concat_all_gather

__all__ = ["FeatureMemory"]


class FeatureMemory(nn.Module):
    """Compare each image with the last ones that were seen, by CosFace over pairs.

    A batch, of all ranks, is put into the memory first and then compared with all that is in it, each image but with
    itself. What is remembered carries no gradient, and places that nothing was put into yet count as nothing.

    Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
    arXiv:1911.05722, for the queue; the loss is :func:`~fastreid.modeling.losses.cosface_loss.pairwise_cosface`.

    Args:
        dim: D of the features.
        size: number of images that are remembered, ``MODEL.QUEUE_SIZE``; a multiple of the batch.
        margin: in cosine similarity.
        gamma: scale of the logits, > 0.
    """

    def __init__(self, dim: int, size: int, *, margin: float = 0.25, gamma: float = 32) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"MODEL.QUEUE_SIZE must be at least 1, got {size}")
        self.margin = margin
        self.gamma = gamma
        self.register_buffer("queue", torch.zeros(dim, size))  # unit vectors
        self.register_buffer("queue_label", torch.full((1, size), -1))  # -1: empty
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.int64))  # the column that is written next

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Remember a batch, and return its loss.

        Args:
            features: ``(N, D)`` float, of any length.
            targets: ``(N,)`` int64 classes; an image with -1 is neither compared nor counted.

        Returns:
            Scalar, float32 or wider.

        Raises:
            ValueError: if the features have another width, or the batch of all ranks does not divide the memory.
        """
        own = self._enqueue(features.detach(), targets)  # (N,)
        cosines = cosine_similarity(features, self.queue.t())  # (N, K)
        labels = self.queue_label  # (1, K)
        same = targets[:, None] == labels  # (N, K)
        itself = own[:, None] == torch.arange(labels.shape[1], device=own.device)  # (N, K)
        counts = (labels >= 0) & (targets[:, None] >= 0)  # (N, K)
        positive, negative = -self.gamma * cosines, self.gamma * (cosines + self.margin)
        return pair_loss(positive, negative, same & ~itself & counts, ~same & counts)

    def _enqueue(self, features: Tensor, targets: Tensor) -> Tensor:
        """Write the batches of all ranks over the oldest entries; return the columns ``(N,)`` of this rank's images."""
        dim, size = self.queue.shape
        if features.shape[1] != dim:
            raise ValueError(
                f"the memory of MoCo holds features of width {dim}, but the head gives {features.shape[1]}"
            )
        keys = concat_all_gather(F.normalize(features))  # (B, D)
        labels = concat_all_gather(targets)  # (B,)
        if size % len(keys):
            raise ValueError(
                f"MODEL.QUEUE_SIZE is {size}, but must be a multiple of the batch of all ranks, {len(keys)}; "
                f"set it to {max(1, round(size / len(keys))) * len(keys)}, or change SOLVER.IMS_PER_BATCH"
            )
        # Modulo: the pointer may come from a checkpoint of another batch size.
        columns = (self.queue_ptr + torch.arange(len(keys), device=keys.device)) % size  # (B,)
        self.queue.index_copy_(1, columns, keys.t().to(self.queue.dtype))
        self.queue_label.index_copy_(1, columns, labels[None])
        self.queue_ptr.copy_((self.queue_ptr + len(keys)) % size)
        return columns[comm.get_rank() * len(features) :][: len(features)]

    def extra_repr(self) -> str:
        """Describe the memory where the model is printed."""
        dim, size = self.queue.shape
        return f"dim={dim}, size={size}, margin={self.margin}, gamma={self.gamma}"
