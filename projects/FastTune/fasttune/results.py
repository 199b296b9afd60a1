"""What a study leaves: the best config, all trials as CSV, a table, and which settings mattered."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from tabulate import tabulate

from fastreid.config import get_config_file

from .plan import Plan
from .space import value_of
from .trials import counted

__all__ = ["best_config", "summary", "write_results"]

_IMPORTANCE_NEEDS = 4  # finished trials; with fewer, the numbers are noise


def write_results(plan: Plan, study: optuna.Study) -> None:
    """Write ``trials.csv``, and ``best.yaml`` once a trial was finished, into the folder of the study."""
    _write(plan.folder / "trials.csv", _csv(plan, study))
    if _finished(study):
        _write(plan.folder / "best.yaml", best_config(plan, study))


def best_config(plan: Plan, study: optuna.Study) -> str:
    """Return the config of the best trial as YAML: the file that was tuned, the overrides, and the tuned keys.

    Trials that were pruned or failed are never the best.

    Raises:
        ValueError: if no trial was finished yet.
    """
    best = study.best_trial
    tree: dict[str, Any] = {}
    if plan.config_file:
        tree["_BASE_"] = os.path.abspath(get_config_file(plan.config_file))
    settings = {key: value_of(plan.cfg, key) for key in plan.opts[::2] if key != "OUTPUT_DIR"}
    settings.update(plan.space.decode(best.params))
    for key, value in settings.items():
        *groups, name = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = list(value) if isinstance(value, tuple) else value
    head = f"# Trial {best.number} of the study {study.study_name}: {plan.metric} {best.value:.6g}\n"
    return head + yaml.safe_dump(tree, sort_keys=False)


def summary(plan: Plan, study: optuna.Study, *, rows: int = 10) -> str:
    """Return the best trials as a table, how many ended in which way, and the importance of each key."""
    sign = -1 if plan.direction == "maximize" else 1
    trials = sorted(_finished(study), key=lambda trial: sign * trial.value)
    keys = [dimension.key for dimension in plan.space.dimensions]
    table = [[trial.number, trial.value, *(trial.params[key] for key in keys)] for trial in trials[:rows]]
    states = [trial.state for trial in counted(study.get_trials(deepcopy=False))]
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
    lines = [", ".join(f"{states.count(TrialState[state])} {name}" for state, name in names.items())]
    if table:
        lines.append(tabulate(table, headers=["trial", plan.metric, *keys], floatfmt=".4g"))
    importance = importances(study)
    if importance:
        rows_ = [[key, f"{share:.2f}"] for key, share in importance.items()]
        lines.append(tabulate(rows_, headers=["key", "importance"], disable_numparse=True))
    return "\n\n".join(lines)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return each key's share in the variance of the metric (fANOVA), in 0..1; empty for too few finished trials.

    Source: Hutter et al., "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
    """
    trials = _finished(study)
    if len(trials) < _IMPORTANCE_NEEDS or len({trial.value for trial in trials}) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _csv(plan: Plan, study: optuna.Study) -> str:
    keys = [dimension.key for dimension in plan.space.dimensions]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", plan.metric, "epoch", "seconds", *keys, "error"])
    for trial in counted(study.get_trials(deepcopy=False)):
        steps = trial.intermediate_values
        epoch = max(steps) if steps else ""
        value = trial.value if trial.value is not None else steps.get(epoch, "")
        seconds = "" if trial.duration is None else f"{trial.duration.total_seconds():.1f}"
        settings = [trial.params.get(key, "") for key in keys]
        state = trial.state.name.lower()
        writer.writerow([trial.number, state, value, epoch, seconds, *settings, trial.user_attrs.get("error", "")])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """Write a file that several processes write, each all of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
