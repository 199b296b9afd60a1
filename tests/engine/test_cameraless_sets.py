"""Public data sets without cameras are trained on and judged by the protocol of their kind; the numbers are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from fastreid.data import build_reid_test_loader
from fastreid.engine import DefaultTrainer
from fastreid.utils.env import seed_all_rng

from .tiny import HEIGHT, WIDTH, tiny_cfg

RETRIEVAL = ("TEST.EVALUATOR", "RetrievalEvaluator", "TEST.PROTOCOL", "leave_one_out")


def paint(path: Path, identity: int, number: int) -> None:
    """Write an image in the colour of its identity, with noise that confuses some of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = 128 + 0.3 * (np.random.default_rng(identity).integers(0, 255, 3) - 128)
    noise = np.random.default_rng([identity, number]).integers(-40, 40, (HEIGHT, WIDTH, 3))
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set of each kind: for training, for tests, without a gallery, with one, and a table."""
    root = tmp_path_factory.mktemp("cameraless")
    birds, clothes = [], ["", "image_name item_id evaluation_status"]
    for identity in range(1, 7):
        for number in range(4):
            paint(root / "thermalworld_rgb" / f"{identity:03d}" / f"{number}.jpg", identity, number)
            species = identity + (95 if identity <= 3 else 97)
            name = f"{species:03d}.Bird/{number}.jpg"
            paint(root / "CUB_200_2011" / "images" / name, 20 + identity, number)
            birds.append(f"{len(birds) + 1} {name}")
            name = f"img/id_{identity:08d}/{number}.jpg"
            paint(root / "InShop" / name, 40 + identity, number)
            split = "train" if identity <= 3 else "query" if number == 0 else "gallery"
            clothes.append(f"{name} id_{identity:08d} {split}")
            paint(root / "wildlife" / "images" / f"{identity}_{number}.png", 60 + identity, number)
        for number, folder in enumerate(("query", "gallery")):
            paint(root / "PartialiLIDS" / folder / f"{identity:03d}.jpg", 80 + identity, number)
    (root / "CUB_200_2011" / "images.txt").write_text("\n".join(birds))
    (root / "InShop" / "list_eval_partition.txt").write_text("\n".join([str(len(clothes) - 2), *clothes[1:]]))
    animals = [f"images/{i}_{n}.png,animal {i},{'train' if i <= 3 else 'test'}" for i in range(1, 7) for n in range(4)]
    (root / "wildlife" / "metadata.csv").write_text("\n".join(["path,identity,split", *animals]))
    return root


def train(cfg):
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    return trainer, trainer.train()


def similarities(trainer, cfg, name):
    """Embed a test set; return the cosines of all pairs of its images, their pids and the number of queries."""
    loader, num_query = build_reid_test_loader(cfg, name)
    trainer.model.eval()
    with torch.no_grad():
        features = torch.cat([trainer.model(batch) for batch in loader])
    pids = np.array([item[1] for item in loader.dataset.img_items])
    features = F.normalize(features.double())
    return (features @ features.t()).numpy(), pids, num_query


def test_sets_without_a_gallery(root, tmp_path):
    options = ("DATASETS.NAMES", ("Thermalworld", "CUB"), "DATASETS.TESTS", ("CUB",), "SOLVER.MAX_EPOCH", 1, *RETRIEVAL)
    cfg = tiny_cfg(root, tmp_path, *options)
    trainer, results = train(cfg)
    assert trainer.data_loader.dataset.num_classes == 6 + 3
    assert trainer.data_loader.dataset.num_cameras == 2  # one for each set
    similarity, pids, num_query = similarities(trainer, cfg, "CUB")
    assert (len(pids), num_query) == (12, 0)
    np.fill_diagonal(similarity, -np.inf)
    for k in (1, 2, 4):
        nearest = np.argsort(-similarity, axis=1)[:, :k]
        wanted = 100 * (pids[nearest] == pids[:, None]).any(axis=1).mean()
        assert results[f"Recall@{k}"] == pytest.approx(wanted, abs=1e-3)
        assert wanted > 0


def test_sets_with_queries_and_a_gallery(root, tmp_path):
    tests = ("InShop", "PartialiLIDS", "Wildlife")
    options = ("DATASETS.NAMES", ("InShop", "Wildlife", "CUB"), "DATASETS.TESTS", tests)
    cfg = tiny_cfg(root, tmp_path, *options, "SOLVER.MAX_EPOCH", 1, "TEST.PROTOCOL", "cameraless")
    trainer, results = train(cfg)
    assert trainer.data_loader.dataset.num_classes == 9
    for name, queries in zip(tests, (3, 6, 3)):
        similarity, pids, num_query = similarities(trainer, cfg, name)
        assert num_query == queries
        precisions, first = [], []
        for query in range(num_query):
            order = num_query + np.argsort(-similarity[query, num_query:])
            ranks = np.flatnonzero(pids[order] == pids[query]) + 1
            assert len(ranks) == (1 if name == "PartialiLIDS" else 3)  # no true match is left out
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            first.append(ranks[0])
        assert results[name]["mAP"] == pytest.approx(100 * np.mean(precisions), abs=1e-3)
        assert results[name]["Rank-1"] == pytest.approx(100 * np.mean(np.array(first) == 1), abs=1e-3)
        assert results[name]["mAP"] > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CUB", "CUB has queries, but no gallery; .* TEST.PROTOCOL leave_one_out, TEST.EVALUATOR RetrievalEvaluator"),
        ("InShop", "InShop: no camera is known of 12 of 12 test images, .* set TEST.PROTOCOL cameraless"),
        ("Thermalworld", "Thermalworld has no query images .*for training only"),
    ],
)
def test_the_default_protocol_is_an_error_before_anything_is_trained(root, tmp_path, name, message):
    cfg = tiny_cfg(root, tmp_path, "DATASETS.NAMES", ("InShop", "CUB"), "DATASETS.TESTS", (name,))
    with pytest.raises(ValueError, match=message):
        train(cfg)
    assert not list(tmp_path.glob("*.pth"))
