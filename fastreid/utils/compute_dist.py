"""Old address of ``fastreid.evaluation.distances``."""

from __future__ import annotations

from ..evaluation.distances import build_dist, compute_cosine_distance, compute_euclidean_distance
from ..evaluation.jaccard import compute_jaccard_distance
from ..evaluation.k_reciprocal import k_reciprocal_neigh as k_reciprocal_neigh

__all__ = ["build_dist", "compute_cosine_distance", "compute_euclidean_distance", "compute_jaccard_distance"]
