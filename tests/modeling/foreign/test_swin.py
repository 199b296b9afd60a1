from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import SwinTransformer

from fastreid.modeling.foreign import SOLIDER
from fastreid.modeling.foreign.swin import fold_scale_and_shift, unfold_order_to_timm
from fastreid.utils.weights import WeightsMismatch

from .networks import SOLIDERReID, SOLIDERSwin, filled, model_for


@pytest.fixture
def cfg(cfg):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM = "build_swin_backbone", 32
    cfg.MODEL.BACKBONE.DEPTH = "solider_tiny"
    return cfg


@pytest.fixture
def images():
    """Two images whose maps, 10 x 5, 5 x 3 and 3 x 2, are no whole windows of 3."""
    return torch.randn(2, 3, 40, 20, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_model_of_solider_reid_embeds_as_there(cfg, load, images, caplog):
    net = filled(SOLIDERReID())
    model = model_for(cfg)
    report = load(model, {f"module.{key}": value for key, value in net.state_dict().items()})
    torch.testing.assert_close(model(images), net(images, 0.2), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(images), net(images, 0.8), rtol=1e-2, atol=1e-3)
    assert report.allowed == []
    assert "the weights of SOLIDER" in caplog.text
    assert "The semantic weight 0.2 is folded into the downsampling layers." in caplog.text
    assert "base.norm0.* (2 tensors): not used by the last stage's map" in caplog.text


@torch.no_grad()
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_any_semantic_weight_can_be_folded(cfg, load, images, weight):
    net = filled(SOLIDERReID())
    model = model_for(cfg)
    found = SOLIDER(semantic_weight=weight).translate(net.state_dict())
    model.backbone.load_state_dict(found.backbone)
    expected = net.base(images, weight)
    torch.testing.assert_close(model.backbone(images), expected, rtol=1e-4, atol=1e-5)
    assert found.rest == {}


@torch.no_grad()
@pytest.mark.parametrize("whole", [False, True])
def test_its_pretrained_network(cfg, load, tmp_path, images, whole):
    net = filled(SOLIDERSwin())
    state = {f"backbone.{key}": value for key, value in net.state_dict().items()} | {"head.mlp.0.bias": torch.ones(2)}
    path = str(tmp_path / "swin.pth")
    torch.save({"teacher": state, "student": state}, path)
    if whole:
        model = model_for(cfg)
        load(model, {"teacher": state, "student": state})
    else:
        model = model_for(cfg, ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", path])
    torch.testing.assert_close(model.backbone(images), net(images, 0.2), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mmdetections_swin_without_semantics(cfg, load, images, caplog):
    net = filled(SOLIDERSwin())
    for index in range(3):
        torch.nn.init.zeros_(net.semantic_embed_b[index].weight), torch.nn.init.zeros_(net.semantic_embed_b[index].bias)
        net.semantic_embed_w[index].weight.zero_()
        net.semantic_embed_w[index].bias.fill_(1.0).expm1_().log_()  # softplus makes 1 of it
    state = {key: value for key, value in net.state_dict().items() if not key.startswith("semantic")}
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False])
    load(model, state)
    torch.testing.assert_close(model(images), net(images, 0.5).mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert "semantic weight" not in caplog.text


@torch.no_grad()
def test_half_precision(cfg, load, images):
    net = filled(SOLIDERReID())
    model = model_for(cfg)
    load(model, {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()})
    torch.testing.assert_close(model(images), net(images, 0.2), rtol=3e-2, atol=5e-3)


def test_a_network_that_does_not_shift_all_windows_is_a_warning(cfg, load, caplog):
    load(model_for(cfg, ["MODEL.BACKBONE.DEPTH", "tiny"]), SOLIDERReID())
    assert "set solider_tiny, solider_small or solider_base to embed as they do" in caplog.text
    load(model_for(cfg), SOLIDERReID())
    assert "embed as they do" not in caplog.text


def test_another_depth_is_refused_with_the_list(cfg, load):
    net = SOLIDERReID()
    net.base.stages[1]["blocks"].append(net.base.stages[1]["blocks"][0])
    with pytest.raises(WeightsMismatch, match=r"backbone\.layers\.1\.blocks\.2\.mlp\.fc1\.bias"):
        load(model_for(cfg), net)


@pytest.mark.parametrize("key", ["stages.0.downsample.reduction.weight", "semantic_embed_b.1.bias"])
def test_a_damaged_file_is_refused_in_one_line(cfg, load, key):
    state = SOLIDERReID().state_dict()
    del state[f"base.{key}"]
    with pytest.raises(
        WeightsMismatch, match=r"look like the weights of SOLIDER.*cannot be translated.*KeyError"
    ) as caught:
        load(model_for(cfg), state)
    assert "\n" not in str(caught.value)


def test_scale_and_shift_are_folded_exactly():
    generator = torch.Generator().manual_seed(0)
    weight, bias, scale, shift, n = (
        torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((6, 12), (12,), (6,), (6,), (5, 12))
    )
    new_weight, new_bias = fold_scale_and_shift(weight, bias, scale, shift)
    expected = scale * ((n + bias) @ weight.T) + shift
    torch.testing.assert_close((n + new_bias) @ new_weight.double().T, expected, rtol=1e-5, atol=1e-5)


def test_a_shift_that_cannot_be_folded_is_refused():
    weight = torch.ones(2, 4)  # both outputs are equal, whatever the bias
    with pytest.raises(WeightsMismatch, match="rows of its reduction are not independent"):
        fold_scale_and_shift(weight, torch.zeros(4), torch.ones(2), torch.tensor([1.0, -1.0]))


def test_the_order_of_merged_pixels():
    x = torch.randn(1, 5, 2, 2)  # one position of five channels
    ours = torch.cat([x[0, :, row, column] for column in range(2) for row in range(2)])
    assert torch.equal(unfold_order_to_timm(F.unfold(x, 2)[0, :, 0]), ours)


@torch.no_grad()
def test_torchvisions_swin(cfg, load, caplog):
    net = SwinTransformer([4, 4], 8, [2, 2, 2], [2, 2, 2], [3, 3], num_classes=6)
    tables = {key: table.clone() for key, table in net.named_buffers()}
    filled(net).load_state_dict(tables, strict=False)  # they are computed, and no weights
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False, "MODEL.BACKBONE.DEPTH", "tiny"])
    load(model, net)
    # maps of 20 x 17, 10 x 9 and 5 x 5, larger than a window; then of 16 x 8, 8 x 4 and 4 x 2; then of 8, 4 and 2
    for size in ((80, 68), (64, 32), (32, 32)):
        images = torch.randn(2, 3, *size)
        expected = net.norm(net.features(images)).mean((1, 2))
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    assert "the weights of torchvision's Swin transformer" in caplog.text
    assert "head.* (2 tensors): classifier" in caplog.text
