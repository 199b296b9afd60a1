"""Small runs of the command lines, from an empty folder to the final numbers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.modeling import build_model

from .helpers import (
    RECIPE,
    RESULT_KEYS,
    deadline,
    evaluations,
    main_in_process,
    options,
    printed_results,
    read_metrics,
    run_tool,
    start_tool,
    tiny_cfg,
    write_market,
)

TRAIN = ("tools/train_net.py", "--config-file", RECIPE)
PLAIN = ("tools/plain_train_net.py", "--config-file", RECIPE)
EPOCHS, ITERS = 4, 6  # 48 images in batches of 8

# The last epoch is neither on the evaluation period nor without an evaluation.
SCHEDULE = {
    "SOLVER__MAX_EPOCH": EPOCHS,
    "SOLVER__BASE_LR": 0.001,
    "SOLVER__STEPS": [2, 3],
    "SOLVER__WARMUP_ITERS": 4,
    "SOLVER__CHECKPOINT_PERIOD": 1,
    "TEST__EVAL_PERIOD": 3,
    "LOG_PERIOD": 2,
    # A pad of 10 pixels and a hole hide most of so small an image: nothing is learned in so few steps.
    "INPUT__REA__ENABLED": False,
    "INPUT__PADDING__ENABLED": False,
}


def arguments(output_dir, **more):
    return options(OUTPUT_DIR=output_dir, **SCHEDULE, **more)


def read_checkpoint(path):
    return torch.load(path, weights_only=True)


def assert_same(one, other, where=""):
    """Compare nested dicts, lists and tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for k, (a, b) in enumerate(zip(one, other)):
            assert_same(a, b, f"{where}/{k}")
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def run(tiny_market, tmp_path_factory):
    """An uninterrupted run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("run") / "logs" / "tiny"
    return folder, run_tool(*TRAIN, *arguments(folder), datasets=tiny_market)


def test_a_run_leaves_its_files_and_nothing_half_written(run):
    folder, _ = run
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.out.tfevents.")}
    checkpoints = {"model_0000.pth", "model_0001.pth", "model_0002.pth", "model_best.pth", "model_final.pth"}
    assert {name for name in names if ".pth" in name} == checkpoints
    assert {"config.yaml", "log.txt", "metrics.json", "last_checkpoint"} <= names
    assert not any("tmp" in name for name in names)
    assert (folder / "last_checkpoint").read_bytes() == b"model_final.pth"


def test_the_saved_config_is_the_one_of_the_run(run):
    folder, _ = run
    cfg = get_cfg()
    cfg.merge_from_file(str(folder / "config.yaml"))
    assert cfg.MODEL.HEADS.NUM_CLASSES == 8
    wanted = tiny_cfg(OUTPUT_DIR=folder, MODEL__HEADS__NUM_CLASSES=8, **SCHEDULE)
    assert cfg == wanted


def test_metrics_are_json_lines_with_the_fields_of_training(run):
    folder, _ = run
    lines = read_metrics(folder)
    wanted = {"iteration", "data_time", "time", "eta_seconds", "lr", "total_loss", "loss_cls", "loss_triplet"}
    trained = [line for line in lines if "total_loss" in line]
    assert all(list(line) == sorted(line) for line in lines)
    assert wanted | {"cls_accuracy"} <= set(trained[-1])
    assert 0 <= trained[-1]["cls_accuracy"] <= 1
    iterations = [line["iteration"] for line in lines]
    assert iterations == sorted(iterations)
    assert {ITERS * epoch - 1 for epoch in range(1, EPOCHS + 1)} <= set(iterations)
    assert trained[-1]["iteration"] == EPOCHS * ITERS - 1
    assert trained[-1]["total_loss"] == pytest.approx(
        trained[-1]["loss_cls"] + trained[-1]["loss_triplet"], rel=0.2
    )  # medians of each


def test_the_loss_falls(run):
    losses = [line["total_loss"] for line in read_metrics(run[0]) if "total_loss" in line]
    assert losses[-1] < losses[0]


def test_steps_are_epochs_as_written_and_warm_up_is_over_in_time(run):
    rates = {line["iteration"]: line["lr"] for line in read_metrics(run[0]) if "lr" in line}
    assert rates[1] < 0.001
    at_epoch_ends = [rates[ITERS * epoch - 1] for epoch in range(1, EPOCHS + 1)]
    assert at_epoch_ends == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5], rel=1e-6)


def test_every_evaluation_is_recorded_once_and_in_percent(run):
    assert 0 < evaluations(run[0])[-1]["mAP"] < 100  # or a comparison with it would show nothing
    lines = [line for line in read_metrics(run[0]) if "Rank-1" in line]
    assert [line["iteration"] // ITERS for line in lines] == [2, 3]  # after epoch 3, and after the last
    for results in evaluations(run[0]):
        assert all(0 <= value <= 100 for value in results.values())
        assert results["metric"] == pytest.approx((results["mAP"] + results["Rank-1"]) / 2)
        assert results["Rank-1"] <= results["Rank-5"] <= results["Rank-10"]


def test_the_printed_table_shows_the_recorded_final_numbers(run):
    folder, output = run
    assert printed_results(output) == pytest.approx(evaluations(folder)[-1], abs=0.006)


def test_checkpoints_hold_the_contracted_keys(run):
    folder, _ = run
    final = read_checkpoint(folder / "model_final.pth")
    wanted = {"model", "optimizer", "lr_sched", "warmup_sched", "epoch", "metric", "iteration", "meta"}
    assert wanted <= set(final)
    assert final["epoch"] == EPOCHS - 1
    assert not any(key.startswith(("module.", "pixel_")) for key in final["model"])
    assert final["model"]["heads.weight"].shape == (8, 512)
    epochs = [read_checkpoint(folder / f"model_{epoch:04d}.pth")["epoch"] for epoch in range(3)]
    assert epochs == [0, 1, 2]


def test_the_final_checkpoint_holds_the_final_metric_and_the_best_one_the_best(run):
    folder, _ = run
    metrics = [results["metric"] for results in evaluations(folder)]
    assert read_checkpoint(folder / "model_final.pth")["metric"] == pytest.approx(metrics[-1])
    assert read_checkpoint(folder / "model_best.pth")["metric"] == pytest.approx(max(metrics))


def test_output_in_a_pipe_and_the_log_are_plain_lines(run):
    folder, output = run
    for text in (output, (folder / "log.txt").read_text()):
        assert "\r" not in text
        assert "\x1b" not in text


def test_the_training_line_has_its_fields_in_order(run):
    folder, output = run
    number = r"[-+.\de]+"
    line = (
        rf" eta: \d+:\d\d:\d\d  epoch/iter: 3/{EPOCHS * ITERS - 1}  total_loss: {number}  loss_cls: {number}"
        rf"  loss_triplet: {number}  time: {number}  data_time: {number}  lr: {number}"
    )
    for text in (output, (folder / "log.txt").read_text()):
        assert re.search(line, text)


def test_the_output_says_what_it_runs_and_how_far_inference_is(run):
    _, output = run
    assert "Command Line Args: Namespace(" in output
    assert re.search(r"Market1501\b.*", output)
    assert re.search(r"(?i)inference", output)


def test_eval_only_gives_the_numbers_of_the_run(run, tiny_market, tmp_path):
    folder, _ = run
    weights = ["MODEL.WEIGHTS", folder / "model_final.pth"]
    before = (folder / "metrics.json").read_bytes()
    output = run_tool(*TRAIN, "--eval-only", *weights, *arguments(tmp_path / "eval"), datasets=tiny_market)
    assert printed_results(output) == pytest.approx(evaluations(folder)[-1], abs=0.006)
    assert (folder / "metrics.json").read_bytes() == before


def test_eval_only_of_the_best_checkpoint_gives_the_best_numbers(run, tiny_market, tmp_path, monkeypatch):
    folder, _ = run
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    weights = ["MODEL.WEIGHTS", folder / "model_best.pth"]
    error, text = main_in_process(*TRAIN[1:], "--eval-only", *weights, *arguments(tmp_path / "eval"))
    assert error is None, text
    best = max(evaluations(folder), key=lambda results: results["metric"])
    assert printed_results(text) == pytest.approx(best, abs=0.006)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(run, tiny_market, tmp_path):
    whole, _ = run
    process = start_tool(*TRAIN, *arguments(tmp_path / "out"), datasets=tiny_market)
    tag = tmp_path / "out" / "last_checkpoint"
    until = time.monotonic() + 120
    while not (tag.exists() and tag.read_text() == "model_0001.pth") and process.poll() is None:
        assert time.monotonic() < until, "no checkpoint within two minutes"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    printed, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, printed[-4000:]
    assert not (tmp_path / "out" / "model_final.pth").exists()

    # Items do not depend on how many workers read them, so the second half may have another number.
    resumed = arguments(tmp_path / "out", DATALOADER__NUM_WORKERS=2)
    run_tool(*TRAIN, "--resume", *resumed, datasets=tiny_market)
    expected, got = (read_checkpoint(folder / "model_final.pth") for folder in (whole, tmp_path / "out"))
    for key in ("model", "optimizer", "lr_sched", "warmup_sched", "epoch", "iteration", "metric"):
        assert_same(expected[key], got[key], key)
    assert evaluations(tmp_path / "out")[-1] == evaluations(whole)[-1]
    best = [read_checkpoint(folder / "model_best.pth") for folder in (whole, tmp_path / "out")]
    assert_same(best[0]["model"], best[1]["model"], "model_best")
    last = [read_metrics(folder)[-1] for folder in (whole, tmp_path / "out")]
    assert [line["iteration"] for line in last] == [EPOCHS * ITERS - 1] * 2


def test_resume_keeps_the_best_metric_of_before(run, tiny_market, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    shutil.copytree(run[0], folder)
    for name in ("model_best.pth", "model_0002.pth"):
        content = read_checkpoint(folder / name)
        content["metric"] = 99.5
        content["hooks"]["BestCheckpointer"]["best"] = 99.5
        torch.save(content, folder / name)
    (folder / "last_checkpoint").write_text("model_0002.pth")
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    error, text = main_in_process(*TRAIN[1:], "--resume", *arguments(folder))
    assert error is None, text
    assert read_checkpoint(folder / "model_best.pth")["metric"] == 99.5


def test_resuming_a_finished_run_trains_no_more_and_is_no_error(run, tiny_market, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    shutil.copytree(run[0], folder)
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    error, text = main_in_process(*TRAIN[1:], "--resume", *arguments(folder))
    assert error is None, text
    before, after = read_checkpoint(run[0] / "model_final.pth"), read_checkpoint(folder / "model_final.pth")
    assert_same(before["model"], after["model"])
    assert after["epoch"] == EPOCHS - 1


def test_resume_without_a_checkpoint_starts_at_the_beginning(tiny_market, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    few = options(OUTPUT_DIR=tmp_path / "out", SOLVER__MAX_EPOCH=1, SOLVER__AMP__ENABLED=True)
    error, text = main_in_process(*TRAIN[1:], "--resume", *few)
    assert error is None, text
    assert len(evaluations(tmp_path / "out")) == 1
    assert (tmp_path / "out" / "model_final.pth").is_file()


def test_a_run_that_freezes_layers_resumes_inside_the_frozen_part_to_the_same_bits(market_root, tmp_path):
    # The parts of the other recipes: frozen backbone, cosine, a delay, a margin, a learnable pooling, clipping.
    more = {
        "MODEL__FREEZE_LAYERS": ["backbone"],
        "MODEL__HEADS__CLS_LAYER": "CircleSoftmax",
        "MODEL__HEADS__SCALE": 64,
        "MODEL__HEADS__MARGIN": 0.35,
        "MODEL__HEADS__POOL_LAYER": "GeneralizedMeanPoolingP",
        "MODEL__HEADS__NECK_FEAT": "after",
        "MODEL__LOSSES__TRI__MARGIN": 0.0,
        "SOLVER__OPT": "SGD",
        "SOLVER__SCHED": "CosineAnnealingLR",
        "SOLVER__CLIP_GRADIENTS__ENABLED": True,
        "SOLVER__FREEZE_ITERS": 9,
        "SOLVER__DELAY_EPOCHS": 1,
        "SOLVER__WARMUP_ITERS": 8,
        "SOLVER__MAX_EPOCH": 3,
        "SOLVER__CHECKPOINT_PERIOD": 1,
        "TEST__EVAL_PERIOD": 1,
    }
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    error, text = main_in_process(*TRAIN[1:], *options(OUTPUT_DIR=whole, **more))
    assert error is None, text
    halves.mkdir()
    for name in ("model_0000.pth", "config.yaml"):
        shutil.copy(whole / name, halves)
    (halves / "last_checkpoint").write_text("model_0000.pth")
    error, text = main_in_process(*TRAIN[1:], "--resume", *options(OUTPUT_DIR=halves, **more))
    assert error is None, text
    expected, got = (read_checkpoint(folder / "model_final.pth") for folder in (whole, halves))
    for key in ("model", "optimizer", "lr_sched", "warmup_sched", "iteration", "metric"):
        assert_same(expected[key], got[key], key)
    frozen = read_checkpoint(whole / "model_0000.pth")["model"]
    thawed = expected["model"]
    assert frozen["backbone.bn1.num_batches_tracked"] == 0
    assert frozen["heads.bottleneck.0.num_batches_tracked"] == ITERS
    assert thawed["backbone.bn1.num_batches_tracked"] == 3 * ITERS - 9
    assert not torch.equal(frozen["backbone.conv1.weight"], thawed["backbone.conv1.weight"])


@pytest.fixture(scope="module")
def plain_run(tiny_market, tmp_path_factory):
    """The same run by the plain script: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("plain") / "out"
    return folder, run_tool(*PLAIN, *arguments(folder), datasets=tiny_market)


