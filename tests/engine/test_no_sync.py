"""Between two log lines nothing makes the CPU wait for the device; what would wait for another one shows on a CPU."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fastreid.engine import DefaultTrainer, defaults
from fastreid.engine.amp_trainer import AMPTrainer
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import EventStorage

from .tiny import tiny_cfg

# Functions whose result is on the host, and operators whose result has a size that only the device knows.
_FUNCTIONS = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__"}
_OPERATORS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "masked_select", "argwhere",
    "_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave", "bincount",
}  # fmt: skip


class Waits(AssertionError):
    """Something would make the CPU wait."""


def of_an_optimizer():
    """Tell whether an optimizer of torch asks: it counts its steps on the CPU, where that costs nothing."""
    frame = sys._getframe()
    while frame is not None:
        if "/torch/optim/" in frame.f_code.co_filename.replace("\\", "/"):
            return True
        frame = frame.f_back
    return False


class NoHostFunctions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in _FUNCTIONS and any(isinstance(arg, Tensor) for arg in args) and not of_an_optimizer():
            raise Waits(f"Tensor.{name}")
        return function(*args, **(kwargs or {}))


class NoHostOperators(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator._schema.name.removeprefix("aten::")
        masks = False
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        waits = name in _OPERATORS and "output_size" not in (kwargs or {})
        if (waits or masks) and not of_an_optimizer():
            raise Waits(f"{name} of a mask" if masks else name)
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(), lambda x: float(x.sum()), lambda x: bool(x.any()), lambda x: int(x.sum()),
        lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x[x > 0], lambda x: x.nonzero(),
        lambda x: x.masked_select(x > 0), lambda x: x.unique(), lambda x: 1 if x.sum() > 0 else 0,
        lambda x: x.__setitem__(x > 0, torch.ones(2)), lambda x: torch.equal(x, x), lambda x: range(9)[x.long()[0]],
        lambda x: torch.where(x > 0),
    ],
)  # fmt: skip
def test_the_guard_sees_what_waits(waits):
    with pytest.raises(Waits), NoHostFunctions(), NoHostOperators():
        waits(torch.tensor([1.0, 0.0, 2.0]))


class Guarded(DefaultTrainer):
    """Allows no waiting outside of the iterations that log; reading and preparing images is another matter."""

    guarded = 0

    def __init__(self, cfg):
        super().__init__(cfg)
        self._guard = ExitStack()
        inner, next_batch = self._trainer, self._trainer.next_batch

        def unguarded():
            is_on = self._may_not_wait()
            self._guard.close()
            batch = next_batch()
            if is_on:
                self._enter()
            return batch

        inner.next_batch = unguarded

    def _may_not_wait(self):
        return (self.iter + 1) % self.cfg.LOG_PERIOD and (self.iter + 1) % self.iters_per_epoch

    def _enter(self):
        self._guard.enter_context(NoHostFunctions())
        self._guard.enter_context(NoHostOperators())

    def before_step(self):
        if self._may_not_wait():
            self._enter()
            self.guarded += 1
        super().before_step()

    def after_step(self):
        super().after_step()
        self._guard.close()

    def train(self):
        try:
            return super().train()
        finally:
            self._guard.close()


CASES = {
    "cross-entropy and triplet": (),
    "clipping by parameter": ("SOLVER.CLIP_GRADIENTS.ENABLED", True),
    "clipping by norm": ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_norm"),
    "clipping by value": ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "value"),
    "bfloat16": ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "bfloat16"),
    "accumulation": ("SOLVER.ACCUM_STEPS", 2, "SOLVER.IMS_PER_BATCH", 8),
    "freezing": ("MODEL.FREEZE_LAYERS", ["backbone"], "SOLVER.FREEZE_ITERS", 3),
    "SGD": ("SOLVER.OPT", "SGD", "SOLVER.BIAS_LR_FACTOR", 2.0, "SOLVER.HEADS_LR_FACTOR", 10.0),
    "soft triplet, GeM, circle softmax": (
        "MODEL.LOSSES.TRI.MARGIN", 0.0, "MODEL.LOSSES.TRI.HARD_MINING", False, "MODEL.HEADS.CLS_LAYER", "CircleSoftmax",
        "MODEL.HEADS.POOL_LAYER", "GeneralizedMeanPoolingP", "MODEL.HEADS.SCALE", 64, "MODEL.HEADS.MARGIN", 0.35,
    ),
    "pair losses, arc softmax": (
        "MODEL.LOSSES.NAME", ("FocalLoss", "CircleLoss", "Cosface"), "MODEL.HEADS.CLS_LAYER", "ArcSoftmax",
    ),
    "adaptive smoothing, cos softmax": ("MODEL.LOSSES.CE.EPSILON", -1.0, "MODEL.HEADS.CLS_LAYER", "CosSoftmax"),
    "MoCo": ("MODEL.META_ARCHITECTURE", "MoCo", "MODEL.QUEUE_SIZE", 16),
    "Distiller": ("MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True),
}  # fmt: skip


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_an_iteration_waits_for_nothing(market, tmp_path, monkeypatch, options):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)
    own = ("LOG_PERIOD", 3, "SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_EPOCH", 1, "TEST.EVAL_PERIOD", 0)
    cfg = tiny_cfg(market, tmp_path, *own, *options)
    seed_all_rng(cfg.SEED)
    trainer = Guarded(cfg)
    trainer.train()
    assert trainer.guarded == (4 if cfg.SOLVER.IMS_PER_BATCH == 4 else 2)


def test_the_price_of_leaving_out_bad_iterations_is_a_wait(market, tmp_path, monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)
    with pytest.raises(Waits, match="__bool__"):
        Guarded(tiny_cfg(market, tmp_path, "SOLVER.SKIP_NONFINITE", 1)).train()


def test_float16_waits_for_nothing_with_a_fused_optimizer():
    model = torch.nn.Linear(3, 1)
    model.forward = lambda batch: {"loss": torch.nn.functional.linear(batch["images"], model.weight).mean()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    trainer = AMPTrainer(model, [{"images": torch.ones(2, 3)}] * 3, optimizer, grad_scaler=torch.amp.GradScaler("cpu"))
    with EventStorage() as storage, NoHostFunctions(), NoHostOperators():
        for trainer.iter in range(3):
            storage.iter = trainer.iter
            trainer.run_step()
