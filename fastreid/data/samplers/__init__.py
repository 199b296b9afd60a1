"""Who comes next: the order in which images are trained on and tested."""

from __future__ import annotations

from .build import SAMPLER_REGISTRY, build_train_sampler
from .identity_sampler import NaiveIdentitySampler
from .inference_sampler import InferenceSampler
from .stream import StreamIndex, StreamSampler
from .training_sampler import TrainingSampler

__all__ = [
    "SAMPLER_REGISTRY",
    "InferenceSampler",
    "NaiveIdentitySampler",
    "StreamIndex",
    "StreamSampler",
    "TrainingSampler",
    "build_train_sampler",
]
