#!/usr/bin/env python3
"""Draw the images of a recipe as its training sees them: a row per image, the original first, then samples.

python tools/show_augmentations.py --config-file configs/Market1501/bagtricks_R50.yml
python tools/show_augmentations.py --config-file configs/SynthReID/quickstart_R18.yml INPUT.CJ.ENABLED True

The second needs no dataset: SynthReID is drawn when it is first used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torchvision.transforms.v2.functional import to_pil_image

from fastreid.config import get_cfg, get_config_file
from fastreid.data import build_reid_train_loader
from fastreid.data.transforms import augmentation_sheet
from fastreid.utils.custom_imports import import_custom_modules


def main() -> None:
    """Read the config, draw the sheet, save it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, help="the recipe; a shipped one is found by its name")
    parser.add_argument("--output", default="augmentations.jpg", help="a .jpg or .png file (default: %(default)s)")
    parser.add_argument("--num-images", type=int, default=8, help="rows (default: %(default)s)")
    parser.add_argument("--num-samples", type=int, default=8, help="samples in a row (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    args = parser.parse_args()
    output = Path(args.output)
    if output.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        parser.error(f"--output must end in .jpg or .png, got {args.output!r}")
    output.parent.mkdir(parents=True, exist_ok=True)

    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(args.config_file))
    cfg.merge_from_list(args.opts)
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    dataset = build_reid_train_loader(cfg, num_workers=0).dataset
    sheet = augmentation_sheet(dataset, num_images=args.num_images, num_samples=args.num_samples, seed=args.seed)
    to_pil_image(sheet).save(output)
    print(f"{output}: {min(args.num_images, len(dataset))} images, {args.num_samples} samples of each")


if __name__ == "__main__":
    main()
