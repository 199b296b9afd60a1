#!/usr/bin/env python3
"""Put the images of a data set into one file, or into tar shards; see docs/data.md, "Storage".

python tools/pack_dataset.py Market1501 --output /fast/market.pack --verify
python tools/pack_dataset.py folder:crops --output /fast/crops --format tar
python tools/pack_dataset.py --check /fast/market.pack
python tools/train_net.py --config-file ... DATASETS.STORAGE "('/fast/market.pack',)"
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from fastreid.data.datasets.build import parse_options
from fastreid.data.storage import KINDS, SPLITS, check_storage, pack_dataset
from fastreid.utils.custom_imports import import_custom_modules
from fastreid.utils.logger import setup_logger

logger = logging.getLogger("fastreid.tools.pack_dataset")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", metavar="NAME", help="the data set, as DATASETS.NAMES has it")
    parser.add_argument("--output", metavar="PATH", help="the file, or the folder of the shards")
    parser.add_argument("--format", choices=KINDS, default="packed", help="one file, or tar shards (default: packed)")
    parser.add_argument("--shard-size", type=float, default=256, metavar="MB", help="of a tar shard (default: 256)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="default: all")
    parser.add_argument("--root", default="", metavar="FOLDER", help="of all data sets, as DATASETS.ROOT")
    parser.add_argument(
        "--options", nargs="+", default=[], metavar="KEY=VALUE", help="DATASETS.OPTIONS of it, e.g. split_id=3"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier call made")
    parser.add_argument("--verify", action="store_true", help="read all back and compare with the files")
    parser.add_argument("--check", metavar="PATH", help="only compare what is there with its checksums")
    parser.add_argument(
        "--custom-imports", nargs="+", default=[], metavar="FILE", help="code that registers the data set"
    )
    return parser


def main() -> None:
    """Pack, or check."""
    arguments = parser()
    args = arguments.parse_args()
    if bool(args.check) == bool(args.name) or bool(args.name) != bool(args.output):
        arguments.error("give NAME and --output, or --check PATH")
    setup_logger()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing unfinished stays
    try:
        if args.check:
            logger.info("%s: all %d images are what was stored", args.check, check_storage(args.check))
            return
        import_custom_modules(args.custom_imports)
        size = pack_dataset(
            args.name,
            args.output,
            kind=args.format,
            splits=args.splits,
            root=args.root,
            options=parse_options(args.options),
            shard_mb=args.shard_size,
            overwrite=args.overwrite,
            verify=args.verify,
        )
        logger.info('%s: %.1f MB; use it with DATASETS.STORAGE "(%r,)"', args.output, size / 1e6, args.output)
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing has been written")
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error.args[0]) if isinstance(error, KeyError) else str(error))


if __name__ == "__main__":
    main()
