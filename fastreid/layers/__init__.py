"""Building blocks of networks, which know nothing of configs or re-identification."""

from __future__ import annotations

from . import any_softmax, batch_norm, distance, pooling, weight_init
from .activation import GELU, MemoryEfficientSwish, Mish, Swish
from .batch_norm import IBN, get_norm
from .context_block import ContextBlock
from .drop_block import DropBlock2D, DropBlock2d, drop_block_2d
from .drop_path import DropPath, drop_path
from .frn import FRN, TLU
from .gather_layer import GatherLayer
from .helpers import make_divisible, to_2tuple, to_3tuple, to_4tuple, to_ntuple
from .non_local import Non_local
from .se_layer import SELayer
from .splat import SplAtConv2d
from .weight_init import (
    lecun_normal_,
    trunc_normal_,
    variance_scaling_,
    weights_init_classifier,
    weights_init_kaiming,
)

__all__ = [
    "FRN",
    "GELU",
    "IBN",
    "TLU",
    "ContextBlock",
    "DropBlock2D",
    "DropBlock2d",
    "DropPath",
    "GatherLayer",
    "MemoryEfficientSwish",
    "Mish",
    "Non_local",
    "SELayer",
    "SplAtConv2d",
    "Swish",
    "any_softmax",
    "batch_norm",
    "distance",
    "drop_block_2d",
    "drop_path",
    "get_norm",
    "lecun_normal_",
    "make_divisible",
    "pooling",
    "to_2tuple",
    "to_3tuple",
    "to_4tuple",
    "to_ntuple",
    "trunc_normal_",
    "variance_scaling_",
    "weight_init",
    "weights_init_classifier",
    "weights_init_kaiming",
]
