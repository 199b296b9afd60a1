"""Real kills at random moments: the rest of the run is the same bit for bit, and the last checkpoint is always whole.

``make test`` does a few, ``make soak`` many (``FASTREID_SOAK=1``) from a seed of its own that the failure names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANY = os.environ.get("FASTREID_SOAK", "") not in ("", "0")
SEED = os.environ.get("FASTREID_SOAK_SEED", "0")


def soak(what, folder, count):
    command = [sys.executable, "-m", "tests.engine.soak", what, folder, "--count", count, "--seed", SEED]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=3600 if MANY else 500,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout.splitlines()[-1])
    assert len(trials) == count
    return trials


@pytest.mark.soak
@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    trials = soak("resume", tmp_path, 20 if MANY else 3)
    assert [trial for trial in trials if trial["different"]] == [], f"FASTREID_SOAK_SEED={SEED}"
    assert {kill["exit"] for trial in trials for kill in trial["kills"]} == {-9}
    assert {trial["workers"] for trial in trials} == {0, 2}


@pytest.mark.soak
@pytest.mark.slow
def test_a_kill_inside_a_save_leaves_a_whole_checkpoint(tmp_path):
    trials = soak("save", tmp_path, 50 if MANY else 5)
    assert [trial for trial in trials if trial["wrong"]] == [], f"FASTREID_SOAK_SEED={SEED}"
    assert {trial["exit"] for trial in trials} == {-9}
    at = {trial["point"]: trial for trial in trials}
    assert [at[point]["saved"] for point in at if point != "random"] == [2, 2, 2, 2]
    assert at["in the middle of the write"]["unfinished"] == ["model_1.pth.tmp"]
