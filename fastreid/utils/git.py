"""Which commit a folder is at."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["git_state"]

_SECONDS = 20  # on a slow network disk looking through a large checkout takes its time


def git_state(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the commit of the repository that a folder, or a file that git tracks, belongs to.

    Args:
        path: a folder; or a file, which must be tracked: one that only lies somewhere below a repository (an installed
            package in an environment there) does not belong to it.

    Returns:
        ``commit`` (40 hex digits), ``branch`` (``None``: detached) and ``dirty`` (whether tracked files differ from the
        commit; ``None``: it took too long to tell); ``None`` without git, a repository or a commit.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if path != folder and _git(folder, "ls-files", "--error-unmatch", path.name) is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": _git(folder, "symbolic-ref", "--short", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints; ``None`` if it fails, takes too long, or there is no git."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # look, and leave the index alone
    try:
        run = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None
