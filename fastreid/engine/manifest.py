"""``run.json``: what a run is, where it ran, how it ended."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ..utils import comm
from ..utils.checkpoint import write_atomically
from ..utils.collect_env import collect_env
from ..utils.git import git_state

__all__ = ["changed_keys", "how_it_ended", "new_session", "now", "read_manifest", "write_manifest"]


def new_session(start_iter: int, seeds: Mapping[str, int]) -> dict[str, Any]:
    """Return the facts of this process: one start of a run is a session, each ``--resume`` another one.

    Args:
        start_iter: its first iteration, 0-based.
        seeds: what else than torch was seeded: name -> seed.

    Returns:
        ``status`` (``running``), ``error``; ``start`` and ``end`` (UTC, ISO 8601); ``start_iteration`` and
        ``last_iteration`` (0-based, the last finished one); ``command``, ``folder`` (where it ran), ``host``, ``pid``,
        ``world_size``; ``seed``; ``git`` (of the library and of the folder, see :func:`git_state`); ``environment``.
    """
    package = Path(__file__).parents[1]
    return {
        "status": "running",
        "error": None,
        "start": now(),
        "end": None,
        "start_iteration": start_iter,
        "last_iteration": start_iter - 1,
        "command": [sys.executable, *sys.argv],
        "folder": os.getcwd(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "world_size": comm.get_world_size(),
        "seed": {"torch": torch.initial_seed(), **seeds},
        "git": {"library": git_state(package / "__init__.py"), "folder": git_state(Path.cwd())},
        "environment": collect_env(),
    }


def how_it_ended(error: BaseException | None, *, complete: bool) -> tuple[str, str | None]:
    """Return the status of a session that ends, and its error in one line.

    Args:
        error: what ended it; ``None``: nothing did.
        complete: whether all iterations were done.

    Returns:
        ``finished``; ``interrupted`` for what comes from outside (Ctrl-C, a signal) or ends training before its last
        iteration without an error; ``failed`` and the error.
    """
    if error is None:
        return ("finished" if complete else "interrupted"), None
    line = " ".join(f"{type(error).__name__}: {error}".split())
    outside = isinstance(error, KeyboardInterrupt | SystemExit)
    return ("interrupted" if outside else "failed"), line


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """Return the keys of a config whose values differ: ``{"SOLVER.MAX_EPOCH": [60, 120]}``; ``None``: no such key."""
    found: dict[str, list[Any]] = {}
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found.update(changed_keys(old, new, f"{prefix}{key}."))
        elif old != new:
            found[prefix + key] = [old, new]
    return found


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a ``run.json``.

    Its ``status`` is as the run left it: one that was killed still says ``running``, and its ``pid`` on its ``host``
    is gone.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no manifest.
    """
    try:
        manifest = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; move it away") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sessions"), list):
        raise ValueError(f"{path} is no manifest of a run: it has no sessions; move it away")
    return manifest


def write_manifest(path: str | os.PathLike[str], manifest: Mapping[str, Any]) -> None:
    """Write a ``run.json``, atomically; what is not finite becomes ``null``, so that it is strict JSON."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    text = json.dumps(_plain(manifest), indent=2, allow_nan=False) + "\n"
    write_atomically(os.fspath(path), lambda file: file.write(text.encode()))


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
