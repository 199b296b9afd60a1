from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ...config import CfgNode
from .batch_stage import BatchStage
from .build import TRANSFORM_REGISTRY
from .grey import grey_picture
from .hue import shift_hue
from .on_pil import OnPil
from .probability import probability, stage_probability

__all__ = ["ColorJitter", "color_jitter"]

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)  # the changes, as a drawn order names them


class ColorJitter(BatchStage):
    """Change brightness, contrast, saturation and hue, in random order and by random amounts.

    Every change rounds to uint8, as PIL does it; batches come out as PIL makes their images.

    Args:
        prob: probability that an image is changed, in [0, 1].
        brightness: the factor is in [1 - x, 1 + x] and at least 0; x >= 0, 0 leaves this change out.
        contrast: likewise.
        saturation: likewise.
        hue: in turns of the colour circle, in [-x, x]; x in [0, 0.5], 0 leaves it out.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        *,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        self.prob = probability(prob, "prob")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        for name, strength in self._strengths().items():
            most = 0.5 if name == "hue" else float("inf")
            if not 0 <= strength <= most:
                raise ValueError(f"{name} must be in [0, {most}], got {strength}")

    def __call__(self, image: Tensor) -> Tensor:
        """Change one image ``(3, H, W)`` uint8, or return it as it is."""
        drawn = self._draw()
        if drawn is None:
            return image
        # On a PIL image, where the change of the hue takes half the time.
        return OnPil(lambda picture: self._change(picture, *drawn))(image)

    def draw(self, height: int, width: int) -> Tensor:
        """Return ``(9,)`` float32: whether to change, the order of the changes (4), three factors, the hue's shift.

        The shift is in 256ths of a turn, in 0..255.
        """
        drawn = self._draw()
        if drawn is None:
            return torch.zeros(9)
        order, factors = drawn
        *blends, turn = factors
        return torch.tensor([1.0, *order, *blends, int(turn * 255) % 256])

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Change the images ``(N, 3, H, W)`` uint8 whose parameters ``(N, 9)`` say so."""
        order = parameters[:, 1:5]
        pixels = images.float()
        if self.hue:
            # Each image's hue changes once: all changes before it, then the hue of all, then those after it.
            hue_at = (order == _HUE).to(torch.uint8).argmax(dim=1)  # (N,)
            for step in range(3):
                pixels = _blend(pixels, order[:, step], parameters[:, 5:8], hue_at > step)
            pixels = shift_hue(pixels, parameters[:, 8])
            for step in range(1, 4):
                pixels = _blend(pixels, order[:, step], parameters[:, 5:8], hue_at < step)
        else:
            for step in range(4):
                pixels = _blend(pixels, order[:, step], parameters[:, 5:8], order[:, step] != _HUE)
        return torch.where(_per_image(parameters[:, 0] > 0), pixels.to(torch.uint8), images)

    def _strengths(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("brightness", "contrast", "saturation", "hue")}

    def _draw(self) -> tuple[list[int], list[float]] | None:
        """Draw the order of the changes, and their amounts, those of changes that are left out being neutral."""
        if torch.rand(1) >= self.prob:
            return None
        order = torch.randperm(4).tolist()
        amounts = []
        for name, strength in self._strengths().items():
            neutral = float(name != "hue")
            least = neutral - strength if name == "hue" else max(0.0, 1.0 - strength)
            drawn = torch.empty(1).uniform_(least, neutral + strength).item() if strength else neutral
            amounts.append(drawn)
        return order, amounts

    def _change(self, image: Image.Image, order: list[int], amounts: list[float]) -> Image.Image:
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        strengths = list(self._strengths().values())
        for number in order:
            if strengths[number]:
                image = changes[number](image, amounts[number])
        return image

    def __repr__(self) -> str:
        strengths = ", ".join(f"{name}={strength}" for name, strength in self._strengths().items())
        return f"ColorJitter(prob={self.prob}, {strengths})"


@TRANSFORM_REGISTRY.register()
def color_jitter(cfg: CfgNode) -> ColorJitter | None:
    """Change brightness, contrast, saturation and hue with ``INPUT.CJ.PROB``; on with ``INPUT.CJ.ENABLED``.

    The strengths are ``INPUT.CJ.BRIGHTNESS``, ``CONTRAST``, ``SATURATION`` (a factor in [1 - x, 1 + x]) and ``HUE``
    (turns of the colour circle, in [-x, x], x at most 0.5).

    Raises:
        ValueError: if a strength is out of its range.
    """
    jitter = cfg.INPUT.CJ
    if not jitter.ENABLED:
        return None
    for key in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        most = 0.5 if key == "HUE" else float("inf")
        if not 0 <= jitter[key] <= most:
            raise ValueError(f"INPUT.CJ.{key} must be in [0, {most}], got {jitter[key]}")
    return ColorJitter(
        stage_probability(cfg, "CJ"),
        brightness=jitter.BRIGHTNESS,
        contrast=jitter.CONTRAST,
        saturation=jitter.SATURATION,
        hue=jitter.HUE,
    )


def _blend(pixels: Tensor, kind: Tensor, factors: Tensor, wanted: Tensor) -> Tensor:
    """Draw each image nearer to, or away from, black, its mean grey, or its own grey picture.

    Args:
        pixels: ``(N, 3, H, W)`` float32, whole numbers in 0..255.
        kind: ``(N,)`` the change: brightness, contrast or saturation.
        factors: ``(N, 3)`` the factor of each of them; 1 changes nothing.
        wanted: ``(N,)`` bool; the other images stay as they are.

    Returns:
        Like ``pixels``, cut to whole numbers.
    """
    weights = torch.stack([kind == number for number in (_BRIGHTNESS, _CONTRAST, _SATURATION)], dim=1)  # (N, 3)
    factor = torch.where(wanted, (weights * factors).sum(dim=1), 1.0)  # (N,)
    grey = grey_picture(pixels)  # (N, 1, H, W)
    area = grey[0].numel()
    mean = (2 * grey.sum(dim=(1, 2, 3), keepdim=True) + area) // (2 * area)  # rounded, in whole numbers
    target = torch.where(_per_image(kind == _SATURATION), grey, torch.where(_per_image(kind == _CONTRAST), mean, 0))
    target = target.float()  # (N, 1, H, W)
    return (target + _per_image(factor) * (pixels - target)).clamp(0, 255).floor()


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
