from __future__ import annotations

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fastreid.utils import comm


def test_one_process_needs_no_group():
    assert (comm.get_world_size(), comm.get_rank(), comm.get_local_rank(), comm.get_local_size()) == (1, 0, 0, 1)
    assert comm.is_main_process()
    comm.synchronize()
    assert comm.all_gather("x") == comm.gather("x") == ["x"]
    rows = torch.arange(3)
    assert comm.all_gather_tensor(rows) is rows
    assert comm.reduce_dict({"a": torch.tensor(2.0)}) == {"a": torch.tensor(2.0)}
    assert 0 <= comm.shared_random_seed() < 2**31
    comm.raise_on_all(None)
    with pytest.raises(OSError, match="mine"):
        comm.raise_on_all(OSError("mine"))


def two_ranks(rank, port, folder):
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    rows = torch.full((rank + 1, 2), float(rank), requires_grad=True)
    found = {
        "size": comm.get_world_size(),
        "local": (comm.get_local_rank(), comm.get_local_size()),
        "main": comm.is_main_process(),
        "all": comm.all_gather({"rank": rank}),
        "gather": comm.gather(rank),
        "rows": comm.all_gather_tensor(rows),
        "none": comm.all_gather_tensor(torch.zeros(0, 3, dtype=torch.int64)),
        "mean": comm.reduce_dict({"b": torch.tensor(float(rank)), "a": torch.tensor(4.0)}),
        "sum": comm.reduce_dict({"b": torch.tensor(float(rank))}, average=False),
        "seed": comm.shared_random_seed(),
    }
    comm.synchronize()
    torch.save(found, f"{folder}/{rank}.pth")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    mp.start_processes(two_ranks, (port, str(folder)), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"{rank}.pth", weights_only=True) for rank in range(2)]


def test_two_processes_know_who_they_are(found):
    assert [f["size"] for f in found] == [2, 2]
    assert [f["local"] for f in found] == [(0, 2), (1, 2)]
    assert [f["main"] for f in found] == [True, False]


def test_two_processes_gather_objects(found):
    assert [f["all"] for f in found] == [[{"rank": 0}, {"rank": 1}]] * 2
    assert [f["gather"] for f in found] == [[0, 1], []]


def test_two_processes_gather_rows_of_different_numbers(found):
    for f in found:
        assert f["rows"].tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
        assert not f["rows"].requires_grad
        assert f["none"].shape == (0, 3)


def test_two_processes_reduce(found):
    assert [(f["mean"]["a"].item(), f["mean"]["b"].item()) for f in found] == [(4.0, 0.5)] * 2
    assert [f["sum"]["b"].item() for f in found] == [1.0, 1.0]
    assert found[0]["seed"] == found[1]["seed"]
