from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator, average_precision
from fastreid.evaluation import breakdown as module
from fastreid.evaluation.breakdown import (
    MatchCameras,
    breakdown_details,
    by_camera,
    by_camera_pair,
    by_identity,
    by_match_camera,
    worst_of_each,
)
from fastreid.evaluation.consumers import Consumers
from fastreid.evaluation.cuhk03 import SingleShot
from fastreid.evaluation.features import FeatureSet
from fastreid.evaluation.pair_scores import ScoreScale
from fastreid.evaluation.rank import IdentityIndex
from fastreid.evaluation.rank_blocks import rank_matches
from fastreid.evaluation.rates import rates_by_query
from fastreid.evaluation.score_sketch import ScoreSketch
from fastreid.evaluation.similarity import METRIC_REGISTRY


def images(seed=0, count=160, ties=False):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.randint(0, 8, (count,), generator=generator)
    features = torch.randn(count, 5, generator=generator) + torch.eye(8, 5)[pids]
    if ties:
        features[::3] = features[0]
    pids[4] = 99  # nobody else
    return features, pids, torch.randint(0, 4, (count,), generator=generator)


def pair_as_loops(x, pids, camids, num_query, a, b, leave_own_camera=True):
    """The definition: matches of other cameras than b are not there at all."""
    rank_1, precision, pairs = [], [], 0
    for q in range(num_query):
        if camids[q] != a:
            continue
        ranked = []
        for g in range(num_query, len(x)):
            same = pids[g] == pids[q]
            if same and (camids[g] != b or (leave_own_camera and camids[g] == camids[q])):
                continue
            ranked.append((-round((x[q] @ x[g]).item(), 5), bool(same)))  # of equal ones the other goes first
        ranks = [rank for rank, (_, same) in enumerate(sorted(ranked), start=1) if same]
        if ranks:
            pairs += len(ranks)
            rank_1.append(ranks[0] == 1)
            precision.append(average_precision(np.array(ranks)))
    return len(rank_1), pairs, rank_1, precision


def evaluated(protocol="market1501", num_query=40, **options):
    features, pids, camids = images(**options)
    cfg = get_cfg()
    cfg.TEST.PROTOCOL = protocol
    evaluator = ReidEvaluator(cfg, num_query)
    evaluator.process({"targets": pids, "camids": camids}, features)
    return evaluator, evaluator.evaluate(), torch.nn.functional.normalize(features.double()), pids, camids


@pytest.mark.parametrize("protocol", ["market1501", "cameraless"])
@pytest.mark.parametrize("ties", [False, True])
def test_pairs_of_cameras_are_those_of_the_definition(ties, protocol):
    evaluator, _, *data = evaluated(protocol, ties=ties)
    rows = evaluator.details["breakdown"]["camera_pairs"]["worst"]
    assert evaluator.details["breakdown"]["camera_pairs"]["count"] == len(rows)
    assert len(rows) == (12 if protocol == "market1501" else 16)
    for row in rows:
        where = (row["query_camera"], row["gallery_camera"])
        queries, pairs, rank_1, precision = pair_as_loops(*data, 40, *where, protocol == "market1501")
        assert (row["queries"], row["pairs"]) == (queries, pairs), where
        assert row["Rank-1"] == pytest.approx(100 * np.mean(rank_1)), where
        assert row["mAP"] == pytest.approx(100 * np.mean(precision)), where
    assert rows == sorted(rows, key=lambda row: row["mAP"])


def test_cameras_are_means_of_their_queries():
    evaluator, results, _, _, camids = evaluated()
    table = evaluator.details["breakdown"]["cameras"]
    assert table["count"] == len(table["worst"]) == 4
    for row in table["worst"]:
        own = evaluator.queries["mAP"][camids[:40].numpy() == row["camera"]]
        assert row["mAP"] == pytest.approx(100 * np.nanmean(own))
        assert (row["queries"], row["without_match"]) == (np.isfinite(own).sum(), np.isnan(own).sum())
    weighted = sum(row["queries"] * row["mAP"] for row in table["worst"]) / 39
    assert weighted == pytest.approx(results["mAP"])
    assert sum(row["without_match"] for row in table["worst"]) == 1


def test_identities_are_sorted_from_the_worst():
    evaluator, _, _, pids, _ = evaluated()
    table = evaluator.details["breakdown"]["identities"]
    expected = []
    for pid in set(pids[:40].tolist()) - {99}:
        own = evaluator.queries["mAP"][pids[:40].numpy() == pid]
        expected.append((100 * np.mean(own), pid, own.size))
    assert table["count"] == len(expected)
    assert [(row["mAP"], row["pid"], row["queries"]) for row in table["worst"]] == [
        (pytest.approx(mean), pid, count) for mean, pid, count in sorted(expected)
    ]


