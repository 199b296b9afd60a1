"""CMC, mAP and mINP against their definition written as loops."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fastreid.config import get_cfg
from fastreid.evaluation import DatasetEvaluator, ReidEvaluator, inference_context, inference_on_dataset
from fastreid.evaluation.rank import evaluate_rank

from .helpers import REPO, RESULT_KEYS, environment


def naive_ranking(dist, q_pids, g_pids, q_camids, g_camids):
    """Return hits in ranking order, one list per query with a match; on a tie the wrong image goes first."""
    rankings = []
    for q in range(len(q_pids)):
        kept = [g for g in range(len(g_pids)) if not (g_pids[g] == q_pids[q] and g_camids[g] == q_camids[q])]
        kept.sort(key=lambda g: (dist[q][g], g_pids[g] == q_pids[q]))
        hits = [bool(g_pids[g] == q_pids[q]) for g in kept]
        if any(hits):
            rankings.append(hits)
    return rankings


def naive_results(*data):
    """Return the six results in percent and the number of queries that count."""
    rankings = naive_ranking(*data)
    if not rankings:
        return None
    cmc = {k: np.mean([any(hits[:k]) for hits in rankings]) for k in (1, 5, 10)}
    aps, inps = [], []
    for hits in rankings:
        found, precisions = 0, []
        for position, hit in enumerate(hits, start=1):
            if hit:
                found += 1
                precisions.append(found / position)
        aps.append(sum(precisions) / found)
        inps.append(found / max(i for i, hit in enumerate(hits, start=1) if hit))
    values = [100 * cmc[1], 100 * cmc[5], 100 * cmc[10], 100 * np.mean(aps), 100 * np.mean(inps)]
    return dict(zip(RESULT_KEYS, [*values, (values[0] + values[3]) / 2])), aps, inps


def draw(rng, num_query, num_gallery, *, grid):
    """Draw features and labels: distractors (pid 0), a query without any match and one with junk only."""

    def draw_features(n):
        return rng.integers(0, 3, (n, 2)).astype(float) if grid else rng.standard_normal((n, 7))

    q_pids, g_pids = rng.integers(1, 6, num_query), rng.integers(0, 6, num_gallery)
    q_camids, g_camids = rng.integers(0, 3, num_query), rng.integers(0, 3, num_gallery)
    if num_query > 4 and num_gallery > 4:
        q_pids[0] = 99  # not in the gallery
        q_pids[1] = g_pids[0] = 98  # in the gallery under its own camera only
        q_camids[1] = g_camids[0]
    return draw_features(num_query), draw_features(num_gallery), q_pids, g_pids, q_camids, g_camids


def squared_distances(queries, gallery):
    return [[sum((a - b) ** 2 for a, b in zip(q, g)) for g in gallery] for q in queries]


def cosine_distances(queries, gallery):
    return [[1 - q @ g / math.sqrt((q @ q) * (g @ g)) for g in gallery] for q in queries]


def run_evaluator(metric, queries, gallery, q_pids, g_pids, q_camids, g_camids, *, batch=7):
    """Feed query and gallery in batches to a `ReidEvaluator`, as a loader would."""
    cfg = get_cfg()
    cfg.TEST.METRIC = metric
    evaluator = ReidEvaluator(cfg, len(q_pids))
    evaluator.reset()
    features = torch.tensor(np.concatenate([queries, gallery]), dtype=torch.float32)
    pids, camids = torch.tensor(np.concatenate([q_pids, g_pids])), torch.tensor(np.concatenate([q_camids, g_camids]))
    for start in range(0, len(features), batch):
        part = slice(start, start + batch)
        paths = [f"{i}.jpg" for i in range(len(features))[part]]
        evaluator.process({"targets": pids[part], "camids": camids[part], "img_paths": paths}, features[part])
    return evaluator.evaluate()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_gallery", [9, 40])
@pytest.mark.parametrize("grid", [False, True], ids=["distinct", "ties"])
def test_evaluate_rank_equals_its_definition(seed, num_gallery, grid):
    queries, gallery, *labels = draw(np.random.default_rng(seed), 12, num_gallery, grid=grid)
    dist = squared_distances(queries, gallery)
    expected, aps, inps = naive_results(dist, *labels)
    cmc, all_ap, all_inp = evaluate_rank(np.array(dist, dtype=np.float32), *labels)
    assert np.asarray(all_ap) == pytest.approx(aps, rel=1e-6)
    assert np.asarray(all_inp) == pytest.approx(inps, rel=1e-6)
    for k in (1, 5, 10):
        assert 100 * cmc[min(k, len(cmc)) - 1] == pytest.approx(expected[f"Rank-{k}"], rel=1e-6)


def test_evaluate_rank_takes_its_arguments_by_name_and_ignores_cython():
    cmc, all_ap, all_inp = evaluate_rank(
        distmat=np.array([[0.1, 0.2]]), q_pids=np.array([1]), g_pids=np.array([2, 1]), q_camids=np.array([0]),
        g_camids=np.array([1, 1]), max_rank=2, use_metric_cuhk03=False, use_cython=True,
    )  # fmt: skip
    assert list(cmc) == [0, 1]
    assert list(all_ap) == list(all_inp) == [0.5]


def test_evaluate_rank_leaves_its_arguments_alone():
    queries, gallery, *labels = draw(np.random.default_rng(0), 6, 12, grid=True)
    dist = np.array(squared_distances(queries, gallery))
    copies = [array.copy() for array in (dist, *labels)]
    evaluate_rank(dist, *labels)
    assert all((now == then).all() for now, then in zip((dist, *labels), copies))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_gallery", [9, 40])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_evaluator_equals_the_definition(seed, num_gallery, metric):
    queries, gallery, *labels = draw(np.random.default_rng(seed), 12, num_gallery, grid=False)
    distances = {"euclidean": squared_distances, "cosine": cosine_distances}[metric](queries, gallery)
    results = run_evaluator(metric, queries, gallery, *labels)
    assert tuple(results) == RESULT_KEYS
    assert dict(results) == pytest.approx(naive_results(distances, *labels)[0], rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_evaluator_ranks_ties_as_its_definition_does(seed):
    queries, gallery, *labels = draw(np.random.default_rng(seed), 12, 40, grid=True)
    results = run_evaluator("euclidean", queries, gallery, *labels)
    assert dict(results) == pytest.approx(naive_results(squared_distances(queries, gallery), *labels)[0], rel=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_one_far_away_gallery_image_does_not_change_how_the_others_rank(metric):
    rng = np.random.default_rng(0)
    centers, q_pids, g_pids = 3 * rng.standard_normal((20, 32)), np.arange(20), np.repeat(np.arange(20), 10)
    queries, gallery = centers + rng.standard_normal((20, 32)), centers[g_pids] + rng.standard_normal((200, 32))
    gallery[7] *= 1e6 / np.linalg.norm(gallery[7])
    labels = (q_pids, g_pids, np.zeros(20, int), np.ones(200, int))
    distances = {"euclidean": squared_distances, "cosine": cosine_distances}[metric](queries, gallery)
    results = run_evaluator(metric, queries, gallery, *labels)
    assert dict(results) == pytest.approx(naive_results(distances, *labels)[0], rel=1e-3)


@pytest.mark.parametrize(("same_person", "expected"), [(True, 100.0), (False, None)])
def test_evaluator_works_with_one_gallery_image(same_person, expected):
    results = run_evaluator("cosine", np.eye(2)[:1], np.eye(2)[1:], [1], [1 if same_person else 2], [0], [1])
    assert tuple(results) == RESULT_KEYS
    if expected is not None:
        assert list(results.values()) == pytest.approx([expected] * 6)
    else:
        assert all(value == 0 or math.isnan(value) for value in results.values())


def test_evaluator_works_with_an_empty_gallery_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        results = run_evaluator("cosine", np.eye(3), np.zeros((0, 3)), [1, 2, 3], [], [0, 0, 0], [])
    assert tuple(results) == RESULT_KEYS
    assert all(value == 0 or math.isnan(value) for value in results.values())
    assert caplog.records


def test_queries_without_a_match_are_left_out_counted_and_said(caplog):
    queries, gallery = np.eye(3), np.eye(3)[[0, 2]]
    with caplog.at_level(logging.WARNING):
        results = run_evaluator("cosine", queries, gallery, [1, 2, 3], [1, 3], [0, 0, 0], [1, 1])
    assert list(results.values()) == pytest.approx([100.0] * 6)
    assert any("1" in record.getMessage() and "quer" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("num_gallery", "size"), [(9, 2048), (9, 512), (301, 37)])
def test_equal_features_never_look_like_a_good_ranking(metric, num_gallery, size):
    everyone = np.random.default_rng(size).standard_normal((1, size)).repeat(num_gallery, axis=0)
    pids, zeros = np.arange(num_gallery) + 1, np.zeros(num_gallery, int)
    results = run_evaluator(metric, everyone, everyone, pids, pids, zeros, zeros + 1)
    assert results["Rank-1"] == 0
    assert results["mAP"] == pytest.approx(100 / num_gallery, rel=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, 4], ids=["query", "gallery"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_features_that_are_not_numbers_are_an_error_that_says_so(bad, row, metric):
    features = np.random.default_rng(0).standard_normal((8, 4))
    features[row, 1] = bad
    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        run_evaluator(metric, features[:3], features[3:], [1, 2, 3], [1, 2, 3, 1, 2], [0] * 3, [1] * 5)


def test_a_distance_that_is_nan_is_an_error_that_says_so():
    dist = np.array([[0.1, math.nan]])
    with pytest.raises(ValueError, match=r"(?i)nan|finite"):
        evaluate_rank(dist, np.array([1]), np.array([1, 2]), np.array([0]), np.array([1, 1]))


def test_the_order_of_the_gallery_does_not_matter():
    rng = np.random.default_rng(5)
    queries, gallery, q_pids, g_pids, q_camids, g_camids = draw(rng, 10, 30, grid=True)
    order = rng.permutation(30)
    first = run_evaluator("euclidean", queries, gallery, q_pids, g_pids, q_camids, g_camids)
    second = run_evaluator("euclidean", queries, gallery[order], q_pids, g_pids[order], q_camids, g_camids[order])
    assert first == second


def test_an_evaluator_can_be_used_again_after_reset():
    queries, gallery, *labels = draw(np.random.default_rng(2), 8, 20, grid=False)
    cfg = get_cfg()
    evaluator = ReidEvaluator(cfg, 8)
    seen = []
    for _ in range(2):
        evaluator.reset()
        features = torch.tensor(np.concatenate([queries, gallery]), dtype=torch.float32)
        targets = torch.tensor(np.concatenate(labels[:2]))
        camids = torch.tensor(np.concatenate(labels[2:]))
        evaluator.process({"targets": targets, "camids": camids}, features)
        seen.append(evaluator.evaluate())
    assert seen[0] == seen[1]


# Prints what each of three processes gets from one evaluation after the other; an error counts as its text.
ON_THREE_RANKS = """
import json, multiprocessing, sys
import torch, torch.distributed as dist
from fastreid.config import get_cfg
from fastreid.data.samplers import InferenceSampler
from fastreid.evaluation import ReidEvaluator

