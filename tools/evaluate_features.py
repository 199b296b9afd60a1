#!/usr/bin/env python3
"""Evaluate features that tools/extract_features.py has written, without model and images; see docs/evaluation.md.

python tools/evaluate_features.py features/market TEST.ROC.ENABLED True
python tools/evaluate_features.py features/queries features/gallery OUTPUT_DIR logs/judged
python tools/evaluate_features.py --query features/queries --gallery features/gallery --config-file ...
"""

from __future__ import annotations

import argparse
import sys

from fastreid.config import CfgNode, get_cfg
from fastreid.engine import default_setup, launch, load_config
from fastreid.engine.feature_evaluation import config_of_features, evaluate_features
from fastreid.evaluation import verify_results
from fastreid.utils import comm


def arguments() -> argparse.Namespace:
    """Parse the command line: words before the first key of the config are folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="FOLDER [FOLDER] [KEY VALUE ...]", help="features; settings")
    parser.add_argument("--query", metavar="FOLDER", help="features of the queries")
    parser.add_argument("--gallery", metavar="FOLDER", help="features of the gallery")
    parser.add_argument("--config-file", default="", metavar="FILE", help="instead of the settings of the extraction")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes; without CUDA they share the cores")
    args = parser.parse_intermixed_args()
    keys = get_cfg()
    first = next((place for place, word in enumerate(args.words) if word.split(".")[0] in keys), len(args.words))
    folders, args.opts = args.words[:first], args.words[first:]
    if bool(args.query) != bool(args.gallery) or bool(folders) == bool(args.query) or len(folders) > 2:
        parser.error(f"name one folder, or two, or --query and --gallery; got {folders or 'none'}")
    args.query, args.gallery = (args.query, args.gallery) if args.query else (*folders, None)[:2]
    return args


def config(args: argparse.Namespace) -> CfgNode:
    """Return the config file or else the settings of the extraction, overlaid by those of the command line."""
    if args.config_file:
        return load_config(args)
    cfg = config_of_features(args.query)
    cfg.merge_from_list(args.opts)
    return cfg


def main(args: argparse.Namespace) -> dict[str, object]:
    """Do the job in one process; return the results on rank 0."""
    cfg = config(args)
    cfg.freeze()
    default_setup(cfg, argparse.Namespace(**vars(args), eval_only=True))
    results = evaluate_features(cfg, args.query, args.gallery)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


if __name__ == "__main__":
    args = arguments()
    try:
        launch(main, args.num_gpus, args=(args,), device=config(args).MODEL.DEVICE)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
