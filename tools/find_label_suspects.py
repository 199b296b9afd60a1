#!/usr/bin/env python3
"""List images and identities of a data set whose labels seem to be wrong; see docs/visualization.md.

python tools/find_label_suspects.py features/market --output suspects.csv
python tools/find_label_suspects.py features/market --top 100 --threshold 0.5
python tools/find_label_suspects.py features/market --trial 100

FEATURES is a folder that tools/extract_features.py has written, with whichever splits are to be searched.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fastreid.evaluation.feature_folder import FeatureFolder, read_feature_folder
from fastreid.evaluation.label_suspects import (
    find_suspects_in_folder,
    read_folder_labels,
    suspect_row,
    write_suspects_csv,
)
from fastreid.evaluation.label_suspects.trial import run_trial, summarize_trials
from fastreid.utils.logger import setup_logger


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", metavar="FEATURES", help="a folder of features")
    parser.add_argument("--output", default="suspects.csv", metavar="FILE", help="default: %(default)s")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows on the screen (default: %(default)s)")
    parser.add_argument(
        "--threshold", type=float, default=0.6, help="lowest score: 0.5 is undecided, 1 is clear (default: %(default)s)"
    )
    parser.add_argument(
        "--nobody", nargs="*", metavar="PID", help="pids that are no identity (default: those that the data set marks)"
    )
    parser.add_argument(
        "--duplicate",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="near duplicates are closer than this share of what is usual for one person (default: %(default)s)",
    )
    parser.add_argument("--memory-gb", type=float, default=0.25, help="beside the features (default: %(default)s)")
    parser.add_argument(
        "--trial",
        type=int,
        metavar="N",
        help="write no list; give N images a wrong label on purpose, and say how many of them are found",
    )
    parser.add_argument("--regroup", type=int, default=0, metavar="N", help="of a trial: also join and divide N people")
    parser.add_argument("--draws", type=int, default=10, metavar="N", help="of a trial (default: %(default)s)")
    return parser


def main() -> None:
    """Find, print, write the file; or try how many are found."""
    args = parser().parse_args()
    setup_logger()
    options = {name: getattr(args, name) for name in ("nobody", "threshold", "duplicate", "memory_gb")}
    try:
        folder = read_feature_folder(args.features)
        if args.trial is None:
            write_list(folder, options, output=args.output, top=args.top)
        else:
            print(trial(folder, options, spoilt=args.trial, regrouped=args.regroup, draws=args.draws))
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def write_list(folder: FeatureFolder, options: dict[str, Any], *, output: str, top: int) -> None:
    suspects, labels = find_suspects_in_folder(folder, **options)
    write_suspects_csv(output, suspects, folder, labels)
    rows = [suspect_row(rank, suspect, folder, labels) for rank, suspect in enumerate(suspects[:top], start=1)]
    shown = [
        (*(row[name] for name in ("rank", "score", "kind", "evidence")), Path(row["images"].splitlines()[0]).name)
        for row in rows
    ]
    headers = ("#", "score", "kind", "evidence", "first image")
    print(tabulate(shown, headers=headers, tablefmt="plain", disable_numparse=True))
    print(f"\n{output}: {len(suspects)} suspects with a score of at least {options['threshold']}")


def trial(folder: FeatureFolder, options: dict[str, Any], *, spoilt: int, regrouped: int, draws: int) -> str:
    if draws < 1:
        raise ValueError(f"--draws must be at least 1, got {draws}")
    labels = read_folder_labels(folder, options["nobody"])
    splits = folder.labels["split"].codes
    results = [
        run_trial(
            lambda pids: find_suspects_in_folder(folder, pids=pids, **options)[0],
            labels.pids,
            splits,
            labels.nobody,
            spoilt=spoilt,
            regrouped=regrouped,
            seed=seed,
        )
        for seed in range(draws)
    ]
    headers = (f"of {draws} draws", "mean", "least", "most")
    return tabulate(summarize_trials(results), headers=headers, tablefmt="plain")


if __name__ == "__main__":
    main()
