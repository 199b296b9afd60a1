"""What TEST.AMP and TEST.FOLD_BN make of a model."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from fastreid.engine import DefaultPredictor, DefaultTrainer, amp, defaults
from fastreid.engine.inference import inference_model
from fastreid.modeling import build_model
from fastreid.utils.custom_imports import import_custom_modules

from .tiny import HEIGHT, WIDTH, tiny_cfg

IMAGES = torch.randint(0, 256, (4, 3, HEIGHT, WIDTH), dtype=torch.uint8)


@pytest.fixture
def cfg(market, tmp_path, monkeypatch):
    monkeypatch.setattr(amp, "cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)
    return tiny_cfg(market, tmp_path, "MODEL.HEADS.NUM_CLASSES", 6)


def with_options(cfg, *, fold=False, half=False):
    cfg.TEST.FOLD_BN, cfg.TEST.AMP.ENABLED = fold, half
    return cfg


def model_of(cfg):
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    model = build_model(cfg).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def dtypes_of_convolutions(model):
    found = set()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: found.add(output.dtype))
    return found


def test_without_options_it_is_the_model(cfg, caplog):
    model = model_of(cfg)
    with caplog.at_level(logging.INFO):
        assert inference_model(cfg, model) is model
    assert "Inference on cpu in float32" in caplog.messages


@pytest.mark.parametrize("fold", [False, True])
def test_half_precision_is_used_inside_and_float32_comes_out(cfg, caplog, fold):
    model = model_of(cfg)
    with caplog.at_level(logging.INFO), torch.no_grad():
        expected = model(IMAGES)
        fast = inference_model(with_options(cfg, fold=fold, half=True), model).eval()
        dtypes = dtypes_of_convolutions(fast)
        found = fast({"images": IMAGES})
    assert dtypes == {torch.bfloat16}
    assert found.dtype is torch.float32
    assert torch.cosine_similarity(found, expected).min() > 0.999
    assert f"Inference on cpu in bfloat16{', 1 batch norms folded' if fold else ''}" in caplog.messages


def test_without_bfloat16_folding_remains(cfg, caplog, monkeypatch):
    monkeypatch.setattr(amp, "cpu_has_bfloat16", lambda: False)
    cfg.MODEL.CHANNELS_LAST = True
    model = model_of(cfg)
    with caplog.at_level(logging.INFO), torch.no_grad():
        fast = inference_model(with_options(cfg, fold=True, half=True), model)
        torch.testing.assert_close(fast(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-5)
    assert "TEST.AMP is on, but this cpu does not compute in half precision: staying in float32" in caplog.messages
    assert "Inference on cpu in float32, 1 batch norms folded, channels_last" in caplog.messages


def test_a_model_that_cannot_be_folded_is_used_as_it_is(cfg, caplog):
    model = model_of(cfg)
    model.backbone.conv.register_forward_hook(lambda module, _, output: output + module[0].weight.sum())
    assert inference_model(with_options(cfg, fold=True), model) is model
    assert "TEST.FOLD_BN is on, but the model is used as it is: with 1 batch norms folded" in caplog.text


@pytest.mark.parametrize("size", [[HEIGHT, WIDTH], [HEIGHT], [0, 0]])
def test_every_way_to_say_the_size_will_do(cfg, size):
    cfg.INPUT.SIZE_TEST = size
    model = model_of(cfg)
    assert inference_model(with_options(cfg, fold=True), model) is not model


def test_a_run_evaluates_on_the_fast_path_and_trains_the_plain_model(cfg, caplog):
    cfg.SOLVER.MAX_EPOCH, cfg.TEST.EVAL_PERIOD = 2, 1
    cfg.SOLVER.AMP.ENABLED = cfg.MODEL.CHANNELS_LAST = True
    with caplog.at_level(logging.INFO):
        trainer = DefaultTrainer(with_options(cfg, fold=True, half=True))
        trainer.train()
    assert caplog.messages.count("Inference on cpu in bfloat16, 1 batch norms folded, channels_last") == 2
    assert "Training in bfloat16 where autocast allows it, in float32 elsewhere" in caplog.messages
    assert sum(isinstance(module, nn.BatchNorm2d) for module in trainer.model.modules()) == 2
    assert trainer.model.training


def test_the_predictor_takes_the_fast_path(cfg, tmp_path):
    model = model_of(cfg)
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    plain = DefaultPredictor(cfg)(IMAGES)
    predictor = DefaultPredictor(with_options(cfg, fold=True, half=True))
    dtypes = dtypes_of_convolutions(predictor.model)
    found = predictor(IMAGES)
    assert dtypes == {torch.bfloat16}
    assert (found.dtype, found.device.type) == (torch.float32, "cpu")
    assert torch.cosine_similarity(found, plain).min() > 0.999
