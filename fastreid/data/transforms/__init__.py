"""From an image file's pixels to the tensor that a model takes, with the augmentation of training."""

from __future__ import annotations

from .affine import affine
from .augmix import AugMix, augmix
from .autoaugment import AutoAugment, auto_augment
from .batch_stage import BatchStage
from .blur import RandomBlur, gaussian_blur
from .build import TRANSFORM_REGISTRY, Pipeline, build_transforms
from .color_jitter import ColorJitter, color_jitter
from .crop import center_crop, random_resized_crop
from .flip import RandomHorizontalFlip, horizontal_flip
from .grayscale import LocalGrayscale, RandomGrayscale, local_grayscale, random_grayscale
from .jpeg import RandomJpeg, jpeg_quality
from .occlusion import PatchOcclusion, patch_occlusion
from .on_pil import OnPil
from .pad_and_crop import PadAndCrop, pad_and_crop
from .random_erasing import RandomErasing, random_erasing
from .random_patch import RandomPatch, random_patch
from .resize import resize, resize_test, resize_train
from .sheet import augmentation_sheet
from .to_tensor import ToTensor

__all__ = [
    "TRANSFORM_REGISTRY",
    "AugMix",
    "AutoAugment",
    "BatchStage",
    "ColorJitter",
    "LocalGrayscale",
    "OnPil",
    "PadAndCrop",
    "PatchOcclusion",
    "Pipeline",
    "RandomBlur",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomJpeg",
    "RandomPatch",
    "ToTensor",
    "affine",
    "augmentation_sheet",
    "augmix",
    "auto_augment",
    "build_transforms",
    "center_crop",
    "color_jitter",
    "gaussian_blur",
    "horizontal_flip",
    "jpeg_quality",
    "local_grayscale",
    "pad_and_crop",
    "patch_occlusion",
    "random_erasing",
    "random_grayscale",
    "random_patch",
    "random_resized_crop",
    "resize",
    "resize_test",
    "resize_train",
]
