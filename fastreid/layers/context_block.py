from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["ContextBlock"]


class ContextBlock(nn.Module):
    """Give every position a summary of the whole image: a non-local block that attends alike everywhere.

    The summary, ``(N, C, 1, 1)``, goes through a bottleneck of ``ratio * C`` channels with layer norm, and is added to
    the map, or its sigmoid multiplies the map, or both.

    Source: Cao et al., "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond", ICCVW 2019,
    arXiv:1904.11492.

    Args:
        inplanes: number of channels C.
        ratio: width of the bottleneck over C, > 0; at least one channel must be left.
        pooling_type: ``att``: a mean weighted by learned attention; ``avg``: a plain one.
        fusion_types: one or both of ``channel_add`` and ``channel_mul``.

    Raises:
        ValueError: if an argument is another one.
    """

    def __init__(
        self,
        inplanes: int,
        ratio: float,
        pooling_type: str = "att",
        fusion_types: Sequence[str] = ("channel_add",),
    ) -> None:
        super().__init__()
        planes = int(inplanes * ratio)
        if planes < 1:
            raise ValueError(f"ratio must leave at least one of {inplanes} channels, got {ratio}")
        if pooling_type not in ("att", "avg"):
            raise ValueError(f"pooling_type must be att or avg, got {pooling_type!r}")
        if isinstance(fusion_types, str) or not fusion_types or set(fusion_types) - {"channel_add", "channel_mul"}:
            raise ValueError(f"fusion_types must hold channel_add, channel_mul or both, got {fusion_types!r}")
        self.pooling_type = pooling_type
        self.fusion_types = tuple(fusion_types)
        self.conv_mask = nn.Conv2d(inplanes, 1, kernel_size=1) if pooling_type == "att" else None
        self.channel_add_conv = _bottleneck(inplanes, planes) if "channel_add" in fusion_types else None
        self.channel_mul_conv = _bottleneck(inplanes, planes) if "channel_mul" in fusion_types else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with a summary that adds nothing, and multiplies by a half."""
        if self.conv_mask is not None:
            nn.init.kaiming_normal_(self.conv_mask.weight, mode="fan_in")
            nn.init.zeros_(self.conv_mask.bias)
        for branch in (self.channel_add_conv, self.channel_mul_conv):
            if branch is not None:
                nn.init.zeros_(branch[-1].weight)
                nn.init.zeros_(branch[-1].bias)

    def spatial_pool(self, x: Tensor) -> Tensor:
        """Summarise ``(N, C, H, W)`` as ``(N, C, 1, 1)``."""
        if self.conv_mask is None:
            return x.mean(dim=(2, 3), keepdim=True)
        attention = self.conv_mask(x).flatten(2).softmax(dim=2)  # (N, 1, HW), sums to 1
        return torch.matmul(x.flatten(2), attention.transpose(1, 2))[..., None]  # (N, C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of ``x``, ``(N, C, H, W)``."""
        context = self.spatial_pool(x)
        out = x
        if self.channel_mul_conv is not None:
            out = out * self.channel_mul_conv(context).sigmoid()
        if self.channel_add_conv is not None:
            out = out + self.channel_add_conv(context)
        return out


def _bottleneck(inplanes: int, planes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inplanes, planes, kernel_size=1),
        nn.LayerNorm([planes, 1, 1]),
        nn.ReLU(inplace=True),
        nn.Conv2d(planes, inplanes, kernel_size=1),
    )
