from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.features import FeatureSet
from ..evaluation.rank_blocks import rank_matches
from ..evaluation.rates import summarize
from ..evaluation.reid_evaluation import ReidEvaluator
from .meters import PeakAnonymousMemory, PeakMemory, seconds

__all__ = ["WORKS", "measure"]

WORKS = ("ranking", "roc", "aqe", "rerank", "disk")
"""What can be measured; see :func:`measure`."""

# The product that the time is compared with has the blocks that the work has: so many queries at a time, and so many
# gallery images, multiplied in one buffer, a few at once.
_BLOCK, _AT_ONCE = (2048, 1 << 20), 512
_ALL_PAIRS_BLOCK, _ALL_PAIRS_AT_ONCE = (4096, 8192), 1024
_FEW = 64  # images to warm up with
_WRITTEN = 1 << 14  # images that are written to disk at a time


def measure(
    *,
    queries: int,
    gallery: int,
    dimensions: int,
    metric: str = "cosine",
    work: str = "ranking",
    identities: int = 750,
    cameras: int = 6,
    rounds: int = 3,
    product: bool = True,
) -> dict[str, float]:
    """Measure what is done with random features, beside nothing but the matrix product that it needs.

    A third of the gallery are distractors, as in Market-1501.

    Args:
        queries: number of query images.
        gallery: number of gallery images.
        dimensions: length of a feature.
        metric: a name in ``METRIC_REGISTRY``.
        work: ``ranking``: distances, CMC, mAP and mINP; ``roc``: verification, open-set identification, the threshold
            and all intervals too; ``aqe``: query expansion with 10 neighbours; ``rerank``: all of ``ranking`` with
            k-reciprocal re-ranking, k1 20 and k2 6. The product of the last two is that of all images with all.
            ``disk``: ``ranking`` with the features of the gallery in a file, mapped into memory.
        identities: of the queries.
        cameras: of all images.
        rounds: how often product and work take turns, at least 1. With 1 the work is done once, before the product, and
            a few images warm it up.
        product: leave the product out if it is False, with what is compared with it; for what takes very long.

    Returns:
        ``seconds`` of the work, ``images_per_second`` (queries), ``peak_memory_mib`` above the features,
        ``product_seconds``, and ``product_ratio``: the time divided by that of ``torch.mm`` of the normalised features,
        block by block; all medians of the rounds.

        ``roc`` also has ``extra_ratio`` and ``extra_memory_mib``: the time, in products, and the memory that it takes
        on top of ``ranking`` in the same process. ``disk`` has ``growth``: the time per gallery image divided by what
        it is with a quarter of the gallery; and its memory is that which is not in a file.

    Raises:
        ValueError: if ``rounds`` or ``work`` is none of these.
    """
    if rounds < 1 or work not in WORKS:
        raise ValueError(f"rounds must be at least 1 and work one of {', '.join(WORKS)}, got {rounds} and {work!r}")
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gallery.bin") if work == "disk" else None
        query = _random_set(queries, dimensions, (0, identities), cameras, generator)
        others = _random_set(gallery, dimensions, (-identities // 2, identities), cameras, generator, file)
        if file is not None:
            return _measure_disk(query, others, metric, product)
        return _measure(query, others, metric, work, rounds, product)


def _measure(
    query: FeatureSet, gallery: FeatureSet, metric: str, work: str, rounds: int, product: bool
) -> dict[str, float]:
    evaluator = ReidEvaluator(num_query=len(query), metric=metric, roc=True)
    rank, act = (
        {
            "ranking": lambda some, others: summarize(rank_matches(some, others, metric=metric)),
            "roc": evaluator.evaluate_split,
            "aqe": lambda some, others: _expand(some.features, others.features),
            "rerank": lambda some, others: _rerank(some, others, metric),
        }[name]
        for name in ("ranking", work)
    )
    before = PeakMemory()
    if work == "roc":
        with before:
            rank(query, gallery)
    with PeakMemory() as memory:
        act(query[:_FEW], gallery[:_FEW])  # what is loaded and set up only once is not in the time
        first = seconds(lambda: act(query, gallery))
    multiply = _multiplication(query, gallery, all_pairs=work in ("aqe", "rerank")) if product else None
    times, rankings, products = [], [], []
    for _ in range(rounds):
        products += [seconds(multiply)] if multiply else []
        rankings += [seconds(lambda: rank(query, gallery))] if work == "roc" else []
        times.append(seconds(lambda: act(query, gallery)) if rounds > 1 else first)
    figures = _figures(len(query), times, products)
    if work != "roc":
        return {**figures, "peak_memory_mib": memory.mib}
    figures["peak_memory_mib"] = memory.peak_mib - before.start_mib
    figures["extra_memory_mib"] = max(0.0, memory.peak_mib - before.peak_mib)
    if products:
        three = zip(times, rankings, products, strict=True)
        figures["extra_ratio"] = statistics.median((whole - rest) / one for whole, rest, one in three)
    return figures


def _measure_disk(query: FeatureSet, gallery: FeatureSet, metric: str, product: bool) -> dict[str, float]:
    quarter = gallery[: len(gallery) // 4]
    with PeakAnonymousMemory() as memory:
        quarter_time = seconds(lambda: summarize(rank_matches(query, quarter, metric=metric)))
        time = seconds(lambda: summarize(rank_matches(query, gallery, metric=metric)))
    products = [seconds(_multiplication(query, gallery, all_pairs=False))] if product else []
    growth = (time / len(gallery)) / (quarter_time / len(quarter))
    return {**_figures(len(query), [time], products), "peak_memory_mib": memory.mib, "growth": growth}


def _figures(queries: int, times: Sequence[float], products: Sequence[float]) -> dict[str, float]:
    whole = statistics.median(times)
    figures = {"seconds": whole, "images_per_second": queries / whole}
    if products:
        figures["product_seconds"] = statistics.median(products)
        figures["product_ratio"] = statistics.median(own / one for own, one in zip(times, products, strict=True))
    return figures


def _expand(query: Tensor, gallery: Tensor) -> None:
    from ..evaluation.query_expansion import aqe  # a library that is compared with may not have it

    aqe(query, gallery)


def _rerank(query: FeatureSet, gallery: FeatureSet, metric: str) -> None:
    from ..evaluation.knn import knn
    from ..evaluation.rerank import KReciprocal

    features = torch.cat([query.features, gallery.features])
    rule = KReciprocal(features, len(query), knn(features, features, 21, metric=metric), metric=metric)
    summarize(rank_matches(query, gallery, metric=metric, adjust=rule))


def _random_set(
    count: int,
    dimensions: int,
    pids: tuple[int, int],
    cameras: int,
    generator: torch.Generator,
    file: Path | None = None,
) -> FeatureSet:
    """Return random features with random labels; the features are mapped from ``file`` if there is one."""
    if file is None:
        features = torch.randn(count, dimensions, generator=generator)
    else:
        with file.open("wb") as opened:
            for start in range(0, count, _WRITTEN):
                torch.randn(min(_WRITTEN, count - start), dimensions, generator=generator).numpy().tofile(opened)
        # torch warns of memory that must not be written to; what is written to a copy stays there
        features = torch.from_numpy(np.memmap(file, dtype=np.float32, mode="c", shape=(count, dimensions)))
    return FeatureSet(
        features,
        torch.randint(*pids, (count,), generator=generator),
        torch.randint(cameras, (count,), generator=generator),
    )


def _multiplication(query: FeatureSet, gallery: FeatureSet, *, all_pairs: bool) -> Callable[[], None]:
    """Return what multiplies the normalised features; what it needs is there before the time is taken."""
    left, right = F.normalize(query.features), F.normalize(gallery.features)
    (rows, width), columns = _BLOCK, _AT_ONCE
    if all_pairs:
        left = right = torch.cat([left, right])
        (rows, width), columns = _ALL_PAIRS_BLOCK, _ALL_PAIRS_AT_ONCE
    # a block of a long gallery has fewer rows, so that it takes half a gigabyte at most; all of it is written to
    rows, width = min(len(left), rows), min(len(right), width)
    block = torch.ones(max(1, min(rows, (1 << 27) // max(1, width))), width)
    return lambda: _product(left, right, block, columns)


def _product(left: Tensor, right: Tensor, block: Tensor, columns: int) -> None:
    """Multiply ``(N, D)`` and ``(M, D)``, some rows at a time, ``columns`` at once; the block has the last products."""
    rows, width = block.shape
    for row in range(0, len(left), rows):
        some = left[row : row + rows]
        for first in range(0, len(right), width):
            part = right[first : first + width]
            for column in range(0, len(part), columns):
                others = part[column : column + columns]
                torch.mm(some, others.t(), out=block[: len(some), column : column + len(others)])
