"""Foreign weights, fast inference, precise batch norm and a vendored copy."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from fastreid.config import get_cfg
from fastreid.data.build import build_reid_train_loader
from fastreid.engine import DefaultPredictor, DefaultTrainer
from fastreid.modeling import build_model

from .helpers import REPO, environment, options, tiny_cfg
from .own_images import write_table

OSNET = {"MODEL__BACKBONE__NAME": "build_osnet_backbone", "MODEL__BACKBONE__DEPTH": "x0_25"}
OSNET |= {"MODEL__BACKBONE__FEAT_DIM": 128}


def disturb(model):
    """Give norms statistics and weights as a trained network has them."""
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or (name.endswith("bias") and value.dim() == 1):
            value.normal_(std=0.1)
    return model.eval()


def torchreid_state(backbone, people=1041):
    """Return the backbone's weights in torchreid's layout: bare names, a 512-d `fc` and a classifier."""
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    state |= {"fc.0.weight": 0.1 * torch.randn(512, 128), "fc.0.bias": torch.randn(512)}
    state |= {"fc.1.weight": torch.rand(512) + 0.5, "fc.1.bias": 0.1 * torch.randn(512)}
    state |= {"fc.1.running_mean": torch.randn(512), "fc.1.running_var": torch.rand(512) + 0.5}
    state |= {"fc.1.num_batches_tracked": torch.tensor(7)}
    return state | {"classifier.weight": torch.randn(people, 512), "classifier.bias": torch.randn(people)}


@pytest.fixture
def foreign():
    """A model with OSNet x0.25 as backbone, and weights of another library for it."""
    torch.manual_seed(1)
    model = disturb(build_model(tiny_cfg(MODEL__HEADS__NUM_CLASSES=8, **OSNET)))
    return model, torchreid_state(model.backbone)


@pytest.mark.parametrize("form", ["bare", "checkpoint", "parallel"])
def test_weights_of_torchreid_give_the_512_numbers_they_were_trained_for(tmp_path, foreign, caplog, form):
    model, state = foreign
    content = {f"module.{key}": value for key, value in state.items()} if form == "parallel" else state
    torch.save(
        {"state_dict": content, "epoch": 3, "rank1": 0.5} if form == "checkpoint" else content, tmp_path / "o.pth"
    )
    cfg = get_cfg()
    cfg.merge_from_file(str(REPO / "configs" / "Market1501" / "osnet_x0_25_torchreid.yml"))
    cfg.merge_from_list(["MODEL.WEIGHTS", str(tmp_path / "o.pth"), "MODEL.DEVICE", "cpu"])
    with caplog.at_level(logging.INFO):
        predictor = DefaultPredictor(cfg)
    images = 255 * torch.rand(3, 3, 64, 32)
    with torch.no_grad():
        normal = (images - model.pixel_mean) / model.pixel_std
        pooled = model.backbone(normal).mean((2, 3))
        out = F.linear(pooled, state["fc.0.weight"], state["fc.0.bias"])
        norm = [state[f"fc.1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        wanted = F.relu(F.batch_norm(out, *norm))
    torch.testing.assert_close(predictor(images), wanted, rtol=1e-4, atol=1e-4)
    assert "classifier" in caplog.text  # what was left out is said


def test_weights_of_torchreid_start_a_128_d_recipe_and_what_is_left_out_is_said(tmp_path, foreign, caplog):
    _, state = foreign
    torch.save(state, tmp_path / "o.pth")
    with caplog.at_level(logging.INFO):
        cfg = tiny_cfg(MODEL__BACKBONE__PRETRAIN=True, MODEL__BACKBONE__PRETRAIN_PATH=tmp_path / "o.pth", **OSNET)
        started = build_model(cfg)
        finetuned = DefaultPredictor(tiny_cfg(MODEL__WEIGHTS=tmp_path / "o.pth", MODEL__WEIGHTS_STRICT=False, **OSNET))
    for one in (started, finetuned.model):
        weights = one.backbone.state_dict()
        names = [key for key in weights if not key.endswith("num_batches_tracked")]
        assert all(torch.equal(weights[key], state[key]) for key in names)
    assert "fc." in caplog.text and "classifier" in caplog.text


FAST = {
    "channels last": (["MODEL.CHANNELS_LAST", True], 1e-5),
    "folded": (["TEST.FOLD_BN", True], 1e-4),
    "bfloat16": (["TEST.AMP.ENABLED", True, "TEST.AMP.DTYPE", "bfloat16"], 0.05),
    "all, as the machine has it": (["MODEL.CHANNELS_LAST", True, "TEST.FOLD_BN", True, "TEST.AMP.ENABLED", True], 0.05),
}


@pytest.mark.parametrize("network", ["ResNet with IBN", "OSNet"])
def test_fast_options_keep_embeddings(tmp_path, network):
    more = OSNET if network == "OSNet" else {"MODEL__BACKBONE__WITH_IBN": True, "MODEL__BACKBONE__WITH_SE": True}
    model = disturb(build_model(tiny_cfg(MODEL__HEADS__NUM_CLASSES=8, **more)))
    torch.save({"model": model.state_dict()}, tmp_path / "m.pth")
    images = 255 * torch.rand(16, 3, 64, 32)
    with torch.no_grad():
        plain = model(images)
    for name, (switches, limit) in FAST.items():
        cfg = tiny_cfg(MODEL__WEIGHTS=tmp_path / "m.pth", **more)
        cfg.merge_from_list(switches)
        predictor = DefaultPredictor(cfg)
        fast = predictor(images)
        assert fast.dtype == torch.float32, name
        assert float((fast - plain).norm(dim=1).div(plain.norm(dim=1)).max()) < limit, name
        assert float(F.cosine_similarity(fast, plain).median()) > 0.999, name


def test_fast_options_train_evaluate_and_save_what_plain_ones_do(market_root, tmp_path):
    results = {}
    for name, fast in (("plain", []), ("fast", ["MODEL.CHANNELS_LAST", True, "TEST.FOLD_BN", True])):
        cfg = tiny_cfg(SOLVER__MAX_EPOCH=1, OUTPUT_DIR=tmp_path / name, TEST__EVAL_PERIOD=0, **OSNET)
        cfg.merge_from_list(fast)
        torch.manual_seed(0)
        trainer = DefaultTrainer(cfg)
        results[name] = trainer.train()
    states = [torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in results]
    assert list(states[0]) == list(states[1])  # folding is for evaluation only
    assert [v.shape for v in states[0].values()] == [v.shape for v in states[1].values()]
    assert all(value.is_contiguous() or value.dim() == 4 for value in states[1].values())
    assert results["fast"]["mAP"] == pytest.approx(results["plain"]["mAP"], abs=5)


def test_precise_batch_norm_after_training_has_the_statistics_of_the_training_images(market_root, tmp_path):
    """One pass over all 48 images, so that their order is no matter; the rate is so small that the weights stay."""
    cfg = tiny_cfg(
        SOLVER__MAX_EPOCH=1,
        SOLVER__OPT="SGD",
        SOLVER__BASE_LR=1e-30,
        SOLVER__WARMUP_ITERS=0,
        DATALOADER__SAMPLER_TRAIN="TrainingSampler",
        TEST__EVAL_PERIOD=0,
        OUTPUT_DIR=tmp_path,
        **OSNET,
    )
    for switch in ("REA", "FLIP", "PADDING"):
        cfg.INPUT[switch].ENABLED = False
    cfg.TEST.PRECISE_BN.ENABLED, cfg.TEST.PRECISE_BN.NUM_ITER = True, 6
    DefaultTrainer(cfg).train()
    model = build_model(tiny_cfg(MODEL__HEADS__NUM_CLASSES=8, **OSNET)).double()
    model.load_state_dict(torch.load(tmp_path / "model_final.pth", weights_only=True)["model"])
    dataset = build_reid_train_loader(cfg).dataset
    images = torch.stack([dataset[i]["images"] for i in range(len(dataset))]).double()
    seen = model.backbone.conv1.conv((images - model.pixel_mean) / model.pixel_std).transpose(0, 1).flatten(1)
    norm = model.backbone.conv1.bn
    torch.testing.assert_close(norm.running_mean, seen.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, seen.var(1, unbiased=False), rtol=1e-4, atol=1e-6)


VENDORED = """
import importlib, json, pkgutil, sys
sys.modules["fastreid"] = None  # whatever is installed, an absolute import must fail
import fast_reid.fastreid as package
names = [one.name for one in pkgutil.walk_packages(package.__path__, "fast_reid.fastreid.")]
for name in names:
    importlib.import_module(name)
