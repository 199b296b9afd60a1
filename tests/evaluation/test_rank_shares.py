"""Evaluation on several ranks: the numbers of one process, and errors that every rank hears of."""

from __future__ import annotations

import logging
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from fastreid.config import get_cfg
from fastreid.data.samplers import InferenceSampler
from fastreid.evaluation import (
    ClasEvaluator,
    FeatureSet,
    RandomGalleryEvaluator,
    ReidEvaluator,
    RetrievalEvaluator,
    inference_on_dataset,
    rank_blocks,
    rank_matches,
)
from fastreid.evaluation.knn import knn, knn_blocks
from fastreid.evaluation.rank_blocks import query_blocks
from fastreid.evaluation.rank_shares import knn_together, rank_matches_together
from fastreid.utils import comm

from ..ranks import run_ranks

WORLD = 3
# queries in a block, for 1, 2 (one rank has nothing to do), 11 blocks
ROWS = {1: 1024, 2: 6, 11: 1}

KNN_MEMORY = (1.0, 5.2e-5)  # GB: one block, and many


def options():
    """A config with every test-time option on."""
    cfg = get_cfg()
    for name in ("CAMERA_NORM", "DBA", "AQE", "RERANK"):
        cfg.TEST[name].ENABLED = True
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def images(count=36, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 4, generator=generator)
    features[1::5] = features[0]  # ties
    return FeatureSet(features, torch.arange(count) % 5, torch.arange(count) % 3)


def failure(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def filled(evaluator, share, *, spoil=None):
    data = images()
    if spoil is not None:
        data.features[spoil] = torch.nan
    for i in share:
        part = slice(i, i + 1)
        evaluator.process({"targets": data.pids[part], "camids": data.camids[part]}, data.features[part])
    return evaluator


def everything_of(evaluator):
    results = dict(evaluator.evaluate())
    queries = {
        name: np.where(own == own, own, -1.0) if own.dtype.kind == "f" else own
        for name, own in evaluator.queries.items()
    }
    return results, evaluator.details, {name: own.tolist() for name, own in queries.items()}


# what is compared whole: results, details and numbers of each query
WHOLE = {
    "single shot": lambda: ReidEvaluator(num_query=11, protocol="cuhk03", roc=True),
    "leave one out": RetrievalEvaluator,
    "random galleries": lambda: RandomGalleryEvaluator(num_query=11, roc=True),
}


class Items:
    """Test images as a loader gives them; one of them may be broken."""

    def __init__(self, broken=None):
        self.broken = broken

    def __len__(self):
        return 36

    def __getitem__(self, i):
        if i == self.broken:
            raise OSError(f"image {i} is broken")
        data = images()
        return {"images": data.features[i], "targets": data.pids[i], "camids": data.camids[i]}


class Embed(nn.Module):
    """A model whose features are its inputs."""

    def forward(self, batch):
        return batch["images"]


class Refuses(ClasEvaluator):
    """Evaluate four classes, of which the only target may be none."""

    def __init__(self, target):
        super().__init__()
        self.target = torch.tensor([target])

    def process(self, inputs, outputs):
        super().process({"targets": self.target}, torch.zeros(1, 4))


def infer(evaluator, broken=None):
    items = Items(broken)
    loader = DataLoader(items, batch_size=1, sampler=InferenceSampler(len(items)))
    return dict(inference_on_dataset(Embed(), loader, evaluator))


def work(rank):
    logging.disable(logging.CRITICAL)
    query, gallery = images().split(11)
    found = {"ranks": {}, "chunks": {}}
    for blocks, rows in ROWS.items():
        with mock.patch.object(rank_blocks, "_ROWS", rows):
            ranks = rank_matches_together(query, gallery)
        found["ranks"][blocks] = [r.tolist() for r in ranks]
    everything = images().features
    found["neighbours"] = {}
    for memory in KNN_MEMORY:
        of_all = knn_together(everything, everything, 5, memory_gb=memory)
        found["neighbours"][memory] = [of_all.places, of_all.similarity, of_all.lowest]
    found["no neighbours"] = knn_together(everything[:0], everything, 5).places.shape
    found["postprocess"] = dict(filled(ReidEvaluator(options(), 11), InferenceSampler(36)).evaluate())
    found["none"] = rank_matches_together(query[:0], gallery)
    share = InferenceSampler(36)
    for evaluator in (ReidEvaluator(num_query=11), RandomGalleryEvaluator(num_query=11)):
        found[type(evaluator).__name__] = dict(filled(evaluator, share).evaluate())
    evaluator = filled(ReidEvaluator(num_query=11, roc=True), share)
    found["roc"] = (
        dict(evaluator.evaluate()),
        dict(evaluator.details),
        {k: v.tolist() for k, v in evaluator.queries.items()},
    )
    for name, make in WHOLE.items():
        evaluator = filled(make(), share)
        found[name] = everything_of(evaluator)
    found["inference"] = infer(ReidEvaluator(num_query=11))
    rows = torch.arange(5.0 * rank).reshape(-1, 5) + 100 * rank  # 0, 1 and 2 rows
    for chunk in (1, 20, 1 << 20):
        found["chunks"][chunk] = comm.all_gather_tensor(rows, chunk_bytes=chunk)

    # an image of rank 2 has a feature that is no number
    found["nan"] = failure(filled(ReidEvaluator(num_query=11), share, spoil=30).evaluate)
    broken = images().features
    broken[33] = torch.nan  # of a block of rank 2
    found["broken knn"] = failure(knn_together, broken, images().features, 2, memory_gb=KNN_MEMORY[1])
    # one query, of rank 1's block, has similarities that overflow
    large = images()
    large.features[4] = 3e38
    query, gallery = large.split(11)
    with mock.patch.object(rank_blocks, "_ROWS", 1):
        found["overflow"] = failure(rank_matches_together, query, gallery, metric="euclidean")
    # an image of rank 0 cannot be read; the batches after it are not waited for
    found["broken"] = failure(infer, ReidEvaluator(num_query=11), broken=2)
    # the evaluator of the last rank refuses its batch
    found["refused"] = failure(infer, Refuses(9 if rank == 2 else 0))
    found["after"] = comm.all_gather(rank)  # and the ranks still understand one another
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_ranks(work, WORLD, tmp_path_factory.mktemp("ranks"))


def test_every_rank_gets_the_ranks_of_one_process(found):
    query, gallery = images().split(11)
    for blocks, rows in ROWS.items():
        with mock.patch.object(rank_blocks, "_ROWS", rows):
            assert len(query_blocks(query, gallery)) == blocks
            expected = [r.tolist() for r in rank_matches(query, gallery)]
        assert [rank["ranks"][blocks] for rank in found] == [expected] * WORLD
    assert [rank["none"] for rank in found] == [[]] * WORLD


def test_blocks_of_queries_are_ranked_by_themselves(monkeypatch):
    monkeypatch.setattr(rank_blocks, "_ROWS", 1)
    query, gallery = images().split(11)
    blocks = query_blocks(query, gallery)
    whole = rank_matches(query, gallery)
    part = rank_matches(query, gallery, blocks=blocks[1::3])
    assert len(part) == 4
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(part, whole[1::3], strict=True))


