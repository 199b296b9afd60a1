#!/usr/bin/env python3
"""Write a checkpoint whose weights are an average that another checkpoint holds (SOLVER.EMA, SOLVER.SWA).

python tools/export_average.py logs/.../model_final.pth model_ema.pth --which ema

The new file is a plain checkpoint without a run's state: whatever loads weights takes it. Without a file of its own,
MODEL.WEIGHTS_KEY ema does the same for train_net.py and DefaultPredictor; docs/training.md tells more.
"""

from __future__ import annotations

import argparse
import sys

from fastreid.utils.checkpoint import export_average


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", metavar="IN.pth", help="a checkpoint of a run with SOLVER.EMA or SOLVER.SWA")
    parser.add_argument("target", metavar="OUT.pth", help="the file to write")
    parser.add_argument("--which", default="ema", metavar="NAME", help="ema or swa (default: %(default)s)")
    return parser


def main() -> None:
    """Write the file and say so."""
    args = parser().parse_args()
    try:
        export_average(args.source, args.target, args.which)
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    print(f"Wrote {args.target}, the average {args.which} of {args.source}")


if __name__ == "__main__":
    main()
