"""Where an augmentation runs changes no weight."""

from __future__ import annotations

import pytest
import torch

from fastreid.engine import DefaultTrainer

from .tiny import tiny_cfg, write_market


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("datasets"))


def weights(root, output, *options):
    short = ["SOLVER.MAX_EPOCH", 1, "TEST.EVAL_PERIOD", 0, "INPUT.CJ.ENABLED", True]
    torch.manual_seed(0)
    trainer = DefaultTrainer(tiny_cfg(root, output, *short, *options))
    trainer.train()
    return trainer.model.state_dict()


@pytest.mark.parametrize("workers", [0, 2])
def test_training_with_stages_on_the_device_ends_with_the_same_weights(root, tmp_path, workers):
    plain = weights(root, tmp_path / "plain")
    stages = ("horizontal_flip", "color_jitter", "random_erasing")
    other = weights(root, tmp_path / "other", "INPUT.ON_DEVICE", stages, "DATALOADER.NUM_WORKERS", workers)
    assert all(torch.equal(plain[key], other[key]) for key in plain)
