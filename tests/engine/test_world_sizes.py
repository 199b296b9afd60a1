"""1, 2 and 4 processes: the same batches, the same losses and weights, the same metrics."""

from __future__ import annotations

import logging

import pytest
import torch

from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.weights import unwrap_model

from ..ranks import run_ranks
from .tiny import tiny_cfg, write_market

CROSS_RANK = ["MODEL.LOSSES.CROSS_RANK", True]
CASES = {
    "cross-entropy": ["MODEL.LOSSES.NAME", ("CrossEntropyLoss",)],
    "hardest triplets": ["MODEL.LOSSES.NAME", ("TripletLoss",), *CROSS_RANK],
    "weighted triplets": [
        "MODEL.LOSSES.NAME", ("CrossEntropyLoss", "TripletLoss"), "MODEL.LOSSES.TRI.HARD_MINING", False, *CROSS_RANK
    ],
    "circle": ["MODEL.LOSSES.NAME", ("CrossEntropyLoss", "CircleLoss"), "MODEL.LOSSES.CIRCLE.GAMMA", 16, *CROSS_RANK],
    "synchronised norms": [
        "MODEL.LOSSES.NAME", ("CrossEntropyLoss",), "MODEL.HEADS.WITH_BNNECK", True, "MODEL.SYNC_BN", True
    ],
}  # fmt: skip
OWN_TRIPLETS = {"triplets of each rank": ["MODEL.LOSSES.NAME", ("TripletLoss",)]}


def config(market, folder, case):
    """Return the config of an epoch of SGD: three batches of eight images, which four processes can share."""
    return tiny_cfg(
        market, folder / case, "MODEL.BACKBONE.NAME", "build_plain_tiny_backbone", "MODEL.HEADS.WITH_BNNECK", False,
        "SOLVER.OPT", "SGD", "SOLVER.BASE_LR", 0.05, "SOLVER.WARMUP_ITERS", 0, "SOLVER.MAX_EPOCH", 1,
        "SOLVER.CHECKPOINT_PERIOD", 9, "TEST.EVAL_PERIOD", 0, *(CASES | OWN_TRIPLETS)[case],
    )  # fmt: skip


def train(rank, market, folder, case):
    """Train an epoch; return batches, losses and weights, and what two models are worth: this one, and that of one."""
    torch.manual_seed(1 + rank)
    cfg = config(market, folder, case)
    trainer = DefaultTrainer(cfg)
    seen, next_batch = [], trainer._trainer.next_batch

    def watch():
        batch, seconds = next_batch()
        seen.append([[path, image.sum().item()] for path, image in zip(batch["img_paths"], batch["images"].long())])
        return batch, seconds

    trainer._trainer.next_batch = watch
    start = {name: value.clone() for name, value in unwrap_model(trainer.model).state_dict().items()}
    trained = trainer.train()
    weights = {name: value.clone() for name, value in unwrap_model(trainer.model).state_dict().items()}
    assert not torch.equal(start["backbone.conv.0.weight"], weights["backbone.conv.0.weight"])
    reference = folder / f"{case}.pth"
    if not reference.exists():
        torch.save({"model": weights}, reference)
    Checkpointer(trainer.model).load(str(reference), checkpointables=[])
    return {
        "batches": seen,
        "losses": [float(value) for value, _ in trainer.storage.history("total_loss").values()],
        "weights": weights,
        "trained": dict(trained),
        "evaluated": dict(DefaultTrainer.test(cfg, trainer.model)),
    }


def train_all(rank, market, folder):
    logging.disable(logging.INFO)
    torch.use_deterministic_algorithms(True)
    return {case: train(rank, market, folder, case) for case in CASES | OWN_TRIPLETS}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    market = write_market(folder / "datasets", contrast=0.1)
    return {world: run_ranks(train_all, world, folder, market, folder) for world in (1, 2, 4)}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("world", [2, 4])
class TestProcesses:
    def test_batches_are_the_same(self, runs, world, case):
        (one,), several = runs[1], runs[world]
        assert len(one[case]["batches"]) == 3
        for number, whole in enumerate(one[case]["batches"]):
            shares = [rank[case]["batches"][number] for rank in several]
            assert [len(share) for share in shares] == [8 // world] * world
            assert [item for share in shares for item in share] == whole  # same files, same order, same pixels

    def test_losses_and_weights_are_the_same(self, runs, world, case):
        (one,), several = runs[1], runs[world]
        for rank in several:
            torch.testing.assert_close(rank[case]["weights"], one[case]["weights"], rtol=0, atol=1e-5)
            assert rank[case]["losses"] == pytest.approx(one[case]["losses"], rel=1e-5)

    def test_metrics_are_the_same(self, runs, world, case):
        (one,), (first, *others) = runs[1], runs[world]
        assert first[case]["evaluated"] == one[case]["evaluated"] == one[case]["trained"]
        assert 0 < first[case]["trained"]["mAP"] < 100
        assert first[case]["trained"] == pytest.approx(one[case]["trained"], rel=1e-6)
        assert all(rank[case]["evaluated"] == rank[case]["trained"] == {} for rank in others)


@pytest.mark.slow
def test_triplets_of_each_rank_alone_are_others(runs):
    (one,), (first, second) = runs[1], runs[2]
    own = [run["triplets of each rank"]["weights"] for run in (one, first, second)]
    torch.testing.assert_close(own[1], own[2])
    assert (own[0]["backbone.conv.0.weight"] - own[1]["backbone.conv.0.weight"]).abs().max() > 1e-4
