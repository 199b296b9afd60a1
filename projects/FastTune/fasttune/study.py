"""Work on a study: take a trial, run it, keep what came of it, until there are enough."""

from __future__ import annotations

import gc
import json
import logging
import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna
import torch
from optuna.distributions import check_distribution_compatibility, distribution_to_json, json_to_distribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from fastreid.config import CfgNode

from .plan import Plan
from .results import write_results
from .samplers import build_pruner, build_sampler
from .space import leaf_keys, value_of, with_settings
from .trials import claim, counted, recover, repeat_later

__all__ = ["FatalError", "Reporter", "Run", "TrialFailed", "open_storage", "open_study", "trial_config", "work"]

logger = logging.getLogger(__name__)

_PLAN = "fasttune_plan"
# may differ between the processes and the sittings of a study
_FREE_KEYS = {
    "OUTPUT_DIR", "MODEL.DEVICE", "DATASETS.ROOT", "DATALOADER.NUM_WORKERS", "TEST.NUM_WORKERS", "LOG_PERIOD",
}  # fmt: skip


class FatalError(RuntimeError):
    """What is wrong with one trial is wrong with all of them: the study stops."""


class TrialFailed(RuntimeError):
    """A trial came to no result; the study goes on."""


class Reporter:
    """Hand what a trial measures to Optuna.

    Args:
        trial: of Optuna.
        metric: the result that counts; empty: what the trainer calls its metric.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.metric = metric
        self.last: float | None = None
        self._trial = trial

    def __call__(self, epoch: int, results: Mapping[str, float], *, final: bool = False) -> None:
        """Report the results after an epoch.

        Args:
            epoch: finished epochs, from 1.
            results: number by name; must hold the metric.
            final: whether the training is over, and pruning would spare nothing.

        Raises:
            FatalError: if the metric is not there.
            FloatingPointError: if it is not finite.
            optuna.TrialPruned: if it is not worth while to go on.
        """
        if self.metric not in results:
            raise FatalError(f"--metric {self.metric}: there is no such result; there are {', '.join(sorted(results))}")
        value = float(results[self.metric])
        if not math.isfinite(value):
            raise FloatingPointError(f"{self.metric} is {value} after epoch {epoch}")
        self.last = value
        self._trial.report(value, step=epoch)
        if not final and self._trial.should_prune():
            raise optuna.TrialPruned(f"{self.metric} {value:.4g} after epoch {epoch}")


Run = Callable[[CfgNode, Reporter], None]
"""What a trial does: train by the config, and report after each evaluation."""


def open_storage(plan: Plan) -> BaseStorage:
    """Open, or make, the storage of a study.

    Raises:
        FileNotFoundError: if the folder of the file is missing.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    storage = plan.storage or str(plan.folder / "journal.log")
    if "://" not in storage:
        if not Path(storage).absolute().parent.is_dir():
            raise FileNotFoundError(f"--storage {storage}: there is no such folder; make it first")
        return JournalStorage(JournalFileBackend(storage, lock_obj=JournalFileOpenLock(storage)))
    lock = JournalFileOpenLock(str(plan.folder / "storage"))  # two processes would make the same tables
    lock.acquire()
    try:
        return RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}} if "sqlite" in storage else None)
    finally:
        lock.release()


def open_study(plan: Plan) -> optuna.Study:
    """Make the study, or go on with the one of that name.

    Raises:
        ValueError: if a study of that name searches for something else.
    """
    period, last = plan.cfg.TEST.EVAL_PERIOD, plan.cfg.SOLVER.MAX_EPOCH
    sampler = build_sampler(plan.sampler, plan.space, plan.seed)
    pruner = build_pruner(plan.pruner, startup=plan.pruner_startup, first=period or last, last=last)
    start = plan.space.encode(plan.cfg) if plan.baseline else None
    parts = {"storage": open_storage(plan), "study_name": plan.study, "sampler": sampler, "pruner": pruner}
    try:
        study = optuna.create_study(**parts, direction=plan.direction)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(**parts)
    else:
        if start is not None:
            study.enqueue_trial(start)
    _check_plan(plan, study)
    return study


def _describe(plan: Plan) -> dict[str, object]:
    tuned = plan.space.distributions()
    settings = {
        key: value_of(plan.cfg, key) for key in leaf_keys(plan.cfg) if key not in tuned and key not in _FREE_KEYS
    }
    return {
        "metric": plan.metric,
        "sampler": plan.sampler,
        "direction": plan.direction,
        "config": json.loads(json.dumps(settings)),  # as it comes back from the storage
        "space": {key: distribution_to_json(distribution) for key, distribution in tuned.items()},
    }


def _check_plan(plan: Plan, study: optuna.Study) -> None:
    ours, theirs = _describe(plan), study.user_attrs.get(_PLAN)
    if theirs is None:
        study.set_user_attr(_PLAN, ours)
        return
    differ = [f"{key} {theirs[key]!r} (now {ours[key]!r})" for key in ours if key not in ("config", "space")
              and ours[key] != theirs[key]]  # fmt: skip
    keys = sorted({*ours["config"], *theirs["config"]})
    missing = "not set"
    before, now = ([settings.get(key, missing) for key in keys] for settings in (theirs["config"], ours["config"]))
    differ += [f"{key} {old!r} (now {new!r})" for key, old, new in zip(keys, before, now) if old != new]
    if set(ours["space"]) != set(theirs["space"]):
        differ += [f"the keys {', '.join(theirs['space'])} (now {', '.join(ours['space'])})"]
    else:
        for key, old in theirs["space"].items():
            try:
                check_distribution_compatibility(json_to_distribution(old), plan.space.distributions()[key])
            except ValueError as error:
                differ.append(f"other values of {key} ({error})")
    if differ:
        raise ValueError(
            f"the study {plan.study!r} was begun with {'; '.join(differ)}. "
            "Its trials cannot be compared with such ones: take the old settings, or another --study and OUTPUT_DIR"
        )


