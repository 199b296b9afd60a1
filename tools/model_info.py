#!/usr/bin/env python3
"""Tell what a model is made of and what it costs: parameters, FLOPs, embedding size, peak memory, images per second.

python tools/model_info.py --config-file configs/Market1501/bagtricks_R50-ibn.yml
python tools/model_info.py --config-file ... --no-speed --depth 3
python tools/model_info.py --config-file ... --batch-size 32 --json model.json TEST.FOLD_BN True MODEL.DEVICE cpu

No weights and no dataset are needed; docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fastreid.benchmark.model_info import model_report, report_text
from fastreid.config import get_cfg, get_config_file


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Settings of the config come last, as pairs: MODEL.DEVICE cpu"
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a shipped recipe is found by its name")
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed batches; their median counts (%(default)s)")
    parser.add_argument("--depth", type=int, default=2, help="of the parts: 1 is backbone, 2 its stages (%(default)s)")
    parser.add_argument("--no-speed", action="store_true", help="count only: needs neither memory nor a device")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    return parser


def main() -> None:
    """Describe the model, print it, write the file."""
    args = parser().parse_args()
    try:
        if args.json and not Path(args.json).absolute().parent.is_dir():
            raise FileNotFoundError(f"--json {args.json}: there is no such folder to write into; make it first")
        cfg = get_cfg()
        cfg.merge_from_file(get_config_file(args.config_file))
        cfg.merge_from_list(args.opts)
        report = model_report(
            cfg, batch=args.batch_size, repeats=args.repeats, depth=args.depth, speed=not args.no_speed
        )
    except (FileNotFoundError, ImportError, KeyError, ValueError) as error:
        sys.exit(str(error.args[0] if isinstance(error, KeyError) else error))
    print(report_text(report))
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
