"""Checkpoints: one file with everything that a run needs to go on, written so that a kill never spoils the last one."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from .file_io import PathManager
from .weights import averaged_state_dict, load_weights, read_file, state_dict_of, unwrap_model

__all__ = [
    "Checkpointer",
    "PathManager",
    "PeriodicCheckpointer",
    "export_average",
    "get_missing_parameters_message",
    "get_unexpected_parameters_message",
    "read_checkpoint",
    "write_atomically",
]

logger = logging.getLogger(__name__)

LAST_CHECKPOINT = "last_checkpoint"
_UNFINISHED = ".tmp"


class Checkpointer:
    """Save and load a model together with other stateful things.

    A file holds ``model`` and one key per checkpointable (``optimizer``, ``lr_sched`` ...), plus what the caller
    of :meth:`save` adds (``epoch``, ``iteration``, ``metric``, ``meta`` ...). It holds tensors and plain values
    only, so ``torch.load(..., weights_only=True)`` reads it.

    Args:
        model: saved without the wrapper that data parallelism puts around it.
        save_dir: folder of the files.
        save_to_disk: False on the processes that must not write.
        strict: raise on weights that do not fit (``MODEL.WEIGHTS_STRICT``).
        checkpointables: objects with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        save_to_disk: bool = True,
        strict: bool = True,
        **checkpointables: Any,
    ) -> None:
        self.model = unwrap_model(model)
        self.checkpointables = dict(checkpointables)
        self.save_dir = save_dir
        self.save_to_disk = save_to_disk
        self.strict = strict

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<save_dir>/<name>.pth`` and name it in ``last_checkpoint``.

        Args:
            name: file name without its ending.
            kwargs: further plain values or tensors to store.

        Raises:
            OSError: if the disk is full, which is looked at before anything is written, or not writable; the older
                files are untouched.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data: dict[str, Any] = {"model": self.model.state_dict()}
        data.update({key: thing.state_dict() for key, thing in self.checkpointables.items()})
        data.update(_plain(kwargs))
        os.makedirs(self.save_dir, exist_ok=True)
        path = os.path.join(self.save_dir, f"{name}.pth")
        logger.info("Saving checkpoint to %s", path)
        write_atomically(path, lambda file: torch.save(data, file), size=_bytes_of(data))
        self.tag_last_checkpoint(f"{name}.pth")

    def load(
        self,
        path: str,
        checkpointables: list[str] | None = None,
        *,
        weights_key: str = "model",
        adapt: Callable[[dict[str, Tensor], Any], dict[str, Tensor]] | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint, or the bare state dict of a model.

        Args:
            path: file or URL; empty: nothing is loaded.
            checkpointables: which of the further states to restore; ``None``: all that the file has.
            weights_key: which weights of a checkpoint: ``model``, or an average that it has, ``ema`` or ``swa``
                (``MODEL.WEIGHTS_KEY``).
            adapt: returns the weights that are loaded, of those in the file and all that the file holds.

        Returns:
            What the file holds beside the states that were restored.

        Raises:
            FileNotFoundError: if the file is missing.
            WeightsMismatch: if the weights do not fit and ``strict`` is set.
            RuntimeError: if the file has no such average.
            ValueError: if there is no file to take an average from.
        """
        if not path and weights_key != "model":
            raise ValueError(
                f"MODEL.WEIGHTS_KEY is {weights_key!r}, but MODEL.WEIGHTS is empty; name the checkpoint that has this "
                "average, or set MODEL.WEIGHTS_KEY model"
            )
        if not path:
            logger.info("No checkpoint found. Training model from scratch")
            return {}
        logger.info("Loading checkpoint from %s", path)
        data = read_checkpoint(path)
        state = state_dict_of(data, path) if weights_key == "model" else averaged_state_dict(data, weights_key, path)
        state = state if adapt is None else adapt(state, data)
        source = path if weights_key == "model" else f"{path} ({weights_key})"
        load_weights(self.model, state, source=source, strict=self.strict)
        if "model" not in data:
            return {}
        del data["model"]
        for key in self.checkpointables if checkpointables is None else checkpointables:
            if key in data:
                logger.info("Loading %s from %s", key, path)
                self.checkpointables[key].load_state_dict(data.pop(key))
        return data

    def has_checkpoint(self) -> bool:
        """Tell whether ``last_checkpoint`` exists in the folder; no folder has none."""
        return bool(self.save_dir) and os.path.isfile(os.path.join(self.save_dir, LAST_CHECKPOINT))

    def get_checkpoint_file(self) -> str:
        """Return the path of the newest checkpoint, or ``""`` if there is none.

        Raises:
            FileNotFoundError: if ``last_checkpoint`` names a file that is gone.
        """
        if not self.has_checkpoint():
            return ""
        with open(os.path.join(self.save_dir, LAST_CHECKPOINT), encoding="utf-8") as file:
            path = os.path.join(self.save_dir, file.read().strip())
        if not os.path.isfile(path):
            others = ", ".join(self.get_all_checkpoint_files()) or "none"
            raise FileNotFoundError(
                f"{self.save_dir}/{LAST_CHECKPOINT} names {path}, which is gone; write another file name into it. "
                f"There are: {others}"
            )
        return path

    def get_all_checkpoint_files(self) -> list[str]:
        """Return the paths of all ``.pth`` files of the folder, sorted."""
        names = sorted(os.listdir(self.save_dir)) if os.path.isdir(self.save_dir) else []
        return [os.path.join(self.save_dir, name) for name in names if name.endswith(".pth")]

    def remove_unfinished(self) -> list[str]:
        """Delete what a process that was killed while it wrote has left in the folder, and return the names.

        Only for the run that writes there: the half-written file of one that is alive would go too.
        """
        if not self.save_to_disk or not os.path.isdir(self.save_dir):
            return []
        endings = (
            f".pth{_UNFINISHED}",
            f".json{_UNFINISHED}",
            f".csv{_UNFINISHED}",
            f".yaml{_UNFINISHED}",
            LAST_CHECKPOINT + _UNFINISHED,
        )
        names = [name for name in sorted(os.listdir(self.save_dir)) if name.endswith(endings)]
        for name in names:
            logger.warning("Removing %s, which a process that was killed while it wrote has left", name)
            os.remove(os.path.join(self.save_dir, name))
        return names

    def copy(self, path: str, name: str) -> None:
        """Write a checkpoint that is there once more, as ``<save_dir>/<name>.pth``, and name it in ``last_checkpoint``.

        Raises:
            OSError: as :meth:`save`.
        """
        if not self.save_to_disk:
            return
        with open(path, "rb") as source:
            write_atomically(
                os.path.join(self.save_dir, f"{name}.pth"),
                lambda file: shutil.copyfileobj(source, file),
                size=os.path.getsize(path),
            )
        self.tag_last_checkpoint(f"{name}.pth")

    def resume_or_load(self, path: str, *, resume: bool = True, **options: Any) -> dict[str, Any]:
        """Restore everything from the newest checkpoint of the folder, or else only weights of ``path``.

        Args:
            path: see :meth:`load`.
            resume: look for a checkpoint in the folder first.
            **options: ``weights_key`` and ``adapt`` of :meth:`load`, for ``path``.
        """
        if resume and self.has_checkpoint():
            return self.load(self.get_checkpoint_file())
        return self.load(path, checkpointables=[], **options)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name a file of the folder as the one to resume from."""
        content = last_filename_basename.encode()
        write_atomically(os.path.join(self.save_dir, LAST_CHECKPOINT), lambda file: file.write(content))


def read_checkpoint(path: str) -> Any:
    """Return what a checkpoint holds: a file, also by an address that ``PathManager`` knows, or a URL.

    Raises:
        FileNotFoundError, WeightFileError, RuntimeError: see :func:`~fastreid.utils.weights.read_file`.
    """
    return read_file(path if "://" in path else PathManager.get_local_path(path))


class PeriodicCheckpointer:
    """Save every ``period`` epochs, and after the last one.

    Files are ``model_{epoch:04d}`` with the 0-based epoch, and ``model_final`` for the last epoch.

    Args:
        checkpointer: does the saving.
        period: in epochs, at least 1.
        max_epoch: number of epochs of the run; ``None``: there is no last one.
        keep: how many of the newest files stay; 0: all. What this object did not write, ``model_final``, and the file
            that ``last_checkpoint`` names are never deleted.

    Attributes:
        written: names of the files that it wrote and that are still there, oldest first.
    """

    def __init__(self, checkpointer: Any, period: int, max_epoch: int | None = None, *, keep: int = 0) -> None:
        if period < 1:
            raise ValueError(f"SOLVER.CHECKPOINT_PERIOD must be at least 1 epoch, got {period}")
        if keep < 0:
            raise ValueError(f"SOLVER.CHECKPOINT_KEEP must be >= 0 files (0: all), got {keep}")
        self.checkpointer = checkpointer
        self.period = int(period)
        self.max_epoch = max_epoch
        self.keep = int(keep)
        self.written: list[str] = []

    def step(self, epoch: int, **kwargs: Any) -> None:
        """Save if ``epoch`` (0-based, just finished) is due; ``kwargs`` go into the file."""
        if self.max_epoch is not None and epoch >= self.max_epoch - 1:
            self.save("model_final", epoch=epoch, **kwargs)
        elif (epoch + 1) % self.period == 0:
            name = f"model_{epoch:04d}"
            self.note(name)
            self.save(name, epoch=epoch, **kwargs)
            self.delete_old()

    def save(self, name: str, **kwargs: Any) -> None:
        """Save now, under ``name``."""
        self.checkpointer.save(name, **kwargs)

    def note(self, name: str) -> None:
        """Count a file, about to be written, among the ones to keep or to delete later."""
        self.written = [*(old for old in self.written if old != name), name]

    def delete_old(self) -> None:
        """Delete the oldest files that it wrote, down to ``keep``."""
        if not self.keep:
            return
        old, self.written = self.written[: -self.keep], self.written[-self.keep :]
        if not getattr(self.checkpointer, "save_to_disk", True):
            return
        newest = self.checkpointer.get_checkpoint_file()
        for name in old:
            path = os.path.join(self.checkpointer.save_dir, f"{name}.pth")
            if path != newest and os.path.isfile(path):
                logger.info("Removing %s: SOLVER.CHECKPOINT_KEEP is %d", path, self.keep)
                os.remove(path)


def export_average(source: str, target: str, which: str) -> None:
    """Write a checkpoint whose ``model`` is an average of the weights of another one.

    It has what tells about the model, ``meta`` (with ``weights``, the name of the average) and ``epoch``, and nothing
    that a run goes on with.

    Args:
        source: path of a checkpoint that has the average.
        target: path of the new file; its folder exists, and it may be there already.
        which: ``ema`` or ``swa``.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        RuntimeError: if it has no such average.
        OSError: if the new file cannot be written.
    """
    data = read_file(source)
    kept = {key: data[key] for key in ("meta", "epoch") if key in data}
    kept["meta"] = {**kept.get("meta", {}), "weights": which}
    if "thresholds" in kept["meta"]:
        kept["meta"]["thresholds"] = {}  # they were those of the model's own weights
    result = {"model": averaged_state_dict(data, which, source), **kept}
    write_atomically(target, lambda file: torch.save(result, file))


def write_atomically(path: str, write: Callable[[IO[bytes]], Any], *, size: int = 0) -> None:
    """Write a file so that ``path`` holds either its old content or all of the new one, whatever happens.

    Args:
        path: the file; its folder exists.
        write: called with a binary file object.
        size: about how many bytes will be written; if the disk has less room, nothing is.

    Raises:
        OSError: with the path in it, if the disk is full or not writable; ``path`` is as it was.
    """
    folder = os.path.dirname(path) or "."
    free = shutil.disk_usage(folder).free
    if size > free:
        raise _cannot_write(path, f"it takes about {_mib(size)}, and the disk has {_mib(free)} left", errno.ENOSPC)
    temporary = path + _UNFINISHED
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
        _remove(temporary)
        if str(error).startswith("DataLoader worker"):  # torch raises this of a dead worker wherever the program is
            raise
        cause = _first_os_error(error)
        reason = cause.strerror if cause is not None and cause.strerror else str(error).split("\n")[0]
        left = _mib(shutil.disk_usage(folder).free)
        raise _cannot_write(path, f"{reason} (the disk has {left} left)", cause and cause.errno) from error
    except BaseException:
        _remove(temporary)
        raise
    _sync_folder(folder)


def _cannot_write(path: str, reason: str, number: int | None) -> OSError:
    message = (
        f"cannot write {path}: {reason}. The file that was there is untouched; free some space or check the rights of "
        "its folder"
    )
    error = OSError(message)
    error.errno = number
    return error


def _first_os_error(error: BaseException) -> OSError | None:
    """Return the system's own complaint behind an error, if there is one."""
    while error.__context__ is not None and not isinstance(error, OSError):
        error = error.__context__
    return error if isinstance(error, OSError) else None


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)


