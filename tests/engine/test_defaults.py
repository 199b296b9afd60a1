"""``DefaultTrainer`` on a tiny data set: what a run writes, and that it can be stopped and taken up again exactly."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.data import CommDataset, build_reid_test_loader
from fastreid.data.datasets import DATASET_REGISTRY, ImageDataset, Market1501
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultPredictor, DefaultTrainer, HookBase, default_argument_parser, defaults
from fastreid.evaluation import EVALUATOR_REGISTRY, ClasEvaluator, DatasetEvaluator
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.env import seed_all_rng

from .tiny import HEIGHT, WIDTH, tiny_cfg, write_market


class Stop(Exception):
    """Stands for whatever ends a run too early."""


class StopAt(HookBase):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_step(self):
        if self.trainer.iter == self.iteration:
            raise Stop


def train(cfg, *, resume=False, stop_at=None):
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    if stop_at is None:
        return trainer, trainer.train()
    trainer.register_hooks([StopAt(stop_at)])
    with pytest.raises(Stop):
        trainer.train()
    return trainer, None


def checkpoint(folder, name="model_final"):
    return torch.load(folder / f"{name}.pth", weights_only=True)


def differing(a, b):
    return [key for key in a if not torch.equal(a[key], b[key])]


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    """A trainer sets up the package's logger where nobody has, which keeps the messages from pytest."""
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


@pytest.fixture(scope="module")
def finished(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    cfg = tiny_cfg(market, folder)
    trainer, results = train(cfg)
    return folder, trainer, results


def test_a_run_leaves_the_files_of_v13(finished):
    folder, _, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.yaml",
        "metrics.json",
        "model_0000.pth",
        "model_0002.pth",
        "model_best.pth",
        "model_final.pth",
    } <= names
    assert "model_0003.pth" not in names  # the last epoch is model_final
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    assert not [name for name in names if name.endswith(".tmp")]


def test_results_have_their_order_and_reach_every_record(finished):
    folder, _, results = finished
    assert list(results) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    stored = json.loads((folder / "results.json").read_text())["Market1501"]
    details = stored.pop("details")
    assert stored == pytest.approx(dict(results))
    assert details == results.details["Market1501"]
    assert details["judged_by"] == {
        "evaluator": "ReidEvaluator",
        "protocol": "market1501",
        "metric": "cosine",
        "flip": False,
        "postprocess": [],
    }
    low, high = details["intervals"]["mAP"]
    assert low <= results["mAP"] <= high
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    evaluations = [line for line in lines if "mAP" in line]
    assert [line["iteration"] for line in evaluations] == [5, 11]
    assert evaluations[-1]["mAP"] == pytest.approx(results["mAP"])
    assert {"loss_cls", "loss_triplet", "total_loss", "lr", "data_time", "cls_accuracy"} <= set(lines[-1]) | set(
        lines[-2]
    )
    assert checkpoint(folder)["metric"] == pytest.approx(results["metric"])


def test_a_checkpoint_holds_what_is_promised(finished):
    folder, _, _ = finished
    found = checkpoint(folder, "model_0001")
    assert {
        "model",
        "optimizer",
        "lr_sched",
        "warmup_sched",
        "epoch",
        "iteration",
        "metric",
        "random_state",
        "hooks",
    } <= set(found)
    assert (found["epoch"], found["iteration"]) == (1, 5)
    assert found["sampler"] == {"seed": 1, "position": 48}
    meta = found["meta"]
    assert meta["thresholds"] == {}  # without TEST.ROC there are none
    assert meta["embedding"] == {"dim": 16, "metric": "cosine", "normalized": False}
    assert meta["preprocessing"]["size"] == [HEIGHT, WIDTH]
    assert meta["preprocessing"]["channels"] == "RGB"
    assert len(meta["dataset"]["fingerprint"]) == 64
    assert "build_tiny_backbone" in meta["config"]
    assert not any(key.startswith("module.") for key in found["model"])
    best = max(checkpoint(folder, name)["metric"] for name in ("model_0001", "model_final"))
    assert checkpoint(folder, "model_best")["metric"] == best


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop_at", [7, 9])
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(finished, market, tmp_path, workers, stop_at):
    folder, _, results = finished
    cfg = tiny_cfg(market, tmp_path, "DATALOADER.NUM_WORKERS", workers)
    train(cfg, stop_at=stop_at)
    trainer, again = train(cfg, resume=True)
    assert trainer.start_iter == stop_at // 3 * 3
    whole, resumed = checkpoint(folder), checkpoint(tmp_path)
    assert differing(whole["model"], resumed["model"]) == []
    assert whole["metric"] == resumed["metric"]
    assert again == results
    for number, state in whole["optimizer"]["state"].items():
        assert differing(state, resumed["optimizer"]["state"][number]) == []
    assert checkpoint(folder, "model_best")["metric"] == checkpoint(tmp_path, "model_best")["metric"]


