from __future__ import annotations

import logging
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from fastreid.layers import get_norm
from fastreid.modeling.backbones import build_shufflenetv2_backbone
from fastreid.modeling.backbones.shufflenet import WIDTHS, ShuffleBlock, ShuffleNetV2
from fastreid.utils.weights import WeightsMismatch

from ..reference import fill_by_name


def normed(x, norm):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)


def main_branch(layers, x, stride):
    x = F.relu(normed(F.conv2d(x, layers[0].weight), layers[1]))
    x = normed(F.conv2d(x, layers[3].weight, stride=stride, padding=1, groups=x.shape[1]), layers[4])
    return F.relu(normed(F.conv2d(x, layers[5].weight), layers[6]))


def block_and_input(inplanes, outplanes, stride):
    block = ShuffleBlock(inplanes, outplanes, stride, partial(get_norm, "BN")).eval().double()
    fill_by_name(block)
    return block, torch.randn(2, inplanes, 5, 5, dtype=torch.float64)


@torch.no_grad()
def test_a_block_passes_the_even_channels_and_convolves_the_odd_ones():
    block, x = block_and_input(8, 8, 1)
    even = torch.stack([x[:, c] for c in (0, 2, 4, 6)], dim=1)
    odd = torch.stack([x[:, c] for c in (1, 3, 5, 7)], dim=1)
    out = block(x)
    assert torch.equal(out[:, :4], even)
    torch.testing.assert_close(out[:, 4:], main_branch(block.branch_main, odd, 1))


@torch.no_grad()
def test_a_block_that_halves_the_map_gives_all_channels_to_both_branches():
    block, x = block_and_input(6, 16, 2)
    proj = block.branch_proj
    first = normed(F.conv2d(x, proj[0].weight, stride=2, padding=1, groups=6), proj[1])
    first = F.relu(normed(F.conv2d(first, proj[2].weight), proj[3]))
    out = block(x)
    assert out.shape == (2, 16, 3, 3)
    torch.testing.assert_close(out[:, :6], first)
    torch.testing.assert_close(out[:, 6:], main_branch(block.branch_main, x, 2))


def test_a_file_as_its_authors_write_it_is_loaded_and_the_classifier_left_out(cfg, tmp_path, caplog):
    source = ShuffleNetV2(widths=WIDTHS["0.5x"])
    fill_by_name(source)
    state = source.state_dict() | {"classifier.0.weight": torch.zeros(1000, 1024)}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "net.pth.tar")
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH = "build_shufflenetv2_backbone", "0.5x"
    node.PRETRAIN, node.PRETRAIN_PATH = True, str(tmp_path / "net.pth.tar")
    with caplog.at_level(logging.INFO):
        net = build_shufflenetv2_backbone(cfg)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert "classifier.0.weight (left out)" in caplog.text
    node.DEPTH = "1.0x"
    with pytest.raises(WeightsMismatch):
        build_shufflenetv2_backbone(cfg)
