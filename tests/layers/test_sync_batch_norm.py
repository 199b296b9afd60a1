"""One switch makes every batch norm of a model that of all ranks together."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.layers.batch_norm import IBN, SyncBatchNorm, get_norm
from fastreid.layers.sync_batch_norm import synchronise_batch_norms
from fastreid.modeling import build_model

from ..ranks import run_ranks


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        IBN(8, "BN"),
        nn.ReLU(),
        nn.BatchNorm2d(8, momentum=None),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), nn.BatchNorm1d(4)),
        nn.Unflatten(1, (4, 1, 1)),
        get_norm("BN", 4, bias_freeze=True),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
    ).double()


def batches():
    return torch.randn(2, 8, 3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def train(model, parts):
    """Go over two batches; return outputs, gradients of a sum, and buffers."""
    outputs = []
    for images in batches():
        outputs.append(model(images[parts]))
        (outputs[-1] * torch.arange(8.0).double()[parts, None, None, None]).square().sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    return [out.detach() for out in outputs], grads, dict(model.named_buffers())


def work(rank):
    model = synchronise_batch_norms(network())
    assert sum(isinstance(module, SyncBatchNorm) for module in model.modules()) == 6
    found = train(model, slice(0, 3) if rank == 0 else slice(3, 8))  # not equally many
    single = network()[3]
    with pytest.raises(ValueError, match="needs more than one value of a channel"):
        # one value of each channel on rank 0, and none on rank 1
        synchronise_batch_norms(single)(torch.ones(1 - rank, 8, 1, 1, dtype=torch.float64))
    return found


def test_two_ranks_have_the_statistics_of_the_whole_batch(tmp_path):
    (out0, grads0, buffers0), (out1, grads1, buffers1) = run_ranks(work, 2, tmp_path)
    out, grads, buffers = train(network(), slice(None))
    for first, second, whole in zip(out0, out1, out):
        torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close({name: grads0[name] + grads1[name] for name in grads}, grads)
    torch.testing.assert_close(buffers0, buffers)
    torch.testing.assert_close(buffers1, buffers)


def test_on_one_process_nothing_changes_but_the_class():
    plain = network()
    plain[3].eval()
    model = synchronise_batch_norms(copy.deepcopy(plain))
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in plain.parameters()]
    assert [m.training for m in model.modules()] == [m.training for m in plain.modules()]
    torch.testing.assert_close(train(model, slice(None)), train(plain, slice(None)))
    assert type(synchronise_batch_norms(nn.BatchNorm2d(3))) is SyncBatchNorm


def test_other_kinds_of_batch_norm_stay(caplog):
    model = nn.Sequential(get_norm("GhostBN", 4), get_norm("FrozenBN", 4), get_norm("syncBN", 4), get_norm("BN", 4))
    before = list(model)
    after = list(synchronise_batch_norms(model))
    assert after[:3] == before[:3]
    assert type(after[3]) is SyncBatchNorm
    assert "1 GhostBatchNorm are not plain batch norms" in caplog.text


def test_the_switch_reaches_every_part_of_a_model():
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.FEAT_DIM = "18x", 512
    cfg.MODEL.HEADS.WITH_BNNECK, cfg.MODEL.HEADS.FC_DIM = True, 16
    for switch in (False, True):
        cfg.MODEL.SYNC_BN = switch
        norms = [m for m in build_model(cfg).modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert len(norms) == 22
        assert {isinstance(norm, nn.SyncBatchNorm) for norm in norms} == {switch}
