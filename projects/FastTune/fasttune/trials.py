"""Which trials count: interrupted ones do not, nor those that were begun by two processes at the same moment."""

from __future__ import annotations

import datetime
import logging
import os
import socket

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = ["claim", "counted", "is_fresh", "recover", "repeat_later"]

logger = logging.getLogger(__name__)

_REPEATS = "repeats"  # of a trial that repeats an interrupted one: the number of that one
_SURPLUS = "surplus"
_HOST, _PID = "host", "pid"


def is_fresh(trial: FrozenTrial) -> bool:
    """Tell whether a trial got new values, and does not repeat an interrupted one."""
    return _REPEATS not in trial.user_attrs and _SURPLUS not in trial.user_attrs


def counted(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that are running or have come to a result, a failure included."""
    repeated = {trial.user_attrs.get(_REPEATS) for trial in trials}
    return [
        trial
        for trial in trials
        if trial.state != TrialState.WAITING and trial.number not in repeated and _SURPLUS not in trial.user_attrs
    ]


def claim(study: Study, trial: Trial, limit: int) -> bool:
    """Take a trial for this process, or mark it as one too many.

    Between looking how many there are and beginning the next, another process may have begun one. The numbers of trials
    are unique, so of those begun at the same moment exactly the right ones find ``limit`` smaller ones.
    """
    others = counted([other for other in study.get_trials(deepcopy=False) if other.number != trial.number])
    if sum(other.number < trial.number for other in others) >= limit:
        trial.set_user_attr(_SURPLUS, True)
        return False
    trial.set_user_attr(_HOST, socket.gethostname())
    trial.set_user_attr(_PID, os.getpid())
    return True


def repeat_later(study: Study, trial: Trial | FrozenTrial) -> None:
    """Have the next free process try the values of an interrupted trial again."""
    study.enqueue_trial(trial.params, user_attrs={_REPEATS: trial.number})


def recover(study: Study, *, everything: bool = False) -> list[int]:
    """Repeat the trials whose process is gone without a word: killed, or the machine went down.

    Args:
        study: is changed in its storage.
        everything: whether trials of other machines are taken for dead, too, which cannot be seen from here.

    Returns:
        Their numbers.
    """
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.user_attrs.get(_REPEATS) for trial in trials}
    found = []
    for trial in trials:
        if trial.state != TrialState.RUNNING or not (everything or _is_dead(trial)):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except ValueError:  # another process was quicker
            logger.info("Trial %d was recovered by another process", trial.number)
            continue
        if trial.number not in repeated:
            repeat_later(study, trial)
        found.append(trial.number)
    return found


def _is_dead(trial: FrozenTrial) -> bool:
    if _PID not in trial.user_attrs:  # it is claimed right after it has begun
        return datetime.datetime.now() - trial.datetime_start > datetime.timedelta(minutes=1)
    if trial.user_attrs.get(_HOST) != socket.gethostname():
        return False
    if os.name == "nt":  # there, signal 0 is not a question
        return False
    try:
        os.kill(trial.user_attrs[_PID], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process has that number
        return False
    return False
