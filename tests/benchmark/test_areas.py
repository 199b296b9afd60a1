from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from fastreid.benchmark import evaluation, feed, inference, loader, sampler, storage, train
from fastreid.benchmark.cases import SAMPLERS
from fastreid.benchmark.images import write_images
from fastreid.benchmark.meters import PeakMemory, seconds
from fastreid.data.samplers import SAMPLER_REGISTRY
from fastreid.evaluation.rank_blocks import rank_matches

_TINY = {
    "config_file": "Market1501/bagtricks_R50.yml",
    "opts": [
        *("INPUT.SIZE_TRAIN", "[32, 16]", "INPUT.SIZE_TEST", "[32, 16]", "MODEL.DEVICE", "cpu"),
        *("MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", "512"),
    ],
}


def positive(figures, *keys):
    assert set(figures) == {"images_per_second", "seconds", "peak_memory_mib", *keys}
    assert figures["images_per_second"] > 0 and figures["seconds"] > 0 and figures["peak_memory_mib"] >= 0
    return figures["images_per_second"] * figures["seconds"]  # images of one step


_SMALL = {"queries": 20, "gallery": 60, "dimensions": 8, "identities": 5}
_PRODUCT = ("product_seconds", "product_ratio")


@pytest.mark.parametrize("rounds", [1, 2])
def test_evaluation(rounds):
    figures = evaluation.measure(**_SMALL, metric="euclidean", rounds=rounds)
    assert positive(figures, *_PRODUCT) == pytest.approx(20)
    assert figures["product_ratio"] > 0
    if rounds == 1:
        assert figures["product_ratio"] * figures["product_seconds"] == pytest.approx(figures["seconds"])


def test_evaluation_says_what_roc_takes_on_top_of_the_ranking():
    figures = evaluation.measure(**_SMALL, metric="euclidean", work="roc", rounds=1)
    assert positive(figures, *_PRODUCT, "extra_memory_mib", "extra_ratio") == pytest.approx(20)
    assert figures["peak_memory_mib"] >= figures["extra_memory_mib"] >= 0
    assert 0 < figures["extra_ratio"] < figures["product_ratio"]


@pytest.mark.parametrize("work", ["aqe", "rerank"])
def test_evaluation_with_test_time_options(work, monkeypatch):
    shapes = []
    monkeypatch.setattr(evaluation, "_product", lambda left, right, *_: shapes.append((left.shape, right.shape)))
    figures = evaluation.measure(**_SMALL, work=work, rounds=1)
    assert positive(figures, *_PRODUCT) == pytest.approx(20)
    assert shapes == [((80, 8), (80, 8))]  # all images with all


def test_evaluation_without_the_product():
    assert positive(evaluation.measure(**_SMALL, work="rerank", rounds=1, product=False)) == pytest.approx(20)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc of Linux")
def test_evaluation_of_a_gallery_on_disk_is_that_of_one_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation, "_WRITTEN", 32)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ranked = []

    def rank(query, gallery, **options):
        ranked.append((len(gallery), rank_matches(query, gallery, **options)))
        return ranked[-1][1]

    monkeypatch.setattr(evaluation, "rank_matches", rank)
    figures = evaluation.measure(**_SMALL, work="disk")
    assert positive(figures, *_PRODUCT, "growth") == pytest.approx(20)
    assert figures["growth"] > 0
    assert list(tmp_path.iterdir()) == []
    evaluation.measure(**_SMALL, rounds=1)
    assert [size for size, _ in ranked] == [15, 60, 60, 60]  # the third warms up
    assert [ranks.tolist() for ranks in ranked[1][1]] == [ranks.tolist() for ranks in ranked[3][1]]


def test_what_evaluation_cannot_measure():
    with pytest.raises(ValueError, match=r"rounds must be at least 1 and work one of .*, got 0 and 'ranking'"):
        evaluation.measure(**_SMALL, rounds=0)
    with pytest.raises(ValueError, match="work one of ranking, roc, aqe, rerank, disk, got 3 and 'roc curve'"):
        evaluation.measure(**_SMALL, work="roc curve")


@pytest.mark.parametrize("width", [10, 7])
def test_the_product_beside_the_evaluation_is_the_whole_product(width):
    left, right, block = torch.rand(5, 3), torch.rand(10, 3), torch.zeros(2, width)
    seen = torch.zeros(5, 10)
    multiply = torch.mm

    def record(some, others, *, out):
        multiply(some, others, out=out)
        row = next(i for i in range(5) if torch.equal(left[i], some[0]))
        column = next(i for i in range(10) if torch.equal(right[i], others.t()[0]))
        seen[row : row + len(out), column : column + out.shape[1]] += out
        assert out.shape[1] <= 4
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "mm", record)
        evaluation._product(left, right, block, 4)
    torch.testing.assert_close(seen, left @ right.t())


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler(name):
    figures = sampler.measure(name=name, images=500, identities=50, batch=16)
    assert positive(figures, "setup_seconds") == pytest.approx(500)
    assert figures["setup_seconds"] > 0


def test_every_training_sampler_is_measured():
    assert sorted(SAMPLERS) == sorted(SAMPLER_REGISTRY)


def test_an_unknown_sampler():
    with pytest.raises(ValueError, match=r"name must be one of .*NaiveIdentitySampler.*, got 'Other'"):
        sampler.measure(name="Other", images=10, identities=2)


