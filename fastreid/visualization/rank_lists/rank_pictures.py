"""Draw the rank lists of many queries into a folder: chosen, in an order, with an index beside."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ...data.labels import natural_key
from ...evaluation.rank_lists import RankedTest, RankList
from ...utils.progress import Progress
from ..thumbnails import Thumbnails, cell_size
from .rank_cells import Look, shown_places
from .rank_list import LabelledImages, ReadsImages, draw_rank_list

__all__ = ["INDEX", "SORTS", "choose_queries", "write_rank_pictures"]

logger = logging.getLogger(__name__)

SORTS = ("ap", "identity", "camera", "random")
"""Orders of queries; see :func:`choose_queries`."""

INDEX = "index.csv"
_COLUMNS = ("file", "img_path", "identity", "camera", "AP", "best_rank")
_AT_A_TIME = 32  # rank lists that are in memory
_JPEG = {"quality": 85}  # how the files are written


def choose_queries(
    precision: np.ndarray,
    identities: Sequence[str],
    cameras: Sequence[str],
    *,
    sort: str = "ap",
    descending: bool = False,
    seed: int = 0,
    only_identities: Sequence[str] = (),
    only_cameras: Sequence[str] = (),
) -> np.ndarray:
    """Return numbers of queries in the order in which they are to be looked at.

    Args:
        precision: ``(Q,)`` average precision, NaN without a true match; such queries come last among their like.
        identities: of the Q queries.
        cameras: likewise.
        sort: ``ap``: by average precision; ``identity`` and ``camera``: by these, 2 before 10, and those of one by
            average precision; ``random``: in a random order.
        descending: the highest average precision first; False: the lowest.
        seed: of the random order, at least 0.
        only_identities: leave out the queries of others; empty: of none.
        only_cameras: likewise.

    Returns:
        int64 ``(N,)``. Equals stay in the order of the test set.

    Raises:
        ValueError: if there is no such order, identity or camera, or no query is left.
    """
    if sort not in SORTS:
        raise ValueError(f"--sort must be one of {', '.join(SORTS)}, got {sort!r}")
    chosen = np.arange(len(precision))
    for flag, texts, wanted in (("identity", identities, only_identities), ("camera", cameras, only_cameras)):
        unknown = sorted(set(wanted) - set(texts))
        if unknown:
            raise ValueError(f"--{flag}: no query has {flag} {', '.join(unknown)}; there are {_some(texts)}")
        if wanted:
            own = set(wanted)
            chosen = np.array([number for number in chosen if texts[number] in own], dtype=np.int64)
    if not chosen.size:
        raise ValueError("no query is left to be drawn; ask for other --identity and --camera, or for fewer of them")
    if sort == "random":
        return np.random.default_rng(seed).permutation(chosen)
    by_precision = np.where(np.isnan(precision), np.inf, -precision if descending else precision)
    chosen = chosen[np.argsort(by_precision[chosen], kind="stable")]
    if sort == "ap":
        return chosen
    texts = identities if sort == "identity" else cameras
    return np.array(sorted(chosen.tolist(), key=lambda number: natural_key(texts[number])), dtype=np.int64)


def write_rank_pictures(
    test: RankedTest,
    images: LabelledImages,
    folder: str | os.PathLike[str],
    queries: Sequence[int] | np.ndarray,
    *,
    look: Look | None = None,
    read: ReadsImages | None = None,
    prepare: Callable[[Sequence[int]], None] | None = None,
    workers: int = 1,
) -> list[Path]:
    """Draw the rank lists of some queries: ``0.jpg``, ``1.jpg`` ..., and ``index.csv``, which says whose they are.

    Pictures that an earlier call has left there are removed, those of one that was killed, too: the index is there
    before the first of them.

    Args:
        test: what was ranked, with at least ``look.max_rank`` images kept for each query.
        images: of the test set.
        folder: is made if it is not there.
        queries: their numbers, in order.
        look: what is shown; ``None``: the defaults.
        read: gives the pictures; ``None``: the files of ``images``, at a size that suits them.
        prepare: is called with the positions of the images that ``read`` will be asked for, some queries at a time.
        workers: threads that draw, at least 1; the files do not depend on it.

    Returns:
        The pictures.

    Raises:
        ValueError: if ``workers`` is below 1.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1 thread, got {workers}")
    look = look or Look()
    if read is None:
        read = Thumbnails(images.img_paths, *cell_size(images.img_paths))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_earlier(folder)
    files = [folder / f"{number}.jpg" for number in range(len(queries))]
    _write_index(folder / INDEX, [_index_row(file.name, number, test, images) for file, number in zip(files, queries)])
    with ThreadPoolExecutor(workers) as pool, Progress(total=len(queries), desc="Drawing", unit="query") as bar:
        for start in range(0, len(queries), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            rankings = test.lists(queries[part], look.max_rank)
            if prepare is not None:
                prepare(sorted({place for ranking in rankings for place in shown_places(ranking, look)}))
            for _ in pool.map(partial(_draw, images=images, read=read, look=look), rankings, files[part]):
                bar.update()
    _say_what_is_odd(test, queries, read)
    return files


def _draw(ranking: RankList, file: Path, *, images: LabelledImages, read: ReadsImages, look: Look) -> None:
    draw_rank_list(ranking, images, read, look).save(file, **_JPEG)


def _index_row(name: str, number: int, test: RankedTest, images: LabelledImages) -> tuple[object, ...]:
    place, ranks = int(test.query_places[number]), test.ranks[number]
    labels = (images.img_paths[place], images.identities[place], images.cameras[place])
    precision = f"{100 * test.numbers['mAP'][number]:.4f}" if len(ranks) else ""
    return (name, *labels, precision, int(ranks[0]) if len(ranks) else "")


def _write_index(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows(rows)


def _remove_earlier(folder: Path) -> None:
    """Remove the pictures that an index lists, and the index: what is there in the end belongs together."""
    index = folder / INDEX
    if not index.is_file():
        return
    with index.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise ValueError(f"{index} is not an index of rank lists; choose another --output")
    for row in rows[1:]:
        if row and re.fullmatch(r"\d+\.jpg", row[0]):
            (folder / row[0]).unlink(missing_ok=True)
    index.unlink()


def _say_what_is_odd(test: RankedTest, queries: Sequence[int] | np.ndarray, read: ReadsImages) -> None:
    unmatched = sum(not len(test.ranks[number]) for number in queries)
    if unmatched:
        logger.warning("%d of %d queries have no true match in the gallery", unmatched, len(queries))
    broken = getattr(read, "broken", {})
    if broken:
        logger.warning("%d images could not be read; a placeholder stands for each", len(broken))


def _some(texts: Sequence[str]) -> str:
    names = sorted(set(texts), key=natural_key)
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} ... {names[-1]}"
