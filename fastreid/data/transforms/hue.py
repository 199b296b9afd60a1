"""Turn the colour circle, for whole batches, as PIL does it for an image."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shift_hue"]


def shift_hue(pixels: Tensor, shift: Tensor) -> Tensor:
    """Go to hue, saturation and value of 8 bits each, turn the hue, and come back.

    Equals PIL's ``convert("HSV")`` and ``convert("RGB")`` where the device computes in float64; elsewhere (MPS) some
    values differ by 1.

    Args:
        pixels: ``(N, 3, H, W)`` float32, whole numbers in 0..255, RGB.
        shift: ``(N,)`` float32, whole numbers in 0..255: 256ths of a turn.

    Returns:
        Like ``pixels``.
    """
    hue, saturation, value = _to_hsv(pixels)
    return _to_rgb((hue + shift[:, None, None]) % 256, saturation, value)


def _exact(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()


def _to_hsv(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return three ``(N, H, W)`` float32 of whole numbers in 0..255."""
    red, green, blue = pixels.unbind(dim=1)  # (N, H, W)
    value, least = pixels.amax(dim=1), pixels.amin(dim=1)
    spread = value - least
    divisor = spread.clamp(min=1)  # grey pixels have no hue, whatever is computed for them
    from_red, from_green, from_blue = (_exact((value - channel) / divisor) for channel in (red, green, blue))
    sixth = torch.where(
        red == value,
        from_blue - from_green,
        torch.where(green == value, 2 + from_red - from_blue, 4 + from_green - from_red),
    ).float()  # in sixths of a turn
    turn = ((_exact(sixth) / 6 + 1) % 1).float()
    hue = (_exact(turn) * 255).floor().float()
    saturation = (_exact(spread / value.clamp(min=1)) * 255).floor().float()
    grey = spread == 0
    return hue.masked_fill(grey, 0), saturation.masked_fill(grey, 0), value


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return ``(N, 3, H, W)`` float32 of three ``(N, H, W)``."""
    place = _exact(hue) * 6 / 255
    sector = place.floor()  # (N, H, W), in 0..6
    along = (place - sector).float()  # in [0, 1)
    share = (_exact(saturation) / 255).float()
    bright = _exact(value)

    def level(loss: Tensor) -> Tensor:
        return (bright * (1 - loss) + 0.5).floor().float()

    low = level(_exact(share))
    falling = level(_exact(share * along))
    rising = level(_exact(share) * (1 - _exact(along)))
    sector = (sector % 6).float()
    # red, green and blue of each sixth of the circle
    circle = (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )
    result = torch.stack(circle[5], dim=1)
    for number in range(5):
        result = torch.where((sector == number)[:, None], torch.stack(circle[number], dim=1), result)
    return result
