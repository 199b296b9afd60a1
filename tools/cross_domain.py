#!/usr/bin/env python3
"""Evaluate several checkpoints on several test sets, and print the matrix; see docs/evaluation.md.

python tools/cross_domain.py --checkpoints logs/market logs/msmt/model_final.pth --tests Market1501 MSMT17 \
    --output-dir logs/cross
python tools/cross_domain.py ... --keys Rank-1 mAP TPR@FPR=1e-03 --output-dir logs/cross TEST.ROC.ENABLED True

The same command again computes only what is missing. matrix.json and matrix.csv lie in the output folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fastreid.config import get_cfg
from fastreid.engine.cross_domain import cross_domain, matrix_csv, matrix_table
from fastreid.utils.logger import setup_logger


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Settings that override the config of every checkpoint come last, as pairs: TEST.FLIP.ENABLED True",
    )
    parser.add_argument("--checkpoints", nargs="+", required=True, metavar="PATH", help="files, or OUTPUT_DIRs of runs")
    parser.add_argument("--tests", nargs="+", required=True, metavar="SET", help="names as in DATASETS.TESTS")
    parser.add_argument("--output-dir", required=True, metavar="FOLDER", help="gets the matrix and a folder a cell")
    parser.add_argument("--keys", nargs="+", default=["Rank-1", "mAP"], help="results that the matrix shows")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs")
    return parser


def arguments() -> argparse.Namespace:
    """Parse the command line: settings that follow ``--keys`` or ``--tests`` are none of these."""
    args = parser().parse_args()
    nodes = get_cfg()
    for name in ("tests", "keys"):
        words = getattr(args, name)
        first = next((place for place, word in enumerate(words) if word.split(".")[0] in nodes), len(words))
        setattr(args, name, words[:first])
        args.opts = [*words[first:], *args.opts]
    return args


def main() -> None:
    """Evaluate what is missing, print the matrix, write the files."""
    args = arguments()
    folder = Path(args.output_dir)
    setup_logger(str(folder))
    try:
        report = cross_domain(args.checkpoints, args.tests, str(folder), args.opts)
        table, lines = matrix_table(report, args.keys), matrix_csv(report, args.keys)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    (folder / "matrix.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "matrix.csv").write_text(lines, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
