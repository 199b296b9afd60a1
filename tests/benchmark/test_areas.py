from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from PIL import Image

from fastreid.benchmark import evaluation, feed, inference, loader, sampler, train
from fastreid.benchmark.cases import SAMPLERS
from fastreid.benchmark.images import write_images
from fastreid.benchmark.meters import seconds
from fastreid.data.samplers import SAMPLER_REGISTRY

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


@pytest.mark.parametrize("work", ["ranking", "roc"])
def test_evaluation(work):
    figures = evaluation.measure(queries=20, gallery=60, dimensions=8, metric="euclidean", identities=5, work=work)
    assert positive(figures, "product_ratio") == pytest.approx(20)
    assert figures["product_ratio"] > 0


@pytest.mark.parametrize("work", ["aqe", "rerank"])
def test_evaluation_with_test_time_options(work, monkeypatch):
    shapes = []
    monkeypatch.setattr(evaluation, "_product", lambda left, right, *_: shapes.append((left.shape, right.shape)))
    figures = evaluation.measure(queries=20, gallery=60, dimensions=8, metric="cosine", work=work, identities=5)
    assert positive(figures, "product_ratio") == pytest.approx(20)
    assert shapes == [((80, 8), (80, 8))]  # all images with all


def test_the_product_beside_the_evaluation_is_the_whole_product():
    query, gallery, block = torch.rand(3, 5), torch.rand(10, 5), torch.zeros(3, 10)
    evaluation._product(query, gallery, block, 4)
    torch.testing.assert_close(block, query @ gallery.t())


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


def test_seconds_waits_for_the_function():
    calls = []
    assert seconds(lambda: calls.append(1)) >= 0
    assert calls == [1]
