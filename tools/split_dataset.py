#!/usr/bin/env python3
"""Cut one's own images into train, query and gallery by identity; see docs/data.md.

python tools/split_dataset.py crops --output crops-split
python tools/split_dataset.py csv:shop.csv --output shop-split --seed 1 --test-share 0.5 --open-set-share 0.2

SOURCE is a folder with a folder for each identity, or csv:FILE, market:FOLDER, folder:FOLDER, or a registered data set;
its own splits do not count.
"""

from __future__ import annotations

import argparse
import sys

from tabulate import tabulate

from fastreid.data.datasets.build import parse_options
from fastreid.data.split_writer import HOW, write_split
from fastreid.data.splitting import ImageOf, Split, images_of, split_by_identity


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    first, _, more = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SOURCE", help="the images")
    parser.add_argument("--output", required=True, metavar="DIR", help="a folder that is not there, or empty")
    parser.add_argument("--root", default="", help="DATASETS.ROOT (default: $FASTREID_DATASETS, or datasets)")
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="DATASETS.OPTIONS of it, e.g. cuhk03_labeled=False",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--test-share", type=float, default=0.3, help="of the identities (default: 0.3)")
    number.add_argument("--test-identities", type=int, metavar="N", help="instead: their number")
    parser.add_argument("--query-per-camera", type=int, default=1, metavar="N", help="of an identity (default: 1)")
    parser.add_argument(
        "--open-set-share", type=float, default=0.0, help="of the test identities: never in the gallery (default: 0)"
    )
    how = parser.add_mutually_exclusive_group()
    for name, text in zip(HOW, ("a table, no copies (default)", "copies of the images", "links to the images")):
        how.add_argument(f"--{name}", dest="how", action="store_const", const=name, default="csv", help=f"write {text}")
    return parser


def text(split: Split, name: str) -> str:
    """Return what was made, and what to do with it."""
    rows = [
        (part, len({image.identity for image in images} - {""}), len(images), _cameras(images))
        for part, images in (("train", split.train), ("query", split.query), ("gallery", split.gallery))
    ]
    lines = [tabulate(rows, headers=("split", "identities", "images", "cameras"), tablefmt="pipe")]
    if split.open_set:
        lines.append(f"{len(split.open_set)} test identities are not in the gallery: the open set")
    if split.without_query:
        shown = ", ".join(split.without_query[:5]) + (", ..." if len(split.without_query) > 5 else "")
        lines.append(
            f"{len(split.without_query)} test identities have no query, having one camera or one image: {shown}"
        )
    return "\n".join(
        [
            *lines,
            "",
            "Check it, and train on it:",
            f"    python tools/check_dataset.py {name}",
            "    python tools/train_net.py --config-file configs/Market1501/bagtricks_R50-ibn.yml "
            f"""DATASETS.NAMES "('{name}',)" DATASETS.TESTS "('{name}',)" TEST.PROTOCOL auto""",
        ]
    )


def _cameras(images: list[ImageOf]) -> str:
    return str(len({image.camera for image in images} - {""}) or "unknown")


def main() -> None:
    """Split, write, print."""
    args = parser().parse_args()
    try:
        split = split_by_identity(
            images_of(args.source, root=args.root, options=parse_options(args.options)),
            seed=args.seed,
            test_share=args.test_share,
            test_identities=args.test_identities,
            query_per_camera=args.query_per_camera,
            open_set_share=args.open_set_share,
        )
        name = write_split(split, args.output, how=args.how)
    except KeyError as error:
        sys.exit(str(error.args[0]))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))
    print(text(split, name))


if __name__ == "__main__":
    main()
