"""What holds for each of the small networks: MobileNetV2, MobileNetV3 and ShuffleNetV2."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.layers import batch_norm
from fastreid.modeling.backbones import build_backbone, common, mobilenet, mobilenetv3

from ..reference import backbone_input, fill_by_name, relative_error

MOBILENETV2_DEPTHS = ("1.0x", "0.75x", "0.5x", "0.35x", "0.25x", "0.1x")
CHANNELS = {
    **{("mobilenetv2", depth): 1280 for depth in MOBILENETV2_DEPTHS},
    ("mobilenetv3", "Large"): 1280,
    ("mobilenetv3", "Small"): 1024,
    ("shufflenetv2", "0.5x"): 1024,
    ("shufflenetv2", "1.0x"): 1024,
    ("shufflenetv2", "1.5x"): 1024,
    ("shufflenetv2", "2.0x"): 2048,
}
of_every_variant = pytest.mark.parametrize(("kind", "depth"), CHANNELS)
of_the_smallest = pytest.mark.parametrize(
    ("kind", "depth"), [("mobilenetv2", "0.1x"), ("mobilenetv3", "Small"), ("shufflenetv2", "0.5x")]
)


def configure(cfg, kind, depth):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = f"build_{kind}_backbone", depth
    return cfg


def norms_of(net):
    kinds = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, batch_norm.FrozenBatchNorm)
    return [module for module in net.modules() if isinstance(module, kinds)]


@pytest.mark.data
@of_every_variant
def test_names_and_shapes(cfg, published_shapes, kind, depth):
    with torch.device("meta"):
        net = build_backbone(configure(cfg, kind, depth))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/{kind}/{depth}"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "depth", "entry"),
    [
        ("mobilenetv2", "1.0x", "mobilenetv2"),
        ("mobilenetv3", "Large", "mobilenetv3_large"),
        ("shufflenetv2", "1.0x", "shufflenetv2_1.0"),
    ],
)
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs, kind, depth, entry):
    net = build_backbone(configure(cfg, kind, depth)).eval()
    fill_by_name(net)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs[entry]) <= 1e-4


@of_every_variant
def test_output_shape_is_the_declared_one(cfg, kind, depth):
    with torch.device("meta"):
        net = build_backbone(configure(cfg, kind, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    assert out.shape == (1, CHANNELS[kind, depth], 8, 4)
    assert net.output_shape().channels == CHANNELS[kind, depth]
    assert net.output_shape().stride == 32


@pytest.mark.parametrize(
    ("norm", "layer"),
    [
        ("BN", batch_norm.BatchNorm),
        ("syncBN", batch_norm.SyncBatchNorm),
        ("GhostBN", batch_norm.GhostBatchNorm),
        ("FrozenBN", batch_norm.FrozenBatchNorm),
    ],
)
@of_the_smallest
def test_every_norm_is_the_one_of_the_config_and_trains(cfg, kind, depth, norm, layer):
    cfg.MODEL.BACKBONE.NORM = norm
    net = build_backbone(configure(cfg, kind, depth)).train()
    norms = norms_of(net)
    assert len(norms) == sum(isinstance(module, nn.Conv2d) and module.bias is None for module in net.modules())
    assert {type(module) for module in norms} == {layer}
    net(torch.randn(2, 3, 64, 64)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda norm: mobilenet.MobileNetV2(width=0.1, divisor=4, norm=norm),
        lambda norm: mobilenetv3.MobileNetV3(whole=mobilenetv3.models.mobilenet_v3_small, channels=64, norm=norm),
    ],
)
def test_a_norm_of_ones_own_takes_every_place(build):
    net = build(lambda channels: nn.GroupNorm(2, channels))
    assert {type(module) for module in norms_of(net)} == {nn.GroupNorm}


@of_the_smallest
def test_no_norm_a_norm_that_does_not_fit_and_unknown_depths_are_errors(cfg, kind, depth):
    configure(cfg, kind, depth)
    cfg.MODEL.BACKBONE.NORM = ""
    with pytest.raises(ValueError, match=r"NORM is '', but a \w+Net\w+ needs a norm"):
        build_backbone(cfg)
    cfg.MODEL.BACKBONE.NORM = "GN"
    with pytest.raises(ValueError, match="NORM GN needs a multiple of 32 channels, got"):
        build_backbone(cfg)
    with pytest.raises(KeyError, match=rf"DEPTH is '50x', but build_{kind}_backbone knows .*{depth}"):
        build_backbone(configure(cfg, kind, "50x"))


@of_the_smallest
def test_half_precision_agrees_and_the_input_is_not_changed(cfg, kind, depth):
    net = build_backbone(configure(cfg, kind, depth)).eval()
    fill_by_name(net)
    images = torch.randn(2, 3, 64, 32)
    before = images.clone()
    with torch.no_grad():
        expected = net(images)
        assert torch.equal(net(images), expected)
        found = net.half()(images.half())
    assert torch.equal(images, before)
    assert found.dtype == torch.float16
    assert (found - expected).norm() <= 0.01 * expected.norm()


@of_the_smallest
def test_convolutions_start_with_a_variance_of_two_over_their_outputs(cfg, kind, depth):
    convs = [
        module for module in build_backbone(configure(cfg, kind, depth)).modules() if isinstance(module, nn.Conv2d)
    ]
    for part in (convs[:-1], convs[-1:]):  # the last one is ours everywhere
        drawn = [conv.weight.flatten() * (conv.kernel_size[0] ** 2 * conv.out_channels / 2) ** 0.5 for conv in part]
        assert float(torch.cat(drawn).detach().std()) == pytest.approx(1, rel=0.02)


@of_the_smallest
def test_building_another_one_changes_nothing(cfg, kind, depth):
    def outline():
        with torch.device("meta"):
            return str(build_backbone(configure(cfg, kind, depth)))

    before = outline()
    with torch.device("meta"):
        for other in CHANNELS:
            cfg.MODEL.BACKBONE.NORM = "FrozenBN"
            build_backbone(configure(cfg, *other))
    cfg.MODEL.BACKBONE.NORM = "BN"
    assert outline() == before


@pytest.mark.parametrize(
    ("kind", "depth", "file"),
    [
        ("mobilenetv2", "1.0x", "mobilenet_v2-b0353104.pth"),
        ("mobilenetv3", "Large", "mobilenet_v3_large-8738ca79.pth"),
        ("mobilenetv3", "Small", "mobilenet_v3_small-047dcff4.pth"),
    ],
)
def test_the_published_file_is_asked_for(cfg, monkeypatch, kind, depth, file):
    asked = []

    def read(source):
        asked.append(source)
        raise FileNotFoundError

    monkeypatch.setattr(common, "read_state_dict", read)
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with torch.device("meta"), pytest.raises(FileNotFoundError):
        build_backbone(configure(cfg, kind, depth))
    assert asked == [f"https://download.pytorch.org/models/{file}"]


@pytest.mark.parametrize(("kind", "depth"), [("mobilenetv2", "0.1x"), ("shufflenetv2", "0.5x")])
def test_what_nobody_published_for_programs_is_an_error(cfg, kind, depth):
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with torch.device("meta"), pytest.raises(KeyError, match=rf"no ImageNet weights of {depth} .*PRETRAIN_PATH"):
        build_backbone(configure(cfg, kind, depth))