def test_the_plain_script_trains_the_same_network(run, plain_run):
    expected, got = (read_checkpoint(folder / "model_final.pth") for folder in (run[0], plain_run[0]))
    assert_same(expected["model"], got["model"], "model")
    assert printed_results(plain_run[1]) == pytest.approx(evaluations(run[0])[-1], abs=0.006)


def test_the_plain_script_leaves_the_files_of_a_run(plain_run):
    names = {path.name for path in plain_run[0].iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "last_checkpoint", "model_0000.pth", "model_final.pth"} <= names


def test_the_plain_script_records_every_evaluation(run, plain_run):
    assert evaluations(plain_run[0]) == evaluations(run[0])


def test_the_plain_script_takes_weights_that_do_not_fit_where_told_to(market_root, tmp_path):
    model = build_model(tiny_cfg(MODEL__HEADS__NUM_CLASSES=8)).state_dict()
    torch.save({"model": dict(model) | {"neck.bias": torch.zeros(3)}}, tmp_path / "odd.pth")
    few = {"SOLVER__MAX_EPOCH": 1, "MODEL__WEIGHTS": tmp_path / "odd.pth"}
    error, text = main_in_process(
        *PLAIN[1:], *options(OUTPUT_DIR=tmp_path / "a", **few, MODEL__WEIGHTS_STRICT=False), tool="plain_train_net.py"
    )
    assert error is None, text
    assert "neck.bias" in text
    assert "neck.bias" in fails(*PLAIN[1:], *options(OUTPUT_DIR=tmp_path / "b", **few), tool="plain_train_net.py")


