from __future__ import annotations

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fastreid.engine.inference import inference_model
from fastreid.layers.fold_batch_norm import fold_batch_norms
from fastreid.modeling import build_model
from fastreid.modeling.backbones import build_repvgg_backbone
from fastreid.modeling.backbones.repvgg import LAYOUTS, RepVGG, RepVGGBlock
from fastreid.utils.weights import WeightsMismatch

from ..reference import backbone_input, fill_by_name, relative_error

FEAT_DIMS = {"A0": 1280, "A1": 1280, "A2": 1408, "B0": 1280, "B1": 2048, "B2": 2560, "B3": 2560}
BATCH_NORMS = ["BN", "syncBN", "GhostBN", "FrozenBN"]


def configure(cfg, depth="A0", norm="BN"):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.NORM = "build_repvgg_backbone", depth, norm
    return cfg


def small_net(norm="BN", groups=2):
    """All kinds of blocks, with norms that do something."""
    torch.manual_seed(0)
    net = RepVGG(blocks=(2, 1, 3), widths=(8, 32, 32, 32, 64), groups=groups, norm=norm)
    fill_by_name(net)
    return net.eval()


def relative_distance(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.data
@pytest.mark.parametrize("depth", LAYOUTS)
def test_names_and_shapes_of_every_variant(cfg, published_shapes, depth):
    with torch.device("meta"):
        net = build_repvgg_backbone(configure(cfg, depth))
    ours = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert ours == published_shapes[f"backbone/repvgg/{depth}"]


@pytest.mark.data
@pytest.mark.parametrize("deployed", [False, True])
def test_outputs_are_those_of_the_older_library(cfg, reference_outputs, deployed):
    net = build_repvgg_backbone(configure(cfg)).eval()
    fill_by_name(net)
    net.deploy(deployed)
    with torch.no_grad():
        ours = net(backbone_input()).mean(dim=(2, 3))
    assert relative_error(ours, reference_outputs["repvgg_A0"]) <= 1e-4


@pytest.mark.parametrize("last_stride", [1, 2])
@pytest.mark.parametrize("depth", LAYOUTS)
def test_output_shape_is_the_declared_one(cfg, depth, last_stride):
    cfg.MODEL.BACKBONE.LAST_STRIDE = last_stride
    with torch.device("meta"):
        net = build_repvgg_backbone(configure(cfg, depth)).eval()
        out = net(torch.empty(1, 3, 256, 128))
    assert net.output_shape().channels == FEAT_DIMS[depth[:2]]
    assert net.output_shape().stride == 16 * last_stride
    assert out.shape == (1, net.output_shape().channels, 16 // last_stride, 8 // last_stride)


@pytest.mark.parametrize(("inplanes", "planes", "stride"), [(8, 8, 1), (8, 8, 2), (4, 8, 1)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_block_is_the_sum_of_its_branches_deployed_or_not(inplanes, planes, stride, groups):
    block = RepVGGBlock(inplanes, planes, "BN", stride, groups)
    fill_by_name(block)
    block = block.double().eval()
    x = torch.randn(2, inplanes, 7, 6, dtype=torch.float64)

    def norm(module, y):
        per_channel = [
            (y[:, c] - module.running_mean[c]) / (module.running_var[c] + module.eps).sqrt() * module.weight[c]
            + module.bias[c]
            for c in range(planes)
        ]
        return torch.stack(per_channel, dim=1)

    dense = F.conv2d(x, block.rbr_dense.conv.weight, stride=stride, padding=1, groups=groups)
    pointwise = F.conv2d(x, block.rbr_1x1.conv.weight, stride=stride, groups=groups)
    total = norm(block.rbr_dense.bn, dense) + norm(block.rbr_1x1.bn, pointwise)
    assert (block.rbr_identity is not None) == (inplanes == planes and stride == 1)
    if block.rbr_identity is not None:
        total = total + norm(block.rbr_identity, x)
    expected = total.clamp(min=0)
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)
        block.deploy()
        torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", BATCH_NORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_deployed_and_back_it_is_the_same_network(norm, dtype, tolerance):
    net = small_net(norm).to(dtype)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    trainable = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    x = torch.randn(2, 3, 64, 32, dtype=dtype)
    with torch.no_grad():
        expected = net(x)
        net.deploy(True)
        assert all(key.rsplit(".", 1)[1] in ("fused_weight", "fused_bias") for key in net.state_dict())
        assert len(net.state_dict()) == 2 * 8  # blocks
        assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
        assert relative_distance(net(x), expected) <= tolerance
        net.deploy(True)  # once more is nothing more
        assert relative_distance(net(x), expected) <= tolerance
        net.deploy(False)
        assert torch.equal(net(x), expected)
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert [name for name, parameter in net.named_parameters() if parameter.requires_grad] == trainable


def test_a_deployed_network_does_not_train_and_a_restored_one_does():
    net = small_net().train()
    x = torch.randn(2, 3, 64, 32)
    net.deploy()
    with pytest.raises(RuntimeError, match=r"cannot be trained; call deploy\(False\) first"):
        net(x)
    net.deploy(False)
    assert all(module.training for module in net.modules())
    net(x).mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_back_it_has_the_dtype_that_it_was_given_meanwhile():
    net = small_net()
    x = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = copy.deepcopy(net).double()(x)
        net.deploy()
        net.double().deploy(False)
        assert relative_distance(net(x), expected) <= 1e-10
        net.deploy()
        net.half().deploy(False)
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float16}


def test_weights_of_the_deployed_form_load_into_it_and_do_not_go_back():
    source, net = small_net(), small_net()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.5)
        x = torch.randn(2, 3, 64, 32)
        expected = source(x)
        source.deploy()
        net.deploy()
        net.load_state_dict(source.state_dict())
        assert relative_distance(net(x), expected) <= 1e-5
    with pytest.raises(RuntimeError, match="other fused weights were loaded into it"):
        net.deploy(False)


def test_group_norm_is_trained_but_cannot_be_deployed():
    net = RepVGG(blocks=(1, 1, 2), widths=(32, 32, 32, 32, 32), norm="GN").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = net(x)
        with pytest.raises(ValueError, match=r"GroupNorm depends on the image.*BN, syncBN, GhostBN or FrozenBN"):
            net.deploy()
        assert torch.equal(net(x), expected)
        folded, count = fold_batch_norms(net, x)
        assert count == 0
        assert torch.equal(folded(x), expected)


@pytest.mark.parametrize("norm", BATCH_NORMS)
def test_folding_for_inference_deploys_a_copy(norm):
    net = small_net(norm).double()
    x = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    folded, count = fold_batch_norms(net, x)
    assert count == 2 * 8 + 3  # two norms in every block, a third where the input is a branch
    assert all(block.deployed for block in folded.modules() if isinstance(block, RepVGGBlock))
    assert not any(block.deployed for block in net.modules() if isinstance(block, RepVGGBlock))
    with torch.no_grad():
        assert relative_distance(folded(x), net(x)) <= 1e-10
    with pytest.raises(RuntimeError, match="deployed for good"):
        folded.deploy(False)
    net.deploy()
    assert fold_batch_norms(net, x)[1] == 0


def test_the_fast_path_of_evaluation_is_the_deployed_form(cfg, caplog):
    cfg = configure(cfg)
    cfg.MODEL.BACKBONE.FEAT_DIM, cfg.TEST.FOLD_BN, cfg.INPUT.SIZE_TEST = 1280, True, [64, 32]
    model = build_model(cfg).eval()
    fill_by_name(model)
    images = torch.randint(0, 256, (2, 3, 64, 32), dtype=torch.uint8)
    with caplog.at_level(logging.INFO), torch.no_grad():
        fast = inference_model(cfg, model)
        assert relative_distance(fast(images), model(images)) <= 1e-5
    assert fast.backbone.stage0.deployed
    assert not model.backbone.stage0.deployed
    assert "Inference on cpu in float32, 61 batch norms folded" in caplog.messages


@pytest.mark.parametrize("norm", [*BATCH_NORMS, "GN"])
def test_norms_train(norm):
    net = RepVGG(blocks=(2, 1, 1), widths=(32, 32, 32, 32, 32), norm=norm).train()
    net(torch.randn(2, 3, 64, 32)).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("deployed", [False, True])
def test_the_input_is_not_changed_in_place(deployed):
    net = small_net()
    net.deploy(deployed)
    x = torch.randn(2, 3, 64, 32)
    before = x.clone()
    with torch.no_grad():
        first = net(x)
        assert torch.equal(net(x), first)
    assert torch.equal(x, before)


def test_no_class_of_torch_is_changed():
    assert not hasattr(nn.Sequential, "deploy")


def test_no_norm_and_unknown_depths_are_errors(cfg):
    with pytest.raises(KeyError, match="DEPTH is '50x', but build_repvgg_backbone knows A0, A1, A2, B0, B1, B1g2"):
        build_repvgg_backbone(configure(cfg, "50x"))
    with pytest.raises(ValueError, match="NORM is '', but a RepVGG needs a norm"):
        build_repvgg_backbone(configure(cfg, norm=""))


def test_weights_of_a_classifier_start_the_backbone(cfg, tmp_path, caplog):
    source = build_repvgg_backbone(configure(cfg))
    fill_by_name(source)
    state = dict(source.state_dict()) | {"linear.weight": torch.ones(9, 1280), "linear.bias": torch.ones(9)}
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "repvgg.pth")
    cfg.MODEL.BACKBONE.PRETRAIN = True
    with pytest.raises(KeyError, match="no ImageNet weights of A0 for build_repvgg_backbone can be downloaded"):
        build_repvgg_backbone(cfg)
    cfg.MODEL.BACKBONE.PRETRAIN_PATH = str(tmp_path / "repvgg.pth")
    with caplog.at_level(logging.INFO):
        net = build_repvgg_backbone(cfg)
    assert "linear.weight (left out)" in caplog.text
    for key, value in source.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    with pytest.raises(WeightsMismatch):
        build_repvgg_backbone(configure(cfg, "A1"))
