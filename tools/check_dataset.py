#!/usr/bin/env python3
"""Look a data set over before a model does: counts, faulty images, labels, queries, copies; see docs/data.md.

python tools/check_dataset.py Market1501
python tools/check_dataset.py csv:shop/crops.csv --strict --json report.json --sheet sheet.jpg

Exit code: 0 if the data set is ready or has notes only; 0, with --strict 1, if there are warnings; 2 if there are
errors, or the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fastreid.data.datasets.build import parse_options
from fastreid.data.inspect import PROTOCOLS, contact_sheet, inspect_dataset, report_text
from fastreid.utils.custom_imports import import_custom_modules

SHEET_ENDINGS = (".jpg", ".jpeg", ".png")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    first, _, more = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="as in DATASETS.NAMES: Market1501, csv:FILE, folder:FOLDER ...")
    parser.add_argument("--root", default="", help="DATASETS.ROOT (default: $FASTREID_DATASETS, or datasets)")
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="DATASETS.OPTIONS of it, e.g. cuhk03_labeled=False",
    )
    parser.add_argument("--protocol", default="auto", choices=PROTOCOLS, help="TEST.PROTOCOL (default: auto)")
    parser.add_argument(
        "--size", nargs=2, type=int, default=(256, 128), metavar=("H", "W"), help="INPUT.SIZE_TEST (default: 256 128)"
    )
    parser.add_argument("--labels-only", action="store_true", help="read no image: check lists and labels alone")
    parser.add_argument(
        "--workers", type=int, help="processes that read images (default: one a core, 0 for few images)"
    )
    parser.add_argument("--most", type=int, default=10, metavar="N", help="cases that a finding lists (default: 10)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there are warnings")
    parser.add_argument("--ignore", nargs="+", default=[], metavar="KIND", help="findings that are no fault here")
    parser.add_argument("--json", metavar="FILE", help="write the report to this file as JSON")
    parser.add_argument("--sheet", metavar="FILE", help="draw samples and faulty images into this .jpg or .png file")
    parser.add_argument(
        "--custom-imports",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files with data sets of your own",
    )
    return parser


def main() -> int:
    """Check, print, write the files; return the exit code."""
    args = (own := parser()).parse_args()
    if args.sheet and not args.sheet.lower().endswith(SHEET_ENDINGS):
        own.error(f"--sheet must end in {', '.join(SHEET_ENDINGS)}, got {args.sheet!r}")
    try:
        import_custom_modules(args.custom_imports)
        report = inspect_dataset(
            args.name,
            root=args.root,
            options=parse_options(args.options),
            protocol=args.protocol,
            size=tuple(args.size),
            read_images=not args.labels_only,
            workers=args.workers,
            most=args.most,
            ignore=args.ignore,
        )
        print(report_text(report))
        if args.json:
            Path(args.json).write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
        if args.sheet:
            contact_sheet(report).save(args.sheet)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        own.error(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
    return report.exit_code(strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
