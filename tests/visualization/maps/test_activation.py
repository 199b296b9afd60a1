from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.modeling.backbones import AttentionBackbone
from fastreid.modeling.meta_arch import Baseline
from fastreid.visualization.maps.activation import (
    ACTIVATION_REGISTRY,
    activation_maps,
    attention_rollout,
    channel_energy,
)
from fastreid.visualization.maps.overlay import overlay

from ...engine import tiny  # noqa: F401, registers its backbones
from ...modeling.meta_arch import narrow  # noqa: F401
from .. import attending


def model_of(backbone, channels, *options):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM = backbone, channels
    cfg.MODEL.HEADS.NUM_CLASSES = 3
    cfg.MODEL.HEADS.WITH_BNNECK = True
    cfg.merge_from_list(list(options))
    return build_model(cfg)


def images(n=3, height=16, width=8):
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)


def test_energy_equals_its_definition():
    features = torch.randn(2, 5, 4, 3)
    found = channel_energy(features)
    for n in range(2):
        sums = [[sum(float(features[n, c, y, x]) ** 2 for c in range(5)) for x in range(3)] for y in range(4)]
        torch.testing.assert_close(found[n], torch.tensor(sums) / np.max(sums))
    assert found.amax(dim=(1, 2)).tolist() == [1, 1]


def test_energy_of_constant_maps_and_of_large_ones_in_half_precision():
    assert torch.equal(channel_energy(torch.zeros(1, 2, 2, 2)), torch.zeros(1, 2, 2))
    assert torch.equal(channel_energy(torch.full((1, 2, 2, 2), 0.3)), torch.ones(1, 2, 2))
    large = torch.tensor([[[[400.0, 200.0]]]]).half()  # its square is beyond float16
    torch.testing.assert_close(channel_energy(large), torch.tensor([[[1.0, 0.25]]]))


