"""Ways to fill weights at random; names ending in an underscore fill the tensor that they get."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.init import trunc_normal_

__all__ = ["lecun_normal_", "trunc_normal_", "variance_scaling_", "weights_init_classifier", "weights_init_kaiming"]

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm)
_TRUNCATED_STD = 0.87962566103423978  # of a unit normal cut at two standard deviations


def weights_init_kaiming(m: nn.Module) -> None:
    """Initialise one module, for ``net.apply``: what it is decides how, and other modules are left as they are.

    Convolutions get He's normal by fan-out, linear layers N(0, 0.01^2), norms weight 1; every bias is 0.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    if isinstance(m, nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(m.weight, mode="fan_out")
    elif isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, std=0.01)
    elif isinstance(m, _NORMS) and m.weight is not None:
        nn.init.ones_(m.weight)
    else:
        return
    if m.bias is not None:
        nn.init.zeros_(m.bias)


def weights_init_classifier(m: nn.Module) -> None:
    """Initialise one linear layer with N(0, 0.001^2) and bias 0, for ``net.apply``; other modules stay as they are."""
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, std=0.001)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


def variance_scaling_(tensor: Tensor, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal") -> Tensor:
    """Fill ``tensor`` with zero-mean numbers of variance ``scale / fan``.

    Args:
        tensor: weight of a linear layer or convolution, two or more dimensions.
        scale: variance times fan, > 0.
        mode: the fan: ``fan_in``, ``fan_out``, or ``fan_avg``, their mean.
        distribution: ``normal``, ``uniform``, or ``truncated_normal``, cut at two standard deviations.

    Returns:
        ``tensor``.

    Raises:
        ValueError: if ``mode`` or ``distribution`` is another one.
    """
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(tensor)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in fans:
        raise ValueError(f"mode must be one of {', '.join(fans)}, got {mode!r}")
    std = math.sqrt(scale / fans[mode])
    if distribution == "normal":
        return nn.init.normal_(tensor, std=std)
    if distribution == "uniform":
        bound = math.sqrt(3) * std
        return nn.init.uniform_(tensor, -bound, bound)
    if distribution == "truncated_normal":
        wide = std / _TRUNCATED_STD  # cutting the tails makes it narrower again
        return trunc_normal_(tensor, std=wide, a=-2 * wide, b=2 * wide)
    raise ValueError(f"distribution must be normal, uniform or truncated_normal, got {distribution!r}")


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with a truncated normal of variance ``1 / fan_in`` and return it.

    Source: LeCun et al., "Efficient BackProp", 1998.
    """
    return variance_scaling_(tensor, mode="fan_in", distribution="truncated_normal")
