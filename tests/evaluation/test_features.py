from __future__ import annotations

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from fastreid.evaluation.features import FeatureCollector, FeatureSet, require_finite
from fastreid.evaluation.reid_evaluation import ReidEvaluator


def labels(count):
    return torch.arange(count), torch.zeros(count, dtype=torch.int64)


def test_split_copies_nothing():
    whole = FeatureSet(torch.randn(5, 2), *labels(5))
    query, gallery = whole.split(2)
    assert (len(query), len(gallery)) == (2, 3)
    assert gallery.pids.tolist() == [2, 3, 4]
    assert query.features.data_ptr() == whole.features.data_ptr()


@pytest.mark.parametrize("num_query", [-1, 6])
def test_split_needs_enough_images(num_query):
    with pytest.raises(ValueError, match=f"num_query is {num_query}, but there are features of 5 images"):
        FeatureSet(torch.randn(5, 2), *labels(5)).split(num_query)


@pytest.mark.parametrize(
    ("features", "counts", "message"),
    [
        (torch.zeros(3), (3, 3), "must be .images, dimensions., got shape .3,."),
        (torch.zeros(3, 2), (3, 2), "must be of the same images"),
        (torch.zeros(3, 2), (2, 2), "must be of the same images"),
    ],
)
def test_shapes_must_fit(features, counts, message):
    with pytest.raises(ValueError, match=message):
        FeatureSet(features, labels(counts[0])[0], labels(counts[1])[1])


def test_features_that_are_not_finite_are_counted_and_placed():
    features = torch.zeros(6000, 3)
    FeatureSet(features, *labels(6000)).require_finite()
    features[17, 1], features[4500, 0], features[4500, 2] = torch.nan, torch.inf, -torch.inf
    whole = FeatureSet(features, *labels(6000))
    with pytest.raises(ValueError, match=r"2 of 6000 images have features .* at positions 17, 4500 of the test set"):
        whole.require_finite()
    with pytest.raises(ValueError, match=r"at positions 17, \.\.\. of the test set"):
        whole.require_finite(most_named=1)
    paths = [f"{place}.jpg" for place in range(5000)]
    with pytest.raises(ValueError, match=r"2 of 6000 .* at positions 17 \(17\.jpg\), 4500 \(4500\.jpg\) of the test"):
        require_finite([whole[:4499], whole[4499:]], paths)
    with pytest.raises(ValueError, match=r"at positions 2 of the test set"):
        require_finite([FeatureSet(torch.tensor([[1.0], [2.0], [torch.inf]]).half(), *labels(3))], ["a", "b"])


def test_collector_keeps_float32_on_the_cpu_in_order_and_can_be_asked_again():
    collector = FeatureCollector()
    collector.add(torch.ones(2, 3, dtype=torch.float16, requires_grad=True), [4, 5], torch.tensor([0, 1]))
    collector.add(torch.zeros(1, 3), torch.tensor([6]), torch.tensor([2]))
    for _ in range(2):
        found = collector.gather()
        assert found.features.dtype == torch.float32
        assert not found.features.requires_grad
        assert found.features.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
        assert (found.pids.tolist(), found.camids.tolist()) == ([4, 5, 6], [0, 1, 2])
    collector.add(torch.zeros(1, 3), torch.tensor([7]), torch.tensor([2]))
    assert collector.gather().pids.tolist() == [4, 5, 6, 7]
    collector.clear()
    with pytest.raises(ValueError, match="the evaluator got no features; is the test set empty"):
        collector.gather()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_collector_keeps_float32_whatever_it_gets(dtype):
    collector = FeatureCollector()
    collector.add(torch.ones(2, 3, dtype=dtype), *labels(2))
    assert collector.gather().features.dtype == torch.float32


def test_collector_rejects_features_of_another_length():
    collector = FeatureCollector()
    collector.add(torch.zeros(2, 3), *labels(2))
    with pytest.raises(ValueError, match="features of 4 dimensions after batches with 3"):
        collector.add(torch.zeros(2, 4), *labels(2))


def images_of(seed=0, count=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=generator), torch.arange(count) % 3, torch.arange(count) % 2


def evaluate_share(first, last, *, num_query=3):
    features, pids, camids = images_of()
    evaluator = ReidEvaluator(num_query=num_query)
    for i in range(first, last):
        part = slice(i, i + 1)
        evaluator.process({"targets": pids[part], "camids": camids[part]}, features[part])
    return evaluator


def two_ranks(rank, port, folder):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = {"uneven": dict(evaluate_share(*[(0, 5), (5, 9)][rank]).evaluate())}
    found["empty rank"] = dict(evaluate_share(*[(0, 9), (9, 9)][rank]).evaluate())
    try:
        evaluate_share(*[(0, 5), (5, 9)][rank], num_query=10).evaluate()
    except ValueError as error:
        found["error"] = str(error)
    torch.save(found, f"{folder}/{rank}.pth")
    dist.destroy_process_group()


def test_two_processes_give_the_results_of_one(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    mp.start_processes(two_ranks, (port, str(tmp_path)), nprocs=2, start_method="spawn")
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in range(2))
    expected = dict(evaluate_share(0, 9).evaluate())
    assert first["uneven"] == first["empty rank"] == expected
    assert second["uneven"] == second["empty rank"] == {}
    # An error that concerns all of them is raised on all of them, so that none waits for the others.
    assert "num_query is 10, but there are features of 9 images" in first["error"]
    assert first["error"] == second["error"]


def test_finite_features_whose_sum_overflows_are_finite():
    features = torch.full((3, 4), torch.finfo(torch.float32).max)
    FeatureSet(features, *labels(3)).require_finite()
