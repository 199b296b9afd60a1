#!/usr/bin/env python3
"""Draw the curves of one or several runs: losses, accuracy, learning rate, results, speed.

python tools/plot_run.py logs/market1501/bagtricks_R50
python tools/plot_run.py logs/first logs/second --output compare.svg --smooth 5
python tools/plot_run.py logs/first --metrics total_loss "lr*" mAP --x iteration

docs/training.md says what the scalars are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastreid.visualization import draw_runs, read_runs, save_figure


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the OUTPUT_DIR of a run, or its metrics.json")
    parser.add_argument("--output", default="curves.png", help="a .png or .svg file (default: %(default)s)")
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help='scalars, or patterns such as "loss_*" (default: the usual ones)'
    )
    parser.add_argument("--x", choices=("epoch", "iteration"), help="default: epoch, where all runs tell its length")
    parser.add_argument(
        "--smooth", type=int, default=1, metavar="N", help="mean over N written values; 1, the default, is none"
    )
    return parser


def main() -> None:
    """Read the runs, draw them, save the picture."""
    args = parser().parse_args()
    if Path(args.output).suffix.lower() not in (".png", ".svg"):
        sys.exit(f"--output must end in .png or .svg, got {args.output!r}")
    try:
        figure = draw_runs(read_runs(args.runs), metrics=args.metrics, x=args.x, smooth=args.smooth)
        save_figure(figure, args.output)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{args.output}: {len(args.runs)} run(s), {len(figure.axes)} panels")


if __name__ == "__main__":
    main()