def test_mixed_precision_resumes_exactly_too(market, tmp_path):
    options = ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat16")
    whole, stopped = tiny_cfg(market, tmp_path / "a", *options), tiny_cfg(market, tmp_path / "b", *options)
    train(whole)
    train(stopped, stop_at=7)
    train(stopped, resume=True)
    assert differing(checkpoint(tmp_path / "a")["model"], checkpoint(tmp_path / "b")["model"]) == []


def test_without_a_seed_a_resumed_run_continues_the_same_stream(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path, "SEED", -1)
    first, _ = train(cfg, stop_at=4)
    resumed, _ = train(cfg, resume=True)
    assert resumed.data_loader.batch_sampler.sampler.seed == first.data_loader.batch_sampler.sampler.seed


def test_another_seed_gives_another_run(finished, market, tmp_path):
    train(tiny_cfg(market, tmp_path, "SEED", 2))
    assert differing(checkpoint(finished[0])["model"], checkpoint(tmp_path)["model"])


def test_training_lowers_the_loss_and_moves_the_rate(finished):
    lines = [json.loads(line) for line in (finished[0] / "metrics.json").read_text().splitlines()]
    rates = {line["iteration"]: line["lr"] for line in lines if "lr" in line}
    # 4 warm-up iterations from 0.1, and a tenth from epoch 2 (iteration 6) on
    assert rates[1] == pytest.approx(3e-4 * (0.1 + 0.9 * 1 / 4))
    assert rates[5] == pytest.approx(3e-4)
    assert rates[11] == pytest.approx(3e-5)


def test_evaluating_a_checkpoint_gives_the_numbers_of_the_run(finished, market, tmp_path):
    folder, trainer, results = finished
    cfg = trainer.cfg.clone()
    model = DefaultTrainer.build_model(cfg)
    Checkpointer(model).load(str(folder / "model_final.pth"))
    cfg.OUTPUT_DIR = str(tmp_path)
    assert DefaultTrainer.test(cfg, model) == results


def test_weights_start_a_new_run_and_must_fit(finished, market, tmp_path):
    weights = str(finished[0] / "model_final.pth")
    cfg = tiny_cfg(market, tmp_path, "MODEL.WEIGHTS", weights)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=True)  # nothing to resume
    assert trainer.start_iter == 0
    assert differing(checkpoint(finished[0])["model"], trainer.model.state_dict()) == []
    other = DefaultTrainer(tiny_cfg(market, tmp_path, "MODEL.WEIGHTS", weights, "MODEL.HEADS.EMBEDDING_DIM", 4))
    with pytest.raises(RuntimeError, match=r"do not fit the model(.|\n)*heads\.bottleneck"):
        other.resume_or_load(resume=False)


def test_resuming_with_another_batch_size_is_refused(finished, market, tmp_path):
    cfg = tiny_cfg(market, finished[0], "SOLVER.IMS_PER_BATCH", 4)
    trainer = DefaultTrainer(cfg)
    with pytest.raises(RuntimeError, match=r"3 iterations per epoch, this one has 6"):
        trainer.resume_or_load(resume=True)


def test_a_run_of_v13_gives_its_weights_and_epoch(finished, market, tmp_path, caplog):
    found = checkpoint(finished[0], "model_0001")
    flat = {"state": {0: {"step": 6}}, "param_groups": [{"lr": 1.0, "params": [0]}]}
    old = {"model": found["model"], "optimizer": flat, "lr_sched": {}, "warmup_sched": {}, "epoch": 1, "metric": -1}
    torch.save(old, tmp_path / "model_0001.pth")
    (tmp_path / "last_checkpoint").write_text("model_0001.pth")
    trainer, results = train(tiny_cfg(market, tmp_path), resume=True)
    assert "the optimizer starts anew" in caplog.text
    assert (trainer.start_epoch, trainer.start_iter) == (2, 6)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(3e-5)
    assert math.isfinite(results["mAP"])


