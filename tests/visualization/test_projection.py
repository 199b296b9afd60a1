from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fastreid.visualization.projection import PROJECTIONS, project

_HAS_UMAP = importlib.util.find_spec("umap") is not None


def groups(count=4, each=15, dims=64):
    """Return features of well separated groups, of very different lengths, and their numbers."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(count), each)
    features = rng.normal(size=(count, dims))[numbers] + 0.2 * rng.normal(size=(count * each, dims))
    return (features * rng.uniform(0.1, 100, size=(len(features), 1))).astype(np.float32), numbers


@pytest.mark.parametrize("method", [name for name in PROJECTIONS if name != "umap" or _HAS_UMAP])
def test_groups_stay_together_and_a_seed_repeats_the_map(method):
    features, numbers = groups()
    points = project(features, method, seed=3)
    assert points.shape == (60, 2) and points.dtype == np.float64
    assert abs(points).max() == pytest.approx(1)
    assert points.min(axis=0) == pytest.approx(-points.max(axis=0))
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 9 * np.eye(60)
    assert (numbers[distances.argmin(axis=1)] == numbers).mean() > 0.95
    assert np.array_equal(project(features, method, seed=3), points)


def test_pca_is_the_two_widest_directions_of_unit_vectors():
    features, _ = groups()
    unit = features / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    expected -= (expected.min(axis=0) + expected.max(axis=0)) / 2
    assert abs(project(features, "pca")) == pytest.approx(abs(expected) / abs(expected).max(), abs=1e-5)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("features", [np.eye(3), np.ones((5, 4)), np.array([[1.0], [2.0], [-1.0], [0.0]])])
def test_few_images_and_few_dimensions_are_laid_out(method, features):
    points = project(features, method)
    assert points.shape == (len(features), 2) and np.isfinite(points).all()


@pytest.mark.parametrize(
    ("features", "method", "message"),
    [
        (np.eye(4), "mds", "method must be one of tsne, pca, umap, got 'mds'"),
        (np.eye(2), "pca", "needs at least 3 images, got 2"),
        (np.array([[1.0], [np.nan], [np.inf]]), "pca", "2 of 3 features are NaN or infinite, first that of image 1"),
    ],
)
def test_wrong_arguments_are_told(features, method, message):
    with pytest.raises(ValueError, match=message):
        project(features, method)


@pytest.mark.skipif(_HAS_UMAP, reason="umap-learn is installed")
def test_a_missing_package_names_the_extra():
    with pytest.raises(ImportError, match=r"needs the extra umap: pip install '.\[umap\]'"):
        project(np.eye(4), "umap")
