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
_ROWS, _COLUMNS = 1024, 512  # the blocks of the product that the time is compared with; it is fastest in such


def measure(
    *,
    queries: int,
    gallery: int,
    dimensions: int,
    metric: str,
    roc: bool = False,
    identities: int = 750,
    cameras: int = 6,
) -> dict[str, float]:
    """Measure distances, CMC, mAP and mINP of random features, beside nothing but the matrix product.

    A third of the gallery are distractors, as in Market-1501.

    Args:
        queries: number of query images.
        gallery: number of gallery images.
        dimensions: length of a feature.
        metric: a name in ``METRIC_REGISTRY``.
        roc: measure verification, open-set identification, the threshold and all intervals too.
        identities: of the queries.
        cameras: of all images.

    Returns:
        ``seconds`` of one evaluation, ``images_per_second`` (queries), ``peak_memory_mib`` above the features, and
        ``product_ratio``: the time divided by that of ``torch.mm`` of the normalised features, block by block. Product
        and evaluation take turns five times; both figures are medians.
    """
    generator = torch.Generator().manual_seed(0)
    query = _random_set(queries, dimensions, 0, identities, cameras, generator)
    others = _random_set(gallery, dimensions, -identities // 2, identities, cameras, generator)
    evaluator = ReidEvaluator(num_query=queries, metric=metric, roc=True)

    def evaluate() -> None:
        if roc:
            evaluator.evaluate_split(query, others)
        else:
            summarize(rank_matches(query, others, metric=metric))

    with PeakMemory() as memory:
        evaluate()
    unit_query, unit_gallery = F.normalize(query.features), F.normalize(others.features)
    block = torch.zeros(min(queries, _ROWS), gallery)
    times = [
        (
            seconds(lambda: _product(unit_query, unit_gallery, block)),
            seconds(evaluate),
        )
        for _ in range(_ROUNDS)
    ]
    whole = statistics.median(whole for _, whole in times)
    return {
        "seconds": whole,
        "images_per_second": queries / whole,
        "peak_memory_mib": memory.mib,
        "product_ratio": statistics.median(whole / product for product, whole in times),
    }


def _random_set(
    count: int, dimensions: int, first_pid: int, last_pid: int, cameras: int, generator: torch.Generator
) -> FeatureSet:
    return FeatureSet(
        torch.randn(count, dimensions, generator=generator),
        torch.randint(first_pid, last_pid, (count,), generator=generator),
        torch.randint(cameras, (count,), generator=generator),
    )


def _product(query: Tensor, gallery: Tensor, block: Tensor) -> None:
    for row in range(0, len(query), _ROWS):
        some = query[row : row + _ROWS]
        for column in range(0, len(gallery), _COLUMNS):
            part = slice(column, column + _COLUMNS)
            torch.mm(some, gallery[part].t(), out=block[: len(some), part])
