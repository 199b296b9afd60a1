from __future__ import annotations

import statistics

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.features import FeatureSet
from ..evaluation.rank_blocks import rank_matches
from ..evaluation.rates import summarize
from ..evaluation.reid_evaluation import ReidEvaluator
from .meters import PeakMemory, seconds

__all__ = ["measure"]

_ROUNDS = 5
# The blocks of the product that the time is compared with: those of the ranking, and those of the search in all pairs.
_ROWS, _COLUMNS = 1024, 512
_ALL_ROWS, _ALL_COLUMNS = 4096, 1024


def measure(
    *,
    queries: int,
    gallery: int,
    dimensions: int,
    metric: str,
    work: str = "ranking",
    identities: int = 750,
    cameras: int = 6,
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
        identities: of the queries.
        cameras: of all images.

    Returns:
        ``seconds`` of the work, ``images_per_second`` (queries), ``peak_memory_mib`` above the features, and
        ``product_ratio``: the time divided by that of ``torch.mm`` of the normalised features, block by block. For
        ``ranking``, product and evaluation take turns five times, and both figures are medians.
    """
    generator = torch.Generator().manual_seed(0)
    query = _random_set(queries, dimensions, 0, identities, cameras, generator)
    others = _random_set(gallery, dimensions, -identities // 2, identities, cameras, generator)
    evaluator = ReidEvaluator(num_query=queries, metric=metric, roc=True)
    act, rounds, all_pairs = {
        "ranking": (lambda: summarize(rank_matches(query, others, metric=metric)), _ROUNDS, False),
        "roc": (lambda: evaluator.evaluate_split(query, others), _ROUNDS, False),
        "aqe": (lambda: _expand(query.features, others.features), 1, True),
        "rerank": (lambda: _rerank(query, others, metric), 1, True),
    }[work]
    with PeakMemory() as memory:
        first = seconds(act)
    left, right = F.normalize(query.features), F.normalize(others.features)
    rows, columns = _ROWS, _COLUMNS
    if all_pairs:
        left = right = torch.cat([left, right])
        rows, columns = _ALL_ROWS, _ALL_COLUMNS
    block = torch.zeros(min(len(left), rows), len(right))
    times = []
    for _ in range(rounds):
        product = seconds(lambda: _product(left, right, block, columns))
        times.append((product, seconds(act) if rounds > 1 else first))
    whole = statistics.median(whole for _, whole in times)
    return {
        "seconds": whole,
        "images_per_second": queries / whole,
        "peak_memory_mib": memory.mib,
        "product_ratio": statistics.median(whole / product for product, whole in times),
    }


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
    count: int, dimensions: int, first_pid: int, last_pid: int, cameras: int, generator: torch.Generator
) -> FeatureSet:
    return FeatureSet(
        torch.randn(count, dimensions, generator=generator),
        torch.randint(first_pid, last_pid, (count,), generator=generator),
        torch.randint(cameras, (count,), generator=generator),
    )


def _product(query: Tensor, gallery: Tensor, block: Tensor, columns: int) -> None:
    for row in range(0, len(query), len(block)):
        some = query[row : row + len(block)]
        for column in range(0, len(gallery), columns):
            part = slice(column, column + columns)
            torch.mm(some, gallery[part].t(), out=block[: len(some), part])