def evaluate(features, pids, camids, num_query):
    evaluator = ReidEvaluator(get_cfg(), num_query)
    evaluator.reset()
    for i in InferenceSampler(len(features)):
        inputs = {"targets": torch.tensor(pids[i : i + 1]), "camids": torch.tensor(camids[i : i + 1])}
        evaluator.process(inputs, torch.tensor(features[i : i + 1]))
    try:
        return evaluator.evaluate()
    except ValueError as error:
        return str(error)

def work(rank, queue):
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=3)
    queue.put((rank, [evaluate(*case) for case in json.loads(sys.argv[2])]))
    dist.destroy_process_group()

context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
processes = [context.Process(target=work, args=(rank, queue)) for rank in range(3)]
for process in processes:
    process.start()
print(json.dumps([results for _, results in sorted((queue.get() for _ in processes), key=lambda pair: pair[0])]))
for process in processes:
    process.join()
"""


def test_three_processes_evaluate_as_one_does_also_with_nothing_to_do_for_one(tmp_path):
    queries, gallery, q_pids, g_pids, q_camids, g_camids = draw(np.random.default_rng(3), 9, 22, grid=False)
    whole = [np.concatenate([queries, gallery]), np.append(q_pids, g_pids), np.append(q_camids, g_camids), 9]
    spoiled = [np.where(np.arange(31)[:, None] == 30, math.nan, whole[0]), *whole[1:]]  # the last rank's last image
    few = [np.eye(2), np.array([1, 1]), np.array([0, 1]), 1]  # two images for three ranks
    cases = [[np.asarray(part).tolist() for part in case] for case in (whole, spoiled, few)]
    command = [sys.executable, "-c", ON_THREE_RANKS, str(tmp_path / "store"), json.dumps(cases)]
    done = subprocess.run(command, cwd=REPO, env=environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    first, *others = json.loads(done.stdout.splitlines()[-1])
    assert first[0] == pytest.approx(dict(run_evaluator("cosine", queries, gallery, *whole_labels(whole))))
    assert first[2] == pytest.approx(dict.fromkeys(RESULT_KEYS, 100.0))
    assert all(results[0] == results[2] == {} for results in others)
    assert all("NaN" in results[1] for results in (first, *others))


def whole_labels(case):
    _, pids, camids, num_query = case
    return pids[:num_query], pids[num_query:], camids[:num_query], camids[num_query:]


class Recorder(DatasetEvaluator):
    """Keeps what a model puts out."""

    def reset(self):
        self.outputs = []

    def process(self, inputs, outputs):
        self.outputs.append(outputs)

    def evaluate(self):
        return {"outputs": torch.cat(self.outputs)}


class FirstColumn(torch.nn.Module):
    """Embeds an image as its first column, which a mirror image does not share; takes what a model takes."""

    def forward(self, inputs):
        images = inputs["images"] if isinstance(inputs, dict) else inputs
        return images.float()[:, 0, :, 0]


def test_flip_testing_averages_an_image_and_its_mirror_image():
    batches = [
        {"images": torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8), "targets": torch.zeros(2, dtype=torch.long),
         "camids": torch.zeros(2, dtype=torch.long), "img_paths": ["a", "b"]}
        for _ in range(2)
    ]  # fmt: skip
    kept = [batch["images"].clone() for batch in batches]
    images = torch.cat(kept).float()
    loader = DataLoader(batches, batch_size=None)
    plain = inference_on_dataset(FirstColumn(), loader, Recorder(), flip_test=False)["outputs"]
    both = inference_on_dataset(FirstColumn(), loader, Recorder(), flip_test=True)["outputs"]
    assert torch.equal(plain.cpu(), images[:, 0, :, 0])
    assert torch.allclose(both.cpu(), (images[:, 0, :, 0] + images[:, 0, :, -1]) / 2)
    assert all(torch.equal(batch["images"], old) for batch, old in zip(batches, kept))


def test_inference_leaves_every_module_in_the_mode_it_was_in():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    model.train()
    model[1].eval()
    for fail in (False, True):
        with contextlib.suppress(KeyError), inference_context(model):
            assert not any(module.training for module in model.modules())
            if fail:
                raise KeyError
        assert [module.training for module in model.modules()] == [True, True, False, False]
