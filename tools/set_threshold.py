#!/usr/bin/env python3
"""Write a copy of a checkpoint that carries a threshold of an evaluation; see docs/evaluation.md.

python tools/set_threshold.py model.pth model_with_threshold.pth --results logs/eval/results.json
python tools/set_threshold.py model.pth copy.pth --results logs/eval/results.json --point "DIR@FAR=1e-02" --label MSMT17
"""

from __future__ import annotations

import argparse
import sys

from fastreid.engine.thresholds import read_threshold, set_threshold


def main() -> None:
    """Read the threshold, write the copy, say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", metavar="CHECKPOINT", help="stays as it is")
    parser.add_argument("target", metavar="COPY", help="a new file")
    parser.add_argument("--results", required=True, metavar="FILE", help="results.json of an evaluation of CHECKPOINT")
    parser.add_argument("--label", help="the test set; may be left out if there is one")
    parser.add_argument(
        "--point", help="an operating point, such as TPR@FPR=1e-04, instead of the recommended threshold"
    )
    args = parser.parse_args()
    try:
        label, threshold = read_threshold(args.results, args.label, args.point)
        set_threshold(args.source, args.target, label, threshold)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    wanted = f"{threshold['kind'].upper()} {threshold['value']:g} on {label}"
    print(f"Wrote {args.target}: accept a {threshold['metric']} score >= {threshold['threshold']:.4f}, for {wanted}")


if __name__ == "__main__":
    main()