def trial_config(plan: Plan, number: int, settings: Mapping[str, object]) -> CfgNode:
    """Return the config of a trial, frozen; what the recipe is expected to reach does not hold for it."""
    own = {"OUTPUT_DIR": str(plan.trial_folder(number)), "TEST.EXPECTED_RESULTS": []}
    cfg = with_settings(plan.cfg, {**settings, **own})
    cfg.freeze()
    return cfg


def work(plan: Plan, run: Run, *, recover_all: bool = False) -> optuna.Study:
    """Run trials in this process until the study has enough of them.

    Several processes may do this for one study at a time; none runs what another one runs. After an interrupt, the same
    call goes on.

    Args:
        plan: of the study.
        run: trains; see ``train_trial``.
        recover_all: whether trials that run on other machines are taken for dead.

    Returns:
        The study.

    Raises:
        FatalError: if no trial can come to a result.
        KeyboardInterrupt: passed on, after the trial that ran has been put down to be repeated.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # we tell it in our own words
    study = open_study(plan)
    for number in recover(study, everything=recover_all):
        logger.warning("Trial %d was left unfinished by a process that is gone; its values are tried again", number)
    limit = plan.trials
    if plan.sampler == "grid":
        limit = min(limit, len(study.sampler.combinations))
    watch = _Watch(plan, limit)
    done = len(counted(study.get_trials(deepcopy=False)))
    logger.info("Study %s: %d of %d trials are done or running; folder %s", plan.study, done, limit, plan.folder)
    if done < limit:
        study.optimize(_Objective(plan, run, limit), catch=(TrialFailed,), callbacks=[watch])
    return study


class _Objective:
    """Run one trial, and keep nothing of it in memory, whatever its end."""

    def __init__(self, plan: Plan, run: Run, limit: int) -> None:
        self._plan = plan
        self._run = run
        self._limit = limit

    def __call__(self, trial: optuna.Trial) -> float:
        if not claim(trial.study, trial, self._limit):
            raise TrialFailed("others have begun enough trials")
        reporter = Reporter(trial, self._plan.metric)
        # The traceback of an error holds the model: the error is turned into text, and raised anew without it.
        pruned = failure = None
        try:
            self._run(self._prepare(trial), reporter)
            if reporter.last is None:
                raise FatalError("a training ended without an evaluation; does the trainer have an EvalHook?")
        except optuna.TrialPruned as error:
            pruned = str(error)
        except FatalError:
            repeat_later(trial.study, trial)
            raise
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            folder = self._plan.trial_folder(trial.number)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        except BaseException as error:  # an interrupt, or whatever else ends the process
            repeat_later(trial.study, trial)
            logger.warning("Trial %d was interrupted; its values will be tried again", trial.number)
            raise KeyboardInterrupt from error
        finally:
            _free_memory()
        if pruned is not None:
            raise optuna.TrialPruned(pruned)
        if failure is not None:
            trial.set_user_attr("error", failure)
            raise TrialFailed(failure)
        return reporter.last

    def _prepare(self, trial: optuna.Trial) -> CfgNode:
        """Draw the settings, and make the folder."""
        settings = self._plan.space.suggest(trial)
        folder = self._plan.trial_folder(trial.number)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise FatalError(f"{folder} is there already, from another study; choose another OUTPUT_DIR") from None
        listed = ", ".join(f"{key} {_short(value)}" for key, value in settings.items())
        logger.info("Trial %d: %s", trial.number, listed)
        return trial_config(self._plan, trial.number, settings)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _Watch:
    """After each trial: tell what came of it, write the files, and stop when it is time."""

    def __init__(self, plan: Plan, limit: int) -> None:
        self._plan = plan
        self._limit = limit
        self._failures = 0

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if len(counted(study.get_trials(deepcopy=False))) >= self._limit:
            study.stop()
        if trial.state == TrialState.FAIL and "error" not in trial.user_attrs:
            return  # one too many
        self._tell(study, trial)
        write_results(self._plan, study)
        self._failures = self._failures + 1 if trial.state == TrialState.FAIL else 0
        if self._failures >= self._plan.max_failures:
            raise FatalError(
                f"{self._failures} trials on end failed, the last with {trial.user_attrs['error']} "
                f"(see {self._plan.trial_folder(trial.number) / 'error.txt'}); mend it, or raise --max-failures"
            )

    def _tell(self, study: optuna.Study, trial: FrozenTrial) -> None:
        name = self._plan.metric
        if trial.state == TrialState.FAIL:
            logger.warning("Trial %d failed: %s", trial.number, trial.user_attrs["error"])
        elif trial.state == TrialState.PRUNED:
            epoch = max(trial.intermediate_values)
            value = trial.intermediate_values[epoch]
            logger.info("Trial %d pruned after epoch %d: %s %.4g", trial.number, epoch, name, value)
        else:
            best = study.best_trial
            logger.info(
                "Trial %d: %s %.4g (best: %.4g, trial %d)", trial.number, name, trial.value, best.value, best.number
            )
