"""The scripts of a report: what the page knows of runs, queries and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation.rank_lists import RankList
from ..sheets import COLUMNS, ROWS
from .images import ReportImages
from .numbers import curves, headline, judgement
from .payload import LIST_CHUNK, PATH_CHUNK, image_payload, list_payload, path_payload, query_payload, script
from .runs import JudgedRun

__all__ = ["describe_report", "write_lists", "write_script"]

FORMAT = 1
"""Of the payloads; the page that is copied beside them reads this one."""

_MOST_UNMATCHED = 1000  # queries without a true match that are named


def write_script(folder: Path, name: str, payload: Any) -> None:
    """Write ``<name>.js``, which hands a payload to the page."""
    (folder / f"{name}.js").write_text(script(name, payload), encoding="ascii")


def write_lists(
    folder: Path, runs: Sequence[JudgedRun], lists: Sequence[Sequence[RankList]], images: ReportImages
) -> None:
    """Write the labels and paths of the images, and the queries and rank lists of each run.

    Args:
        folder: of the scripts.
        runs: of the report.
        lists: for each run the lists of the same Q queries.
        images: of the report.
    """
    write_script(folder, "images", image_payload(images.identities, images.cameras, images.splits, images.queries))
    for number, start in enumerate(range(0, len(images), PATH_CHUNK)):
        write_script(folder, f"paths-{number}", path_payload(images.paths[start : start + PATH_CHUNK]))
    for place, (run, own) in enumerate(zip(runs, lists, strict=True)):
        write_script(folder, f"queries-{place}", _query_table(run, own, images))
        number_of = images.number_of[run.places]
        for number, start in enumerate(range(0, len(own), LIST_CHUNK)):
            write_script(folder, f"lists-{place}-{number}", list_payload(own[start : start + LIST_CHUNK], number_of))


def _query_table(run: JudgedRun, lists: Sequence[RankList], images: ReportImages) -> dict[str, Any]:
    pairs = run.pairs(lists)
    if pairs is not None:
        numbers = {name: number for number, name in enumerate(images.camera_names)}
        names = run.camera_names()
        cameras = [numbers[names[camid]] for camid in pairs["camera"].tolist()]
        pairs = (pairs["query"], np.array(cameras, dtype=np.int64), pairs["precision"])
    place = {query: number for number, query in enumerate(run.ranked.query_places.tolist())}
    own = [place[ranking.query] for ranking in lists]
    return query_payload(lists, run.ranked.best_others()[own], pairs)


def describe_report(
    runs: Sequence[JudgedRun], images: ReportImages, *, thumbnail: tuple[int, int], ranks: int, broken: int
) -> dict[str, Any]:
    """Return what the page shows first, and how to read the rest.

    Args:
        runs: of the report.
        images: likewise.
        thumbnail: width and height of a cell of a sheet, in pixels.
        ranks: images with a rank in each list, at most.
        broken: number of images that could not be read.
    """
    first = runs[0]
    labelled = first.test.query if len(first.test.query) else first.test.gallery
    return {
        "format": FORMAT,
        "dataset": {"name": first.test.name, "label": first.test.label},
        "counts": {
            "queries": len(first.ranked),
            "gallery": len(first.ranked.gallery_places),
            "identities": len(np.unique(labelled.pids.numpy())),
            "cameras": len(set(first.test.cameras) - {""}),
            "shown": images.queries.size,
            "images": len(images),
            "broken": broken,
        },
        "layout": {
            "width": thumbnail[0],
            "height": thumbnail[1],
            "columns": COLUMNS,
            "rows": ROWS,
            "listChunk": LIST_CHUNK,
            "pathChunk": PATH_CHUNK,
            "ranks": ranks,
        },
        "notes": _notes(first),
        "runs": [_describe_run(run, first) for run in runs],
    }


def _notes(run: JudgedRun) -> list[str]:
    """Say where the numbers and the lists are not of the same rankings."""
    notes = []
    rank_1 = run.ranked.numbers["Rank-1"]
    shown = 100 * float(np.nanmean(rank_1)) if np.isfinite(rank_1).any() else 0.0
    if "splits" in run.details:
        splits = len(run.details["splits"])
        notes.append(f"The numbers are means over {splits} drawn galleries. Queries and lists are those of the first.")
    elif abs(run.results.get("Rank-1", shown) - shown) > 1e-6:
        notes.append(
            "Rank-k is the mean over galleries with one drawn image of each identity. Lists are those of the whole one."
        )
    if "MAP@R" in run.results:
        notes.append(
            "AP of a query is that of its whole ranking. MAP@R is cut off after as many images as it has matches."
        )
    return notes


def _describe_run(run: JudgedRun, first: JudgedRun) -> dict[str, Any]:
    queries = run.details.get("queries", {})
    paths = [own["img_path"] or str(own["place"]) for own in queries.get("unmatched", [])]
    return {
        "name": run.name,
        "judged": judgement(run.details, run.test.meta),
        "numbers": headline(run.results, run.details),
        "curves": curves(run.details, run.camera_names()),
        "judgedQueries": queries.get("count"),
        "withoutMatch": queries.get("without_match", 0),
        "unmatched": paths[:_MOST_UNMATCHED],
        "comparison": None if run is first else run.compare(first),
    }
