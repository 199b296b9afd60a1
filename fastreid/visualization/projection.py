"""From many dimensions to two, so that what is near stays near."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

__all__ = ["PROJECTIONS", "project"]

_DIMENSIONS = 50  # that t-SNE and UMAP start from


def project(features: np.ndarray, method: str = "tsne", *, seed: int = 0) -> np.ndarray:
    """Lay features out on a plane. They are brought to length 1 first, so that distances are those of the cosine.

    Args:
        features: ``(N, D)`` finite float, N at least 3.
        method: a name in :data:`PROJECTIONS`.
        seed: of what the method draws at random.

    Returns:
        ``(N, 2)`` float64, with the middle at 0 and the farthest coordinate at 1.

    Raises:
        ValueError: if there is no such method, too few images, or a feature is NaN or infinite.
        ImportError: if the method needs a package that is not installed.
    """
    if method not in PROJECTIONS:
        raise ValueError(f"method must be one of {', '.join(PROJECTIONS)}, got {method!r}")
    if len(features) < 3:
        raise ValueError(f"a map needs at least 3 images, got {len(features)}")
    features = features.astype(np.float64)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(f"{bad.sum()} of {len(bad)} features are NaN or infinite, first that of image {bad.argmax()}")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    points = PROJECTIONS[method](features / np.where(lengths > 0, lengths, 1), seed)
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    return points / max(abs(points).max(), np.finfo(float).tiny)


def _pca(features: np.ndarray, seed: int, dimensions: int = 2) -> np.ndarray:
    """Take the directions in which features differ most; ``(N, dimensions)``, with 0 for those that there are not."""
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # the share of the variance, of images that are all alike
        found = PCA(min(dimensions, *features.shape), random_state=seed).fit_transform(features)
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """Keep the neighbours of each image near it (van der Maaten and Hinton, JMLR 2008)."""
    from sklearn.manifold import TSNE

    reduced = _pca(features, seed, _DIMENSIONS)
    # The usual start, PCA with a spread of 1e-4; init="pca" divides by 0, and then crashes, where all images are alike.
    start = 1e-4 * reduced[:, :2] / max(reduced[:, 0].std(), 1e-12)
    start += np.random.default_rng(seed).normal(scale=1e-7, size=start.shape)
    perplexity = max(1.0, min(30.0, (len(features) - 1) / 3))
    embed = TSNE(2, perplexity=perplexity, init=start.astype(np.float32), learning_rate="auto", random_state=seed)
    return embed.fit_transform(reduced).astype(np.float64)


def _umap(features: np.ndarray, seed: int) -> np.ndarray:
    """Keep neighbours near, and more of how groups lie to each other (McInnes et al., arXiv:1802.03426)."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(
            "method umap needs the extra umap: pip install '.[umap]', or umap-learn; or take tsne or pca"
        ) from error
    neighbours = min(15, len(features) - 1)
    found = UMAP(n_components=2, n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(
        _pca(features, seed, _DIMENSIONS)
    )
    return np.asarray(found, dtype=np.float64)


PROJECTIONS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = MappingProxyType(
    {"tsne": _tsne, "pca": _pca, "umap": _umap}
)
"""Functions ``(features (N, D), seed) -> points (N, 2)``, by the names of ``--method``."""