def test_each_query_by_the_camera_of_its_matches():
    ranks = [np.array([2, 3, 7]), np.array([], dtype=np.int64), np.array([1])]
    cameras = [np.array([4, 1, 4]), np.array([], dtype=np.int64), np.array([1])]
    found = by_match_camera(ranks, cameras)
    # query 0: one stranger ahead of ranks 2 and 3, four ahead of rank 7
    expected = {
        "query": [0, 0, 2],
        "camera": [1, 4, 1],
        "matches": [1, 2, 1],
        "is_first": [False, False, True],
        "precision": [1 / 2, (1 / 2 + 2 / 6) / 2, 1.0],
    }
    assert {name: own.tolist() for name, own in found.items()} == {
        name: pytest.approx(own) if name == "precision" else own for name, own in expected.items()
    }
    assert {own.size for own in by_match_camera([], []).values()} == {0}


def test_long_tables_keep_the_worst(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    r = np.random.default_rng(0)
    ranks = [np.sort(r.permutation(30)[:4]) + 1 for _ in range(60)]
    cameras = [r.integers(5, size=4) for _ in range(60)]
    q_camids = r.integers(5, size=60)
    details = breakdown_details(rates_by_query(ranks), np.arange(60), q_camids, ranks, cameras)
    whole = by_camera_pair(ranks, cameras, q_camids)
    assert details["camera_pairs"] == {"count": len(whole), "worst": whole[:3]}
    assert details["identities"]["count"] == 60 and len(details["identities"]["worst"]) == 50
    assert by_identity(np.arange(60), rates_by_query(ranks)["mAP"])["pid"].size == 60


def test_the_worst_are_in_the_log(caplog):
    with caplog.at_level(logging.INFO):
        evaluator, *_ = evaluated()
    details = evaluator.details["breakdown"]
    json.dumps(details, allow_nan=False)
    worst = details["camera_pairs"]["worst"][0]
    assert (
        f"cameras {worst['query_camera']} -> {worst['gallery_camera']}: mAP {worst['mAP']:.2f} of {worst['queries']} "
        "queries" in caplog.text
    )
    assert worst_of_each({}) == ""


def test_no_cameras_no_tables_of_cameras():
    features, pids, camids = images()
    for unknown in (slice(None), slice(150, None)):
        some = camids.clone()
        some[unknown] = -1
        evaluator = ReidEvaluator(num_query=40, protocol="cameraless")
        evaluator.process({"targets": pids, "camids": some}, features)
        evaluator.evaluate()
        assert list(evaluator.details["breakdown"]) == ["identities"]


def test_a_metric_without_scores_has_no_tables_of_cameras(monkeypatch):
    monkeypatch.setitem(METRIC_REGISTRY._objects, "mine", METRIC_REGISTRY.get("cosine"))
    features, pids, camids = images()
    evaluator = ReidEvaluator(num_query=40, metric="mine")
    evaluator.process({"targets": pids, "camids": camids}, features)
    evaluator.evaluate()
    assert list(evaluator.details["breakdown"]) == ["identities"]


def test_nothing_to_break_down():
    none = [np.empty(0, dtype=np.int64)] * 2
    numbers = rates_by_query(none)
    assert by_camera_pair(none, none, np.array([0, 1])) == []
    assert by_camera(numbers, np.array([0, 1])) == [
        {"camera": camera, "queries": 0, "without_match": 1, "Rank-1": None, "mAP": None} for camera in (0, 1)
    ]
    assert by_identity(np.array([3, 4]), numbers["mAP"])["pid"].size == 0
    details = breakdown_details(numbers, np.array([3, 4]), np.array([0, 1]), none, none)
    assert details["identities"] == {"count": 0, "worst": []} and worst_of_each(details) == ""
    assert by_camera_pair([], [], np.empty(0)) == []


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_consumers_of_a_gallery_in_parts_find_the_same(metric):
    generator = torch.Generator().manual_seed(0)
    query, gallery = (
        FeatureSet(
            torch.randn(n, 16, generator=generator),
            torch.randint(0, 9, (n,), generator=generator),
            torch.randint(0, 4, (n,), generator=generator),
        )
        for n in (20, 3000)
    )
    labels = (query.pids.numpy(), query.camids.numpy())
    index = IdentityIndex(gallery.pids.numpy(), gallery.camids.numpy())
    found = []
    for memory_gb in (1.0, 0.0003):
        cameras = MatchCameras(*labels, index, gallery.camids.numpy())
        shots = SingleShot(gallery.pids.numpy(), draws=5)
        sketch = ScoreSketch(labels[0], scale=ScoreScale(0.0, 1.0), num_gallery=3000)
        starts = []
        consumer = Consumers.of(cameras, shots, sketch, Starts(starts))
        rank_matches(query, gallery, metric=metric, memory_gb=memory_gb, consumer=consumer)
        found.append((cameras.cameras, shots.ranks, {0: sketch.impostors}))
        assert (max(starts) > 0) == (memory_gb < 1)
    for whole, parts in zip(*found, strict=True):
        assert whole.keys() == parts.keys()
        assert all(np.array_equal(own, parts[key]) for key, own in whole.items())
    assert Consumers.of(None, None) is None


class Starts:
    """A consumer that notes where parts of the gallery begin."""

    def __init__(self, starts):
        self._starts = starts

    def add(self, query, genuine, cautious, others, own, start=0):
        self._starts.append(start)
