from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision

from fastreid.config import get_cfg
from fastreid.modeling.backbones import build_swin_backbone, swin_transformer
from fastreid.modeling.backbones.swin_transformer import (
    OTHER_REGION,
    Downsample,
    SwinLayout,
    SwinTransformer,
    WindowAttention,
    from_windows,
    shift_mask,
    to_windows,
)
from fastreid.utils.weights import WeightsMismatch, load_weights

from ..reference import fill_by_name

TINY = SwinLayout(dim=8, depths=(1, 2, 1), heads=(2, 2, 4), window=3)


def tiny(**options):
    torch.manual_seed(0)
    return SwinTransformer(layout=TINY, **options).eval()


def test_windows_are_squares_in_reading_order():
    x = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = to_windows(x, 2)
    assert windows.shape == (2, 6, 4, 1)
    assert windows[0, 1].flatten().tolist() == [2, 3, 8, 9]
    assert torch.equal(from_windows(windows, 2, 4, 6), x)


def test_tokens_from_opposite_borders_are_kept_apart():
    side, shift, height, width = 3, 1, 6, 9
    mask = shift_mask(height, width, side, (shift, shift), torch.device("cpu"))
    places = [((row + shift) % height, (column + shift) % width) for row in range(height) for column in range(width)]
    rows, columns = (to_windows(torch.tensor(x).view(1, height, width, 1), side)[0, :, :, 0] for x in zip(*places))
    for window in range(len(mask)):
        for i in range(side * side):
            for j in range(side * side):
                near = max(abs(rows[window, i] - rows[window, j]), abs(columns[window, i] - columns[window, j])) < side
                assert mask[window, 0, i, j] == (0.0 if near else OTHER_REGION)


@torch.no_grad()
def test_attention_of_a_window_is_its_definition():
    attention = WindowAttention(8, 2, window=3, shift=0).double().eval()
    fill_by_name(attention)
    x = torch.randn(2, 3, 3, 8, dtype=torch.float64)
    tokens, table = x.flatten(1, 2), attention.relative_position_bias_table.view(5, 5, 2)
    query, key, value = attention.qkv(tokens).chunk(3, dim=2)
    out = torch.zeros_like(tokens)
    for image in range(2):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            for i in range(9):
                scores = torch.stack(
                    [
                        query[image, i, part] @ key[image, j, part] / 2
                        + table[i // 3 - j // 3 + 2, i % 3 - j % 3 + 2, head]
                        for j in range(9)
                    ]
                )
                out[image, i, part] = scores.softmax(0) @ value[image, :, part]
    torch.testing.assert_close(attention(x).flatten(1, 2), attention.proj(out))


@torch.no_grad()
def test_downsampling_merges_columns_and_pads_with_zeros():
    layer = Downsample(3)
    fill_by_name(layer)
    x = torch.randn(1, 3, 4, 3)
    last = torch.cat([x[0, 2, 2], torch.zeros(3), x[0, 2, 3], torch.zeros(3)])  # (column, row, C)
    assert layer(x).shape == (1, 2, 2, 6)
    torch.testing.assert_close(layer(x)[0, 1, 1], layer.reduction(layer.norm(last)))


@pytest.mark.parametrize(("size", "expected"), [((48, 32), (3, 2)), ((50, 20), (4, 2)), ((16, 16), (1, 1))])
@torch.no_grad()
def test_images_of_any_size(size, expected):
    assert tiny()(torch.rand(2, 3, *size)).shape == (2, 32, *expected)
    assert tiny().output_shape().stride == 16


def test_dropping_happens_in_training_only():
    images = torch.rand(2, 3, 32, 32)
    for option in ("drop_path", "attention_drop", "drop"):
        net = tiny(**{option: 0.5})
        torch.testing.assert_close(net(images), tiny()(images))
        assert not torch.equal(net.train()(images), net(images)), option


def test_layers_lie_one_behind_the_other():
    net = tiny()
    assert net.num_layers == 5
    found = {name: net.layer_of(name) for name, _ in net.named_parameters()}
    assert found["patch_embed.norm.weight"] == 0
    assert found["layers.0.blocks.0.norm1.weight"] == 1
    assert found["layers.1.downsample.norm.weight"] == found["layers.1.blocks.0.mlp.fc1.weight"] == 2
    assert found["layers.1.blocks.1.attn.relative_position_bias_table"] == 3
    assert found["layers.2.blocks.0.norm1.weight"] == 4
    assert found["norm.bias"] == 5


def test_its_authors_names_load():
    net = tiny()
    fill_by_name(net)
    state = {}
    for key, value in net.state_dict().items():
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":  # there it ends the stage before
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts)] = value
    state["layers.1.blocks.1.attn_mask"] = state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(9, 9)
    other = tiny()
    load_weights(other, state, source="a file", may_miss=())
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(other(images), net(images))


def test_imagenet_weights_of_torchvision_load_and_those_of_another_depth_do_not(tmp_path, monkeypatch):
    cfg = get_cfg()
    other = torchvision.models.SwinTransformer([4, 4], 8, [1, 2, 1], [2, 2, 4], [3, 3])
    torch.save(other.state_dict(), tmp_path / "swin.pth")
    monkeypatch.setattr(
        swin_transformer, "LAYOUTS", {"tiny": TINY, "small": dataclasses.replace(TINY, depths=(1, 3, 1))}
    )
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.PRETRAIN, node.PRETRAIN_PATH = (
        "build_swin_backbone",
        "tiny",
        True,
        str(tmp_path / "swin.pth"),
    )
    net = build_swin_backbone(cfg)
    assert torch.equal(net.norm.weight, other.norm.weight)
    assert torch.equal(net.layers[2].downsample.reduction.weight, other.features[4].reduction.weight)
    node.DEPTH = "small"
    with pytest.raises(WeightsMismatch, match=r"layers\.1\.blocks\.2"):
        build_swin_backbone(cfg)


@torch.no_grad()
def test_it_is_timms_network_where_windows_fit_the_maps():
    timm = pytest.importorskip("timm", reason="timm is an extra")
    layout = {"embed_dim": 8, "depths": TINY.depths, "num_heads": TINY.heads, "window_size": 3}
    other = timm.models.SwinTransformer(img_size=(96, 96), num_classes=0, **layout).eval()
    net = tiny()
    fill_by_name(net)
    other.load_state_dict(net.state_dict())
    images = torch.rand(1, 3, 96, 96)  # maps of 24, 12 and 6
    expected = other.forward_features(images).permute(0, 3, 1, 2)
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_that_covers_the_map_is_shifted_only_if_wanted():
    options = {"window": 3, "shift": 1}
    plain, moved = WindowAttention(8, 2, **options).eval(), WindowAttention(8, 2, shift_lone=True, **options).eval()
    fill_by_name(plain)
    moved.load_state_dict(plain.state_dict())
    still = WindowAttention(8, 2, window=3, shift=0).eval()
    still.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 3, 8)
    torch.testing.assert_close(plain(x), still(x))
    assert not torch.allclose(moved(x), still(x), atol=1e-4)
    tall = torch.randn(1, 6, 3, 8)  # covered from side to side, and not from top to bottom
    moved_down = torch.roll(tall, -1, dims=1)
    alone = still(moved_down[:, :3])  # the first of two windows has no border in it
    torch.testing.assert_close(plain(tall)[:, 1:4], alone)
