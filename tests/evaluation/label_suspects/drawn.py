"""Features that are drawn: people are points on a sphere, cameras move what they see, and no two images are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Drawn:
    features: torch.Tensor  # (N, D)
    pids: np.ndarray
    camids: np.ndarray
    splits: np.ndarray


def draw(*, identities=60, cameras=6, shots=4, dims=24, spread=1.0, shift=1.0, seed=0):
    """Return a query and ``shots - 1`` gallery images of each identity by each camera.

    ``spread`` is how far the images of one person lie from their middle, ``shift`` how far a camera moves all of its
    images, both as a multiple of the distance of a person from the origin.
    """
    rng = np.random.default_rng(seed)

    def directions(count):
        drawn = rng.normal(size=(count, dims))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    pids = np.repeat(np.arange(1, identities + 1), cameras * shots)
    camids = np.tile(np.repeat(np.arange(cameras), shots), identities)
    splits = np.where(np.arange(len(pids)) % shots == 0, "query", "gallery")
    noise = rng.normal(size=(len(pids), dims)) * spread / np.sqrt(dims)
    features = directions(identities)[pids - 1] + shift * directions(cameras)[camids] + noise
    return Drawn(torch.from_numpy(features).float(), pids, camids, splits)


def rank_1(drawn):
    """Return the share of queries whose nearest image, of another camera or person, is of their identity."""
    query = drawn.splits == "query"
    unit = torch.nn.functional.normalize(drawn.features)
    similarity = (unit[query] @ unit[~query].T).numpy()
    same = drawn.pids[query][:, None] == drawn.pids[~query]
    similarity[same & (drawn.camids[query][:, None] == drawn.camids[~query])] = -np.inf
    return same[np.arange(len(similarity)), similarity.argmax(axis=1)].mean()
