"""MGN's recipe: trunk and branches stand still at first, while the heads train from the first iteration."""

from __future__ import annotations

import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.engine import DefaultTrainer, defaults, hooks

from ..modeling.meta_arch import narrow  # noqa: F401, registers its backbone
from .tiny import tiny_cfg

FREEZE_ITERS = 2


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    """A trainer sets up the package's logger where nobody has, which keeps the messages from pytest."""
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


def changed(before, after):
    return {key for key in before if not torch.equal(before[key], after[key])}


def test_heads_train_while_the_rest_is_frozen(market, tmp_path):
    recipe = get_cfg()
    recipe.merge_from_file(get_config_file("Base-MGN.yml"))
    assert recipe.MODEL.FREEZE_LAYERS == ["backbone", "b1", "b2", "b3"]
    cfg = tiny_cfg(market, tmp_path)
    cfg.MODEL.META_ARCHITECTURE = recipe.MODEL.META_ARCHITECTURE
    cfg.MODEL.FREEZE_LAYERS = recipe.MODEL.FREEZE_LAYERS
    cfg.MODEL.HEADS = recipe.MODEL.HEADS
    cfg.MODEL.HEADS.EMBEDDING_DIM = 5
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM = "build_narrow_backbone", 12
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [48, 16]  # maps of three rows, one for each stripe
    cfg.SOLVER.FREEZE_ITERS, cfg.SOLVER.WARMUP_ITERS = FREEZE_ITERS, 0
    cfg.SOLVER.MAX_EPOCH, cfg.TEST.EVAL_PERIOD = 2, 1
    trainer = DefaultTrainer(cfg)
    states = []

    def look(trainer):
        states.append({key: value.clone() for key, value in trainer.model.state_dict().items()})

    look(trainer)
    trainer.register_hooks([hooks.CallbackHook(after_step=look)])
    trainer.train()

    trained = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    of_heads = {key for key in states[0] if key.split(".")[0].endswith("_head")}
    frozen = states[0].keys() - of_heads
    assert len({key.split(".")[0] for key in of_heads}) == 8
    assert len(states) == 1 + 6
    for i in range(6):
        moved = changed(states[i], states[i + 1])
        assert moved >= of_heads & trained
        if i < FREEZE_ITERS:
            assert not moved & frozen  # neither weights nor statistics
        else:
            assert moved >= frozen & trained
            assert moved >= {key for key in frozen if key.endswith("running_mean")}