def test_the_plain_script_evaluates_what_the_other_trained(run, tiny_market, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", str(tiny_market))
    weights = ["MODEL.WEIGHTS", run[0] / "model_final.pth"]
    error, text = main_in_process(
        *PLAIN[1:], "--eval-only", *weights, *arguments(tmp_path / "out"), tool="plain_train_net.py"
    )
    assert error is None, text
    assert printed_results(text) == pytest.approx(evaluations(run[0])[-1], abs=0.006)


@pytest.mark.slow
def test_two_processes_on_gloo_train_and_evaluate_as_one_does(tiny_market, tmp_path):
    folder = tmp_path / "out"
    short = options(OUTPUT_DIR=folder, SOLVER__MAX_EPOCH=1, MODEL__DEVICE="cpu")
    output = run_tool(*TRAIN, "--num-gpus", 2, *short, datasets=tiny_market)
    assert "gloo" in output
    assert (folder / "log.txt.rank1").is_file()
    recorded = evaluations(folder)
    assert len(recorded) == 1
    assert printed_results(output) == pytest.approx(recorded[0], abs=0.006)
    alone = options(OUTPUT_DIR=tmp_path / "eval", MODEL__WEIGHTS=folder / "model_final.pth")
    output = run_tool(*TRAIN, "--eval-only", *alone, datasets=tiny_market)
    assert printed_results(output) == pytest.approx(recorded[0], abs=0.006)


@pytest.mark.slow
def test_torchrun_evaluates_as_one_process_does(run, tiny_market, tmp_path):
    few = options(OUTPUT_DIR=tmp_path / "out", MODEL__WEIGHTS=run[0] / "model_final.pth", MODEL__DEVICE="auto")
    starter = ("-m", "torch.distributed.run", "--nproc-per-node", 2, "--standalone")
    output = run_tool(*starter, *TRAIN, "--eval-only", *few, datasets=tiny_market)
    assert printed_results(output) == pytest.approx(evaluations(run[0])[-1], abs=0.006)


@pytest.mark.slow
def test_an_error_on_one_of_two_processes_ends_both(run, tmp_path):
    root = write_market(tmp_path / "data")
    bad = root / "Market-1501-v15.09.15" / "bounding_box_test" / "0105_c3s1_000000_01.jpg"  # the last: rank 1 has it
    assert bad.is_file()
    bad.write_bytes(b"")
    few = options(OUTPUT_DIR=tmp_path / "out", MODEL__WEIGHTS=run[0] / "model_final.pth")
    output = run_tool(*TRAIN, "--num-gpus", 2, "--eval-only", *few, datasets=root, timeout=90, ok=False)
    assert bad.name in output


def test_an_image_that_does_not_decode_ends_a_run_soon_and_is_named(tmp_path):
    root = write_market(tmp_path / "data")
    bad = root / "Market-1501-v15.09.15" / "bounding_box_train" / "0004_c1s1_000001_01.jpg"
    bad.write_bytes(bad.read_bytes()[:100])
    few = options(OUTPUT_DIR=tmp_path / "out", SOLVER__MAX_EPOCH=3, DATALOADER__NUM_WORKERS=2)
    output = run_tool(*TRAIN, *few, datasets=root, timeout=60, ok=False)
    assert bad.name in output


def fails(*args, seconds=60, tool="train_net.py"):
    """Run a tool that must fail; return all that it said."""
    with deadline(seconds):
        error, text = main_in_process(*args, tool=tool)
    assert error is not None, text
    return text


@pytest.mark.parametrize("tool", ["train_net.py", "plain_train_net.py"])
def test_a_misspelt_key_is_answered_with_the_nearest(market_root, tmp_path, tool):
    text = fails("--config-file", RECIPE, *arguments(tmp_path), "SOLVER.MAX_EPOCHS", "3", tool=tool)
    assert re.search(r"SOLVER\.MAX_EPOCH\b", text)
    assert "SOLVER.MAX_EPOCHS" in text


def test_a_misspelt_key_in_a_file_is_answered_with_the_nearest(market_root, tmp_path):
    (tmp_path / "odd.yml").write_text(f"_BASE_: {RECIPE}\nMODEL:\n  BACKBONE:\n    WITH_IBM: True\n")
    text = fails("--config-file", tmp_path / "odd.yml", *arguments(tmp_path))
    assert "MODEL.BACKBONE.WITH_IBM" in text
    assert re.search(r"WITH_IBN\b", text)


def test_a_config_file_that_is_not_there_is_named(market_root, tmp_path):
    text = fails("--config-file", tmp_path / "nowhere.yml", *arguments(tmp_path))
    assert "nowhere.yml" in text


def test_a_key_without_a_value_is_an_error(market_root, tmp_path):
    text = fails("--config-file", RECIPE, *arguments(tmp_path), "SOLVER.MAX_EPOCH")
    assert "SOLVER.MAX_EPOCH" in text


@pytest.mark.parametrize("eval_only", [[], ["--eval-only"]], ids=["train", "eval"])
def test_a_missing_dataset_is_named_with_where_it_was_looked_for_and_what_to_do(tmp_path, monkeypatch, eval_only):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "empty"))
    text = fails(*TRAIN[1:], *eval_only, *arguments(tmp_path / "out"))
    assert "Market1501" in text
    assert str(tmp_path / "empty" / "Market-1501-v15.09.15") in text
    assert "FASTREID_DATASETS" in text


