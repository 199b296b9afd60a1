#!/usr/bin/env python3
"""Say whether run B is better than run A, and which queries it ranks better and worse; see docs/evaluation.md.

python tools/compare_runs.py logs/a logs/b
python tools/compare_runs.py logs/a/queries_Market1501.npz logs/b/queries_Market1501.npz --most 50 --json report.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tabulate import tabulate

from fastreid.engine.evaluation_results import read_queries, stored_judged_by
from fastreid.evaluation import compare_queries


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", metavar="A", help="OUTPUT_DIR of an evaluation, or its queries_<test set>.npz")
    parser.add_argument("second", metavar="B", help="likewise")
    parser.add_argument("--resamples", type=int, default=10_000, help="draws of query identities")
    parser.add_argument("--most", type=int, default=10, help="list so many of the queries that changed most")
    parser.add_argument("--json", metavar="FILE", help="write everything to this file")
    return parser


def pairs(first: str, second: str) -> dict[str, tuple[Path, Path]]:
    """Return the files to compare, by name: those that both folders have, or the two files.

    Raises:
        FileNotFoundError: if there are none.
    """
    one, two = Path(first), Path(second)
    if one.is_file() and two.is_file():
        return {one.stem: (one, two)}
    names = sorted(
        {path.name for path in one.glob("queries_*.npz")} & {path.name for path in two.glob("queries_*.npz")}
    )
    if not names:
        raise FileNotFoundError(f"{one} and {two} have no queries_*.npz of the same name; evaluate both first")
    return {name.removesuffix(".npz"): (one / name, two / name) for name in names}


def warn_of_settings(name: str, one: Path, two: Path) -> None:
    """Say on stderr what differs in how the two were judged."""
    first, second = stored_judged_by(one), stored_judged_by(two)
    for key in sorted(first.keys() & second.keys()):
        if first[key] != second[key]:
            print(f"{name}: {key} was {first[key]} in A and {second[key]} in B", file=sys.stderr)


def text(name: str, report: dict, most: int) -> str:
    """Return a report as text."""
    rows = [
        (key, *(own[column] for column in ("first", "second", "difference")), _interval(own), own["verdict"])
        for key, own in report.items()
        if isinstance(own, dict)
    ]
    parts = [
        f"{name}: {report['queries']} queries",
        tabulate(rows, headers=("%", "A", "B", "B - A", "95 %", "B is"), tablefmt="pipe", floatfmt=".2f"),
    ]
    for kind in ("improved", "declined"):
        parts.append(f"{len(report[kind])} queries {kind}; average precision in A and B, in percent:")
        lines = [(own["img_path"] or own["place"], own["first"], own["second"]) for own in report[kind][:most]]
        parts.append(tabulate(lines, tablefmt="plain", floatfmt=".2f"))
    return "\n\n".join(part for part in parts if part)


def _interval(own: dict) -> str:
    low, high = own["interval"]
    return f"{low:.2f} to {high:.2f}"


def main() -> None:
    """Compare, print, write the file."""
    args = parser().parse_args()
    try:
        reports = {}
        for name, (one, two) in pairs(args.first, args.second).items():
            reports[name] = compare_queries(read_queries(one), read_queries(two), resamples=args.resamples)
            warn_of_settings(name, one, two)
        if args.json:
            Path(args.json).write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(str(error))
    print("\n\n".join(text(name, report, args.most) for name, report in reports.items()))


if __name__ == "__main__":
    main()
