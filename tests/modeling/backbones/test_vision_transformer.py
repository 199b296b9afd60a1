from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastreid.config import get_cfg
from fastreid.modeling.backbones import build_vit_backbone
from fastreid.modeling.backbones.vision_transformer import (
    VisionTransformer,
    grid_of,
    resize_position_embedding,
)
from fastreid.modeling.backbones.vit_parts import Attention, Block, ViTLayout
from fastreid.utils.weights import WeightsMismatch, load_weights

from ..reference import backbone_input, fill_by_name, relative_error

TINY = ViTLayout(dim=24, depth=2, heads=3, mlp_ratio=2.0)


def tiny(height=32, width=16, **options):
    torch.manual_seed(0)
    return VisionTransformer(layout=TINY, image_size=(height, width), **options).eval()


@pytest.mark.parametrize("layout", [TINY, ViTLayout(dim=24, heads=3, qkv_bias=False, scale=0.3)])
@torch.no_grad()
def test_a_block_is_its_definition(layout):
    block = Block(layout, drop_path=0.5, attention_drop=0.5, drop=0.5).eval().double()
    fill_by_name(block)
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    y = F.layer_norm(x, (24,), block.norm1.weight, block.norm1.bias, eps=1e-6)
    qkv = F.linear(y, block.attn.qkv.weight, block.attn.qkv.bias)
    scale = 8**-0.5 if layout.scale is None else layout.scale
    out = torch.empty_like(x)
    for image in range(2):
        for head in range(3):
            query, key, value = (qkv[image, :, part * 24 + head * 8 :][:, :8] for part in range(3))
            for token in range(5):
                weights = torch.stack([query[token] @ key[other] * scale for other in range(5)]).softmax(0)
                torch.testing.assert_close(block.attn.weights(y)[image, head, token], weights)
                out[image, token, head * 8 : head * 8 + 8] = sum(w * v for w, v in zip(weights, value))
    between = x + F.linear(out, block.attn.proj.weight, block.attn.proj.bias)
    y = F.layer_norm(between, (24,), block.norm2.weight, block.norm2.bias, eps=1e-6)
    hidden = F.linear(y, block.mlp.fc1.weight, block.mlp.fc1.bias)
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    expected = between + F.linear(hidden, block.mlp.fc2.weight, block.mlp.fc2.bias)
    torch.testing.assert_close(block(x), expected)


def test_dropping_happens_in_training_only():
    attention = Attention(TINY, attention_drop=0.5, drop=0.0)
    x = torch.randn(1, 6, 24)
    assert not torch.equal(attention(x), attention(x))
    assert torch.equal(attention.eval()(x), attention(x))
    rates = [block.drop_path.drop_prob for block in tiny(drop_path=0.3).blocks]
    assert rates == pytest.approx([0.0, 0.3])


@torch.no_grad()
def test_the_network_embeds_by_its_class_token():
    net = tiny(stride=(8, 16))
    images = torch.randn(2, 3, 32, 16)
    patches = [
        (net.patch_embed.proj.weight * images[:, None, :, top : top + 16, :]).sum(dim=(2, 3, 4))
        + net.patch_embed.proj.bias
        for top in (0, 8, 16)
    ]  # overlapping by half a patch
    tokens = torch.stack([net.cls_token[0].expand(2, -1), *patches], dim=1) + net.pos_embed
    for block in net.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(net(images)[:, :, 0, 0], net.norm(tokens)[:, 0])
    assert net.grid == (3, 1)


@torch.no_grad()
def test_attention_maps_are_those_of_the_forward_pass():
    net = tiny()
    images = torch.randn(2, 3, 32, 16)
    maps, grid = net.attention_maps(images)
    assert grid == (2, 1)
    assert [tuple(of.shape) for of in maps] == [(2, 3, 3, 3)] * 2
    tokens, _ = net._tokens(images)
    for block, weights in zip(net.blocks, maps):
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 3))
        values = block.attn._split(block.norm1(tokens))[2]
        out = (weights @ values).transpose(1, 2).flatten(2)
        torch.testing.assert_close(block.attn.proj(out), block.attn(block.norm1(tokens)))
        tokens = block(tokens)


def test_a_position_embedding_is_resized_like_a_picture():
    plane = torch.arange(8.0).reshape(4, 2)
    embedding = torch.cat([torch.full((1, 1, 1), 9.0), plane.reshape(1, 8, 1)], dim=1)
    resized = resize_position_embedding(embedding, (4, 2), (8, 4))
    expected = F.interpolate(plane[None, None], size=(8, 4), mode="bilinear")[0, 0]
    torch.testing.assert_close(resized[0, 1:, 0].reshape(8, 4), expected)
    assert resized[0, 0, 0] == 9
    assert torch.equal(resize_position_embedding(embedding, (4, 2), (4, 2)), embedding)
    assert grid_of(196, (16, 8)) == (14, 14)
    assert grid_of(128, (16, 8)) == (16, 8)
    assert grid_of(210, (24, 12)) == (21, 10)


