#!/usr/bin/env python3
"""Embed the images of a data set, a folder or a list into a folder of features; see docs/evaluation.md.

python tools/extract_features.py Market1501 features/market --config-file ... MODEL.WEIGHTS model.pth
python tools/extract_features.py /data/crops features/crops --config-file ... --num-gpus 4 MODEL.WEIGHTS model.pth

SOURCE is a registered data set, csv:FILE, folder:FOLDER, a folder of images, or a text file with a path on each line.
After a kill, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys

from fastreid.data.image_source import SPLITS, find_images
from fastreid.engine import default_setup, launch, load_config
from fastreid.engine.checkpoint_config import load_config_or_stored
from fastreid.engine.extraction import DTYPES, extract_features
from fastreid.engine.predictor import load_model
from fastreid.utils.weights import WeightFileError, WeightsMismatch


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", metavar="SOURCE", help="the images")
    parser.add_argument("output", metavar="OUT", help="folder of the features")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="settings that override the config")
    parser.add_argument(
        "--config-file", default="", metavar="FILE", help="a shipped one by its name; none: that in the checkpoint"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=(*SPLITS, "all"), default=["query", "gallery"], help="of a data set"
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the features on disk")
    parser.add_argument("--chunk", type=int, default=4096, metavar="N", help="images that are saved at a time")
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out, count and list images that do not decode"
    )
    parser.add_argument("--num-gpus", type=int, default=1, help="processes; without CUDA they share the cores")
    return parser


def main(args: argparse.Namespace) -> None:
    """Do the job in one process."""
    cfg = load_config_or_stored(args)
    cfg.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    cfg.OUTPUT_DIR = args.output
    cfg.freeze()
    default_setup(cfg, argparse.Namespace(**vars(args), eval_only=True))
    splits = list(SPLITS) if "all" in args.splits else args.splits
    where = {"root": cfg.DATASETS.ROOT, "storage": cfg.DATASETS.STORAGE}
    source = find_images(args.source, splits=splits, options=cfg.DATASETS.OPTIONS, **where)
    model, _ = load_model(cfg)
    options = {"dtype": args.dtype, "chunk": args.chunk, "skip_broken": args.skip_broken}
    extract_features(cfg, model, source, args.output, **options)


if __name__ == "__main__":
    args = parser().parse_intermixed_args()
    try:
        launch(main, args.num_gpus, args=(args,), device=load_config(args).MODEL.DEVICE)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on")
    except (KeyError, OSError, ValueError, WeightFileError, WeightsMismatch) as error:
        sys.exit(f"{type(error).__name__}: {error}")
