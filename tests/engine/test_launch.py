"""Several processes on one machine: the same numbers and the same batches as one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastreid.engine import DefaultTrainer, launch

from .tiny import tiny_cfg

ROOT = Path(__file__).resolve().parents[2]
TRAIN_NET = ROOT / "tools" / "train_net.py"


def run(*command, **env):
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("RANK", "WORLD_SIZE", "PYTEST"))
    }
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **env},
    )


def config_file(market, folder, *options):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.yml"
    path.write_text(tiny_cfg(market, folder, *options).dump(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(market, tmp_path_factory):
    """A checkpoint of one process, made by the command line."""
    folder = tmp_path_factory.mktemp("one")
    file = config_file(market, folder, "SOLVER.MAX_EPOCH", 1)
    done = run(TRAIN_NET, "--config-file", file)
    assert done.returncode == 0, done.stderr
    return folder


def test_one_command_trains_and_prints_the_table(trained):
    log = (trained / "log.txt").read_text()
    assert "Starting training from epoch 0" in log
    assert "| Dataset" in log and "| Rank-1" in log
    assert json.loads((trained / "results.json").read_text())["Market1501"]["mAP"] > 0


@pytest.mark.parametrize("how", ["--num-gpus", "torchrun"])
def test_two_processes_evaluate_to_the_same_numbers(trained, market, tmp_path, how):
    file = config_file(market, tmp_path)
    weights = ("MODEL.WEIGHTS", trained / "model_final.pth")
    if how == "torchrun":
        start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, TRAIN_NET)
    else:
        start = (TRAIN_NET, "--num-gpus", 2)
    done = run(*start, "--config-file", file, "--eval-only", *weights)
    assert done.returncode == 0, done.stderr
    assert "World size: 2" in (tmp_path / "log.txt").read_text()
    if how == "--num-gpus":
        assert "2 processes without GPUs (MODEL.DEVICE cpu), talking through gloo" in done.stderr
    one, two = (json.loads((folder / "results.json").read_text()) for folder in (trained, tmp_path))
    assert one == two


def record_batches(cfg, folder):
    """Train an epoch, and write down every batch that this process saw."""
    from fastreid.utils import comm

    trainer = DefaultTrainer(cfg)
    seen, next_batch = [], trainer._trainer.next_batch

    def watch():
        batch, seconds = next_batch()
        seen.append([(path, image.sum().item()) for path, image in zip(batch["img_paths"], batch["images"].long())])
        return batch, seconds

    trainer._trainer.next_batch = watch
    trainer.train()
    with open(f"{folder}/{comm.get_world_size()}.{comm.get_rank()}.json", "w") as file:
        json.dump(seen, file)


def test_two_processes_share_the_global_batches_of_one(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path / "run", "SOLVER.MAX_EPOCH", 2)
    launch(record_batches, 1, args=(cfg, str(tmp_path)), device="cpu")
    launch(record_batches, 2, args=(cfg, str(tmp_path)), device="cpu")
    one, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1.0", "2.0", "2.1"))
    assert len(one) == len(first) == len(second) == 6
    for whole, left, right in zip(one, first, second):
        assert sorted(whole) == sorted(left + right)  # the same files, and the same pixels after augmentation
    saved = torch.load(tmp_path / "run" / "model_final.pth", weights_only=True)
    assert len(saved["random_state"]) == 2


def test_a_rank_that_fails_ends_the_run(market, tmp_path):
    file = config_file(market, tmp_path, "MODEL.BACKBONE.FEAT_DIM", 99)
    done = run(TRAIN_NET, "--num-gpus", 2, "--config-file", file)
    assert done.returncode != 0
    assert "MODEL.BACKBONE.FEAT_DIM" in done.stderr


def nothing():
    return "done"


def test_one_process_runs_in_place():
    assert launch(nothing, 1, device="cpu") == "done"


def test_more_gpus_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ValueError, match=r"--num-gpus is 2, but this machine has 1; ask for fewer, or set MODEL.DEVICE cpu"
    ):
        launch(nothing, 2)
    with pytest.raises(ValueError, match="--num-gpus and --num-machines must be at least 1, got 0"):
        launch(nothing, 0)


def test_cuda_without_cuda_and_machines_without_an_address_are_errors(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"MODEL\.DEVICE is 'cuda', but torch finds no CUDA device"):
        launch(nothing, 2, device="cuda")
    with pytest.raises(ValueError, match="--dist-url must be tcp:"):
        launch(nothing, 2, num_machines=2, device="cpu")