@pytest.mark.parametrize("evaluator", [ReidEvaluator, RandomGalleryEvaluator])
def test_results_are_those_of_one_process_exactly(found, evaluator):
    expected = dict(filled(evaluator(num_query=11), range(36)).evaluate())
    assert [rank[evaluator.__name__] for rank in found] == [expected, {}, {}]
    if evaluator is ReidEvaluator:
        assert infer(evaluator(num_query=11)) == expected
        assert [rank["inference"] for rank in found] == [expected, {}, {}]


def test_verification_is_that_of_one_process_exactly(found):
    evaluator = filled(ReidEvaluator(num_query=11, roc=True), range(36))
    expected = dict(evaluator.evaluate()), evaluator.details, {k: v.tolist() for k, v in evaluator.queries.items()}
    assert expected[1]["verification"]["impostor_pairs"] > 0
    assert [rank["roc"] for rank in found] == [expected, ({}, {}, {}), ({}, {}, {})]


@pytest.mark.parametrize("name", WHOLE)
def test_everything_is_that_of_one_process_exactly(found, name):
    expected = everything_of(filled(WHOLE[name](), range(36)))
    assert expected[0] and expected[1] and expected[2]
    assert [rank[name] for rank in found] == [expected, ({}, {}, {}), ({}, {}, {})]


def test_neighbours_are_those_of_one_process_exactly(found):
    features = images().features
    for memory in KNN_MEMORY:
        expected = knn(features, features, 5, memory_gb=memory)
        for rank in found:
            places, similarity, lowest = rank["neighbours"][memory]
            assert torch.equal(places, expected.places)
            assert torch.equal(similarity, expected.similarity)
            assert torch.equal(lowest, expected.lowest)
    assert len(knn_blocks(36, 4, KNN_MEMORY[1])) > WORLD
    assert [tuple(rank["no neighbours"]) for rank in found] == [(0, 5)] * WORLD


def test_test_time_options_give_the_results_of_one_process_exactly(found):
    expected = dict(filled(ReidEvaluator(options(), 11), range(36)).evaluate())
    assert [rank["postprocess"] for rank in found] == [expected, {}, {}]
    assert expected != dict(filled(ReidEvaluator(num_query=11), range(36)).evaluate())


def test_rows_are_gathered_in_chunks(found):
    expected = torch.cat([torch.arange(5.0 * rank).reshape(-1, 5) + 100 * rank for rank in range(WORLD)])
    for rank in found:
        for chunk in rank["chunks"].values():
            assert torch.equal(chunk, expected)


def test_an_error_on_one_rank_is_raised_on_every_rank(found):
    for rank, own in enumerate(found):
        assert "ValueError: 1 of 36 images have features that are NaN or infinite, at positions 30" in own["nan"]
        assert own["after"] == [0, 1, 2]
        for name, culprit, message in (
            ("overflow", 1, "ValueError: the similarity of query 4 to the gallery has"),
            ("broken knn", 2, "ValueError: the similarities of image 33 to others"),
            ("broken", 0, "OSError: image 2 is broken"),
            ("refused", 2, "ValueError: 1 targets are none of the 4 classes"),
        ):
            told = message if rank == culprit else f"NeighbourFailed: rank {culprit} failed with {message}"
            assert own[name].startswith(told), own[name]
