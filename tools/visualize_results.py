#!/usr/bin/env python3
"""Draw rank lists: what a model found for each of some queries, the worst first; see docs/visualization.md.

python tools/visualize_results.py --config-file ... --dataset-name Market1501 --vis-label --opts MODEL.WEIGHTS model.pth
python tools/visualize_results.py --features features/market --output logs/ranks --vis-label --sort identity

From a checkpoint, features are extracted into OUTPUT/features first, where the next call finds them.
"""

from __future__ import annotations

import argparse
import os
import sys

import torch

from fastreid.config import CfgNode
from fastreid.engine import default_setup, load_config
from fastreid.engine.feature_evaluation import config_of_features
from fastreid.engine.setup import split_settings
from fastreid.utils.weights import WeightFileError, WeightsMismatch
from fastreid.visualization.rank_lists.rank_cells import Look
from fastreid.visualization.rank_lists.rank_pictures import SORTS
from fastreid.visualization.rank_lists.rank_run import Choice, draw_rank_lists, extract_test_set

_ORDERS = ("ascending", "descending")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="of the model; with --features instead of its settings")
    add("--dataset-name", default="", metavar="NAME", help="a test set; default: the only one of DATASETS.TESTS")
    add("--features", metavar="FOLDER", help="what tools/extract_features.py has written, instead of a checkpoint")
    add("--gallery", metavar="FOLDER", help="features of the gallery, if it has a folder of its own")
    add("--output", default="./vis_rank_list", metavar="DIR", help="folder of the pictures (default: %(default)s)")
    add("--num-vis", type=int, default=100, metavar="N", help="pictures at most (default: %(default)s)")
    add("--sort", choices=SORTS, default="ap", help="order of the queries (default: %(default)s)")
    add("--rank-sort", choices=_ORDERS, default="ascending", help="by AP: ascending, the default, is the worst first")
    add("--seed", type=int, default=0, metavar="N", help="of --sort random (default: %(default)s)")
    add("--identity", nargs="+", default=[], metavar="ID", help="only queries of these identities")
    add("--camera", nargs="+", default=[], metavar="CAM", help="only queries by these cameras")
    add("--max-rank", type=int, default=10, metavar="N", help="images with a rank (default: %(default)s)")
    add("--vis-label", action="store_true", help="show the query's true matches in a second row")
    add("--label-sort", choices=_ORDERS, default="ascending", help="by score: ascending, the default, is hardest first")
    add("--junk", action=argparse.BooleanOptionalAction, default=True, help="show what does not count, too")
    add("--actmap", nargs="?", const="auto", default="", metavar="METHOD", help="lay activation maps over the images")
    add("--parallel", action="store_true", help="embed on all GPUs of this machine")
    add("--workers", type=int, default=0, metavar="N", help="threads that draw (default: one for each core, at most 4)")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="settings, to the end of the line")
    add("settings", nargs="*", metavar="KEY VALUE", help="settings that override the config")
    args = parser.parse_intermixed_args()
    behind = {}
    for name in ("identity", "camera"):
        words, behind[name] = split_settings(getattr(args, name))
        setattr(args, name, words)
    if split_settings([args.actmap])[1]:  # --actmap KEY VALUE ...: no method was named
        args.actmap, args.settings = "auto", [args.actmap, *args.settings]
    args.opts = [*args.settings, *behind["identity"], *behind["camera"], *args.opts]
    if args.features and (args.dataset_name or args.parallel):
        parser.error("--dataset-name and --parallel are for a checkpoint; leave them out with --features")
    if args.features and args.actmap:
        parser.error("--actmap needs a checkpoint: --config-file and MODEL.WEIGHTS instead of --features")
    if not args.features and (args.gallery or not args.config_file):
        parser.error("name --features FOLDER, or --config-file FILE and --opts MODEL.WEIGHTS CHECKPOINT")
    return args


def config(args: argparse.Namespace) -> CfgNode:
    """Return the config file, or else the settings of the extraction, overlaid by those of the command line."""
    if args.config_file:
        cfg = load_config(args)
        cfg.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    else:
        cfg = config_of_features(args.features)
        cfg.merge_from_list(args.opts)
    cfg.OUTPUT_DIR = args.output
    cfg.freeze()
    return cfg


def main() -> None:
    """Extract if need be, rank, draw."""
    args = arguments()
    look = Look(args.max_rank, args.vis_label, args.label_sort == "ascending", args.junk)
    descending = args.rank_sort == "descending"
    choice = Choice(args.num_vis, args.sort, descending, args.seed, args.identity, args.camera)
    cfg = config(args)
    default_setup(cfg, argparse.Namespace(**vars(args), eval_only=True))
    features = args.features or os.path.join(args.output, "features")
    if not args.features:
        name = args.dataset_name or (cfg.DATASETS.TESTS[0] if len(cfg.DATASETS.TESTS) == 1 else "")
        if not name:
            raise ValueError(f"--dataset-name must name one test set; DATASETS.TESTS has {cfg.DATASETS.TESTS}")
        extract_test_set(cfg, name, features, processes=max(1, torch.cuda.device_count()) if args.parallel else 1)
    options = {"gallery": args.gallery, "actmap": args.actmap, "workers": args.workers or min(4, os.cpu_count() or 1)}
    files = draw_rank_lists(cfg, features, args.output, choice=choice, look=look, **options)
    print(f"{args.output}: {len(files)} rank lists, {os.path.basename(files[0])} to {os.path.basename(files[-1])}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on")
    except (KeyError, OSError, TypeError, ValueError, WeightFileError, WeightsMismatch) as error:
        sys.exit(f"{type(error).__name__}: {error}")
