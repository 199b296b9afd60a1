#!/usr/bin/env python3
"""Draw what evaluations left: ROC, scores, CMC, DIR at FAR, average precisions, pairs of cameras.

python tools/plot_results.py logs/eval
python tools/plot_results.py logs/a logs/b --names before after --output compare.svg
python tools/plot_results.py logs/a logs/b --label Market1501 --panels roc cmc

docs/visualization.md says how to read the curves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastreid.engine.evaluation_results import file_label
from fastreid.engine.setup import make_output_folder
from fastreid.visualization import draw_results, read_evaluations, save_figure
from fastreid.visualization.curves.result_record import PANELS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the OUTPUT_DIR of an evaluation, or its results.json")
    parser.add_argument(
        "--output",
        default="results.png",
        help="a .png or .svg file; of several test sets, one for each, results_<test set>.png (default: %(default)s)",
    )
    parser.add_argument("--label", metavar="TEST_SET", help="default: each test set that all runs have")
    parser.add_argument("--panels", nargs="+", choices=PANELS, help="default: all that some run has")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the runs, for the legend (default: folders)")
    return parser


def main() -> None:
    """Read the evaluations, draw them, save the pictures."""
    args = parser().parse_args()
    output = Path(args.output)
    if output.suffix.lower() not in (".png", ".svg"):
        sys.exit(f"--output must end in .png or .svg, got {args.output!r}")
    try:
        found = read_evaluations(args.runs, names=args.names, label=args.label)
        make_output_folder(str(output.parent), called="--output: the folder")
        for label, records in found.items():
            path = output if len(found) == 1 else output.with_stem(f"{output.stem}_{file_label(label)}")
            save_figure(draw_results(records, panels=args.panels), path)
            print(f"{path}: {label}, {len(records)} run(s)")
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
