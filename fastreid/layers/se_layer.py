from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SELayer"]


class SELayer(nn.Module):
    """Squeeze-and-excitation: weight each channel by what the whole image says about it.

    Source: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

    Args:
        channel: number of channels C, at least ``reduction``.
        reduction: the hidden layer has ``channel // reduction`` units.
    """

    def __init__(self, channel: int, reduction: int = 16) -> None:
        super().__init__()
        if not 0 < reduction <= channel:
            raise ValueError(f"reduction must be in 1..{channel} (the number of channels), got {reduction}")
        hidden = channel // reduction
        self.fc = nn.Sequential(
            nn.Linear(channel, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of ``(N, C, H, W)``; the shape stays."""
        weights = self.fc(x.mean(dim=(2, 3)))  # (N, C), each in (0, 1)
        return x * weights[:, :, None, None]
