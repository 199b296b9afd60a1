"""A data set and a network small enough to train in a test; tests name this file in CUSTOM_IMPORTS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from fastreid.config import CfgNode, get_cfg
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY, Backbone, FeatureShape

HEIGHT, WIDTH = 16, 8


class TinyNet(Backbone):
    """Two convolutions, and a dropout so that the random stream of the model matters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(8, 16, 3, 2, 1),
        )

    def output_shape(self) -> FeatureShape:
        return FeatureShape(channels=16, stride=4)

    def forward(self, images):
        return self.conv(images)


@BACKBONE_REGISTRY.register()
def build_tiny_backbone(cfg: CfgNode) -> TinyNet:
    """Build the network of the tests."""
    return TinyNet()


class PlainNet(Backbone):
    """Two convolutions, and nothing that depends on the other images of a batch or on chance."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))

    def output_shape(self) -> FeatureShape:
        return FeatureShape(channels=16, stride=4)

    def forward(self, images):
        return self.conv(images)


@BACKBONE_REGISTRY.register()
def build_plain_tiny_backbone(cfg: CfgNode) -> PlainNet:
    """Build the network of the tests that compare numbers of processes."""
    return PlainNet()


def write_market(root: Path, *, identities: int = 6, per_camera: int = 2, contrast: float = 1.0) -> Path:
    """Write a tiny data set in the layout of Market-1501: each identity has its own colour, seen by two cameras.

    With less contrast between the identities their images are confused.
    """
    rng = np.random.default_rng(0)
    for split, first in (("bounding_box_train", 1), ("bounding_box_test", 101), ("query", 101)):
        folder = root / "Market-1501-v15.09.15" / split
        folder.mkdir(parents=True)
        for pid in range(first, first + identities):
            colour = 128 + contrast * (np.random.default_rng(pid).integers(0, 255, 3) - 128)
            for camera in (1, 2):
                for frame in range(1 if split == "query" else per_camera):
                    pixels = np.clip(colour + rng.integers(-40, 40, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{pid:04d}_c{camera}s1_{frame:06d}_00.jpg")
    return root


def tiny_cfg(root: Path, output: Path, *options: object) -> CfgNode:
    """Return the config of a run that takes a second: 3 iterations an epoch, on the CPU, seeded."""
    cfg = get_cfg()
    settings = {
        "SEED": 1,
        "CUSTOM_IMPORTS": [__file__],
        "OUTPUT_DIR": str(output),
        "LOG_PERIOD": 2,
        "MODEL.DEVICE": "cpu",
        "MODEL.BACKBONE.NAME": "build_tiny_backbone",
        "MODEL.BACKBONE.FEAT_DIM": 16,
        "MODEL.HEADS.WITH_BNNECK": True,
        "MODEL.LOSSES.NAME": ("CrossEntropyLoss", "TripletLoss"),
        "MODEL.LOSSES.TRI.HARD_MINING": True,
        "INPUT.SIZE_TRAIN": [HEIGHT, WIDTH],
        "INPUT.SIZE_TEST": [HEIGHT, WIDTH],
        "INPUT.FLIP.ENABLED": True,
        "INPUT.PADDING.ENABLED": True,
        "INPUT.PADDING.SIZE": 2,
        "INPUT.REA.ENABLED": True,
        "DATASETS.ROOT": str(root),
        "DATALOADER.SAMPLER_TRAIN": "NaiveIdentitySampler",
        "DATALOADER.NUM_INSTANCE": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "SOLVER.MAX_EPOCH": 4,
        "SOLVER.STEPS": [2],
        "SOLVER.WARMUP_ITERS": 4,
        "SOLVER.IMS_PER_BATCH": 8,
        "SOLVER.CHECKPOINT_PERIOD": 1,
        "TEST.EVAL_PERIOD": 2,
        "TEST.IMS_PER_BATCH": 8,
        "TEST.NUM_WORKERS": 0,
    }
    for key, value in settings.items():
        cfg.merge_from_list([key, value])
    cfg.merge_from_list(list(options))
    return cfg
