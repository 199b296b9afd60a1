"""Who comes next: the order in which images are trained on and tested."""

from __future__ import annotations

from .balanced_identity_sampler import BalancedIdentitySampler
from .build import SAMPLER_REGISTRY, build_train_sampler
from .camera_aware_identity_sampler import CameraAwareIdentitySampler
from .identity_base import IdentitySampler
from .identity_sampler import NaiveIdentitySampler
from .imbalanced_sampler import ImbalancedDatasetSampler
from .inference_sampler import InferenceSampler
from .mixed_sampler import MixedSampler, build_mixed_sampler
from .set_reweight_sampler import SetReWeightSampler
from .stream import StreamIndex, StreamSampler
from .training_sampler import TrainingSampler

__all__ = [
    "SAMPLER_REGISTRY",
    "BalancedIdentitySampler",
    "CameraAwareIdentitySampler",
    "IdentitySampler",
    "ImbalancedDatasetSampler",
    "InferenceSampler",
    "MixedSampler",
    "NaiveIdentitySampler",
    "SetReWeightSampler",
    "StreamIndex",
    "StreamSampler",
    "TrainingSampler",
    "build_mixed_sampler",
    "build_train_sampler",
]