def test_the_predictor_embeds_on_the_cpu_and_leaves_the_images_alone(finished):
    folder, trainer, _ = finished
    cfg = trainer.cfg.clone()
    cfg.MODEL.WEIGHTS = str(folder / "model_final.pth")
    images = torch.rand(3, 3, HEIGHT, WIDTH) * 255
    before = images.clone()
    features = DefaultPredictor(cfg)(images)
    assert (features.shape, features.dtype, features.device.type) == ((3, 16), torch.float32, "cpu")
    assert torch.equal(images, before)


def test_a_predictor_without_weights_is_said(finished, caplog):
    cfg = finished[1].cfg.clone()
    cfg.MODEL.WEIGHTS = ""
    DefaultPredictor(cfg)
    assert "MODEL.WEIGHTS is empty: the embeddings are those of a model that was never trained" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("TEST.METRIC", "cosin"), "Did you mean 'cosine'"),
        (("TEST.AMP.ENABLED", True, "TEST.AMP.DTYPE", "float61"), r"TEST\.AMP\.DTYPE must be auto, float16 or bf"),
        (("DATASETS.TESTS", ("Market1501", "VeRi")), "The data set VeRi is missing"),
    ],
)
def test_what_cannot_be_evaluated_is_not_trained(market, tmp_path, options, message):
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path, *options))
    with pytest.raises((KeyError, ValueError, RuntimeError), match=message):
        trainer.train()
    assert trainer.iter == 0
    assert (tmp_path / "metrics.json").read_text() == ""


def test_several_test_sets_are_named_in_results_and_metric(market, tmp_path):
    options = ("DATASETS.TESTS", ("Market1501", "DukeMTMC"), "SOLVER.MAX_EPOCH", 1)
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path, *options))
    assert trainer.metric_name == "Market1501/metric"


def write_msmt17(root, identities=4):
    """Write a tiny data set in the layout of MSMT17, of the size of the images of write_market."""
    rng = np.random.default_rng(1)
    lists = {"train": [], "val": [], "query": [], "gallery": []}
    for split, folder in (("train", "train"), ("val", "train"), ("query", "test"), ("gallery", "test")):
        for pid in range(identities):
            name = f"{pid:04d}/{pid:04d}_000_{1 + pid % 2 + (split in ('val', 'gallery')):02d}_{split}.jpg"
            path = root / "MSMT17_V1" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
            lists[split].append(f"{name} {pid}")
    for split, lines in lists.items():
        (root / "MSMT17_V1" / f"list_{split}.txt").write_text("\n".join(lines * (2 if split == "train" else 1)))
    return root


