"""From an image file's pixels to the tensor that a model takes, with the augmentation of training."""

from __future__ import annotations

from .affine import affine
from .augmix import AugMix, augmix
from .autoaugment import AutoAugment, auto_augment
from .build import TEST_STAGES, TRAIN_STAGES, TRANSFORM_REGISTRY, Pipeline, build_transforms
from .color_jitter import color_jitter
from .crop import center_crop, random_resized_crop
from .flip import horizontal_flip
from .pad_and_crop import pad_and_crop
from .random_erasing import random_erasing
from .random_patch import RandomPatch, random_patch
from .resize import resize_test, resize_train
from .to_tensor import ToTensor, to_tensor

__all__ = [
    "TEST_STAGES",
    "TRAIN_STAGES",
    "TRANSFORM_REGISTRY",
    "AugMix",
    "AutoAugment",
    "Pipeline",
    "RandomPatch",
    "ToTensor",
    "affine",
    "augmix",
    "auto_augment",
    "build_transforms",
    "center_crop",
    "color_jitter",
    "horizontal_flip",
    "pad_and_crop",
    "random_erasing",
    "random_patch",
    "random_resized_crop",
    "resize_test",
    "to_tensor",
    "resize_train",
]
