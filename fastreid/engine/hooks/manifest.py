"""Keep ``run.json``."""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ...evaluation.testing import flatten_results_dict
from ..loop import HookBase
from ..manifest import changed_keys, how_it_ended, new_session, now, read_manifest, write_manifest

__all__ = ["RunManifest"]

logger = logging.getLogger(__name__)


class RunManifest(HookBase):
    """Write down what this run is, at its start, after each evaluation, and at its end; see docs/training.md.

    A run that goes on, or starts anew, in the same folder adds a session to those that are there. Register it behind
    what evaluates, and before the checkpoints, which keep its best results. On rank 0 only.

    Args:
        path: of the file.
        config: the config of the run, as plain values.
        dataset: ``names`` and ``fingerprint`` of the training set.
        results: returns the results dict of the newest evaluation, another object for each; empty before the first.
        seeds: returns what was seeded: name -> seed; asked when training starts.
    """

    def __init__(
        self,
        path: str,
        *,
        config: Mapping[str, Any],
        dataset: Mapping[str, Any],
        results: Callable[[], Mapping[str, Any]],
        seeds: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._path = path
        self._config = config
        self._dataset = dataset
        self._results = results
        self._seeds = seeds
        self._last: dict[str, Any] | None = None
        self._best: dict[str, Any] | None = None
        self._metric: str | None = None  # that it is the best by
        self._manifest: dict[str, Any] | None = None
        self._outer: BaseException | None = None
        self._done = -1
        self._seen: Mapping[str, Any] | None = None

    def before_train(self) -> None:
        """Start a session and write it down."""
        self._outer = sys.exception()
        self._begin()
        self._write()

    def after_step(self) -> None:
        """Remember that the iteration is done, and its results if it was evaluated."""
        self._done = self.trainer.iter
        self._take_results()

    def after_epoch(self) -> None:
        """Take the results if this epoch was evaluated."""
        self._take_results()

    def after_train(self) -> None:
        """Write down how it ended, also when an error is on its way out."""
        if self._manifest is None:  # a hook before this one failed at the start
            self._begin()
        error = sys.exception()
        if error is self._outer:  # training was called while somebody dealt with an error of theirs
            error = None
        status, text = how_it_ended(error, complete=self._done + 1 >= self.trainer.max_iter)
        self._manifest["status"] = status
        self._manifest["sessions"][-1].update(status=status, error=text, end=now())
        self._write()

    def state_dict(self) -> dict[str, Any]:
        """Return the last and the best results so far, and by which metric they are the best."""
        return {"last": self._last, "best": self._best, "metric": self._metric}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from stored results."""
        self._last, self._best, self._metric = state["last"], state["best"], state.get("metric")

    def _take_results(self) -> None:
        """Write the results of a new evaluation down, if there are any."""
        results = self._results()
        if not results or results is self._seen:
            return
        self._seen = results
        values = {name: float(value) for name, value in flatten_results_dict(results).items()}
        self._last = {"epoch": self.trainer.epoch, "iteration": self.trainer.iter, "values": values}
        metric = self._metric
        if values.get(metric, -math.inf) > (self._best["values"].get(metric, -math.inf) if self._best else -math.inf):
            self._best = self._last
        self._write()

    def _begin(self) -> None:
        trainer = self.trainer
        self._done = trainer.start_iter - 1
        if self._metric not in (None, trainer.metric_name):  # the best by another metric does not count
            self._best = None
        self._metric = trainer.metric_name
        before = self._former()
        session = new_session(trainer.start_iter, self._seeds())
        session["changed_config"] = changed_keys(before["config"], self._config) if before else {}
        self._manifest = {
            "version": 1,
            "status": "running",
            "dataset": self._dataset,
            "iters_per_epoch": trainer.iters_per_epoch,
            "max_epoch": trainer.max_epoch,
            "metric": trainer.metric_name,
            "results": {},
            "sessions": [*(before["sessions"] if before else []), session],
            "config": self._config,
        }

    def _former(self) -> dict[str, Any] | None:
        """Return the manifest that is there; a session of it that never said how it ended was killed."""
        if not os.path.exists(self._path):
            return None
        try:
            manifest = read_manifest(self._path)
        except ValueError as error:
            aside = f"{self._path}.damaged"
            logger.warning("%s; it is kept as %s, and a new one begins", error, aside)
            os.replace(self._path, aside)
            return None
        for session in manifest["sessions"]:
            if session.get("status") == "running":
                if _is_alive(session):
                    logger.warning(
                        "%s says that process %s on %s is training in this folder: two runs need two OUTPUT_DIRs",
                        self._path,
                        session["pid"],
                        session["host"],
                    )
                session["status"] = "killed"
        return manifest

    def _write(self) -> None:
        self._manifest["results"] = {"last": self._last, "best": self._best}
        self._manifest["sessions"][-1]["last_iteration"] = self._done
        write_manifest(self._path, self._manifest)


def _is_alive(session: Mapping[str, Any]) -> bool:
    """Tell whether the process of a session is there; on another host, or where it cannot be asked, it is not."""
    pid = session.get("pid")
    if os.name != "posix" or session.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return pid != os.getpid()
