"""A tiny dataset, a tiny configuration and a way to run the command lines: what the contract tests start from."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from fastreid.config import CfgNode, get_cfg

REPO = Path(__file__).resolve().parents[2]
RECIPE = REPO / "configs" / "Base-bagtricks.yml"
RESULT_KEYS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric")

# A network and a schedule that train within seconds on one core.
TINY = {
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.PRETRAIN": False,
    "MODEL.BACKBONE.DEPTH": "18x",
    "MODEL.BACKBONE.FEAT_DIM": 512,
    "INPUT.SIZE_TRAIN": [32, 16],
    "INPUT.SIZE_TEST": [32, 16],
    "DATALOADER.NUM_WORKERS": 0,
    "DATALOADER.NUM_INSTANCE": 2,
    "TEST.NUM_WORKERS": 0,
    "TEST.IMS_PER_BATCH": 8,
    "SOLVER.AMP.ENABLED": False,
    "SOLVER.IMS_PER_BATCH": 8,
    "SEED": 3,
}
# Standard deviation, of pixels in 0..255: training easy enough for a falling loss, the test hard enough for mistakes.
TRAIN_NOISE, TEST_NOISE = 12, 100


def options(**more: object) -> list[str]:
    """Return `KEY VALUE ...` of the tiny configuration; a double underscore in a name stands for a dot."""
    merged = TINY | {name.replace("__", "."): value for name, value in more.items()}
    return [str(part) for item in merged.items() for part in item]


def tiny_cfg(**more: object) -> CfgNode:
    """Return the Bag-of-Tricks base recipe with the tiny configuration on top."""
    cfg = get_cfg()
    cfg.merge_from_file(str(RECIPE))
    cfg.merge_from_list(options(**more))
    return cfg


def write_image(path: Path, pid: int, index: int) -> None:
    noise_level = TRAIN_NOISE if "train" in path.parent.name else TEST_NOISE
    path.parent.mkdir(parents=True, exist_ok=True)
    body = np.random.default_rng(abs(pid) + 1).integers(0, 256, (4, 2, 3))  # the identity
    pixels = body.repeat(8, axis=0).repeat(8, axis=1)  # (32, 16, 3)
    noise = np.random.default_rng((abs(pid), index)).normal(0, noise_level, pixels.shape)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, quality=95)


def write_market(root: Path, *, train_ids: int = 8, images_per_camera: int = 3) -> Path:
    """Write a dataset in the Market-1501 layout under `root` and return `root`.

    `train_ids` people x 2 cameras x `images_per_camera` for training; 5 queries and 25 gallery boxes, among them
    3 distractors (0000) and 2 junk boxes (-1).
    """
    home = root / "Market-1501-v15.09.15"
    for pid in range(2, 2 + train_ids):
        for camera in (1, 2):
            for k in range(images_per_camera):
                name = f"{pid:04d}_c{camera}s1_{k:06d}_01.jpg"
                write_image(home / "bounding_box_train" / name, pid, 10 * camera + k)
    for pid in range(101, 106):
        write_image(home / "query" / f"{pid:04d}_c1s1_000000_00.jpg", pid, 1)
        for camera, k in ((1, 1), (2, 0), (2, 1), (3, 0)):
            write_image(
                home / "bounding_box_test" / f"{pid:04d}_c{camera}s1_{k:06d}_01.jpg", pid, 100 + 10 * camera + k
            )
    for k in range(3):
        write_image(home / "bounding_box_test" / f"0000_c{k + 1}s1_{k:06d}_01.jpg", 0, k)
    for k in range(2):
        write_image(home / "bounding_box_test" / f"-1_c{k + 1}s1_{k:06d}_01.jpg", -1, k)
    return root


def environment(datasets: Path | None = None) -> dict[str, str]:
    """Return the environment of a sub-process: this checkout's package, one thread, and the dataset root."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    if datasets is not None:
        env["FASTREID_DATASETS"] = str(datasets)
    return env


def start_tool(*arguments: object, datasets: Path) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` in the root of the checkout; both streams go into one pipe."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=REPO,
        env=environment(datasets),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_tool(*arguments: object, datasets: Path, timeout: float = 150, ok: bool = True) -> str:
    """Run `python ARGUMENTS` to its end and return what it printed; `ok` says whether it must succeed."""
    process = start_tool(*arguments, datasets=datasets)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"still running after {timeout} s:\n{output[-3000:]}") from None
    assert (process.returncode == 0) == ok, f"exit status {process.returncode}:\n{output[-6000:]}"
    return output


def main_in_process(*arguments: object, tool: str = "train_net.py") -> tuple[BaseException | None, str]:
    """Run a tool's `__main__` here; return what it raised and, with the text of that, what it printed."""
    printed = io.StringIO()
    argv = [str(REPO / "tools" / tool), *map(str, arguments)]
    error: BaseException | None = None
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "path", list(sys.path)),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as stop:
            error = stop if stop.code not in (0, None) else None
        except BaseException as failure:
            error = failure
    return error, f"{error}\n{printed.getvalue()}"


def read_metrics(output_dir: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.json`; a NaN or an infinity is not JSON and fails."""

    def refuse(token: str) -> float:
        raise AssertionError(f"metrics.json holds {token}, which is not JSON")

    lines = (output_dir / "metrics.json").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def evaluations(output_dir: Path) -> list[dict[str, float]]:
    """Return the result values of every evaluation in `metrics.json`, in order."""
    return [{k: line[k] for k in RESULT_KEYS} for line in read_metrics(output_dir) if "Rank-1" in line]


def printed_results(output: str) -> dict[str, float]:
    """Return the last row `| Market1501 | ... |` of a results table in `output`, by column."""
    rows = [re.findall(r"[^|\s]+", line[line.index("|") :]) for line in output.splitlines() if line.count("|") > 5]
    head = next(row for row in rows if row[0] == "Dataset")
    last = [row for row in rows if row[0] == "Market1501"][-1]
    assert head[1:7] == list(RESULT_KEYS)
    return dict(zip(head[1:], map(float, last[1:])))


@contextlib.contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """Turn a hang into a failure."""

    def stop(*_: object) -> None:
        raise AssertionError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
