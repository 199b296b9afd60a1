"""Real weights on real images: what a map shows is what the similarity comes from."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from fastreid.config import get_cfg, get_config_file
from fastreid.data.datasets import Market1501
from fastreid.engine import Embedder
from fastreid.visualization import activation_maps, pair_grad_cam

pytestmark = pytest.mark.data

PAIRS = 12  # docs/visualization.md has 200


def true_pairs(root, count):
    """Return the paths of queries, and for each one of an image of the same person by another camera."""
    data = Market1501(root=str(root), verbose=False)
    rng = random.Random(0)
    queries = sorted(data.query)
    rng.shuffle(queries)
    pairs = []
    for path, pid, camid in queries:
        others = sorted(other for other, its_pid, its_camid in data.gallery if its_pid == pid and its_camid != camid)
        if others:
            pairs.append((path, rng.choice(others)))
    return pairs[:count]


def lost_cosine(model, pair, activation, share=0.25):
    """Return by how much the cosine falls when the highest, or the lowest, quarter of the first image turns grey."""
    large = F.interpolate(activation[None, None], pair.shape[2:], mode="bilinear")[0, 0].flatten()
    before = F.cosine_similarity(*model(pair), dim=0)
    lost = []
    for order in (large.argsort(descending=True), large.argsort()):
        hidden = torch.zeros(large.numel(), dtype=torch.bool)
        hidden[order[: int(share * large.numel())]] = True
        image = torch.where(hidden.view(pair.shape[2:]), model.pixel_mean[0], pair[0].float())
        lost.append(float(before - F.cosine_similarity(model(image[None]), model(pair[1:]))))
    return lost


def test_what_maps_show_is_what_the_similarity_comes_from(shared_dir, market_mini):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/osnet_x0_25_torchreid.yml"))
    weights = str(shared_dir / "weights" / "osnet_x0_25_msmt17.pth")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", weights])
    embedder = Embedder(cfg)
    lost = {"energy": [], "cosine": [], "fixed lengths": [], "random": []}
    edge = []
    for paths in true_pairs(market_mini, PAIRS):
        pair = embedder.images(paths)
        maps = {
            "energy": activation_maps(embedder.model, pair[:1])[0],
            "cosine": pair_grad_cam(embedder.model, pair[:1], pair[1:])[0][0],
            "fixed lengths": pair_grad_cam(embedder.model, pair[:1], pair[1:], fixed_lengths=True)[0][0],
            "random": torch.rand(16, 8),
        }
        assert maps["energy"].shape == (16, 8)
        edge.append(float(maps["energy"][:, [0, 1, -2, -1]].sum() / maps["energy"].sum()))
        with torch.no_grad():
            for name, activation in maps.items():
                lost[name].append(lost_cosine(embedder.model, pair, activation))
    means = {name: torch.tensor(values).mean(dim=0).tolist() for name, values in lost.items()}
    by_chance = sum(means["random"]) / 2
    for name in ("energy", "cosine", "fixed lengths"):
        highest, lowest = means[name]
        assert highest > 2 * by_chance and lowest < 0.6 * by_chance, (name, means)
    assert sum(edge) / len(edge) < 0.35  # a half, if the energy were not on the person
