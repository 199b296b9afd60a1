#!/usr/bin/env python3
"""Tell what a model is made of and what it costs: parameters, FLOPs, embedding size, peak memory, images per second.

python tools/model_info.py --config-file configs/Market1501/bagtricks_R50-ibn.yml
python tools/model_info.py --config-file ... --no-speed --depth 3
python tools/model_info.py --config-file ... --batch-size 32 --json model.json TEST.FOLD_BN True MODEL.DEVICE cpu
python tools/model_info.py --backbones resnet:50x,timm:convnext_tiny,timm:vit_small_patch14_dinov2:252x126

No weights and no dataset are needed; docs/benchmarks.md explains the figures, docs/backbones.md the table of backbones.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fastreid.benchmark.backbones import compare_backbones, costs_text, parse_backbones
from fastreid.benchmark.model_info import model_report, report_text
from fastreid.config import CfgNode, get_cfg, get_config_file


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Settings of the config come last, as pairs: MODEL.DEVICE cpu"
    )
    parser.add_argument("--config-file", metavar="FILE", help="a shipped recipe is found by its name")
    parser.add_argument(
        "--backbones",
        metavar="LIST",
        help="compare these: NAME:DEPTH[:HEIGHTxWIDTH], with commas; all: those of the docs",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timed batches; their median counts (%(default)s)")
    parser.add_argument("--depth", type=int, default=2, help="of the parts: 1 is backbone, 2 its stages (%(default)s)")
    parser.add_argument("--no-speed", action="store_true", help="count only: needs neither memory nor a device")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    return parser


def describe(args: argparse.Namespace, cfg: CfgNode) -> tuple[str, Any]:
    """Return what is to be printed, and the figures."""
    options = {"batch": args.batch_size, "repeats": args.repeats, "speed": not args.no_speed}
    if args.backbones is None:
        report = model_report(cfg, depth=args.depth, **options)
        return report_text(report), report
    costs = compare_backbones(cfg, parse_backbones(args.backbones), **options)
    speed = f", threads: {torch.get_num_threads()}, batches of {args.batch_size}, median of {args.repeats}"
    return f"{costs_text(costs)}\n\ntorch {torch.__version__}{'' if args.no_speed else speed}", list(map(asdict, costs))


def main() -> None:
    """Describe the model or the backbones, print it, write the file."""
    args = parser().parse_args()
    try:
        if args.json and not Path(args.json).absolute().parent.is_dir():
            raise FileNotFoundError(f"--json {args.json}: there is no such folder to write into; make it first")
        if args.config_file is None and args.backbones is None:
            raise ValueError("give --config-file, the model to describe, or --backbones, what to compare")
        cfg = get_cfg()
        if args.config_file is not None:
            cfg.merge_from_file(get_config_file(args.config_file))
        cfg.merge_from_list(args.opts)
        text, figures = describe(args, cfg)
    except (FileNotFoundError, ImportError, KeyError, ValueError) as error:
        sys.exit(str(error.args[0] if isinstance(error, KeyError) else error))
    print(text)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
