"""Kill small runs, and saves of checkpoints, at random moments; a program that ``test_soak.py`` starts.

It imports everything once and then forks: a fresh interpreter for each of the many processes would take most of the
time. It computes nothing itself, so that what it forks starts clean.

    python -m tests.engine.soak resume|save FOLDER --count 20 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from fastreid.engine import DefaultTrainer, HookBase
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.env import seed_all_rng

from .tiny import tiny_cfg, write_market

PATIENCE = 120  # seconds that one process may take, on a machine with a lot else to do
OPTIONS = (
    "SOLVER.CHECKPOINT_PERIOD_ITERS", 2, "SOLVER.CHECKPOINT_KEEP", 2, "SOLVER.CHECKPOINT_PERIOD", 2,
    "TEST.EVAL_PERIOD", 2, "TEST.EVAL_PERIOD_ITERS", 5,
)  # fmt: skip
ITERATIONS = 12
NUMBERS = 5_000_000  # of the state that is saved over and over: 20 MB, so that a save takes a while


class Child:
    """A forked process in a group of its own, which reports its progress byte by byte."""

    def __init__(self, work: Callable[[int], None], log: Path) -> None:
        self._progress, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                os.setsid()
                os.close(self._progress)
                output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(output, 1)
                os.dup2(output, 2)
                work(writing)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)

    def wait_for(self, count: int) -> int:
        """Return when ``count`` bytes of progress have come, or the process has ended; return the number of bytes."""
        deadline, seen = time.monotonic() + PATIENCE, 0
        while seen < count:
            if not select.select([self._progress], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.kill()
                raise TimeoutError(f"no progress for {PATIENCE} s")
            got = os.read(self._progress, count - seen)
            if not got:
                break
            seen += len(got)
        return seen

    def kill(self) -> None:
        """Send SIGKILL to the process and to all that it has started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself, or has not made its group yet
            os.kill(self.pid, signal.SIGKILL)

    def join(self) -> int:
        """Return the exit code, negative if a signal ended it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self._progress)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.01)


class Report(HookBase):
    """Write a byte before each step."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def before_step(self) -> None:
        os.write(self._descriptor, b".")


