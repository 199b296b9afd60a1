from __future__ import annotations

from collections.abc import Callable, Sequence

from torchvision.transforms import InterpolationMode, v2

from ...config import CfgNode
from .build import TRANSFORM_REGISTRY

__all__ = ["image_size", "interpolation_mode", "resize_test", "resize_train"]


@TRANSFORM_REGISTRY.register()
def resize_train(cfg: CfgNode) -> Callable | None:
    """Resize to ``INPUT.SIZE_TRAIN`` with ``INPUT.INTERPOLATION``; off where its first value is 0."""
    return _resize(cfg.INPUT.SIZE_TRAIN, "INPUT.SIZE_TRAIN", cfg)


@TRANSFORM_REGISTRY.register()
def resize_test(cfg: CfgNode) -> Callable | None:
    """Resize to ``INPUT.SIZE_TEST`` with ``INPUT.INTERPOLATION``; off where its first value is 0."""
    return _resize(cfg.INPUT.SIZE_TEST, "INPUT.SIZE_TEST", cfg)


def image_size(value: Sequence[int], key: str) -> list[int] | None:
    """Check a size of the config.

    Args:
        value: ``[height, width]``, or ``[shorter side]``; pixels. A first value of 0 stands for "as it is".
        key: the config key, for the error.

    Returns:
        One or two positive ints, or ``None`` for "as it is".

    Raises:
        ValueError: if the value is none of these.
    """
    size = list(value)
    if size and size[0] == 0:
        return None
    if len(size) not in (1, 2) or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in size):
        raise ValueError(
            f"{key} must be [height, width] or [shorter side] in pixels, or start with 0 for no resizing, got {value}"
        )
    return size


def interpolation_mode(cfg: CfgNode) -> InterpolationMode:
    """Look up ``INPUT.INTERPOLATION``.

    Raises:
        ValueError: if there is no such interpolation.
    """
    name = cfg.INPUT.INTERPOLATION
    known = [mode.value for mode in InterpolationMode]
    if name not in known:
        raise ValueError(f"INPUT.INTERPOLATION is {name!r}; use one of {', '.join(known)}")
    return InterpolationMode(name)


def _resize(value: Sequence[int], key: str, cfg: CfgNode) -> Callable | None:
    size = image_size(value, key)
    return None if size is None else v2.Resize(size, interpolation=interpolation_mode(cfg))
