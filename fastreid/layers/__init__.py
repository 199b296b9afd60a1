"""Building blocks of networks, which know nothing of configs or re-identification."""

from __future__ import annotations

from . import any_softmax, batch_norm, distance, pooling, weight_init
from .activation import GELU, MemoryEfficientSwish, Mish, Swish
from .batch_norm import IBN, get_norm
from .non_local import Non_local
from .se_layer import SELayer
from .weight_init import (
    lecun_normal_,
    trunc_normal_,
    variance_scaling_,
    weights_init_classifier,
    weights_init_kaiming,
)

__all__ = [
    "GELU",
    "IBN",
    "MemoryEfficientSwish",
    "Mish",
    "Non_local",
    "SELayer",
    "Swish",
    "any_softmax",
    "batch_norm",
    "distance",
    "get_norm",
    "lecun_normal_",
    "pooling",
    "trunc_normal_",
    "variance_scaling_",
    "weight_init",
    "weights_init_classifier",
    "weights_init_kaiming",
]
