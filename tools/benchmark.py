#!/usr/bin/env python3
"""Measure training, loading, feeding, inference, evaluation and sampling; docs/benchmarks.md explains the figures.

python tools/benchmark.py --quick
python tools/benchmark.py --only evaluation,loader --json figures.json
python tools/benchmark.py --evaluation --large
python tools/benchmark.py --against ../an-older-checkout
python tools/benchmark.py --only inference --variant "small: INPUT.SIZE_TEST [128,64]"
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from fastreid.benchmark import AREAS, Checkout, benchmark, parse_variant, plan, tables
from fastreid.benchmark.cases import CONFIG_FILE
from fastreid.config import get_cfg, get_config_file


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Settings of the config come last, as pairs: MODEL.DEVICE cpu"
    )
    parser.add_argument("--config-file", default=CONFIG_FILE, metavar="FILE", help="recipe of model, input, training")
    parser.add_argument(
        "--only", default=",".join(AREAS), metavar="AREAS", help=f"some of {','.join(AREAS)}, or area:case"
    )
    parser.add_argument(
        "--evaluation", dest="only", action="store_const", const="evaluation", help="same as --only evaluation"
    )
    parser.add_argument("--large", action="store_true", help="also evaluate galleries that take many minutes")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, each in fresh processes")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look")
    parser.add_argument(
        "--variant",
        action="append",
        metavar="'NAME: KEY VALUE ...'",
        help="also train and embed with these settings (may be given again); replaces the built-in variants",
    )
    parser.add_argument("--against", metavar="PATH", help="measure another checkout in turns, and print ratios")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    return parser


def main() -> None:
    """Measure, print the tables, write the file; exit with 1 if a case of ours failed."""
    args = parser().parse_args()
    try:
        if args.json and not Path(args.json).absolute().parent.is_dir():  # the figures take long to measure
            raise FileNotFoundError(f"--json {args.json}: there is no such folder to write into; make it first")
        cases = plan(
            [name.strip() for name in args.only.split(",") if name.strip()],
            config_file=args.config_file,
            opts=args.opts,
            variants=dict(map(parse_variant, args.variant)) if args.variant else None,
            quick=args.quick,
            gpu=torch.cuda.is_available(),
            large=args.large,
        )
        for opts in [args.opts, *(case.values["opts"] for case in cases if "opts" in case.values)]:
            cfg = get_cfg()  # a mistake shows now, and not after the first hour
            cfg.merge_from_file(get_config_file(args.config_file))
            cfg.merge_from_list(opts)
        against = Checkout.at(args.against) if args.against else None
        report = benchmark(cases, repeats=args.repeats, against=against, say=lambda line: print(line, flush=True))
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    print(f"\n{tables(report)}")
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if report["ours"]["failures"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
