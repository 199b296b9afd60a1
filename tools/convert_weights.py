#!/usr/bin/env python3
"""Rewrite a weight file as a checkpoint of this library, or in another format; see docs/weights.md.

python tools/convert_weights.py theirs.pth --config-file Market1501/bagtricks_R50.yml --output ours.pth
python tools/convert_weights.py theirs.pth --config-file ... --backbone-only --output backbone.safetensors
python tools/convert_weights.py model_final.pth --output model_final.safetensors

With a config, names become those of its model; without one, they stay as they are.
"""

from __future__ import annotations

import argparse
import sys

from fastreid.engine import load_config
from fastreid.engine.convert import convert_weights, repack_weights
from fastreid.utils.logger import setup_logger


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a file or URL of weights; stays as it is")
    add("--output", required=True, metavar="FILE", help="the file to write: .pth or .safetensors")
    add("--config-file", default="", metavar="FILE", help="of the model; without it, only the format changes")
    add("--backbone-only", action="store_true", help="write the backbone for MODEL.BACKBONE.PRETRAIN_PATH")
    add("--overwrite", action="store_true", help="replace FILE if it is there")
    add("opts", nargs="*", metavar="KEY VALUE", help="settings that override the config")
    return parser


def main() -> None:
    """Write the file and say what is in it."""
    arguments = parser()
    args = arguments.parse_intermixed_args()
    if not args.config_file and (args.backbone_only or args.opts):
        arguments.error("--backbone-only and settings are for the model of a config; give --config-file")
    setup_logger()
    try:
        if args.config_file:
            options = {"backbone_only": args.backbone_only, "overwrite": args.overwrite}
            said = convert_weights(load_config(args), args.source, args.output, **options)
        else:
            said = repack_weights(args.source, args.output, overwrite=args.overwrite)
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    print(said)


if __name__ == "__main__":
    main()
