"""A folder that has its name when it is complete, and never before; it replaces nothing but another of its kind."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MARKER", "check_output", "staged_folder"]

logger = logging.getLogger(__name__)

MARKER = "report.json"
"""Says that a folder is a report, and what of it is ours."""

_KIND = "fastreid report"
_UNFINISHED, _REPLACED = ".unfinished", ".replaced"  # endings of the folders beside the final one


def check_output(path: str | Path, *, overwrite: bool) -> None:
    """Check that a report may be written to a folder, before the work begins.

    Args:
        path: of the folder. One that is not there or empty will do.
        overwrite: another report may be replaced.

    Raises:
        FileExistsError: if something is there that must not be replaced.
        NotADirectoryError: if a part of the path is a file.
    """
    path = Path(path)
    for ending in (_UNFINISHED, _REPLACED):
        _require_ours(_beside(path, ending), "is in the way")
    if _is_free(path):
        for parent in path.absolute().parents:
            if parent.exists() and not parent.is_dir():
                raise NotADirectoryError(f"--output {path}: {parent} is a file; name another folder")
        return
    _require_ours(path, "is there already")
    if not overwrite:
        raise FileExistsError(f"{path} is a report already; --overwrite replaces it, or name another --output")


@contextmanager
def staged_folder(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside the final one, and give it the final name when the block ends without an error.

    After an error nothing of it is left; after a kill the next call clears it away. Whatever had the name before is
    there until the new folder is complete.

    Args:
        path: see :func:`check_output`.
        overwrite: see :func:`check_output`.

    Raises:
        FileExistsError, NotADirectoryError: see :func:`check_output`.
        OSError: if the disk is full or not writable; the message says so.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    unfinished = _beside(path, _UNFINISHED)
    try:
        if unfinished.exists():
            logger.info("Clearing away what an interrupted run has left in %s", unfinished)
            shutil.rmtree(unfinished)
        unfinished.mkdir(parents=True)
        _mark(unfinished, complete=False)
        yield unfinished
        _mark(unfinished, complete=True)
        _exchange(unfinished, path)
    except BaseException as error:
        free = _mib_free(path)
        shutil.rmtree(unfinished, ignore_errors=True)
        if not isinstance(error, OSError) or error.errno is None:
            raise
        raise OSError(
            error.errno,
            f"cannot write the report {path}: {error.strerror} ({free} MiB were free there). Free some "
            "space, or check the rights of its folder; nothing half-done is left",
        ) from error


def _exchange(unfinished: Path, path: Path) -> None:
    """Move a complete folder to its name, and what had the name before away."""
    old = _beside(path, _REPLACED)
    if path.exists() and not _is_free(path):
        if old.exists():  # of a run that was killed between the two moves
            shutil.rmtree(old)
        path.rename(old)
    elif path.exists():
        path.rmdir()
    try:
        unfinished.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    if old.exists():
        shutil.rmtree(old)


def _mark(folder: Path, *, complete: bool) -> None:
    """Write down what is in a folder."""
    entries = sorted({MARKER, *(entry.name for entry in folder.iterdir())})
    text = json.dumps({"kind": _KIND, "complete": complete, "entries": entries}, indent=2)
    (folder / MARKER).write_text(text + "\n", encoding="utf-8")


def _require_ours(path: Path, what: str) -> None:
    """Raise an error if a folder that is there is no report, or holds files that a report has not."""
    if not path.exists() and not path.is_symlink():
        return
    marker = path / MARKER
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        ours = path.is_dir() and not path.is_symlink() and found["kind"] == _KIND
        entries = set(found["entries"]) if found["complete"] else {entry.name for entry in path.iterdir()}
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise FileExistsError(f"{path} {what}, and is no report; nothing is deleted: name another --output, or move it")
    strangers = sorted({entry.name for entry in path.iterdir()} - entries)
    if strangers:
        raise FileExistsError(
            f"{path} {what}, and holds {', '.join(strangers[:3])}, which are not of the report; nothing is deleted: "
            "move them, or name another --output"
        )


def _is_free(path: Path) -> bool:
    """Tell whether nothing is lost by taking a path."""
    if path.is_symlink():
        return False
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _beside(path: Path, ending: str) -> Path:
    path = path.absolute()
    return path.with_name(path.name + ending)


def _mib_free(path: Path) -> int:
    folder = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(folder).free // 2**20