def test_several_sets_are_trained_on_and_several_tested(tmp_path, caplog, monkeypatch):
    """One table, one results file, the old keys in their order, and TEST.EXPECTED_RESULTS of each set."""
    monkeypatch.setenv("NO_COLOR", "1")
    caplog.set_level("INFO")
    root = write_msmt17(write_market(tmp_path / "sets", contrast=0.2))
    duke = write_market(tmp_path / "other", identities=5, contrast=0.1)
    (duke / "Market-1501-v15.09.15").rename(root / "DukeMTMC-reID")
    names = ["Market1501", "DukeMTMC"]
    options = ("DATASETS.NAMES", ("Market1501", "MSMT17"), "DATASETS.TESTS", tuple(names), "SOLVER.MAX_EPOCH", 1)
    options += ("TEST.ROC.ENABLED", True, "DATALOADER.SAMPLER_TRAIN", "TrainingSampler")
    trainer, results = train(tiny_cfg(root, tmp_path / "out", *options, "MODEL.LOSSES.NAME", ("CrossEntropyLoss",)))
    assert trainer.data_loader.dataset.num_classes == 6 + 4
    keys = ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "metric"]
    keys += ["TPR@FPR=1e-04", "TPR@FPR=1e-03", "TPR@FPR=1e-02"]
    assert list(results) == names and all(list(own) == keys for own in results.values())
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(stored) == names
    for name in names:
        details = stored[name].pop("details")
        assert stored[name] == pytest.approx(dict(results[name])) and list(stored[name]) == keys
        assert {"queries", "intervals", "breakdown", "verification", "open_set", "threshold"} <= set(details)
        assert details["queries"]["count"] == (12 if name == "Market1501" else 10)
        assert (tmp_path / "out" / f"queries_{name}.npz").is_file()
    tables = [text.split("\n")[1:] for text in caplog.messages if text.startswith("Evaluation results in csv format")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[-1]]
    assert len(tables) == 3 and cells[0] == ["Dataset", *keys]
    assert cells[2:] == [[name, *(f"{value:.2f}" for value in results[name].values())] for name in names]
    last = json.loads((tmp_path / "out" / "metrics.json").read_text().splitlines()[-1])
    assert last["DukeMTMC/mAP"] == pytest.approx(results["DukeMTMC"]["mAP"])

    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "train_net.py"), run_name="tool")
    expected = [[name, "mAP", results[name]["mAP"], 0.01] for name in names]
    for wrong in (False, True):
        expected[1][2] += 5 * wrong
        cfg = tiny_cfg(root, tmp_path / "again", *options, "MODEL.WEIGHTS", str(tmp_path / "out" / "model_final.pth"))
        cfg.TEST.EXPECTED_RESULTS = expected
        (tmp_path / "again.yml").write_text(cfg.dump())
        args = default_argument_parser().parse_args(["--eval-only", "--config-file", str(tmp_path / "again.yml")])
        if wrong:
            with pytest.raises(SystemExit, match=r"DukeMTMC/mAP is .*, expected") as error:
                tool["main"](args)
            assert "Market1501" not in str(error.value)
        else:
            assert tool["main"](args)["DukeMTMC"] == pytest.approx(dict(results["DukeMTMC"]))
            assert "All 2 expected results were reached" in (tmp_path / "again" / "log.txt").read_text()


def test_sets_without_a_query_split_are_tested_by_leaving_one_out(market, tmp_path, monkeypatch):
    crops = market / "Market-1501-v15.09.15" / "bounding_box_test"
    images = [(str(path), int(path.name[:4])) for path in sorted(crops.iterdir())]
    both = "".join(f"{path},{pid},{split}\n" for path, pid in images for split in ("query", "gallery"))
    (tmp_path / "both.csv").write_text("path,pid,split\n" + both)
    (tmp_path / "test.csv").write_text("path,pid,split\n" + "".join(f"{path},{pid},test\n" for path, pid in images))

    def no_query(root, **options):
        return ImageDataset([], [], [(path, pid, -1) for path, pid in images])

    monkeypatch.setitem(DATASET_REGISTRY._objects, "NoQuery", no_query)
    tests = ("NoQuery", f"csv:{tmp_path}/both.csv", f"csv:{tmp_path}/test.csv")
    options = ("TEST.EVALUATOR", "RetrievalEvaluator", "TEST.PROTOCOL", "leave_one_out", "SOLVER.MAX_EPOCH", 1)
    _, results = train(tiny_cfg(market, tmp_path / "out", *options, "DATASETS.TESTS", tests))
    assert list(results["NoQuery"]) == ["Recall@1", "Recall@2", "Recall@4", "Recall@8", "MAP@R", "metric"]
    assert results["NoQuery"] == pytest.approx(results["both.csv"])
    assert results["NoQuery"] == pytest.approx(results["test.csv"])
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [own["details"]["queries"]["count"] for own in stored.values()] == [len(images)] * 3  # each image once


