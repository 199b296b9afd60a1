"""Filter response normalisation, and the activation that belongs to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .precision import at_least_float32

__all__ = ["FRN", "TLU"]


class FRN(nn.Module):
    """Divide each channel of each image by the root of its mean square; no image depends on another.

    ``weight * x / sqrt(mean(x^2) + |eps|) + bias``, with the mean over the map; a :class:`TLU` goes behind it, since
    nothing takes the mean off. Computed in float32 or wider.

    Source: Singh and Krishnan, "Filter Response Normalization Layer", CVPR 2020, arXiv:1911.09737.

    Args:
        num_features: number of channels.
        eps: added to the mean square, > 0.
        is_eps_leanable: learn ``eps``, which maps of a single position need.
    """

    def __init__(self, num_features: int, eps: float = 1e-6, is_eps_leanable: bool = False) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.num_features = num_features
        self.init_eps = eps
        self.is_eps_leanable = is_eps_leanable
        self.weight = nn.Parameter(torch.empty(1, num_features, 1, 1))
        self.bias = nn.Parameter(torch.empty(1, num_features, 1, 1))
        if is_eps_leanable:
            self.eps = nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start without scale and shift."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        nn.init.constant_(self.eps, self.init_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``; the dtype stays."""
        exact = at_least_float32(x)
        mean_square = exact.square().mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        return (self.weight * exact * (mean_square + self.eps.abs()).rsqrt() + self.bias).to(x.dtype)

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"num_features={self.num_features}, eps={self.init_eps}, is_eps_leanable={self.is_eps_leanable}"


class TLU(nn.Module):
    """A rectifier with a learned threshold for each channel: ``max(x, tau)``, with ``tau`` 0 at the start.

    Source: as for :class:`FRN`.

    Args:
        num_features: number of channels.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.tau = nn.Parameter(torch.empty(1, num_features, 1, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as ReLU."""
        nn.init.zeros_(self.tau)

    def forward(self, x: Tensor) -> Tensor:
        """Rectify ``(N, C, H, W)``; the dtype stays."""
        return torch.maximum(x, self.tau.to(x.dtype))

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"num_features={self.num_features}"