def test_an_unknown_dataset_is_answered_with_the_nearest_and_all(market_root, tmp_path):
    text = fails(*TRAIN[1:], *arguments(tmp_path / "out"), "DATASETS.NAMES", "('Market1502',)")
    assert "Market1502" in text
    assert "Market1501" in text
    assert "SynthReID" in text


def test_a_folder_of_images_that_is_missing_is_named(tmp_path, monkeypatch):
    root = write_market(tmp_path / "data")
    (root / "Market-1501-v15.09.15" / "query").rename(root / "elsewhere")
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    text = fails(*TRAIN[1:], *arguments(tmp_path / "out"))
    assert re.search(rf"{re.escape(str(root))}/Market-1501-v15.09.15\W.*\bquery\b", text)


@pytest.mark.parametrize("mode", [[], ["--eval-only"]], ids=["train", "eval"])
def test_missing_weights_are_named_with_their_key(market_root, tmp_path, mode):
    weights = tmp_path / "nowhere.pth"
    text = fails(*TRAIN[1:], *mode, "MODEL.WEIGHTS", weights, *arguments(tmp_path / "out"))
    assert str(weights) in text
    assert "MODEL.WEIGHTS" in text


def test_evaluating_without_weights_is_said(market_root, tmp_path):
    _, text = main_in_process(*TRAIN[1:], "--eval-only", *arguments(tmp_path / "out"))
    said = r"(?i)(warn|error|must|random|untrained).*MODEL\.WEIGHTS|MODEL\.WEIGHTS.*(random|untrained|empty)"
    assert re.search(said, text)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("number", [1, 2])
