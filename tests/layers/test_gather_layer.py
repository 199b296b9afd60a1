from __future__ import annotations

import torch
import torch.multiprocessing as mp

from fastreid.layers import GatherLayer


def test_on_one_process_it_is_a_tuple_of_one_with_gradient():
    x = torch.randn(3, 2, requires_grad=True)
    (gathered,) = GatherLayer.apply(x)
    (gathered * torch.arange(2.0)).sum().backward()
    assert torch.equal(gathered, x)
    assert torch.equal(x.grad, torch.tensor([[0.0, 1.0]]).expand(3, 2))


def _worker(rank, init_file, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    x = torch.full((2, 3), float(rank + 1), requires_grad=True)
    first, second = GatherLayer.apply(x.t())  # not contiguous
    (first * second.square()).sum().backward()  # the same loss on both
    results[rank] = [t.detach() for t in (first, second, x.grad)]
    torch.distributed.destroy_process_group()


def test_every_rank_gets_all_and_the_gradient_of_its_own(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_worker, args=(tmp_path / "init", results), nprocs=2)
        gradients = []
        for rank in (0, 1):
            first, second, gradient = results[rank]
            assert torch.equal(first, torch.full((3, 2), 1.0))
            assert torch.equal(second, torch.full((3, 2), 2.0))
            gradients.append(gradient)
    assert torch.equal(gradients[0], torch.full((2, 3), 4.0))  # second^2
    assert torch.equal(gradients[1], torch.full((2, 3), 4.0))  # 2 first second
