from __future__ import annotations

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from fastreid.layers import batch_norm
from fastreid.layers.batch_norm import (
    IBN,
    BatchNorm,
    FrozenBatchNorm,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    SyncBatchNorm,
    get_norm,
)

NAMES = {
    "BN": BatchNorm,
    "syncBN": SyncBatchNorm,
    "GhostBN": GhostBatchNorm,
    "FrozenBN": FrozenBatchNorm,
    "GN": GroupNorm,
}
LEARNING = sorted(set(NAMES) - {"FrozenBN"})


def test_every_norm_is_covered_here():
    assert NAMES == batch_norm._NORMS


@pytest.mark.parametrize("name", sorted(NAMES))
def test_names_build_their_layers(name):
    norm = get_norm(name, 64)
    assert type(norm) is NAMES[name]
    x = torch.randn(4, 64, 3, 2)
    assert norm(x).shape == norm.eval()(x).shape == x.shape


@pytest.mark.parametrize("name", sorted(NAMES))
def test_gradients_are_right(name):
    norm = get_norm(name, 32, weight_init=0.5, bias_init=0.25).double()
    x = torch.randn(4, 32, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("training", [False, True])
def test_half_precision_keeps_its_dtype_and_does_not_overflow(name, dtype, training):
    if training and dtype is torch.float16 and torch.__version__.startswith("2.5."):
        pytest.skip("torch 2.5 computes batch statistics in float16 on a CPU")
    x = (torch.randn(6, 32, 12, 4) * 300 + 500).to(dtype)  # squares and sums beyond float16
    exact, half = (get_norm(name, 32).train(training) for _ in range(2))
    out = half.to(dtype)(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), exact(x.float()), rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(get_norm(name, 32).train(training)(x.float()), out.float(), rtol=2e-2, atol=2e-2)


def test_group_norm_equals_its_definition():
    x = torch.randn(2, 64, 3, 2, dtype=torch.float64)
    out = get_norm("GN", 64, weight_init=2.0, bias_init=0.5).double()(x)
    for n in range(2):
        for group in range(32):
            values = x[n, 2 * group : 2 * group + 2]
            expected = 2 * (values - values.mean()) / (values.var(unbiased=False) + 1e-5).sqrt() + 0.5
            torch.testing.assert_close(out[n, 2 * group : 2 * group + 2], expected)


def test_an_empty_name_is_no_norm_and_a_callable_is_called():
    assert get_norm("", 8) is None
    assert isinstance(get_norm(nn.BatchNorm2d, 8, eps=0.1), nn.BatchNorm2d)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(KeyError, match=r"no 'SyncBN'\. Did you mean 'syncBN'"):
        get_norm("SyncBN", 8)


@pytest.mark.parametrize("name", LEARNING)
def test_first_values_and_freezing(name):
    norm = get_norm(name, 32, weight_freeze=True, bias_freeze=True, weight_init=0.5, bias_init=0.25)
    assert norm.weight.unique().tolist() == [0.5]
    assert norm.bias.unique().tolist() == [0.25]
    assert not norm.weight.requires_grad
    assert not norm.bias.requires_grad
    norm = get_norm(name, 32, bias_freeze=True)
    assert norm.weight.requires_grad
    assert {"weight", "bias"} <= set(norm.state_dict())  # a frozen one is saved all the same


@pytest.mark.parametrize("name", ["syncBN", "GhostBN"])
def test_on_one_process_and_a_small_batch_they_are_batch_norm(name):
    x = torch.randn(6, 8, 3, 2) * 3 + 1
    ours, plain = get_norm(name, 8), BatchNorm(8)
    torch.testing.assert_close(ours(x), plain(x))
    torch.testing.assert_close(ours.running_var, plain.running_var)


def test_batch_norm_equals_its_definition():
    x = torch.randn(4, 2, 3, 2, dtype=torch.float64)
    out = BatchNorm(2, weight_init=2.0, bias_init=0.5).double()(x)
    for c in range(2):
        values = x[:, c].flatten().tolist()
        mean = sum(values) / len(values)
        var = sum((v - mean) ** 2 for v in values) / len(values)
        expected = [2 * (v - mean) / (var + 1e-5) ** 0.5 + 0.5 for v in values]
        torch.testing.assert_close(out[:, c].flatten(), torch.tensor(expected, dtype=torch.float64))


def test_ghost_norm_normalises_part_by_part():
    x = torch.randn(10, 3, 2, 2, dtype=torch.float64)
    ghost = GhostBatchNorm(3, ghost_size=4).double()
    out = ghost(x)  # parts of 4, 3 and 3 images
    parts = [BatchNorm(3).double() for _ in range(3)]
    expected = torch.cat([norm(part) for norm, part in zip(parts, x.tensor_split(3))])
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(ghost.running_mean, sum(norm.running_mean for norm in parts) / 3)
    torch.testing.assert_close(ghost.running_var, sum(norm.running_var for norm in parts) / 3)
    assert ghost.num_batches_tracked == 1


def test_ghost_norm_rejects_parts_of_one_image():
    with pytest.raises(ValueError, match="ghost_size must be at least 2 images, got 1"):
        GhostBatchNorm(3, ghost_size=1)


def test_frozen_norm_learns_nothing_and_loads_batch_norm():
    plain = BatchNorm(4)
    plain(torch.randn(8, 4, 3, 3) * 2 + 1)
    frozen = FrozenBatchNorm(4)
    frozen.load_state_dict(plain.state_dict())
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    x = torch.randn(8, 4, 3, 3)
    torch.testing.assert_close(frozen.train()(x), plain.eval()(x))
    assert not list(frozen.parameters())
    assert all(torch.equal(before[key], value) for key, value in frozen.state_dict().items())


def test_group_norm_needs_a_multiple_of_its_groups():
    with pytest.raises(ValueError, match="multiple of 32 channels, got 40"):
        get_norm("GN", 40)


def test_ibn_is_instance_norm_then_batch_norm():
    ibn = IBN(5, "BN")
    x = torch.randn(4, 5, 3, 2)
    expected = torch.cat([nn.InstanceNorm2d(2)(x[:, :2]), nn.BatchNorm2d(3)(x[:, 2:])], dim=1)
    torch.testing.assert_close(ibn(x), expected)
    assert {"IN.weight", "IN.bias", "BN.weight", "BN.running_var"} <= set(ibn.state_dict())
    assert set(ibn.state_dict()) == {
        *(f"IN.{leaf}" for leaf in ("weight", "bias")),
        *(f"BN.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    }


def _batches():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(7, 3, 2, 2, dtype=torch.float64, generator=generator)
    weight = torch.randn(7, 3, 2, 2, dtype=torch.float64, generator=generator)
    return x, weight


def _sync_worker(rank, init_file, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    x, weight = (t[:4] if rank == 0 else t[4:] for t in _batches())  # not equally many images
    x = x.clone().requires_grad_()
    norm = SyncBatchNorm(3).double()
    out = norm(x)
    (out * weight).sum().backward()
    results[rank] = [t.detach() for t in (out, x.grad, norm.running_mean, norm.running_var)]
    torch.distributed.destroy_process_group()


def test_synchronised_norm_on_two_cpu_processes_is_batch_norm_of_the_whole_batch(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_sync_worker, args=(tmp_path / "init", results), nprocs=2)
        (out0, grad0, *running0), (out1, grad1, *running1) = results[0], results[1]
    x, weight = _batches()
    x.requires_grad_()
    plain = BatchNorm(3).double()
    out = plain(x)
    (out * weight).sum().backward()
    torch.testing.assert_close(torch.cat([out0, out1]), out.detach())
    torch.testing.assert_close(torch.cat([grad0, grad1]), x.grad)
    for ours in (running0, running1):
        torch.testing.assert_close(ours[0], plain.running_mean)
        torch.testing.assert_close(ours[1], plain.running_var)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_that_of_torch_in_the_memory_format_of_its_input(training, memory_format):
    norm = InstanceNorm(4).train(training).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (torch.randn(3, 6, 5, 4, dtype=torch.float64) + 2).contiguous(memory_format=memory_format)[:, :4]
    out = norm(x)
    torch.testing.assert_close(out, nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias))
    assert out.is_contiguous(memory_format=memory_format)
    assert norm.bfloat16()(x.bfloat16()).dtype is torch.bfloat16