@torch.no_grad()
def test_weights_and_images_of_another_size(caplog):
    small, large = tiny(), tiny(64, 32)
    state = small.state_dict()
    caplog.set_level("INFO")
    load_weights(large, state, source="small")
    assert "pos_embed, of 2 x 1 patches, is resized to 4 x 2" in caplog.text
    assert torch.equal(large.blocks[1].mlp.fc2.weight, small.blocks[1].mlp.fc2.weight)
    expected = resize_position_embedding(small.pos_embed, (2, 1), (4, 2))
    assert torch.equal(large.pos_embed, expected)
    assert state["pos_embed"].shape == (1, 3, 24)  # the caller's is as it was
    images = torch.randn(1, 3, 64, 32)
    torch.testing.assert_close(small(images), large(images))
    other = {**state, "pos_embed": torch.zeros(1, 3, 7)}
    with pytest.raises(WeightsMismatch, match="pos_embed"):
        load_weights(large, other, source="other")


@torch.no_grad()
def test_what_it_returns():
    images = torch.randn(2, 3, 48, 32)
    nets = {output: tiny(48, 32, output=output) for output in ("auto", "class", "map", "tokens")}
    net = nets["map"]
    tokens, _ = net._tokens(images)
    entering = net.blocks[0](tokens)
    last = net.norm(net.blocks[1](entering))  # (2, 1 + 6, 24)
    torch.testing.assert_close(nets["auto"](images)[:, :, 0, 0], last[:, 0])
    assert torch.equal(nets["auto"](images), nets["class"](images))
    plane = nets["map"](images)
    assert plane.shape == (2, 24, 3, 2)
    torch.testing.assert_close(plane[:, :, 2, 1], last[:, 1 + 2 * 2 + 1])
    every = nets["tokens"](images)
    torch.testing.assert_close(every[..., 0].transpose(1, 2), torch.cat([last[:, :1], entering], dim=1))
    assert [nets[name].output_shape().stride for name in ("auto", "map", "tokens")] == [None, 16, None]


def with_cameras(**options):
    return tiny(num_cameras=3, camera_weight=2.0, **options)


@torch.no_grad()
@pytest.mark.parametrize("hide", [0.0, 0.5])
def test_a_camera_is_added_to_every_token(hide):
    net = with_cameras(hide_camera=hide)
    images = torch.randn(4, 3, 32, 16)
    plain, _ = tiny()._tokens(images)  # the same seed; side information is drawn later
    net.load_state_dict({**net.state_dict(), **tiny().state_dict()})
    tokens, _ = net._tokens(images, torch.tensor([2, 0, -1, 7]))
    unseen = net.sie_embed[3] if hide else net.sie_embed[:3].mean(dim=0)
    for image, row in enumerate([net.sie_embed[2], net.sie_embed[0], unseen, unseen]):
        torch.testing.assert_close(tokens[image], plain[image] + 2.0 * row)
    torch.testing.assert_close(net(images), net(images, torch.full((4,), -1)))  # nothing said: never seen


def test_some_training_images_train_the_unseen_camera():
    net = with_cameras(hide_camera=0.25).train()
    net._tokens(torch.randn(400, 3, 32, 16), torch.zeros(400, dtype=torch.int64))[0].sum().backward()
    share = net.sie_embed.grad[:, 0, 0] / net.sie_embed.grad[:, 0, 0].sum()
    assert share[0] == pytest.approx(0.75, abs=0.08)
    assert share[3] == pytest.approx(0.25, abs=0.08)
    assert share[1] == share[2] == 0
    with pytest.raises(ValueError, match="needs the cameras of the training images"):
        net(torch.randn(1, 3, 32, 16))


def test_cameras_of_other_weights(caplog):
    caplog.set_level("INFO")
    net = with_cameras()
    rows = torch.randn(3, 1, 24)
    load_weights(net, {**net.state_dict(), "sie_embed": rows}, source="theirs")
    torch.testing.assert_close(net.sie_embed, torch.cat([rows, rows.mean(dim=0, keepdim=True)]))
    assert "the mean of its 3 cameras" in caplog.text
    with pytest.raises(WeightsMismatch, match="sie_embed"):
        load_weights(net, {**net.state_dict(), "sie_embed": torch.randn(2, 1, 24)}, source="theirs")
    with pytest.raises(WeightsMismatch, match="sie_embed"):
        load_weights(tiny(), {**tiny().state_dict(), "sie_embed": rows}, source="theirs")


