from __future__ import annotations

import pytest

from fastreid.engine import HookBase, TrainerBase


class Diary(HookBase):
    def __init__(self, pages, name=""):
        self.pages, self.name = pages, name

    def write(self, moment):
        self.pages.append(f"{self.name}{moment} {self.trainer.epoch}.{self.trainer.iter}")

    def before_train(self):
        self.write("before_train")

    def after_train(self):
        self.write("after_train")

    def before_epoch(self):
        self.write("before_epoch")

    def after_epoch(self):
        self.write("after_epoch")

    def before_step(self):
        self.write("before_step")

    def after_step(self):
        self.write("after_step")


class Counter(TrainerBase):
    fail_at = -1

    def run_step(self):
        if self.iter == self.fail_at:
            raise ValueError("boom")


def test_the_moments_come_in_their_order():
    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages), None])
    trainer.train(0, 2, 2)
    assert pages == [
        "before_train 0.0",
        "before_epoch 0.0", "before_step 0.0", "after_step 0.0", "before_step 0.1", "after_step 0.1", "after_epoch 0.1",
        "before_epoch 1.1", "before_step 1.2", "after_step 1.2", "before_step 1.3", "after_step 1.3", "after_epoch 1.3",
        "after_train 1.3",
    ]  # fmt: skip


def test_a_run_can_start_inside_an_epoch():
    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages)])
    trainer.train(1, 2, 3, start_iter=4)
    assert [page for page in pages if "step" in page] == [
        "before_step 1.4", "after_step 1.4", "before_step 1.5", "after_step 1.5"
    ]  # fmt: skip
    assert pages[-2:] == ["after_epoch 1.5", "after_train 1.5"]


def test_after_an_error_the_hooks_close_down_and_the_error_comes_out():
    class Breaks(HookBase):
        def after_train(self):
            raise RuntimeError("closing failed")

    trainer, pages = Counter(), []
    trainer.fail_at = 1
    trainer.register_hooks([Breaks(), Diary(pages)])
    with pytest.raises(ValueError, match="boom"):
        trainer.train(0, 1, 5)
    assert pages[-1] == "after_train 0.1"


def test_a_failing_hook_at_the_end_is_not_hidden():
    class Breaks(HookBase):
        def after_train(self):
            raise RuntimeError("closing failed")

    trainer, pages = Counter(), []
    trainer.register_hooks([Breaks(), Diary(pages)])
    with pytest.raises(RuntimeError, match="closing failed"):
        trainer.train(0, 1, 1)
    assert pages[-1].startswith("after_train")


def test_an_interrupt_closes_down_too():
    class Interrupts(HookBase):
        def before_step(self):
            raise KeyboardInterrupt

    trainer, pages = Counter(), []
    trainer.register_hooks([Diary(pages), Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(0, 1, 1)
    assert pages[-1].startswith("after_train")


def test_what_is_no_hook_and_no_epoch_is_refused():
    with pytest.raises(TypeError, match="must be a HookBase, got str"):
        Counter().register_hooks(["x"])
    with pytest.raises(ValueError, match="iters_per_epoch must be at least 1, got 0"):
        Counter().train(0, 1, 0)
