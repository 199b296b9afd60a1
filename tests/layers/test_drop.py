"""Layers that erase something at random: whole images of a branch, or blocks of a map."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from fastreid.layers import DropBlock2D, DropBlock2d, DropPath, SplAtConv2d, drop_block_2d, drop_path


def test_drop_path_drops_images_and_keeps_the_mean():
    x = torch.ones(4000, 2, 3)
    out = drop_path(x, 0.25, training=True)
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(out, out[:, :1, :1].expand_as(out))  # an image is dropped as a whole
    assert (out[:, 0, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_drop_path_does_nothing_in_evaluation_or_without_a_probability():
    x = torch.randn(8, 3)
    assert torch.equal(DropPath(0.9).eval()(x), x)
    assert torch.equal(DropPath()(x), x)
    assert torch.equal(drop_path(x, 0.9), x)
    assert drop_path(x, 1.0, training=True).eq(0).all()
    with pytest.raises(ValueError, match=r"drop_prob must be in \[0, 1\], got 1.5"):
        DropPath(1.5)


def squares(mask, size):
    """Return the positions that squares of zeros of that size cover, as a mask of ``(H, W)``."""
    height, width = mask.shape
    covered = torch.zeros_like(mask, dtype=torch.bool)
    for top, left in itertools.product(range(height - size + 1), range(width - size + 1)):
        if (mask[top : top + size, left : left + size] == 0).all():
            covered[top : top + size, left : left + size] = True
    return covered


@pytest.mark.parametrize(
    ("height", "width", "block", "size"), [(16, 8, 3, 3), (9, 7, 2, 2), (8, 4, 7, 4), (1, 1, 7, 1)]
)
def test_blocks_are_squares_inside_the_map(height, width, block, size):
    out = drop_block_2d(torch.ones(3, 5, height, width), 0.2, block)
    assert (out == 0).any()
    for channel in out.flatten(0, 1):
        assert torch.equal(channel == 0, squares(channel, size))


@pytest.mark.parametrize("fast", [False, True])
def test_about_the_asked_share_is_erased_and_the_sum_stays(fast):
    x = torch.ones(8, 16, 24, 24)
    out = DropBlock2d(0.1, 5, fast=fast)(x)
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert out.sum().item() == pytest.approx(x.numel(), rel=1e-4)
    assert out.unique().numel() == 2
    twice = DropBlock2d(0.1, 5, gamma_scale=2.0, fast=fast)(x)
    assert (twice == 0).float().mean().item() == pytest.approx(0.2, abs=0.05)


def test_the_fast_kind_lets_blocks_stick_out():
    erased = DropBlock2d(0.3, 3)(torch.ones(200, 1, 6, 6)) == 0
    corner, inside = erased[:, 0, 0, 0], erased[:, 0, 2, 2]
    assert (corner & ~inside).any()  # impossible for a block of 3 inside the map


def test_all_images_may_share_the_blocks():
    out = drop_block_2d(torch.ones(4, 3, 12, 12), 0.2, 3, batchwise=True)
    assert (out == 0).any()
    assert torch.equal(out, out[:1].expand_as(out))


def test_noise_fills_the_blocks_and_leaves_the_rest():
    x = torch.full((8, 8, 16, 16), 100.0)
    out = drop_block_2d(x, 0.3, 3, with_noise=True)
    noise = out[out != 100]
    assert noise.mean().item() == pytest.approx(0, abs=0.1)
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert (out == 100).float().mean().item() == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("with_noise", [False, True])
def test_only_inplace_changes_its_input(with_noise):
    x = torch.ones(2, 3, 8, 8)
    drop_block_2d(x, 0.3, 3, with_noise=with_noise)
    assert x.eq(1).all()
    out = drop_block_2d(x, 0.3, 3, with_noise=with_noise, inplace=True)
    assert out is x
    assert x.ne(1).any()


def test_half_precision_does_not_lose_count_of_what_is_kept():
    x = torch.ones(16, 64, 16, 8, dtype=torch.float16)  # twice as many as float16 can count
    out = drop_block_2d(x, 0.1, 3)
    assert out.dtype == torch.float16
    assert out.float().mean().item() == pytest.approx(1, rel=1e-2)


def test_everything_may_be_erased_and_evaluation_erases_nothing():
    x = torch.randn(2, 3, 6, 6)
    assert drop_block_2d(x, 1.0, 1).eq(0).all()
    assert DropBlock2d(1.0).eval()(x) is x
    assert DropBlock2d(0.0)(x) is x


@pytest.mark.parametrize("arguments", [{"drop_prob": 1.5}, {"block_size": 0}, {"gamma_scale": -1}])
def test_numbers_out_of_range_are_rejected(arguments):
    with pytest.raises(ValueError, match=r"drop_prob in \[0, 1\], block_size >= 1"):
        DropBlock2d(**arguments)
    with pytest.raises(ValueError, match=r"drop_prob in \[0, 1\], block_size >= 1"):
        drop_block_2d(torch.ones(1, 1, 4, 4), **arguments)


def test_the_name_that_never_worked_says_which_one_does():
    with pytest.raises(NotImplementedError, match="use DropBlock2d"):
        DropBlock2D(0.1, 3)


def test_split_attention_uses_it():
    layer, plain = SplAtConv2d(4, 8, 1, dropblock_prob=0.4), SplAtConv2d(4, 8, 1)
    nn.init.constant_(layer.conv.bias, 10.0)  # nothing is 0 by the ReLU
    x = torch.randn(2, 4, 6, 6)
    erased = layer(x) == 0  # where both maps are
    assert 0.05 < erased.float().mean().item() < 0.35
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer.eval()(x), plain(x))