from fast_reid.fastreid.config import get_cfg
from fast_reid.fastreid.engine import DefaultTrainer
cfg = get_cfg()
cfg.merge_from_file(sys.argv[1])
cfg.merge_from_list(sys.argv[2:])
results = DefaultTrainer(cfg).train()
print(json.dumps({"modules": len(names), "mAP": results["mAP"]}))
"""


def test_a_vendored_copy_imports_every_module_and_trains_on_ones_own_images(tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPO / "fastreid", tmp_path / "fast_reid" / "fastreid", ignore=ignore)
    (tmp_path / "fast_reid" / "__init__.py").touch()
    table = write_table(tmp_path / "t.csv", train_ids=4, images=4, test_ids=3)
    entry = (f"csv:{table}",)
    settings = options(
        DATASETS__NAMES=entry,
        DATASETS__TESTS=entry,
        DATALOADER__SAMPLER_TRAIN="CameraAwareIdentitySampler",
        MODEL__LOSSES__NAME=("CrossEntropyLoss", "CircleLoss", "Cosface", "FocalLoss"),
        MODEL__HEADS__CLS_LAYER="ArcSoftmax",
        SOLVER__OPT="Lamb",
        SOLVER__MAX_EPOCH=1,
        SOLVER__CLIP_GRADIENTS__ENABLED=True,
        INPUT__AUTOAUG__ENABLED=True,
        INPUT__AUGMIX__ENABLED=True,
        INPUT__RPT__ENABLED=True,
        TEST__FOLD_BN=True,
        OUTPUT_DIR=tmp_path / "logs",
        **OSNET,
    )
    done = subprocess.run(
        [sys.executable, "-c", VENDORED, str(REPO / "configs" / "Base-bagtricks.yml"), *settings],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["modules"] > 150
    assert 0 <= seen["mAP"] <= 100
