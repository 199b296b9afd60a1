"""Every backbone, with every option, is the same function in channels_last and with folded batch norms."""

from __future__ import annotations

import itertools
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from fastreid.layers.fold_batch_norm import fold_batch_norms
from fastreid.layers.non_local import Non_local
from fastreid.layers.pooling import POOLING_REGISTRY
from fastreid.modeling import BACKBONE_REGISTRY, build_backbone, build_model
from fastreid.utils.events import EventStorage

from .reference import fill_by_name

_DEPTHS = {
    "build_effnet_backbone": ("b0",),
    "build_mobilenetv2_backbone": ("0.1x",),
    "build_mobilenetv3_backbone": ("Small",),
    "build_osnet_backbone": ("x0_25",),
    "build_regnet_backbone": ("200x", "200y"),
    "build_repvgg_backbone": ("A0",),
    "build_resnest_backbone": ("50x",),
    "build_resnet_backbone": ("18x", "50x"),
    "build_resnext_backbone": ("50x",),
    "build_shufflenetv2_backbone": ("0.5x",),
    "build_timm_backbone": ("test_resnet", "test_efficientnet"),
}
_NOTHING_TO_FOLD = {"build_swin_backbone", "build_vit_backbone"}
_NOTHING_TO_FOLD |= {"build_timm_backbone"} if find_spec("timm") is None else set()
# which of IBN, SE and non-local blocks a backbone may have
_OPTIONS = {
    "build_osnet_backbone": (True, False, False),
    "build_resnet_backbone": (True, True, True),
    "build_resnext_backbone": (True, False, True),
}
_VARIANTS = [
    (name, depth, *options)
    for name in sorted(set(BACKBONE_REGISTRY) - _NOTHING_TO_FOLD)
    if BACKBONE_REGISTRY.get(name).__module__.startswith("fastreid.")  # other tests register their own
    for depth in _DEPTHS[name]
    for options in itertools.product(
        *((False, True) if there else (False,) for there in _OPTIONS.get(name, (False, False, False)))
    )
    if not (depth == "18x" and options[2])  # it has no non-local blocks
]
_EACH_VARIANT = pytest.mark.parametrize(("name", "depth", "ibn", "se", "nl"), _VARIANTS)
IMAGES = torch.randint(0, 256, (3, 3, 64, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def configure(cfg, name, depth, ibn=False, se=False, nl=False):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.WITH_IBN, node.WITH_SE, node.WITH_NL = name, depth, ibn, se, nl
    with torch.device("meta"):
        node.FEAT_DIM = build_backbone(cfg).output_shape().channels
    return cfg


def build(cfg, *, channels_last):
    cfg.MODEL.CHANNELS_LAST = channels_last
    model = build_model(cfg)
    fill_by_name(model)
    return model


def close(found, expected):
    return float((found - expected).norm() / expected.norm()) <= 1e-5


@_EACH_VARIANT
def test_folded_and_channels_last_embed_as_the_plain_model_does(cfg, name, depth, ibn, se, nl):
    cfg = configure(cfg, name, depth, ibn, se, nl)
    plain, last = build(cfg, channels_last=False).eval(), build(cfg, channels_last=True).eval()
    shapes = []

    def look(module, _, output):
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            shapes.append(output.shape)
            assert output.is_contiguous(memory_format=torch.channels_last), type(module).__name__

    # inside a non-local block one channel has no memory format of its own; what leaves the block has one again
    inside = {
        id(part) for block in last.modules() if isinstance(block, Non_local) for part in list(block.modules())[1:]
    }
    for module in last.modules():
        if id(module) not in inside:
            module.register_forward_hook(look)
    with torch.inference_mode():
        expected = plain(IMAGES)
        assert close(last(IMAGES), expected)
        assert len(shapes) > 10
        folded, count = fold_batch_norms(last, IMAGES)
        assert close(folded(IMAGES), expected)
    left = [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == (0 if name not in _DEPTHS else 1)  # that of the head, behind the pooling
    assert count > 10


@pytest.mark.parametrize("pool", sorted(POOLING_REGISTRY))
def test_every_pooling_takes_channels_last(pool):
    x = torch.randn(2, 8, 4, 2)
    layer = POOLING_REGISTRY.get(pool)()
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), layer(x))


@pytest.mark.parametrize(
    ("name", "ibn"),
    sorted({(name, ibn) for name, _, ibn, _, _ in _VARIANTS}),
)
def test_training_in_channels_last_has_the_same_losses_and_gradients(cfg, name, ibn):
    cfg = configure(cfg, name, _DEPTHS[name][0], ibn=ibn)
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    batch = {"images": IMAGES.repeat(2, 1, 1, 1), "targets": torch.tensor([0, 0, 1, 1, 2, 2])}
    models = [build(cfg, channels_last=channels_last).double().train() for channels_last in (False, True)]
    losses = []
    for model in models:
        torch.manual_seed(0)  # some drop paths at random
        with EventStorage():
            losses.append(model(batch))
    for key in losses[0]:
        torch.testing.assert_close(losses[1][key], losses[0][key])
    for loss in losses:
        sum(loss.values()).backward()
    for ours, plain in zip(*(model.parameters() for model in models)):
        torch.testing.assert_close(ours.grad, plain.grad)
