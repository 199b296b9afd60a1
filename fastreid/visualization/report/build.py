"""Write a report: a folder with a page that opens from disk, on one test set and one or several models."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...config import CfgNode
from ...data.storage import locate_images
from ...evaluation.rank_lists import RankList
from ..sheets import write_sheets
from ..thumbnails import Thumbnails
from .data import describe_report, write_lists, write_script
from .folder import check_output, staged_folder
from .images import Candidates, ReportImages, choose_images
from .maps import images_with_maps, model_config, write_maps
from .payload import LIST_CHUNK, MOST_MATCHES
from .runs import JudgedRun, judge_runs, name_runs
from .suspects import FoundSuspects, find_suspects, place_suspects, write_suspects

__all__ = ["MOST_RUNS", "PAGES", "ReportOptions", "make_report", "write_report"]

logger = logging.getLogger(__name__)

PAGES = Path(__file__).resolve().parents[1] / "pages" / "report"
"""The page: HTML, style and scripts, which are copied as they are."""

MOST_RUNS = 6
"""Runs that a report can tell apart by colour."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a report shows, and how it is made.

    Args:
        ranks: images with a rank in each list, at least 1.
        queries: show only that many, those that the first run ranks worst; 0: all.
        thumbnail: width and height of the thumbnails, in pixels, at least 8.
        workers: threads that decode images; 0: one for each core.
        overwrite: another report of that name may be replaced.
        suspects: look for label suspects, too.
        actmap: make activation maps of so many of the queries that the first run ranks worst, and of what is in their
            lists; 0: none.
        method: of the activation maps, see ``activation_maps``.

    Raises:
        ValueError: if a number is out of its range.
    """

    ranks: int = 20
    queries: int = 0
    thumbnail: tuple[int, int] = (64, 128)
    workers: int = 0
    overwrite: bool = False
    suspects: bool = True
    actmap: int = 0
    method: str = "auto"

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--ranks", self.ranks, 1),
            ("--queries", self.queries, 0),
            ("--workers", self.workers, 0),
            ("--actmap", self.actmap, 0),
            ("--thumbnail", min(self.thumbnail), 8),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


def make_report(
    folders: Sequence[str],
    configs: Sequence[CfgNode],
    output: str | Path,
    options: ReportOptions,
    *,
    names: Sequence[str] | None = None,
    named: CfgNode | None = None,
    opts: Sequence[Any] = (),
) -> ReportImages:
    """Judge, rank, look for suspects, and write a report into a folder, which has its name only when it is complete.

    Args:
        folders: of features, of one test set; all others are compared with the first.
        configs: of each: how it is judged; and of the first ``DATASETS.STORAGE`` and ``ROOT``, where its images are.
        output: the folder.
        options: what is shown.
        names: of the runs; ``None``: those of the folders.
        named: the config of the models, if the user has named one; see ``model_config``.
        opts: likewise.

    Returns:
        The images that it shows.

    Raises:
        FileExistsError, NotADirectoryError: see ``check_output``.
        FileNotFoundError: if features, or a model that is needed, are not there.
        OSError: if the disk is full or not writable; nothing half-done is left.
        ValueError: if the folders do not go together, or see ``open_feature_test``.
    """
    if not 1 <= len(folders) <= MOST_RUNS:
        raise ValueError(f"a report shows 1 to {MOST_RUNS} runs, got {len(folders)}")
    names = name_runs(folders, names)
    check_output(output, overwrite=options.overwrite)
    models = [model_config(folder, named, opts) for folder in folders] if options.actmap else []
    runs = judge_runs(folders, names, configs, length=options.ranks)
    suspects = find_suspects(folders[0]) if options.suspects else None
    data = configs[0].DATASETS
    locate = partial(locate_images, storage=data.STORAGE, root=data.ROOT)
    return write_report(runs, output, options, suspects=suspects, models=models, locate=locate)


def write_report(
    runs: Sequence[JudgedRun],
    output: str | Path,
    options: ReportOptions,
    *,
    suspects: FoundSuspects | None = None,
    models: Sequence[CfgNode] = (),
    locate: Callable[[Sequence[str]], Sequence[str]] = list,
) -> ReportImages:
    """Write what is known of some runs into a folder; see :func:`make_report`.

    Args:
        runs: at least one.
        output: the folder.
        options: what is shown.
        suspects: of the features of the first run; ``None``: they were not looked for.
        models: configs of the runs' models, for activation maps.
        locate: returns paths so that the images are found, see ``locate_images``.
    """
    precision = runs[0].precision()
    queries = _worst(precision, options.queries)
    logger.info("Collecting the rank lists of %d queries", len(queries))
    lists = [_lists(run, queries, options.ranks) for run in runs]
    seen = [[_seen(run, ranking) for ranking in own] for run, own in zip(runs, lists)]
    candidates = Candidates.of_test(runs[0].test)
    placed = {} if suspects is None else place_suspects(suspects, candidates)
    met = [*chain.from_iterable(seen), np.array(list(placed.values()), dtype=np.int64)]
    images = choose_images(candidates, runs[0].ranked.query_places[queries], precision[queries], met)
    with staged_folder(output, overwrite=options.overwrite) as folder:
        shutil.copytree(PAGES, folder, dirs_exist_ok=True)
        files = locate(images.paths)
        thumbnails = Thumbnails(files, *options.thumbnail, keep=0)
        write_sheets(len(images), thumbnails, folder / "sheets", size=options.thumbnail, workers=options.workers)
        (folder / "data").mkdir()
        write_lists(folder / "data", runs, lists, images)
        broken = len(thumbnails.broken)
        about = describe_report(runs, images, thumbnail=options.thumbnail, ranks=options.ranks, broken=broken)
        if suspects is not None:
            numbers = {image: int(images.number_of[place]) for image, place in placed.items()}
            about["suspects"] = write_suspects(suspects, folder, numbers)
        if models:
            worst = np.argsort(precision[queries], kind="stable")[: options.actmap]
            unreadable = {number for number, path in enumerate(images.paths) if path in thumbnails.broken}
            for run, cfg in enumerate(models):
                numbers = [images.number_of[seen[run][query]] for query in worst]
                shown = images_with_maps(images.queries[worst], numbers, unreadable)
                write_maps(cfg, shown, files, folder, run, size=options.thumbnail, method=options.method)
            about["maps"] = {"queries": len(worst)}
        write_script(folder / "data", "meta", about)
    return images


def _worst(precision: np.ndarray, count: int) -> np.ndarray:
    """Return which queries are shown, in the order of the test set."""
    if not count:
        return np.arange(precision.size)
    return np.sort(np.argsort(precision, kind="stable")[:count])


def _lists(run: JudgedRun, queries: np.ndarray, ranks: int) -> list[RankList]:
    """Return the rank lists, some at a time: the scores of images that are left out are computed for each."""
    parts = np.array_split(queries, range(LIST_CHUNK, len(queries), LIST_CHUNK))
    return [ranking for part in parts for ranking in run.lists(part, ranks)]


def _seen(run: JudgedRun, ranking: RankList) -> np.ndarray:
    """Return the images of a list as places of the first run's test set."""
    return run.places[np.concatenate([ranking.places, ranking.match_places[:MOST_MATCHES]])]
