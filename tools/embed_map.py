#!/usr/bin/env python3
"""Draw a map of embeddings, with what the model finds alike near to each other, as a picture and as a page.

python tools/embed_map.py features/market --output map
python tools/embed_map.py features/market --output map --method pca --colour camera --max-images 2000

FEATURES is a folder that tools/extract_features.py has written. Open map/index.html in a browser; docs/visualization.md
says what it shows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastreid.evaluation.feature_folder import read_feature_folder
from fastreid.utils.logger import setup_logger
from fastreid.visualization.embed_map import COLOURED_BY, build_embed_map
from fastreid.visualization.embed_page import write_embed_map
from fastreid.visualization.projection import PROJECTIONS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", metavar="FEATURES", help="a folder of features")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the picture and the page")
    parser.add_argument(
        "--method", choices=PROJECTIONS, default="tsne", help="default: %(default)s; umap needs umap-learn"
    )
    parser.add_argument(
        "--max-images", type=int, default=5000, metavar="N", help="of more, identities are drawn (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that draw, and of the method (default: %(default)s)")
    parser.add_argument("--colour", choices=COLOURED_BY, default="identity", help="default: %(default)s")
    return parser


def main() -> None:
    """Read the features, lay them out, write picture and page."""
    args = parser().parse_args()
    setup_logger()
    try:
        folder = read_feature_folder(args.features)
        embed_map = build_embed_map(folder, method=args.method, max_images=args.max_images, seed=args.seed)
        write_embed_map(embed_map, args.output, colour=args.colour)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{Path(args.output) / 'index.html'}: {embed_map.title}, {embed_map.note}")


if __name__ == "__main__":
    main()