def test_sets_of_ones_own_are_tested_beside_others_and_named_by_their_labels(market, tmp_path, caplog):
    caplog.set_level("INFO")
    crops = market / "Market-1501-v15.09.15" / "bounding_box_test"
    for place in ("shop", "street"):
        rows = "".join(f"{crops}/{name.name},{name.name[:4]}\n" for name in sorted(crops.iterdir()))
        (tmp_path / place).mkdir()
        (tmp_path / place / "test.csv").write_text("path,pid\n" + rows)
    own = tuple(f"csv:{tmp_path / place}/test.csv" for place in ("shop", "street"))
    options = ("DATASETS.TESTS", (*own, "Market1501"), "SOLVER.MAX_EPOCH", 1, "TEST.PROTOCOL", "auto")
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path / "out", *options))
    labels = ["shop-test.csv", "street-test.csv", "Market1501"]
    assert trainer.metric_name == "shop-test.csv/metric"
    results = trainer.train()
    assert list(results) == labels
    assert results[labels[0]] == results[labels[1]]
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())) == labels
    assert "| shop-test.csv " in caplog.text
    assert [text for text in caplog.messages if "auto means" in text] == [
        f"TEST.PROTOCOL auto means {protocol} for this test set"
        for protocol in ("cameraless", "cameraless", "market1501")
    ]


def test_an_evaluator_that_is_not_there_is_left_out(market, tmp_path, caplog):
    class Without(DefaultTrainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name, output_dir=None):
            raise NotImplementedError

    cfg = tiny_cfg(market, tmp_path, "SOLVER.MAX_EPOCH", 1)
    trainer = Without(cfg)
    assert trainer.train() == {}
    assert "No evaluator for Market1501" in caplog.text