@pytest.mark.parametrize("plain", [False, True])
def test_loader(plain):
    assert positive(loader.measure(plain=plain, images=32, batch=8, workers=0, **_TINY)) == pytest.approx(8)


@pytest.mark.parametrize(("kind", "decode"), [("packed", True), ("tar", True), ("tar", False)])
def test_storage(kind, decode):
    figures = storage.measure(kind=kind, images=16, batch=8, workers=0, decode=decode, rounds=1, **_TINY)
    assert set(figures) == {"images_per_second", "files_per_second", "files_ratio"}
    assert figures["files_ratio"] == pytest.approx(figures["images_per_second"] / figures["files_per_second"])


def test_storage_is_forgotten_before_a_cold_round(monkeypatch):
    dropped = []
    monkeypatch.setattr(storage, "drop_pages", dropped.append)
    monkeypatch.setattr(storage, "is_cached", lambda *_: False)
    options = {"kind": "tar", "images": 16, "batch": 8, "workers": 0, "cold": True, "decode": False, "rounds": 2}
    storage.measure(**options, **_TINY)
    assert len(dropped) == 6 * 17  # files and shard; of each two rounds and one that does not count
    monkeypatch.setattr(storage, "is_cached", lambda *_: True)
    with pytest.raises(
        RuntimeError, match="100 % of what was to be read from the disk is still in memory, or the syst"
    ):
        storage.measure(**options, **_TINY)


@pytest.mark.parametrize("images", [8, 20])
def test_storage_reads_whole_batches(images):
    with pytest.raises(ValueError, match=rf"images must be a multiple of batch \(8\) above it, got {images}"):
        storage.measure(kind="tar", images=images, batch=8, workers=0, **_TINY)


def test_loader_reads_whole_batches():
    with pytest.raises(ValueError, match=r"images must be a multiple of batch \(8\), got 12"):
        loader.measure(plain=True, images=12, batch=8, workers=0, **_TINY)


@pytest.mark.parametrize("workers", [0, 1])
def test_feed(workers):
    figures = feed.measure(batch=8, steps=4, workers=workers, ms_per_image=2.0, images=16, **_TINY)
    assert set(figures) == {"seconds", "images_per_second", "waiting_percent", "waiting_percent_median"}
    assert figures["seconds"] >= 0.016  # the stand-in's sleep
    assert figures["seconds"] * figures["images_per_second"] == pytest.approx(8)
    assert 0 < figures["waiting_percent"] < 100 and 0 < figures["waiting_percent_median"] < 100


def test_inference():
    assert positive(inference.measure(batch=3, steps=1, **_TINY)) == pytest.approx(3)


@pytest.mark.parametrize("source", [{}, {"from_files": True}, {"bare": True}], ids=str)
def test_train(source):
    figures = train.measure(batch=8, steps=2, workers=0, **source, **_TINY)
    assert positive(figures, "waiting_percent") == pytest.approx(8)
    assert 0 <= figures["waiting_percent"] <= 100
    assert (figures["waiting_percent"] == 0) == ("bare" in source)


def test_a_bare_loop_reads_no_files_and_something_warms_up():
    with pytest.raises(ValueError, match="bare excludes from_files"):
        train.measure(batch=8, steps=1, bare=True, from_files=True, **_TINY)
    with pytest.raises(ValueError, match="warm_up must be at least 1 step, got 0"):
        train.measure(batch=8, steps=1, warm_up=0, **_TINY)


def test_images_are_dealt_out_and_the_same_every_time(tmp_path):
    first, again = (write_images(tmp_path / name, 6, identities=2) for name in "ab")
    assert [item[1:] for item in first] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 0)]
    with Image.open(first[3][0]) as one, Image.open(again[3][0]) as other:
        assert one.size == (64, 128)
        assert one.tobytes() == other.tobytes()


def test_peak_memory_sees_what_was_given_back():
    # In a process of its own: not every system can forget the peak of the tests before this one.
    code = """
import torch
from fastreid.benchmark.meters import PeakMemory
with PeakMemory() as memory:
    large = torch.ones(64, 2**18)  # 64 MiB, every page written
    del large
print(memory.mib)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert 32 <= float(run.stdout) <= 256


def test_peak_memory_says_from_where_to_where():
    with PeakMemory() as memory:
        pass
    assert memory.peak_mib >= memory.start_mib > 0
    assert memory.mib == memory.peak_mib - memory.start_mib


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc of Linux")
def test_memory_of_a_mapped_file_is_not_anonymous(tmp_path):
    code = """
import sys, time, numpy, torch
from fastreid.benchmark.meters import PeakAnonymousMemory
file = numpy.lib.format.open_memmap(sys.argv[1], mode="w+", dtype=numpy.float32, shape=(16, 2**20))  # 64 MiB
with PeakAnonymousMemory() as mapped:
    file[:] = 1
    time.sleep(0.1)
with PeakAnonymousMemory() as own:
    large = torch.ones(16, 2**20)
    time.sleep(0.5)
    del large
print(mapped.mib, own.mib)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "file.npy")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    mapped, own = map(float, run.stdout.split())
    assert mapped < 32 < own < 256


def test_seconds_waits_for_the_function():
    calls = []
    assert seconds(lambda: calls.append(1)) >= 0
    assert calls == [1]
