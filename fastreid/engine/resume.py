"""Store where a run is, and go on from there exactly."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from ..utils import comm
from ..utils.env import get_random_state

if TYPE_CHECKING:
    from .defaults import DefaultTrainer

__all__ = ["check_all_find", "continue_from_v1", "restore_run", "run_state"]

logger = logging.getLogger(__name__)


def run_state(trainer: DefaultTrainer, metric: float | None) -> dict[str, Any]:
    """Return the place where a run is, in tensors and plain values; every rank must call it.

    Args:
        trainer: between two iterations; its ``iter`` is the last finished one.
        metric: of the evaluation after this epoch; ``None``: there was none.

    Returns:
        ``epoch`` (0-based, the last finished one), ``iteration`` (likewise), ``iters_per_epoch``, ``metric`` (-1:
        none), ``random_state`` (one per rank), ``sampler`` (seed and position in the global stream),
        ``skipped_steps`` (of ``SOLVER.SKIP_NONFINITE``), ``hooks``.
    """
    finished = trainer.iter + 1
    return {
        "epoch": finished // trainer.iters_per_epoch - 1,
        "iteration": trainer.iter,
        "iters_per_epoch": trainer.iters_per_epoch,
        "metric": -1.0 if metric is None else float(metric),
        "random_state": comm.all_gather(get_random_state()),
        "sampler": {
            "seed": int(getattr(trainer.sampler, "seed", None) or 0),
            "position": finished * trainer.cfg.SOLVER.IMS_PER_BATCH,
        },
        "skipped_steps": trainer.skipped_steps,
        "hooks": {name: hook.state_dict() for name, hook in trainer.stateful_hooks().items()},
    }


def check_all_find(path: str) -> None:
    """Check that every rank is about to resume from the same checkpoint; every rank must call it.

    Args:
        path: what this rank found; ``""``: nothing.

    Raises:
        FileNotFoundError: on every rank, if they found different ones.
    """
    names = [os.path.basename(found) for found in comm.all_gather(path)]
    if len(set(names)) > 1:
        found = ", ".join(f"rank {rank}: {name or 'none'}" for rank, name in enumerate(names))
        raise FileNotFoundError(
            f"the processes found different checkpoints in OUTPUT_DIR ({found}); put it on a file system that all "
            "machines share, or copy the folder to each of them"
        )


def restore_run(trainer: DefaultTrainer, checkpoint: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Put optimizer, schedules, hooks and sampler of a new trainer where a checkpoint says.

    Args:
        trainer: its model has the weights already.
        checkpoint: what :func:`run_state` returned, and the states of the checkpointables.
        path: for messages.

    Returns:
        This rank's random state, to be set just before the first iteration; ``None`` if the checkpoint has none for it.

    Raises:
        RuntimeError: if the checkpoint is of a run with another optimizer, schedule, batch size or data set.
    """
    remedy = "resume with the config that wrote it, or start a new run from its weights with MODEL.WEIGHTS"
    if checkpoint["iters_per_epoch"] != trainer.iters_per_epoch:
        raise RuntimeError(
            f"{path} comes from a run with {checkpoint['iters_per_epoch']} iterations per epoch, this one has "
            f"{trainer.iters_per_epoch}: the training set or SOLVER.IMS_PER_BATCH changed; {remedy}"
        )
    for name, thing in trainer.checkpointer.checkpointables.items():
        if name not in checkpoint and name in trainer.averages:
            logger.warning("%s has no %s: that average starts anew, from the loaded weights on", path, name)
            continue
        if name not in checkpoint:
            raise RuntimeError(f"{path} has no {name}, so the run cannot go on exactly; {remedy}")
        try:
            thing.load_state_dict(checkpoint[name])
        except (ValueError, KeyError) as error:
            raise RuntimeError(f"the {name} of {path} does not fit this config ({error}); {remedy}") from error
    for name in ("ema", "swa"):
        if name in checkpoint and name not in trainer.averages:
            logger.warning("%s has %s, which ends here: SOLVER.%s.ENABLED is False", path, name, name.upper())
    for name, hook in trainer.stateful_hooks().items():
        if name in checkpoint["hooks"]:
            hook.load_state_dict(checkpoint["hooks"][name])
        else:
            logger.warning("%s has no state of the hook %s, which begins anew", path, name)
    dropped = checkpoint["hooks"].keys() - trainer.stateful_hooks() if comm.is_main_process() else ()
    for name in sorted(dropped):  # the other ranks lack the hooks that write files
        logger.warning("%s has a state of the hook %s, which this run has not: it is dropped", path, name)
    trainer.skipped_steps = checkpoint.get("skipped_steps", 0)
    trainer.start_iter = checkpoint["iteration"] + 1
    _move_sampler(trainer, seed=checkpoint["sampler"]["seed"])
    states = checkpoint["random_state"]
    if len(states) != comm.get_world_size():
        logger.warning(
            "The checkpoint was written by %d processes, this run has %d: it goes on at the same place and sees the "
            "same global batches, but its weights cannot be the same bit for bit. What is random inside the model "
            "(dropout), batch-norm statistics and mined pairs, which each process takes from its own part of a batch, "
            "and the order in which gradients are added up depend on the number of processes",
            len(states),
            comm.get_world_size(),
        )
    return states[comm.get_rank()] if comm.get_rank() < len(states) else None


def continue_from_v1(trainer: DefaultTrainer, checkpoint: dict[str, Any], path: str) -> None:
    """Go on after the epoch of a checkpoint of FastReID v1.3, with a new optimizer: its state is laid out otherwise.

    Args:
        trainer: its model has the weights already.
        checkpoint: its ``epoch`` is read, 0-based, the last finished one.
        path: for messages.
    """
    epochs = int(checkpoint.get("epoch", -1)) + 1
    trainer.start_iter = epochs * trainer.iters_per_epoch
    logger.warning(
        "%s has no exact state (it is one of FastReID v1.3, of tools/plain_train_net.py, or exported): "
        "weights and epoch are taken over, the optimizer starts anew",
        path,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of", UserWarning)  # those steps are behind us
        if "warmup_sched" in trainer.scheduler:
            for _ in range(min(trainer.start_iter, trainer.warmup_iters)):
                trainer.scheduler["warmup_sched"].step()
        for _ in range(epochs):
            trainer.scheduler["lr_sched"].step()
    _move_sampler(trainer, seed=None)


def _move_sampler(trainer: DefaultTrainer, *, seed: int | None) -> None:
    """Go to the place of the sample stream where the run stopped; ``None``: keep the sampler's own seed."""
    sampler = trainer.sampler
    if not hasattr(sampler, "start"):
        logger.warning("%s cannot be moved: the resumed run sees its first batches again", type(sampler).__name__)
        return
    if seed is not None:
        sampler.seed = seed
    sampler.start = trainer.start_iter * trainer.cfg.SOLVER.IMS_PER_BATCH
