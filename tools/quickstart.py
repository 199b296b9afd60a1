#!/usr/bin/env python3
"""Show the whole library at work on a machine without a GPU or a dataset: draw, train, evaluate, compare.

python tools/quickstart.py
python tools/quickstart.py SOLVER.MAX_EPOCH 4

It calls tools/train_net.py twice, with the same config and seed: once to evaluate the network as it is initialised,
once to train it. Settings of the config may follow as KEY VALUE pairs; they go to both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tabulate import tabulate

from fastreid.config import get_cfg, get_config_file

CONFIG = "configs/SynthReID/quickstart_R18.yml"
COLUMNS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")  # percent
TRAIN_NET = Path(__file__).with_name("train_net.py")

NEXT = """\
The trained network is {output}/model_final.pth. The same folder holds log.txt, metrics.json and config.yaml.

What next:

  Evaluate it again:
    {train} --eval-only MODEL.WEIGHTS {output}/model_final.pth
  Change something:
    {train} SOLVER.BASE_LR 5e-4 OUTPUT_DIR logs/my_first_try
  Train on real images (datasets/README.md says where they go):
    {python} tools/train_net.py --config-file configs/Market1501/bagtricks_R50-ibn.yml
  Add a part of your own:
    README.md, "A first component of your own"
"""


def main() -> None:
    """Evaluate the untrained network, train it, print both results side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    opts = parser.parse_args().opts
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(CONFIG))
    cfg.merge_from_list(opts)
    output = Path(cfg.OUTPUT_DIR)

    started = time.monotonic()
    say("1/2  Evaluate the untrained network (the synthetic images are drawn first, once)")
    train_net("--eval-only", *opts, "MODEL.WEIGHTS", "", "OUTPUT_DIR", str(output / "untrained"))
    say("2/2  Train the network")
    train_net(*opts)

    say(f"Done in {(time.monotonic() - started) / 60:.1f} minutes")
    name = cfg.DATASETS.TESTS[0]
    rows = [
        ("untrained", *results(output / "untrained", name)),
        ("trained", *results(output, name)),
    ]
    print(f"Results on {name}, in percent:\n")
    print(tabulate(rows, headers=("network", *COLUMNS), tablefmt="pipe", floatfmt=".2f") + "\n")
    python = python_command()
    train = f"{python} tools/train_net.py --config-file {CONFIG}"
    print(NEXT.format(python=python, train=train, output=output))


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n==== {text} ====\n", flush=True)


def train_net(*args: str) -> None:
    """Run tools/train_net.py on the quickstart config, with its output in the open."""
    command = [sys.executable, str(TRAIN_NET), "--config-file", CONFIG, *args]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"the command above failed (exit code {code}): {' '.join(command)}")


def results(folder: Path, name: str) -> list[float]:
    """Read the numbers of the newest evaluation in ``folder``."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return [found[name][column] for column in COLUMNS]


def python_command() -> str:
    """Name this Python the way a user would type it here."""
    path = os.path.relpath(sys.executable)
    return sys.executable if path.startswith("..") else path


if __name__ == "__main__":
    main()
