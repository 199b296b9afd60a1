#!/usr/bin/env python3
"""Write a folder that opens in any browser: numbers, curves, every query with its rank list; see docs/visualization.md.

python tools/make_report.py features/market --output report
python tools/make_report.py features/market_a features/market_b --names first second --output report
python tools/make_report.py --config-file ... --dataset-name Market1501 --output report MODEL.WEIGHTS model.pth

FEATURES are folders that tools/extract_features.py has written, of one test set; all are compared with the first.
From a checkpoint, features are extracted into OUTPUT_features first, where the next call finds them.
"""

from __future__ import annotations

import argparse
import os
import sys

from fastreid.config import CfgNode, get_cfg
from fastreid.engine import load_config
from fastreid.engine.feature_evaluation import config_of_features
from fastreid.utils.custom_imports import import_custom_modules
from fastreid.utils.logger import setup_logger
from fastreid.utils.weights import WeightFileError, WeightsMismatch
from fastreid.visualization.rank_lists.rank_run import extract_test_set
from fastreid.visualization.report import ReportOptions, check_output, make_report


def arguments() -> argparse.Namespace:
    """Parse the command line: words before the first key of the config are folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("words", nargs="*", metavar="FEATURES ... [KEY VALUE ...]", help="features; settings, such as TEST.DBA.ENABLED")
    add("--output", required=True, metavar="DIR", help="folder of the report")
    add("--overwrite", action="store_true", help="replace a report that is there")
    add("--names", nargs="+", metavar="NAME", help="of the runs (default: those of the folders)")
    add("--ranks", type=int, default=20, metavar="N", help="images with a rank in each list (default: %(default)s)")
    add("--queries", type=int, default=0, metavar="N", help="only the N that the first run ranks worst (default: all)")
    add("--thumbnail", type=size, default="64x128", metavar="WxH", help="pixels of the images (default: %(default)s)")
    add("--workers", type=int, default=0, metavar="N", help="threads that decode images (default: one for each core)")
    add("--suspects", action=argparse.BooleanOptionalAction, default=True, help="look for wrong labels, too")
    maps = "activation maps, of the N queries that the first run ranks worst and of all in their lists (N: 100)"
    add("--actmap", type=int, nargs="?", const=100, default=0, metavar="N", help=f"{maps}; needs the checkpoints")
    add("--actmap-method", default="auto", metavar="METHOD", help="default: %(default)s, what suits the model")
    add("--config-file", default="", metavar="FILE", help="instead of the settings that are stored with the features")
    add("--dataset-name", default="", metavar="NAME", help="extract the features of a test set first")
    args = parser.parse_intermixed_args()
    keys = get_cfg()
    first = next((place for place, word in enumerate(args.words) if word.split(".")[0] in keys), len(args.words))
    args.features, args.opts = args.words[:first], args.words[first:]
    if args.dataset_name and (args.features or not args.config_file):
        parser.error("--dataset-name needs --config-file and MODEL.WEIGHTS, and no folder of features")
    if not args.dataset_name and not args.features:
        parser.error("name one folder of features or several, or --config-file, --dataset-name and MODEL.WEIGHTS")
    return args


def size(text: str) -> tuple[int, int]:
    """Return width and height."""
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be like 64x128, got {text!r}") from None
    return width, height


def judged(features: str, args: argparse.Namespace) -> CfgNode:
    """Return how features are judged: by the config file or the stored settings, overlaid by the command line."""
    cfg = load_config(args) if args.config_file else config_of_features(features)
    cfg.merge_from_list(args.opts)
    if "TEST.ROC.ENABLED" not in args.opts:
        cfg.TEST.ROC.ENABLED = cfg.TEST.PROTOCOL != "leave_one_out"  # which has no queries apart from the gallery
    return cfg


def main() -> None:
    """Extract if need be, judge, write."""
    args = arguments()
    setup_logger()
    options = ReportOptions(
        ranks=args.ranks,
        queries=args.queries,
        thumbnail=args.thumbnail,
        workers=args.workers,
        overwrite=args.overwrite,
        suspects=args.suspects,
        actmap=args.actmap,
        method=args.actmap_method,
    )
    named = load_config(args) if args.config_file else None
    if named is not None:
        import_custom_modules(named.CUSTOM_IMPORTS)
        named.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    if args.dataset_name:
        check_output(args.output, overwrite=args.overwrite)
        args.features = [os.path.normpath(args.output) + "_features"]
        extract_test_set(named, args.dataset_name, args.features[0])
    configs = [judged(folder, args) for folder in args.features]
    models = {"named": named, "opts": args.opts}
    images = make_report(args.features, configs, args.output, options, names=args.names, **models)
    page = os.path.join(args.output, "index.html")
    print(f"{page}: {len(images.queries)} queries, {len(images)} images; open it in a browser")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing half-done is left")
    except (KeyError, OSError, TypeError, ValueError, WeightFileError, WeightsMismatch) as error:
        sys.exit(f"{type(error).__name__}: {error}")
