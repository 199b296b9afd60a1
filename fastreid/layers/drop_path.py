from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops import stochastic_depth

__all__ = ["DropPath", "drop_path"]


def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False) -> Tensor:
    """Replace images by zeros at random, and divide the others by the share that is kept.

    On the branch of a residual block it takes the block out of the network for some images of the batch.

    Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, arXiv:1603.09382.

    Args:
        x: ``(N, ...)`` float.
        drop_prob: probability of each image, in [0, 1].
        training: otherwise nothing is dropped.

    Raises:
        ValueError: if ``drop_prob`` is no probability.
    """
    return stochastic_depth(x, drop_prob, "row", training)


class DropPath(nn.Module):
    """:func:`drop_path` in training, nothing in evaluation.

    Args:
        drop_prob: probability of each image, in [0, 1]; ``None`` is 0.
    """

    def __init__(self, drop_prob: float | None = None) -> None:
        super().__init__()
        self.drop_prob = drop_prob or 0.0
        if not 0 <= self.drop_prob <= 1:
            raise ValueError(f"drop_prob must be in [0, 1], got {drop_prob}")

    def forward(self, x: Tensor) -> Tensor:
        """Drop images of ``(N, ...)``."""
        return drop_path(x, self.drop_prob, self.training)

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"drop_prob={self.drop_prob}"
