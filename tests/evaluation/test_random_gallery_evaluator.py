from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.evaluation import RandomGalleryEvaluator, build_evaluator, evaluate_rank
from fastreid.utils import comm
from fastreid.utils.random_gallery import draw_gallery


def filled(features, pids, numbers, num_query=7):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("VehicleID/bagtricks_R50-ibn.yml"))
    evaluator = build_evaluator(cfg, num_query)
    assert type(evaluator) is RandomGalleryEvaluator
    for start in range(0, len(features), 7):
        part = slice(start, start + 7)
        evaluator.process({"targets": pids[part], "camids": numbers[part]}, features[part])
    return evaluator


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pids = torch.arange(30) % 6
    pids[0] = 99  # alone: in each gallery, and never a query
    return torch.randn(30, 5, generator=generator), pids, 1000 + torch.randperm(30, generator=generator)


def test_results_are_the_means_over_ten_galleries(images):
    features, pids, numbers = images
    results = filled(*images).evaluate()
    x = torch.nn.functional.normalize(features.double()).numpy()
    p, c = pids.numpy(), numbers.numpy()
    expected = []
    for seed in range(10):
        gallery = np.array(draw_gallery(p.tolist(), c.tolist(), seed))
        query = np.setdiff1d(np.arange(30), gallery)
        curve, precision, penalty = evaluate_rank(
            2 - 2 * x[query] @ x[gallery].T, p[query], p[gallery], c[query], c[gallery]
        )
        assert len(gallery) == 7 and len(precision) == 23
        expected.append([100 * curve[0], 100 * curve[4], 100 * precision.mean(), 100 * penalty.mean()])
    assert [results[name] for name in ("Rank-1", "Rank-5", "mAP", "mINP")] == pytest.approx(np.mean(expected, axis=0))
    assert results["metric"] == pytest.approx((results["mAP"] + results["Rank-1"]) / 2)
    assert list(results) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]


def test_order_of_the_images_does_not_matter(images):
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    assert filled(*images).evaluate() == pytest.approx(
        filled(*(part[order] for part in images), num_query=3).evaluate()
    )


def test_other_ranks_return_nothing(images, monkeypatch):
    evaluator = filled(*images)
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluator.evaluate() == {}


def test_features_that_are_not_finite_are_an_error(images):
    images[0][3, 1] = torch.nan
    with pytest.raises(ValueError, match="1 of 30 images have features that are NaN"):
        filled(*images).evaluate()