@torch.no_grad()
def test_clips_ways():
    layout = ViTLayout(dim=24, depth=2, heads=3, eps=1e-5, clip=True, projection=5)
    torch.manual_seed(0)
    net = VisionTransformer(layout=layout, image_size=(32, 16), num_cameras=1, camera_weight=0.5).eval()
    images = torch.randn(2, 3, 32, 16)
    patches = F.conv2d(images, net.patch_embed.proj.weight, stride=16).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.cls_token.expand(2, -1, -1), patches], dim=1) + net.pos_embed
    tokens[:, 0] += 0.5 * net.sie_embed[0, 0]  # the class token alone
    tokens = F.layer_norm(tokens, (24,), eps=1e-5)
    for block in net.blocks:
        assert block.norm1.eps == 1e-5
        tokens = tokens + block.attn(block.norm1(tokens))
        hidden = block.mlp.fc1(block.norm2(tokens))
        tokens = tokens + block.mlp.fc2(hidden * torch.sigmoid(1.702 * hidden))
    token = F.layer_norm(tokens[:, 0], (24,), eps=1e-5)
    expected = torch.cat([token, token @ net.projection], dim=1)
    torch.testing.assert_close(net(images, torch.zeros(2, dtype=torch.int64))[:, :, 0, 0], expected)
    assert net.output_shape().channels == 24 + 5
    assert VisionTransformer(layout=layout, output="map").output_shape().channels == 24


def test_a_stem_of_convolutions_before_the_patches():
    net = tiny(64, 32, stem_norm="BN", stride=(8, 16))
    images = torch.randn(2, 3, 64, 32)
    names = [name for name, _ in net.patch_embed.named_parameters()]
    assert "conv.1.IN.weight" in names and "conv.4.BN.bias" in names and "conv.7.weight" in names
    assert net.patch_embed.proj.weight.shape == (24, 64, 8, 8)
    with torch.no_grad():
        half = net.patch_embed.conv(images)
        assert half.shape == (2, 64, 32, 16)
        expected = F.conv2d(half, net.patch_embed.proj.weight, net.patch_embed.proj.bias, stride=(4, 8))
        torch.testing.assert_close(net.patch_embed(images), expected)
        assert net.grid == expected.shape[2:] == tiny(64, 32, stride=(8, 16)).grid
        assert net(images).shape == (2, 24, 1, 1)
    assert net.layer_of("patch_embed.conv.0.weight") == 0
    with pytest.raises(ValueError, match="STRIDE_SIZE must be even with CONV_STEM True, got"):
        tiny(64, 32, stem_norm="BN", stride=(8, 15))


def test_layers_from_the_embeddings_to_the_last_norm():
    net = with_cameras()
    layers = {name: net.layer_of(name) for name, _ in net.named_parameters()}
    assert net.num_layers == 3
    assert {layers[name] for name in ("cls_token", "pos_embed", "sie_embed", "patch_embed.proj.weight")} == {0}
    assert layers["blocks.0.attn.qkv.weight"] == 1
    assert layers["blocks.1.mlp.fc2.bias"] == 2
    assert layers["norm.weight"] == 3


def config(depth, *options):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_vit_backbone", depth
    cfg.merge_from_list(list(options))
    return cfg


@pytest.mark.parametrize("depth", ["small", "base"])
def test_names_and_shapes_are_those_of_v13(published_shapes, depth):
    with torch.device("meta"):
        net = build_vit_backbone(config(depth))
    expected = published_shapes[f"backbone/vit/{depth}/256x128"]
    assert {name: list(value.shape) for name, value in net.state_dict().items()} == dict(expected)


@pytest.mark.slow
@torch.no_grad()
def test_outputs_are_those_of_v13(reference_outputs):
    sizes = ("INPUT.SIZE_TRAIN", [128, 64], "MODEL.BACKBONE.DROP_PATH_RATIO", 0.0)
    net = build_vit_backbone(config("small", *sizes)).eval()
    fill_by_name(net)
    assert relative_error(net(backbone_input()).mean(dim=(2, 3)), np.asarray(reference_outputs["vit_small"])) < 1e-4


def test_imagenet_weights_without_their_classifier(tmp_path):
    with torch.device("meta"):
        keys = build_vit_backbone(config("small")).state_dict()
    state = {name: torch.zeros(value.shape) for name, value in keys.items()}
    state["pos_embed"] = torch.full((1, 197, 768), 2.0)  # of images of 224 x 224
    state |= {"head.weight": torch.zeros(10, 768), "head.bias": torch.zeros(10)}
    torch.save({"model": state}, tmp_path / "vit.pth")
    path = ("MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "vit.pth"))
    net = build_vit_backbone(config("small", *path))
    assert torch.equal(net.pos_embed, torch.full((1, 129, 768), 2.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("MODEL.BACKBONE.STRIDE_SIZE", (0, 16)), "STRIDE_SIZE must be two numbers of at least 1, got"),
        (("INPUT.SIZE_TRAIN", [8, 64]), "SIZE_TRAIN must be at least a patch, 16 pixels, got"),
        (("MODEL.BACKBONE.OUTPUT", "patches"), "OUTPUT must be one of auto, class, map, tokens, got 'patches'"),
        (("MODEL.BACKBONE.SIE_HIDE_RATE", 1.0), r"SIE_HIDE_RATE must be in \[0, 1\), got 1.0"),
    ],
)
def test_sizes_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        build_vit_backbone(config("small", *options))
    with pytest.raises(KeyError, match="knows deit_tiny, deit_small, small, base, clip_base"):
        build_vit_backbone(config("huge"))
