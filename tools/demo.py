#!/usr/bin/env python3
"""Embed single images, compare two, or rank a folder for one; see docs/visualization.md.

python tools/demo.py --config-file ... --input a.jpg b.jpg --output demo_output --opts MODEL.WEIGHTS model.pth
python tools/demo.py --config-file ... --compare a.jpg b.jpg --actmap MODEL.WEIGHTS model.pth
python tools/demo.py --config-file ... --input a.jpg --rank crops --top 10 MODEL.WEIGHTS model.pth
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from tabulate import tabulate

from fastreid.data.image_source import list_images
from fastreid.engine import Embedder
from fastreid.engine.checkpoint_config import load_config_or_stored
from fastreid.engine.setup import make_output_folder, split_settings
from fastreid.engine.thresholds import Threshold, choose_threshold
from fastreid.utils.one_line import one_line
from fastreid.visualization import single_images

_VERDICTS = {True: "same", False: "different", None: ""}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config-file", default="", metavar="FILE", help="a shipped one by its name; none: that in the checkpoint")
    add("--input", nargs="+", default=[], metavar="IMAGE", help="images, folders or quoted patterns")
    add("--output", default="demo_output", metavar="DIR", help="folder of what is written (%(default)s)")
    add("--compare", nargs=2, metavar=("A", "B"), help="two images: how alike they are")
    add("--rank", nargs="+", default=[], metavar="FOLDER", help="rank its images for the one --input")
    add("--top", type=int, default=10, metavar="N", help="images of a ranking (%(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--threshold", type=float, metavar="X", help="lowest score of the same, instead of the stored one"
    )
    which.add_argument("--label", metavar="TEST_SET", help="whose threshold to take, if several are stored")
    add("--actmap", action="store_true", help="draw where the model looks, too")
    add("--actmap-method", default="auto", metavar="NAME", help="of --input: energy, rollout (%(default)s)")
    add("--parallel", action="store_true", help="of v1.3, without effect: TEST.NUM_WORKERS processes read the images")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config; come last")
    add("settings", nargs="*", metavar="KEY VALUE", help="the same, without --opts")
    return parser


def read_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; settings of the config end up in ``opts``."""
    args = parser().parse_intermixed_args(words)
    args.input, behind_input = split_settings(args.input)
    args.rank, behind_rank = split_settings(args.rank)
    args.opts = [*args.settings, *behind_input, *behind_rank, *args.opts]
    if not args.input and not args.compare:
        parser().error("name images by --input, or two by --compare")
    return args


def show_log_of(name: str) -> None:
    """Print what a part of the library says, here on weights of other people."""
    logger, handler = logging.getLogger(name), logging.StreamHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def compare(embedder: Embedder, args: argparse.Namespace, threshold: Threshold) -> None:
    """Print how alike two images are."""
    one, two = args.compare
    score = float(embedder.scores([one], [two], metric=threshold.metric)[0, 0])
    print(f"{one} and {two}: {threshold.metric} score {score:z.4f}")
    if threshold.value is None:
        print(f"no threshold: {threshold.origin}")
    else:
        print(f"{_VERDICTS[threshold.accepts(score)]}: the threshold is {threshold.value:.4f} ({threshold.origin})")
    if args.actmap:
        print(f"Wrote {single_images.write_pair(embedder, one, two, args.output)}")


def rank(embedder: Embedder, args: argparse.Namespace, query: str, gallery: list[str], threshold: Threshold) -> None:
    """Print and draw what is most like an image."""
    found = single_images.nearest(embedder, query, gallery, metric=threshold.metric, top=args.top)
    rows = [
        (at, f"{one.score:z.4f}", _VERDICTS[threshold.accepts(one.score)], one.path) for at, one in enumerate(found, 1)
    ]
    print(f"{query} among {len(gallery)} images, {threshold.metric} score, {threshold.text}")
    print(tabulate(rows, headers=("rank", "score", "", "path"), disable_numparse=True))
    file = os.path.join(args.output, "rank.png")
    single_images.write_ranking(embedder, query, found, file, threshold=threshold, actmap=args.actmap)
    print(f"Wrote {file}")


def main(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    paths, gallery = list_images(args.input), list_images(args.rank)
    if gallery and len(paths) != 1:
        raise ValueError(f"--rank takes one image as --input, got {len(paths)}")
    single_images.names_of_outputs(paths)  # before the model is built
    if paths or args.actmap:
        make_output_folder(args.output, called="--output")
    show_log_of("fastreid.modeling.foreign")
    embedder = Embedder(load_config_or_stored(args))
    threshold = None
    if args.compare or gallery:
        metric = embedder.cfg.TEST.METRIC
        threshold = choose_threshold(embedder.meta, metric=metric, value=args.threshold, label=args.label)
    if paths:
        files = single_images.write_embeddings(embedder, paths, args.output)
        print(f"Wrote {len(files)} embedding(s) to {args.output}")
    if paths and args.actmap:
        files = single_images.write_activation_maps(embedder, paths, args.output, method=args.actmap_method)
        print(f"Wrote {len(files)} picture(s) to {args.output}")
    if args.compare:
        compare(embedder, args, threshold)
    if gallery:
        rank(embedder, args, paths[0], gallery, threshold)


if __name__ == "__main__":
    try:
        main(read_arguments())
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(one_line(error))
