"""A model that is spread over processes learns what one process would."""

from __future__ import annotations

import torch
from torch import nn

from fastreid.engine import launch
from fastreid.engine.parallel import data_parallel, share_buffers
from fastreid.layers import get_norm
from fastreid.utils import comm
from fastreid.utils.weights import unwrap_model


def train_a_step(folder):
    torch.manual_seed(0)
    images = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), get_norm("syncBN", 4), nn.ReLU()).double()
    parallel = data_parallel(model)
    assert unwrap_model(parallel) is model
    share = images.chunk(comm.get_world_size())[comm.get_rank()]
    parallel(share).square().mean().backward()
    share_buffers(parallel)
    found = {name: parameter.grad for name, parameter in model.named_parameters()} | dict(model.named_buffers())
    torch.save(found, f"{folder}/{comm.get_world_size()}.{comm.get_rank()}.pt")


def test_synchronised_norms_train_on_two_cpu_processes_as_on_one(tmp_path):
    for processes in (1, 2):
        launch(train_a_step, processes, args=(str(tmp_path),), device="cpu")
    one, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1.0", "2.0", "2.1"))
    torch.testing.assert_close(first, one)
    torch.testing.assert_close(second, one)
