"""Query expansion: features averaged with those of their nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .knn import Neighbours, knn

__all__ = ["aqe", "dba", "expand"]


def aqe(
    query_feat: Tensor, gallery_feat: Tensor, qe_times: int = 1, qe_k: int = 10, alpha: float = 3.0
) -> tuple[Tensor, Tensor]:
    """Average every feature, of queries and gallery, with its nearest among all of them; see :func:`expand`.

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019, arXiv:1711.02512,
    alpha-weighted query expansion.

    Args:
        query_feat: ``(Q, D)`` float, not changed.
        gallery_feat: ``(G, D)`` float, not changed.
        qe_times: how often, at least 1; every time neighbours are searched anew.
        qe_k: neighbours, the image itself included, at least 1.
        alpha: a neighbour has the weight ``cos ** alpha``, at least 0.

    Returns:
        New ``(Q, D)`` and ``(G, D)``, not normalised.
    """
    everything = expand(torch.cat([query_feat, gallery_feat]), times=qe_times, k=qe_k, alpha=alpha)
    return everything[: len(query_feat)], everything[len(query_feat) :]


def dba(gallery_feat: Tensor, times: int = 1, k: int = 10, alpha: float = 3.0) -> Tensor:
    """Average every gallery feature with its nearest in the gallery: database-side augmentation.

    Queries play no part, so that it can be done once for a gallery.

    Source: Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012; the
    weights are those of :func:`aqe`.

    Args:
        gallery_feat: ``(G, D)`` float, not changed.
        times: how often, at least 1.
        k: neighbours, the image itself included, at least 1.
        alpha: a neighbour has the weight ``cos ** alpha``, at least 0.

    Returns:
        New ``(G, D)``, not normalised.
    """
    return expand(gallery_feat, times=times, k=k, alpha=alpha)


@torch.no_grad()
def expand(features: Tensor, *, times: int, k: int, alpha: float, search: Callable[..., Neighbours] = knn) -> Tensor:
    """Replace every feature by the mean over its ``k`` nearest, itself included, of ``feature * cos ** alpha``.

    A negative cosine to a power that is no whole number counts as 0. If there are fewer than ``k`` images, the mean is
    over all.

    Args:
        features: ``(N, D)`` finite float, not changed.
        times: how often, at least 1.
        k: neighbours, at least 1.
        alpha: exponent, at least 0.
        search: called like :func:`~.knn.knn`.

    Returns:
        ``(N, D)``, float32 or wider, not normalised.

    Raises:
        ValueError: if a number is out of its range.
    """
    if times < 1 or k < 1 or alpha < 0:
        raise ValueError(f"times and k must be at least 1 and alpha at least 0, got {times}, {k} and {alpha}")
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    for _ in range(times if len(features) else 0):
        found = search(features, features, k, metric="cosine")
        weights = found.similarity.to(features.dtype).pow(alpha).nan_to_num(nan=0.0) / found.places.shape[1]
        features = F.embedding_bag(found.places, features, mode="sum", per_sample_weights=weights)  # (N, D)
    return features
