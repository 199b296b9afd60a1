"""End a run in order when the system, the scheduler or the user asks it to go."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from ...utils import comm
from ..loop import HookBase
from ..stop_signals import PATIENCE, give_back, take_over
from ..stopped import RunStopped

__all__ = ["StopOnSignal"]

logger = logging.getLogger(__name__)


class StopOnSignal(HookBase):
    """On SIGTERM or SIGINT, save at the end of the iteration and raise ``RunStopped``; a second signal ends at once.

    Register it behind the hooks that save, so that what they save at the same iteration is saved once.

    Several ranks stop at the same iteration, whichever of them got a signal: each tells the others at the end of
    every iteration whether it got one, in a message of one number between the CPUs (gloo) that travels while the next
    iteration computes. So they stop one iteration later than a single process does, and no device is waited for. At
    the end of an epoch the evaluation and the checkpoint of that epoch come first; a signal in the last
    iteration of the run lets it end, and then reaches the handler of one's own that was there before, if there was.

    The handlers are there from ``before_train`` to ``after_train``, and only if that is in the main thread; elsewhere
    (Python allows no handlers there) signals do what they did before. After a stop they are given back when
    ``patience`` is over, so that a second signal cannot spoil the exit code of a process that is on its way out.

    Args:
        save: saves a checkpoint of this iteration; called on every rank.
        patience: seconds within which another signal counts as the same one.
    """

    def __init__(self, save: Callable[[], Any], *, patience: float = PATIENCE) -> None:
        self._save = save
        self._patience = patience
        self._received: signal.Signals | None = None
        self._received_at = 0.0
        self._pid = 0
        self._former: dict[signal.Signals, Any] = {}
        self._stopped = False
        self._group: dist.ProcessGroup | None = None
        self._asked: tuple[dist.Work, torch.Tensor] | None = None

    def before_train(self) -> None:
        """Take the signals over, and set up the channel between the ranks."""
        self._received, self._asked, self._stopped = None, None, False
        if comm.get_world_size() > 1:
            self._group = dist.new_group(backend="gloo")
        if threading.current_thread() is not threading.main_thread():
            logger.info("Not the main thread: SIGTERM and SIGINT will not save a checkpoint")
            return
        self._pid = os.getpid()
        self._former = take_over(self._on_signal)

    def after_step(self) -> None:
        """Stop if it is asked for; the last iteration of an epoch waits for ``after_epoch``."""
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch:
            self._stop_if_asked()

    def after_epoch(self) -> None:
        """Stop if it is asked for."""
        self._stop_if_asked()

    def after_train(self) -> None:
        """Give the signals back; after a stop, when the same signal is not to be expected once more."""
        give_back(self._former, not_before=self._received_at + self._patience if self._stopped else None)
        former, self._former = self._former.get(self._received), {}
        complete = self.trainer.iter + 1 >= self.trainer.max_iter and not self._stopped
        if complete and callable(former) and former is not signal.default_int_handler:
            signal.raise_signal(self._received)  # the run did not need it, but whoever handles signals around it may

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that was forked from this one, such as a worker of a loader
            return
        now = time.monotonic()
        if self._received is None:
            self._received, self._received_at = signal.Signals(number), now
        elif now - self._received_at >= self._patience:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._pid, number)

    def _stop_if_asked(self) -> None:
        trainer = self.trainer
        number = self._agreed(is_last=trainer.iter + 1 >= trainer.max_iter)
        if not number:
            return
        name = signal.Signals(number).name
        logger.warning("%s: saving a checkpoint of iteration %d and leaving", name, trainer.iter)
        self._save()
        comm.synchronize()  # nobody leaves before the file is complete
        self._stopped = True
        stopped = RunStopped(name, trainer.iter)
        logger.warning("Run %s", stopped)
        raise stopped

    def _agreed(self, *, is_last: bool) -> int:
        """Return the signal that ends the run here, the same on every rank; 0: it goes on."""
        mine = int(self._received or 0)
        if self._group is None:
            return 0 if is_last else mine
        if self._asked is not None:
            work, answer = self._asked
            work.wait()
            self._asked = None
            if answer.item() and not is_last:
                return int(answer.item())
        if not is_last:
            question = torch.tensor([mine], dtype=torch.int64)
            self._asked = dist.all_reduce(question, op=dist.ReduceOp.MAX, group=self._group, async_op=True), question
        return 0
