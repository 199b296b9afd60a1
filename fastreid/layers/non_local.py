from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .batch_norm import get_norm

__all__ = ["Non_local"]


class Non_local(nn.Module):
    """Add to every position what all positions of the image have to say, weighted by dot-product affinity.

    With ``theta``, ``phi``, ``g`` 1 x 1 convolutions to K channels, position i receives
    ``W(mean_j (theta_i . phi_j) g_j)``. There is no softmax, so that the sum over j is one K x K matrix per image:
    the cost is linear in H * W, and no (HW, HW) affinity is ever held.

    Source: Wang et al., "Non-local Neural Networks", CVPR 2018, arXiv:1711.07971, "Dot product".

    Args:
        in_channels: number of channels C.
        bn_norm: norm behind ``W``, see :func:`get_norm`; its weight starts at 0, so that the block starts as identity.
        reduc_ratio: changes nothing. K is 1 in every published weight file, whatever was asked for; the parameter
            is there for callers that pass it.
    """

    def __init__(self, in_channels: int, bn_norm: str | Callable[..., nn.Module], reduc_ratio: int = 2) -> None:
        super().__init__()
        inner = 1
        self.g = nn.Conv2d(in_channels, inner, kernel_size=1)
        self.W = nn.Sequential(
            nn.Conv2d(inner, in_channels, kernel_size=1),
            get_norm(bn_norm, in_channels, weight_init=0.0, bias_init=0.0),
        )
        self.theta = nn.Conv2d(in_channels, inner, kernel_size=1)
        self.phi = nn.Conv2d(in_channels, inner, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``, ``(N, C, H, W)``."""
        theta = self.theta(x).flatten(2)  # (N, K, HW)
        phi = self.phi(x).flatten(2)  # (N, K, HW)
        g = self.g(x).flatten(2)  # (N, K, HW)
        # Dividing before the product keeps the sum over HW positions inside the range of float16.
        context = torch.matmul(g, (phi / phi.shape[2]).transpose(1, 2))  # (N, K, K)
        y = torch.matmul(context, theta)  # (N, K, HW)
        return x + self.W(y.unflatten(2, x.shape[2:]))
