from __future__ import annotations

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.evaluation import RandomGalleryEvaluator, build_evaluator, compare_queries, evaluate_rank
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


def test_numbers_of_all_splits(images):
    evaluator = filled(*images)
    results = evaluator.evaluate()
    queries, details = evaluator.queries, evaluator.details
    assert np.bincount(queries["split"]).tolist() == [23] * 10
    assert {"place", "img_path", "pid", "mAP"} <= set(queries)
    for split in (0, 7):
        own = {name: values[queries["split"] == split] for name, values in queries.items()}
        drawn = draw_gallery(images[1].tolist(), images[2].tolist(), split)
        assert own["place"].tolist() == sorted({*range(30)}.difference(drawn))
        assert own["pid"].tolist() == images[1][own["place"]].tolist()
    assert 100 * queries["mAP"].mean() == pytest.approx(results["mAP"])  # the splits have as many queries each
    assert details["queries"] == {"count": 230, "without_match": 0, "unmatched": []}
    assert list(details["breakdown"]) == ["identities"]  # the numbers of images are no cameras
    assert not any("breakdown" in split for split in details["splits"])
    assert sum(row["queries"] for row in details["breakdown"]["identities"]["worst"]) == 230
    assert list(details["intervals"]) == list(results)


def test_intervals_are_those_of_resampled_identities(images):
    evaluator = filled(*images)
    evaluator.evaluate()
    queries = evaluator.queries
    names = np.unique(queries["pid"])
    generator, means = np.random.default_rng(0), []
    for _ in range(1000):
        chosen = generator.integers(names.size, size=names.size)
        means.append(np.concatenate([queries["mAP"][queries["pid"] == names[place]] for place in chosen]).mean())
    expected = 100 * np.quantile(means, (0.025, 0.975))
    assert evaluator.details["intervals"]["mAP"] == pytest.approx(expected.tolist())


@pytest.mark.parametrize("kind", ["fpr", "far"])
def test_the_threshold_is_the_mean_of_those_of_the_splits(images, kind):
    evaluator = RandomGalleryEvaluator(num_query=7, roc=True, threshold=(kind, 0.3))
    evaluator.process({"targets": images[1], "camids": images[2]}, images[0])
    evaluator.evaluate()
    found = evaluator.details["threshold"]
    assert (found["kind"], found["value"], found["metric"]) == (kind, 0.3, "cosine")
    own = [split["threshold"] for split in evaluator.details["splits"]]
    for name in ("threshold", "tpr" if kind == "fpr" else "dir", "threshold_interval"):
        assert found[name] == pytest.approx(np.mean([of[name] for of in own], axis=0))
    assert len({of["threshold"] for of in own}) > 1


def test_a_threshold_that_one_split_lacks_is_none(images):
    images[1][:] = 5  # no impostors
    evaluator = RandomGalleryEvaluator(num_query=7, roc=True)
    evaluator.process({"targets": images[1], "camids": images[2]}, images[0])
    evaluator.evaluate()
    assert evaluator.details["threshold"]["threshold"] is None
    assert evaluator.details["threshold"]["kind"] == "fpr"


def test_two_models_are_compared_split_by_split(images):
    first, second = filled(*images), filled(images[0] + 0.1, *images[1:])
    for evaluator in (first, second):
        evaluator.evaluate()
    order = np.random.default_rng(0).permutation(230)
    report = compare_queries(first.queries, {name: own[order] for name, own in second.queries.items()}, resamples=20)
    assert report["queries"] == 230
    assert report["mAP"]["second"] == pytest.approx(100 * second.queries["mAP"].mean())
    other = {**second.queries, "split": (second.queries["split"] + 1) % 10}
    with pytest.raises(ValueError, match="queries are in one evaluation only"):
        compare_queries(first.queries, other)


def test_camera_normalisation_is_an_error_since_camids_are_no_cameras():
    cfg = get_cfg()
    cfg.merge_from_list(["TEST.EVALUATOR", "RandomGalleryEvaluator", "TEST.CAMERA_NORM.ENABLED", True])
    with pytest.raises(ValueError, match=r"not for cameras, .* set TEST\.CAMERA_NORM\.ENABLED False"):
        build_evaluator(cfg, 7)