def train(root: Path, folder: Path, workers: int, *, resume: bool) -> Callable[[int], None]:
    """Return the work of a child: a run, or the rest of one."""

    def work(progress: int) -> None:
        cfg = tiny_cfg(root, folder, *OPTIONS, "DATALOADER.NUM_WORKERS", workers)
        seed_all_rng(cfg.SEED)
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume=resume)
        trainer.register_hooks([Report(progress)])
        trainer.train()

    return work


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the tensors in which two final checkpoints differ."""
    a, b = (torch.load(folder / "model_final.pth", weights_only=True) for folder in (one, other))
    found = [key for key in a["model"] if not torch.equal(a["model"][key], b["model"][key])]
    for number, state in a["optimizer"]["state"].items():
        other_state = b["optimizer"]["state"][number]
        found += [f"optimizer {number} {key}" for key in state if not torch.equal(state[key], other_state[key])]
    return found + [key for key in ("iteration", "epoch", "metric", "lr_sched") if a[key] != b[key]]


def soak_resume(folder: Path, count: int, seed: int) -> list[dict[str, object]]:
    """Kill a run at a random moment of a random iteration, resume it (and kill it again, one time in three)."""
    root, whole, log = write_market(folder / "data"), folder / "whole", folder / "log.txt"
    if Child(train(root, whole, 0, resume=False), log).join():
        raise RuntimeError(f"the run that nobody kills failed: {log.read_text()[-2000:]}")
    trials = []
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        workers, run = 2 * (number % 2), folder / f"run{number}"
        kills = []
        wanted = 2 if rng.random() < 1 / 3 else 1
        while len(kills) < wanted:
            kill_at, delay = rng.randint(1, ITERATIONS), rng.random() * 0.05
            child = Child(train(root, run, workers, resume=bool(kills)), log)
            seen = child.wait_for(kill_at)
            time.sleep(delay)
            child.kill()
            code = child.join()
            if code == 0:  # it came to its end before the kill: once more, from the start
                shutil.rmtree(run)
                kills = []
                continue
            kills.append({"steps": seen, "delay": round(delay, 4), "exit": code})
        code = Child(train(root, run, workers, resume=True), log).join()
        different = differences(whole, run) if code == 0 else [f"the resumed run failed: {log.read_text()[-2000:]}"]
        trials.append({"trial": number, "workers": workers, "kills": kills, "different": different})
        shutil.rmtree(run)
    return trials


def kill_self(*args: object, **kwargs: object) -> None:
    """End this process as SIGKILL from outside would, at a place that is known."""
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(write: Callable, path: str) -> None:
    """Do as ``write`` does, and die in the middle of the file."""

    class Half:
        def __init__(self, file):
            self.file, self.left = file, 2 * NUMBERS

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                self.file.flush()
                kill_self()
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    with open(path, "wb") as file:
        write(Half(file))


BEFORE, MIDDLE, REPLACE, TAG = POINTS = (
    "before the write",
    "in the middle of the write",
    "before the replacement",
    "before last_checkpoint",
)


def prepare_death(point: str, checkpointer: Checkpointer) -> None:
    """Let the next save of this process end it at a point; none of its files is complete then but the ones before."""
    save = torch.save
    if point == BEFORE:
        torch.save = kill_self
    elif point == MIDDLE:
        torch.save = lambda data, file: half_written(lambda half: save(data, half), file.name)
    elif point == REPLACE:
        os.replace = kill_self
    elif point == TAG:
        checkpointer.tag_last_checkpoint = kill_self


def save_forever(folder: Path, point: str, names: int) -> Callable[[int], None]:
    """Return the work of a child: save states one after the other, and die at a point of the third, if there is one."""

    def work(progress: int) -> None:
        model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(NUMBERS), requires_grad=False)])
        checkpointer = Checkpointer(model, str(folder))
        for number in range(1_000):
            model[0].fill_(number)
            if number == 3:
                prepare_death(point, checkpointer)
            os.write(progress, b".")
            checkpointer.save(f"model_{number % names}", number=number)

    return work


def soak_save(folder: Path, count: int, seed: int) -> list[dict[str, object]]:
    """Kill a process inside a save; afterwards ``last_checkpoint`` must name a whole file of this or the last save."""
    trials, log = [], folder / "log.txt"
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        run = folder / f"save{number}"
        point = POINTS[number] if number < len(POINTS) else "random"
        names = 1 if point == "random" and rng.random() < 0.5 else 2  # 1: each save takes the place of the last
        child = Child(save_forever(run, point, names), log)
        if point == "random":
            begun, delay = child.wait_for(rng.randint(2, 6)), rng.random() * 0.06
            time.sleep(delay)
            child.kill()
        else:
            begun, delay = child.wait_for(1_000), 0.0
        code = child.join()
        trial = {"trial": number, "point": point, "begun": begun, "delay": round(delay, 4), "exit": code, "wrong": ""}
        try:
            checkpointer = Checkpointer(torch.nn.Linear(1, 1), str(run))
            found = torch.load(checkpointer.get_checkpoint_file(), weights_only=True)
            value = int(found["model"]["0"][0])
            trial["saved"] = found["number"]
            if not (value == found["number"] and bool((found["model"]["0"] == value).all())):
                trial["wrong"] = f"a mixture: {value} in the file of {found['number']}"
            elif not value >= begun - 2:
                trial["wrong"] = f"save {begun - 2} was complete, but the newest is {value}"
            trial["unfinished"] = checkpointer.remove_unfinished()
        except Exception as error:
            trial["wrong"] = f"{type(error).__name__}: {error}"
        trials.append(trial)
        shutil.rmtree(run)
    return trials


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["resume", "save"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    soak = {"resume": soak_resume, "save": soak_save}[given.what]
    print(json.dumps(soak(given.folder, given.count, given.seed)))
