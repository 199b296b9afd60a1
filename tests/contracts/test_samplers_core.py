"""What the other training samplers promise: their rule and its bounds, on any number of ranks, from any place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import islice

import pytest
import torch

from fastreid.data.build import build_reid_train_loader
from fastreid.engine import DefaultTrainer

from .helpers import REPO, deadline, environment, tiny_cfg, write_market
from .own_images import write_table

# 12 identities; the first ones with one camera or one image only. A camera is a set to SetReWeightSampler.
ITEMS = [("0.jpg", "s_0", "s_0"), *((f"1_{k}.jpg", "s_1", "s_0") for k in range(5))]
ITEMS += [(f"{pid}_{k}.jpg", f"s_{pid}", f"s_{k % 3}") for pid in range(2, 12) for k in range(2 + pid % 5)]
BATCH, K, STEPS, WEIGHTS = 16, 4, 90, [2, 1, 1]

# Prints {sampler: {world: [rank 0's indices, ...]}}: real processes, that talk over gloo.
ACROSS_RANKS = """
import json, multiprocessing, sys
from itertools import islice
import torch.distributed as dist
import fastreid.data.samplers as S

items, folder, batch, k, steps, weights = map(json.loads, sys.argv[1:])

def draw(world):
    local = batch // world
    samplers = {
        "balanced": S.BalancedIdentitySampler(items, local, k, seed=5),
        "cameras": S.CameraAwareIdentitySampler(items, local, k, seed=5),
        "sets": S.SetReWeightSampler(items, local, k if world == 1 else k // world, weights, seed=5),
        "classes": S.ImbalancedDatasetSampler(items, seed=5),
        "balanced, no seed": S.BalancedIdentitySampler(items, local, k),
    }
    return {name: [int(i) for i in islice(sampler, steps * local)] for name, sampler in samplers.items()}

def work(rank, world, queue):
    dist.init_process_group("gloo", init_method=f"file://{folder}/{world}", rank=rank, world_size=world)
    queue.put((rank, draw(world)))
    dist.destroy_process_group()

context = multiprocessing.get_context("fork")
answers = {1: [draw(1)]}
for world in (2,):
    queue = context.SimpleQueue()
    processes = [context.Process(target=work, args=(rank, world, queue)) for rank in range(world)]
    for process in processes:
        process.start()
    answers[world] = [drawn for _, drawn in sorted((queue.get() for _ in processes), key=lambda pair: pair[0])]
    for process in processes:
        process.join()
print(json.dumps({name: {world: [d[name] for d in answers[world]] for world in answers} for name in answers[1][0]}))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What each rank of worlds of 1 and 2 processes draws."""
    arguments = [ITEMS, str(tmp_path_factory.mktemp("stores")), BATCH, K, STEPS, WEIGHTS]
    command = [sys.executable, "-c", ACROSS_RANKS, *map(json.dumps, arguments)]
    done = subprocess.run(command, cwd=REPO, env=environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def groups(indices):
    """Return the batches, each as its groups of K items."""
    batches = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
    return [[[ITEMS[i] for i in batch[j : j + K]] for j in range(0, BATCH, K)] for batch in batches]


def assert_identities_times_instances(batches):
    for batch in batches:
        pids = [{item[1] for item in group} for group in batch]
        assert all(len(pid) == 1 for pid in pids)
        assert len(set().union(*pids)) == BATCH // K


CAMERAS, IMAGES = defaultdict(set), Counter()
for _, PID, CAMID in ITEMS:
    CAMERAS[PID].add(CAMID)
    IMAGES[PID] += 1


def test_balanced_batches_show_each_identity_from_other_cameras(drawn):
    batches = groups(drawn["balanced"]["1"][0])
    assert_identities_times_instances(batches)
    for group in (group for batch in batches for group in batch):
        pid = group[0][1]
        if len(CAMERAS[pid]) > 1:  # the anchor's camera does not come again
            anchors = [item for item in group if sum(other[2] == item[2] for other in group) == 1]
            assert anchors, group
        elif IMAGES[pid] > K:  # the anchor's camera is the only one: all but the anchor
            assert Counter(group).most_common(1)[0][1] == 1, group
        elif IMAGES[pid] == 1:
            assert len(set(group)) == 1
    passes = [batches[start : start + 3] for start in range(0, STEPS, 3)]  # 12 identities, 4 in a batch
    assert all(len({group[0][1] for batch in one for group in batch}) == 12 for one in passes)


def test_camera_aware_batches_show_as_many_cameras_as_there_are(drawn):
    batches = groups(drawn["cameras"]["1"][0])
    assert_identities_times_instances(batches)
    for group in (group for batch in batches for group in batch):
        pid = group[0][1]
        assert len({item[2] for item in group}) == min(K, len(CAMERAS[pid])), group
        assert len(set(group)) == min(K, IMAGES[pid]), group


def test_sets_give_their_number_of_identities_to_each_batch(drawn):
    batches = groups(drawn["sets"]["1"][0])
    assert_identities_times_instances(batches)
    counts = Counter()
    for batch in batches:
        sets = [{item[2] for item in group} for group in batch]
        assert all(len(one) == 1 for one in sets)
        assert Counter(one.pop() for one in sets) == {f"s_{c}": weight for c, weight in enumerate(WEIGHTS)}
        counts.update(group[0][1] for group in batch if group[0][2] == "s_0")
    # Of its set, an identity of five images comes more often than one of a single image.
    assert counts["s_1"] > 1.5 * counts["s_0"] > 0


def test_classes_come_equally_often_however_many_images_they_have(drawn):
    counts = Counter(ITEMS[i][1] for i in drawn["classes"]["1"][0])
    expected = BATCH * STEPS / 12  # 120, with a standard deviation of 10.5
    assert len(counts) == 12
    assert max(abs(count - expected) for count in counts.values()) < 4 * 10.5
    images = Counter(i for i in drawn["classes"]["1"][0] if ITEMS[i][1] == "s_1")
    assert len(images) == 5


def test_two_ranks_share_the_batches_of_one(drawn):
    half = BATCH // 2
    for name in ("balanced", "cameras", "classes"):
        (alone,), ranks = drawn[name]["1"], drawn[name]["2"]
        for step in range(STEPS):
            together = [i for rank in ranks for i in rank[step * half : (step + 1) * half]]
            assert sorted(together) == sorted(alone[step * BATCH : (step + 1) * BATCH]), name
        if name != "classes":  # each rank has whole identities
            parts = groups(ranks[0])
            assert all(len({item[1] for item in group}) == 1 for batch in parts for group in batch), name


def test_ranks_agree_on_a_seed_where_none_is_given(drawn):
    one, other = ([{ITEMS[i][1] for i in rank[start : start + 8]} for start in range(0, len(rank), 8)]
                  for rank in drawn["balanced, no seed"]["2"])  # fmt: skip
    assert not any(mine & theirs for mine, theirs in zip(one, other, strict=True))


NAMES = ["TrainingSampler", "NaiveIdentitySampler", "BalancedIdentitySampler", "CameraAwareIdentitySampler"]
NAMES += ["ImbalancedDatasetSampler", "SetReWeightSampler"]


def batches_of(cfg, count, start=0):
    loader = build_reid_train_loader(cfg)
    loader.batch_sampler.sampler.start = start * cfg.SOLVER.IMS_PER_BATCH
    return [(batch["img_paths"], batch["images"]) for batch in islice(loader, count)]


def test_every_sampler_follows_the_seed_and_goes_on_where_it_was_left(market_root):
    for name in NAMES:
        cfg = tiny_cfg(DATALOADER__SAMPLER_TRAIN=name, DATALOADER__SET_WEIGHT=[1, 1])
        whole, rest, other = batches_of(cfg, 9), batches_of(cfg, 2, 7), batches_of(tiny_cfg(SEED=4), 9)
        for (paths, images), (again, pixels) in zip(whole[7:], rest, strict=True):
            assert paths == again and torch.equal(images, pixels), name
        assert [paths for paths, _ in whole] != [paths for paths, _ in other], name


def test_sets_have_their_share_of_the_batches(market_root, tmp_path):
    table = write_table(tmp_path / "small.csv", train_ids=3, images=2)  # 6 images, beside 48
    for shares, wanted in (("equal", 1 / 2), ("proportional", 6 / 54), ("tempered", 1 / (1 + 8**0.5))):
        for name in ("TrainingSampler", "NaiveIdentitySampler"):
            cfg = tiny_cfg(DATASETS__NAMES=("Market1501", f"csv:{table}"), DATALOADER__SAMPLER_TRAIN=name)
            cfg.DATASETS.SHARES = shares
            counts = [sum(str(tmp_path) in path for path in paths) for paths, _ in batches_of(cfg, 60)]
            unit = 1 if name == "TrainingSampler" else 2  # single images, or identities of two
            assert all(abs(count - 8 * wanted) < unit for count in counts), (shares, name)  # rounded up or down
            assert sum(counts) / 480 == pytest.approx(wanted, abs=0.01), (shares, name)


def test_a_run_with_shares_resumes_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(write_market(tmp_path, train_ids=4, images_per_camera=1)))
    table = write_table(tmp_path / "small.csv", train_ids=4, images=2)

    def train(folder, epochs, resume):
        cfg = tiny_cfg(
            DATASETS__NAMES=("Market1501", f"csv:{table}"),
            DATASETS__SHARES="tempered",
            DATALOADER__SAMPLER_TRAIN="BalancedIdentitySampler",
            SOLVER__MAX_EPOCH=epochs,
            SOLVER__CHECKPOINT_PERIOD=1,
            SOLVER__WARMUP_ITERS=1,
            OUTPUT_DIR=tmp_path / folder,
            TEST__EVAL_PERIOD=0,
            **{"MODEL__BACKBONE__NAME": "build_osnet_backbone", "MODEL__BACKBONE__DEPTH": "x0_25"},
            MODEL__BACKBONE__FEAT_DIM=128,
        )
        torch.manual_seed(0)  # `default_setup` seeds in a run of the command line
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=resume)
        trainer.train()
        return trainer.model.state_dict()

    whole = train("whole", 3, False)
    train("parts", 1, False)
    parts = train("parts", 3, True)
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())


IMPOSSIBLE = [
    ({"DATALOADER__SAMPLER_TRAIN": "BalancedIdentitySampler", "SOLVER__IMS_PER_BATCH": 20}, ["8", "10"]),
    ({"DATALOADER__SAMPLER_TRAIN": "CameraAwareIdentitySampler", "DATALOADER__NUM_INSTANCE": 3}, ["NUM_INSTANCE", "3"]),
    ({"DATALOADER__SAMPLER_TRAIN": "SetReWeightSampler"}, ["SET_WEIGHT"]),
    (
        {"DATALOADER__SAMPLER_TRAIN": "SetReWeightSampler", "DATALOADER__SET_WEIGHT": [1, 2]},
        ["SET_WEIGHT", "[1, 2]", "8"],
    ),
    ({"DATALOADER__SAMPLER_TRAIN": "SetReWeightSampler", "DATALOADER__SET_WEIGHT": [1, 1, 2]}, ["SET_WEIGHT", "2"]),
    ({"DATALOADER__SAMPLER_TRAIN": "BalancedSampler"}, ["'BalancedSampler'", "'BalancedIdentitySampler'"]),
    ({"DATASETS__SHARES": "even"}, ["DATASETS.SHARES", "'even'", "equal"]),
]


def test_what_cannot_be_drawn_is_an_error_that_says_why(market_root):
    for changes, words in IMPOSSIBLE:
        with deadline(20), pytest.raises((ValueError, KeyError)) as error:
            next(iter(build_reid_train_loader(tiny_cfg(**changes))))
        assert [word for word in words if word not in str(error.value)] == [], changes