def test_a_missing_device_is_named_and_others_are_offered(market_root, tmp_path, number):
    text = fails(*TRAIN[1:], "--num-gpus", number, *arguments(tmp_path / "out", MODEL__DEVICE="cuda"))
    assert "cuda" in text.lower()
    assert "MODEL.DEVICE" in text
    assert re.search(r"\bcpu\b", text) and re.search(r"\bauto\b", text)


@pytest.mark.parametrize("device", ["cud", "cuda:999"])
def test_a_device_that_does_not_exist_is_named(market_root, tmp_path, device):
    text = fails(*TRAIN[1:], *arguments(tmp_path / "out", MODEL__DEVICE=device))
    assert device in text
    assert "MODEL.DEVICE" in text


@pytest.mark.parametrize("pieces", [("0",), ("-1",)])
def test_a_number_of_processes_below_one_is_an_error(market_root, tmp_path, pieces):
    text = fails(*TRAIN[1:], "--num-gpus", *pieces, *arguments(tmp_path / "out"))
    assert "num-gpus" in text or "num_gpus" in text


def test_a_wrong_feature_size_is_an_error_that_gives_the_right_one(market_root, tmp_path):
    text = fails(*TRAIN[1:], *arguments(tmp_path / "out", MODEL__BACKBONE__FEAT_DIM=2048))
    assert "FEAT_DIM" in text
    assert "512" in text


def test_an_evaluation_period_of_zero_evaluates_at_the_end_only(market_root, tmp_path):
    few = options(OUTPUT_DIR=tmp_path / "out", SOLVER__MAX_EPOCH=1, TEST__EVAL_PERIOD=0)
    error, text = main_in_process(*TRAIN[1:], *few)
    assert error is None, text
    assert len(evaluations(tmp_path / "out")) <= 1


def test_a_loss_that_is_nan_is_an_error_that_says_so(market_root, tmp_path):
    wild = options(OUTPUT_DIR=tmp_path / "out", SOLVER__MAX_EPOCH=3, SOLVER__BASE_LR=1e30, SOLVER__WARMUP_ITERS=0)
    text = fails(*TRAIN[1:], *wild)
    assert re.search(r"(?i)nan|finite", text)


def test_results_have_their_order(run):
    assert tuple(evaluations(run[0])[0]) == RESULT_KEYS