def test_what_has_no_energy():
    with pytest.raises(ValueError, match=r"feature_map must be \(N, C, h, w\), got \(2, 3\)"):
        channel_energy(torch.ones(2, 3))
    broken = torch.ones(2, 1, 2, 2)
    broken[1, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 2 activation maps have values that are NaN"):
        channel_energy(broken)


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_rollout_equals_its_definition(prefix):
    tokens = prefix + 6
    attentions = [torch.randn(2, 3, tokens, tokens).softmax(dim=-1) for _ in range(4)]
    found = attention_rollout(attentions, (2, 3), prefix_tokens=prefix)
    for n in range(2):
        flow = np.eye(tokens)
        for layer in attentions:
            step = np.zeros((tokens, tokens))
            for i in range(tokens):
                for j in range(tokens):
                    mean = sum(float(layer[n, head, i, j]) for head in range(3)) / 3
                    step[i, j] = 0.5 * mean + 0.5 * (i == j)
            flow = step @ flow
        row = flow[0] if prefix else np.mean([flow[i] for i in range(tokens)], axis=0)
        expected = row[prefix:].reshape(2, 3)
        np.testing.assert_allclose(found[n].numpy(), expected / expected.max(), rtol=1e-5)


def test_what_cannot_be_rolled_out():
    with pytest.raises(ValueError, match="at least one layer, got none"):
        attention_rollout([], (2, 2))
    with pytest.raises(ValueError, match=r"layer 0 is \(1, 1, 4, 4\).* need \(N, heads, 5, 5\)"):
        attention_rollout([torch.ones(1, 1, 4, 4)], (2, 2))
    with pytest.raises(ValueError, match="prefix_tokens must be >= 0, got -1"):
        attention_rollout([torch.ones(1, 1, 3, 3)], (2, 2), prefix_tokens=-1)


def test_maps_of_a_model_are_those_of_its_backbone():
    model, batch = model_of("build_tiny_backbone", 16), images()
    model.backbone.conv[1].eval()  # a frozen part
    modes = [module.training for module in model.modules()]
    found = activation_maps(model, batch, method="energy")
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    model.eval()
    with torch.no_grad():
        expected = channel_energy(model.backbone(model.preprocess_image(batch)))
    torch.testing.assert_close(found, expected)
    assert found.shape == (3, 4, 2) and found.dtype == torch.float32
    assert torch.equal(activation_maps(model, batch), found)  # auto


def test_maps_of_mgn_are_those_of_its_three_branches():
    model = model_of(
        "build_narrow_backbone", 12, "MODEL.META_ARCHITECTURE", "MGN", "MODEL.HEADS.EMBEDDING_DIM", 5
    ).eval()  # fmt: skip
    batch = images(2, 96, 32)
    found = activation_maps(model, batch)
    with torch.no_grad():
        shared = model.backbone(model.preprocess_image(batch))
        maps = [branch(shared) for branch in (model.b1, model.b2, model.b3)]
    torch.testing.assert_close(found, channel_energy(torch.cat(maps, dim=1)))


def test_maps_of_mgn_whose_branches_differ_in_size():
    options = ("MODEL.META_ARCHITECTURE", "MGN", "MODEL.BACKBONE.LAST_STRIDE", 2)
    model = model_of("build_narrow_backbone", 12, *options).eval()
    batch = images(2, 128, 64)
    found = activation_maps(model, batch)
    with torch.no_grad():
        shared = model.backbone(model.preprocess_image(batch))
        energy = [branch(shared).square().sum(dim=1) for branch in (model.b1, model.b2, model.b3)]
    assert [tuple(one.shape[1:]) for one in energy] == [(4, 2), (8, 4), (8, 4)]
    small = nn.functional.interpolate(energy[0][:, None], (8, 4), mode="bilinear")[:, 0]
    total = small + energy[1] + energy[2]
    torch.testing.assert_close(found, total / total.amax(dim=(1, 2), keepdim=True))


def test_rollout_of_a_backbone_that_attends():
    model, batch = model_of("build_attending_backbone", attending.WIDTH).eval(), images()
    assert isinstance(model.backbone, AttentionBackbone)
    with torch.no_grad():
        attentions, grid = model.backbone.attention_maps(model.preprocess_image(batch))
    assert grid == (4, 2) and [tuple(one.shape) for one in attentions] == [(3, 2, 9, 9)] * 2
    found = activation_maps(model, batch)
    assert torch.equal(found, attention_rollout(attentions, (4, 2)))
    assert not torch.equal(found, activation_maps(model, batch, method="energy"))
    with pytest.raises(TypeError, match=r"needs a backbone with attention_maps\(\).*PlainNet has not; use energy"):
        activation_maps(model_of("build_plain_tiny_backbone", 16), batch, method="rollout")


def test_a_vision_transformer_is_seen_by_rollout_alone():
    options = ("MODEL.BACKBONE.DEPTH", "deit_tiny", "MODEL.HEADS.POOL_LAYER", "Identity", "INPUT.SIZE_TRAIN", [48, 32])
    model, batch = model_of("build_vit_backbone", 192, *options).eval(), images(2, 48, 32)
    found = activation_maps(model, batch)
    with torch.no_grad():
        attentions, grid = model.backbone.attention_maps(model.preprocess_image(batch))
    assert grid == (3, 2) and torch.equal(found, attention_rollout(attentions, grid))
    with pytest.raises(ValueError, match=r"\(2, 192, 1, 1\), vectors of the whole image.*take the method rollout"):
        activation_maps(model, batch, method="energy")


def test_a_column_of_tokens_is_no_map():
    names = ("MODEL.BACKBONE.OUTPUT", "tokens", "MODEL.HEADS.NAME", "JigsawPatchHead", "MODEL.HEADS.JIGSAW.PARTS", 2)
    options = ("MODEL.BACKBONE.DEPTH", "deit_tiny", "MODEL.HEADS.POOL_LAYER", "Identity", "INPUT.SIZE_TRAIN", [48, 32])
    model, batch = model_of("build_vit_backbone", 192, *names, *options).eval(), images(2, 48, 32)
    assert activation_maps(model, batch).shape == (2, 3, 2)
    with pytest.raises(ValueError, match=r"\(2, 192, 8, 1\), vectors of the whole image.*take the method rollout"):
        activation_maps(model, batch, method="energy")


def test_a_method_of_ones_own_and_an_unknown_one(monkeypatch):
    monkeypatch.setattr(ACTIVATION_REGISTRY, "_objects", dict(ACTIVATION_REGISTRY._objects))

    @ACTIVATION_REGISTRY.register()
    def brightness(model, images):
        assert not model.training and not torch.is_grad_enabled()
        return images.float().mean(dim=1) / 255

    model, batch = model_of("build_tiny_backbone", 16), images()
    torch.testing.assert_close(activation_maps(model, batch, method="brightness"), batch.float().mean(dim=1) / 255)
    with pytest.raises(KeyError, match=r"activation map: no 'energie'\. Did you mean 'energy'"):
        activation_maps(model, batch, method="energie")


class Odd(nn.Module):
    """A model whose backbone does something strange."""

    def __init__(self, backbone, times=1):
        super().__init__()
        self.backbone, self.times = backbone, times

    def forward(self, images):
        for _ in range(self.times):
            features = self.backbone(images.float())
        return images.float().flatten(1)[:, :4] if self.times == 0 else features.flatten(1)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Flatten(), TypeError, r"Flatten has no backbone.*give it a method map_modules\(\)"),
        (Odd(nn.Flatten()), ValueError, r"needs a feature map \(N, C, h, w\), but the backbone gives \(3, 384\)"),
        (Odd(nn.AdaptiveAvgPool2d(1)), ValueError, r"the feature map is \(3, 3, 1, 1\), vectors of the whole image"),
        (Odd(nn.Identity(), times=2), ValueError, "was made 2 times in one call"),
        (Odd(nn.Identity(), times=0), ValueError, "was made 0 times in one call"),
    ],
)
def test_models_that_have_no_map(model, error, message):
    with pytest.raises(error, match=message):
        activation_maps(model, images())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_distiller_is_seen_as_its_student():
    model = model_of("build_tiny_backbone", 16, "MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True)
    batch = images()
    plain = Baseline(backbone=model.backbone, heads=model.heads, pixel_mean=[123.675] * 3, pixel_std=[58.395] * 3)
    plain.pixel_mean, plain.pixel_std = model.pixel_mean, model.pixel_std
    assert torch.equal(activation_maps(model, batch), activation_maps(plain, batch))


def test_overlay_equals_its_definition():
    from matplotlib import colormaps

    rng = np.random.default_rng(0)
    image, small = rng.integers(0, 256, (6, 4, 3)).astype(np.uint8), rng.random((3, 2)).astype(np.float32)
    found = overlay(image, small, alpha=0.3)
    for y in range(6):
        for x in range(4):
            value = 0.0  # bilinear between the centres of the map's cells
            cy, cx = (y + 0.5) * 3 / 6 - 0.5, (x + 0.5) * 2 / 4 - 0.5
            for gy in range(3):
                for gx in range(2):
                    near_y = max(0.0, 1 - abs(min(max(cy, 0), 2) - gy))
                    value += near_y * max(0.0, 1 - abs(min(max(cx, 0), 1) - gx)) * small[gy, gx]
            expected = 0.7 * image[y, x] + 0.3 * 255 * np.array(colormaps["inferno"](value)[:3])
            np.testing.assert_allclose(found[y, x], expected, atol=0.7 + 0.3 * 3)  # the colours are in 256 steps
    assert found.dtype == np.uint8 and np.array_equal(overlay(image, small, alpha=0), image)
    assert np.array_equal(overlay(image, torch.from_numpy(small), alpha=0.3), found)


@pytest.mark.parametrize(
    ("image", "activation", "alpha", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((2, 2)), 0.5, r"image must be \(H, W, 3\) uint8, got \(4, 4\) uint8"),
        (np.zeros((4, 4, 3)), np.zeros((2, 2)), 0.5, r"uint8, got \(4, 4, 3\) float64"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 2), 2.0), 0.5, r"activation must be \(h, w\) in \[0, 1\]"),
        (np.zeros((4, 4, 3), np.uint8), np.full((2, 2), np.nan), 0.5, r"activation must be \(h, w\) in \[0, 1\]"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2)), 1.5, r"alpha must be in \[0, 1\], got 1.5"),
    ],
)
def test_what_cannot_be_laid_over(image, activation, alpha, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, activation, alpha=alpha)
