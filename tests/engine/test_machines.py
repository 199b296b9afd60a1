"""Several machines, as several launchers on this one: static and elastic rendezvous, and a restart after a death."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastreid.engine import launch

from ..ranks import free_port, run_ranks
from .tiny import tiny_cfg

ROOT = Path(__file__).resolve().parents[2]
TRAIN_NET = ROOT / "tools" / "train_net.py"
# rank 1 of the first attempt is killed in the middle of the second epoch
DEATH = """
import os, signal
from fastreid.engine.simple_trainer import SimpleTrainer

run_step = SimpleTrainer.run_step

def run_or_die(self):
    if os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0" and os.environ["RANK"] == "1" and self.iter == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    run_step(self)

SimpleTrainer.run_step = run_or_die
"""


def run_all(commands, timeout=600, **variables):
    """Run commands at the same time; return their outputs, and kill what is left if one hangs."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "PYTEST", "TORCHELASTIC"))
    }
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **variables}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env}
    started = [subprocess.Popen([sys.executable, *map(str, command)], **options) for command in commands]
    try:
        outputs = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    for process, output in zip(started, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def config_file(market, folder, *imports):
    folder.mkdir()
    cfg = tiny_cfg(market, folder, "SOLVER.MAX_EPOCH", 2, "TEST.EVAL_PERIOD", 0)
    cfg.CUSTOM_IMPORTS = [*cfg.CUSTOM_IMPORTS, *imports]
    (folder / "tiny.yml").write_text(cfg.dump(), encoding="utf-8")
    return folder / "tiny.yml"


@pytest.mark.slow
def test_two_machines_train_and_go_on_after_a_death(market, tmp_path):
    static = config_file(market, tmp_path / "static")
    address = f"tcp://127.0.0.1:{free_port()}"
    run_all([
        [TRAIN_NET, "--config-file", static, "--num-machines", 2, "--machine-rank", rank, "--dist-url", address]
        for rank in range(2)
    ])  # fmt: skip

    (tmp_path / "death.py").write_text(DEATH, encoding="utf-8")
    elastic = config_file(market, tmp_path / "elastic", str(tmp_path / "death.py"))
    torchrun = [
        "-m", "torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", 1, "--max-restarts", 2,
        "--rdzv-id", "run", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}",
    ]  # fmt: skip
    # as docs/distributed.md says: or the faster rank of the second attempt may read addresses of the first one
    own_store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    outputs = run_all([[*torchrun, TRAIN_NET, "--config-file", elastic, "--resume"]] * 2, **own_store)

    log = (tmp_path / "elastic" / "log.txt").read_text()
    assert any("SIGKILL" in output or "exitcode: -9" in output or "exitcode  : -9" in output for output in outputs)
    assert log.count("Nothing to resume") == 1
    assert "model_0000.pth at iteration 3, epoch 1" in log
    for folder in ("static", "elastic"):
        assert "World size: 2" in (tmp_path / folder / "log.txt").read_text()
    # stopped and resumed, by another rendezvous: the same weights, bit for bit
    ours, theirs = (
        torch.load(tmp_path / f / "model_final.pth", weights_only=True)["model"] for f in ("static", "elastic")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def nothing():
    pass


def test_a_machine_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"--machine-rank must be in 0\.\.1 \(--num-machines - 1\), got 2"):
        launch(nothing, 1, num_machines=2, machine_rank=2, device="cpu")


def find(rank):
    from fastreid.engine.resume import check_all_find

    check_all_find(f"machine{rank}/model_0001.pth")  # each machine has its own copy
    check_all_find("")
    with pytest.raises(FileNotFoundError) as error:
        check_all_find("logs/model_0001.pth" if rank == 0 else "")
    return str(error.value)


def test_machines_that_see_different_checkpoints_do_not_start(tmp_path):
    for message in run_ranks(find, 2, tmp_path):
        assert "different checkpoints in OUTPUT_DIR (rank 0: model_0001.pth, rank 1: none); put it on a" in message
