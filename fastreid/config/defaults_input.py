"""The keys of ``INPUT`` with their defaults, as ``defaults.py`` has those of the other nodes.

What an image goes through on its way to the model; each stage is a file of ``data/transforms/``.
"""

from __future__ import annotations

from .config import CfgNode as CN

__all__ = ["INPUT"]

INPUT = CN()
# Height and width in pixels; [S]: the shorter side; first value 0: images keep their size.
INPUT.SIZE_TRAIN = [256, 128]
INPUT.SIZE_TEST = [256, 128]
# Resampling of the resize: nearest | bilinear | bicubic | lanczos | box | hamming.
INPUT.INTERPOLATION = "bicubic"
# Stages of the preprocessing in their order: names of TRANSFORM_REGISTRY. The keys below turn the library's on and off.
INPUT.TRANSFORMS = CN()
INPUT.TRANSFORMS.TRAIN = (
    "auto_augment",
    "resize_train",
    "random_resized_crop",
    "pad_and_crop",
    "horizontal_flip",
    "color_jitter",
    "affine",
    "augmix",
    "patch_occlusion",
    "random_grayscale",
    "local_grayscale",
    "gaussian_blur",
    "jpeg_quality",
    "random_erasing",
    "random_patch",
)
INPUT.TRANSFORMS.TEST = ("resize_test", "center_crop")
# Stages of TRANSFORMS.TRAIN that run on whole batches on the model's device, not in the workers: horizontal_flip |
# color_jitter | random_erasing | one's own BatchStage. No stage that is on and not named here may come after one of
# them. The workers draw what happens to each image, so images are the same as without.
INPUT.ON_DEVICE = ()
# Random resized crop: size in pixels, area and aspect-ratio ranges.
INPUT.CROP = CN({"ENABLED": False})
INPUT.CROP.SIZE = [224, 224]
INPUT.CROP.SCALE = [0.16, 1]
INPUT.CROP.RATIO = [3.0 / 4.0, 4.0 / 3.0]
# Horizontal flip.
INPUT.FLIP = CN({"ENABLED": False})
INPUT.FLIP.PROB = 0.5
# Pad every side by SIZE pixels, then crop at random. MODE: constant | edge | reflect | symmetric.
INPUT.PADDING = CN({"ENABLED": False})
INPUT.PADDING.MODE = "constant"
INPUT.PADDING.SIZE = 10
# Colour jitter: largest relative change of each quantity; hue as a share of the colour circle.
INPUT.CJ = CN({"ENABLED": False})
INPUT.CJ.PROB = 0.5
INPUT.CJ.BRIGHTNESS = 0.15
INPUT.CJ.CONTRAST = 0.15
INPUT.CJ.SATURATION = 0.1
INPUT.CJ.HUE = 0.1
# Small random affine map.
INPUT.AFFINE = CN({"ENABLED": False})
# AutoAugment, the ImageNet policy (Cubuk et al., CVPR 2019, arXiv:1805.09501).
INPUT.AUTOAUG = CN({"ENABLED": False})
INPUT.AUTOAUG.PROB = 0.0
# AugMix (Hendrycks et al., ICLR 2020, arXiv:1912.02781).
INPUT.AUGMIX = CN({"ENABLED": False})
INPUT.AUGMIX.PROB = 0.0
# Random erasing (Zhong et al., AAAI 2020, arXiv:1708.04896); VALUE is the RGB colour, 0..255.
INPUT.REA = CN({"ENABLED": False})
INPUT.REA.PROB = 0.5
INPUT.REA.VALUE = [123.675, 116.28, 103.53]
# Random patch (Zhou et al., ICCV 2019, arXiv:1905.00953).
INPUT.RPT = CN({"ENABLED": False})
INPUT.RPT.PROB = 0.5
# Grey-scale: the whole image becomes grey.
INPUT.GRAYSCALE = CN({"ENABLED": False})
INPUT.GRAYSCALE.PROB = 0.1
# Local grey-scale (Gong et al., arXiv:2101.08783): a rectangle becomes grey. AREA: least and largest, as a part of the
# image's, in (0, 1); RATIO: least ratio of height to width, in (0, 1], the largest is its inverse.
INPUT.LOCAL_GRAYSCALE = CN({"ENABLED": False})
INPUT.LOCAL_GRAYSCALE.PROB = 0.2
INPUT.LOCAL_GRAYSCALE.AREA = [0.02, 0.4]
INPUT.LOCAL_GRAYSCALE.RATIO = 0.3
# Gaussian blur. SIGMA: least and largest standard deviation, in pixels, > 0.
INPUT.BLUR = CN({"ENABLED": False})
INPUT.BLUR.PROB = 0.2
INPUT.BLUR.SIGMA = [0.1, 2.0]
# JPEG compression. QUALITY: least and largest, whole numbers in 1..100.
INPUT.JPEG = CN({"ENABLED": False})
INPUT.JPEG.PROB = 0.2
INPUT.JPEG.QUALITY = [30, 95]
# Occlusion: a piece of an image of another identity hides a rectangle. AREA and RATIO as for LOCAL_GRAYSCALE.
INPUT.OCCLUSION = CN({"ENABLED": False})
INPUT.OCCLUSION.PROB = 0.2
INPUT.OCCLUSION.AREA = [0.05, 0.4]
INPUT.OCCLUSION.RATIO = 0.3