def _sync_folder(folder: str) -> None:
    """Bring the new name of a file to the disk: a power cut shall not take it back."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems sync no folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _bytes_of(value: Any) -> int:
    """Return about how many bytes ``torch.save`` writes for nested containers of tensors; shared memory counts once."""
    sizes: dict[int, int] = {}

    def visit(item: Any) -> int:
        if isinstance(item, Tensor):
            storage = item.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return 256  # its record, and padding
        if isinstance(item, Mapping):
            return sum(visit(key) + visit(part) for key, part in item.items())
        if isinstance(item, list | tuple):
            return sum(map(visit, item))
        return len(item) if isinstance(item, str | bytes) else 8

    return visit(value) + sum(sizes.values())


def _plain(value: Any) -> Any:
    """Turn numpy's numbers into Python's, which are read back without trusting the file."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def get_missing_parameters_message(keys: list[str]) -> str:
    """Return a readable message about model keys that a checkpoint lacks, grouped by module."""
    return "Some model parameters or buffers are not found in the checkpoint:\n" + _grouped(keys)


def get_unexpected_parameters_message(keys: list[str]) -> str:
    """Return a readable message about checkpoint keys that the model lacks, grouped by module."""
    return "The checkpoint state_dict contains keys that are not used by the model:\n" + _grouped(keys)


def _grouped(keys: list[str]) -> str:
    """Write ``a.w, a.b, c`` as lines ``a.{b, w}`` and ``c``."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        prefix, _, leaf = key.rpartition(".")
        groups[prefix].append(leaf)
    lines = []
    for prefix, leaves in groups.items():
        inside = leaves[0] if len(leaves) == 1 else "{" + ", ".join(sorted(leaves)) + "}"
        lines.append(f"  {prefix}.{inside}" if prefix else f"  {inside}")
    return "\n".join(lines)