def test_precise_batch_norm_changes_the_statistics_of_the_last_model_and_nothing_else(market, tmp_path, caplog):
    def final(name, *options):
        trainer, _ = train(tiny_cfg(market, tmp_path / name, "SOLVER.MAX_EPOCH", 1, *options))
        return checkpoint(tmp_path / name)["model"], trainer

    plain, _ = final("plain")
    caplog.set_level("INFO")
    precise, trainer = final("precise", "TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 5)
    assert set(differing(plain, precise)) == {
        f"{norm}.running_{what}" for norm in ("backbone.conv.1", "heads.bottleneck.0") for what in ("mean", "var")
    }
    assert "Computing the statistics of 2 batch norms over 5 batches" in caplog.text
    assert "is not in DATASETS.NAMES" not in caplog.text
    # the stored statistics are those that the model was evaluated with
    order = [record.message for record in caplog.records]
    assert order.index("Computing the statistics of 2 batch norms over 5 batches") < next(
        index for index, message in enumerate(order) if message.startswith("Start inference")
    )
    assert trainer.model.training


def test_precise_batch_norm_of_another_dataset_is_said(market, tmp_path, caplog):
    options = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.DATASET", "Elsewhere")
    with pytest.raises(KeyError, match="no 'Elsewhere'"):
        DefaultTrainer(tiny_cfg(market, tmp_path, *options))
    assert "TEST.PRECISE_BN.DATASET Elsewhere is not in DATASETS.NAMES ('Market1501',)" in caplog.text


def test_an_evaluator_of_the_user_is_named_in_the_config(market, tmp_path, monkeypatch):
    monkeypatch.setattr(EVALUATOR_REGISTRY, "_objects", dict(EVALUATOR_REGISTRY._objects))

    @EVALUATOR_REGISTRY.register()
    class CountingEvaluator(DatasetEvaluator):
        def __init__(self, cfg, num_query, output_dir=None):
            self.num_query = num_query

        def reset(self):
            self.images = 0

        def process(self, inputs, outputs):
            self.images += len(outputs)

        def evaluate(self):
            return {"queries": self.num_query, "images": self.images, "metric": 1.0}

    options = ("TEST.EVALUATOR", "CountingEvaluator", "SOLVER.MAX_EPOCH", 1)
    _, results = train(tiny_cfg(market, tmp_path, *options))
    assert results == {"queries": 12, "images": 36, "metric": 1.0}


def test_a_classifier_is_trained_and_tested_where_the_test_set_has_its_classes(market, tmp_path):
    class ClasTrainer(DefaultTrainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name, output_dir=None):
            dataset = Market1501(root=cfg.DATASETS.ROOT)
            test_set = CommDataset(dataset.train, build_transforms(cfg, is_train=False), relabel=True)
            loader, _ = build_reid_test_loader(cfg, test_set=test_set)
            return loader, ClasEvaluator(cfg, output_dir)

    options = ("MODEL.HEADS.NAME", "ClasHead", "MODEL.LOSSES.NAME", ("FocalLoss", "CrossEntropyLoss"))
    cfg = tiny_cfg(market, tmp_path, *options, "SOLVER.BASE_LR", 0.01, "SOLVER.STEPS", [], "SOLVER.MAX_EPOCH", 8)
    seed_all_rng(cfg.SEED)
    results = ClasTrainer(cfg).train()
    assert list(results) == ["Acc@1", "metric", "Acc@5"]
    assert results["Acc@1"] > 60  # six colours; by chance 17
    assert checkpoint(tmp_path, "model_best")["metric"] >= results["metric"]


def test_the_callers_config_is_not_changed(market, tmp_path):
    cfg = tiny_cfg(market, tmp_path)
    cfg.freeze()
    trainer = DefaultTrainer(cfg)
    assert cfg.MODEL.HEADS.NUM_CLASSES == 0
    assert trainer.cfg.MODEL.HEADS.NUM_CLASSES == 6


def test_a_student_that_teaches_itself_resumes_to_the_same_bits(market, tmp_path):
    """The moving average is no part of the weights, but of the run."""
    options = ("MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True, "KD.EMA.MOMENTUM", 0.5)
    train(tiny_cfg(market, tmp_path / "whole", *options))
    train(tiny_cfg(market, tmp_path / "cut", *options), stop_at=7)
    resumed, _ = train(tiny_cfg(market, tmp_path / "cut", *options), resume=True)
    assert resumed.start_iter == 6
    one, other = (checkpoint(tmp_path / name) for name in ("whole", "cut"))
    assert differing(one["model"], other["model"]) == []
    assert differing(one["ema_teacher"], other["ema_teacher"]) == []
    assert differing(one["ema_teacher"], one["model"]) != []
    assert list(one["ema_teacher"]) == list(one["model"])
    assert "loss_jsdiv" in (tmp_path / "cut" / "metrics.json").read_text()
    # a run that only starts from the weights starts its average there
    fresh = tiny_cfg(market, tmp_path / "fresh", *options, "MODEL.WEIGHTS", str(tmp_path / "cut" / "model_final.pth"))
    trainer, _ = train(fresh, stop_at=1)
    average = trainer.model.model_ts[0].state_dict()
    assert torch.equal(average["heads.weight"], other["model"]["heads.weight"])


def test_a_run_with_a_memory_resumes_to_the_same_bits(market, tmp_path):
    options = ("MODEL.META_ARCHITECTURE", "MoCo", "MODEL.QUEUE_SIZE", 32)
    train(tiny_cfg(market, tmp_path / "whole", *options))
    train(tiny_cfg(market, tmp_path / "cut", *options), stop_at=7)
    train(tiny_cfg(market, tmp_path / "cut", *options), resume=True)
    one, other = (checkpoint(tmp_path / name)["model"] for name in ("whole", "cut"))
    assert differing(one, other) == []
    assert int(one["memory.queue_ptr"]) == 12 * 8 % 32


def test_checkpoints_carry_the_thresholds_of_their_own_evaluation(market, tmp_path):
    options = ("TEST.ROC.ENABLED", True, "SOLVER.CHECKPOINT_PERIOD", 1, "TEST.EVAL_PERIOD", 2, "SOLVER.MAX_EPOCH", 3)
    _, results = train(tiny_cfg(market, tmp_path, *options))
    assert "TPR@FPR=1e-03" in results
    stored = json.loads((tmp_path / "results.json").read_text())["Market1501"]
    threshold = stored["details"]["threshold"]
    assert threshold["kind"] == "fpr" and threshold["value"] == 1e-3
    assert checkpoint(tmp_path)["meta"]["thresholds"] == {"Market1501": threshold}
    assert checkpoint(tmp_path, "model_0000")["meta"]["thresholds"] == {}  # was not evaluated
    earlier = checkpoint(tmp_path, "model_0001")["meta"]["thresholds"]["Market1501"]
    assert earlier["threshold"] != threshold["threshold"]
    with np.load(tmp_path / "queries_Market1501.npz") as queries:
        assert 100 * np.nanmean(queries["mAP"]) == pytest.approx(results["mAP"])
        assert all(path.endswith(".jpg") for path in queries["img_path"])
