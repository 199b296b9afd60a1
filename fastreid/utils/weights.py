"""Find the state dict in what a weight file holds, and fit it to a module."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .weight_files import WeightFileError, check_named_hash, read_file

__all__ = [
    "LoadReport",
    "WeightFileError",
    "WeightsMismatch",
    "averaged_state_dict",
    "class_count",
    "load_weights",
    "meta_of",
    "read_file",
    "read_state_dict",
    "state_dict_of",
    "unwrap_model",
    "upgraded",
]

logger = logging.getLogger(__name__)


# What is around state dicts, the more particular names last; and what is before all their keys.
_WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict", "net")
_MAX_WRAPPERS = 4
_PREFIXES = ("module.", "_orig_mod.")


class WeightsMismatch(RuntimeError):
    """Weights do not fit the model; the first line says how much, the others list every key."""


@dataclass
class LoadReport:
    """What happened to the keys of a state dict; every list holds lines for a human."""

    loaded: int = 0
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshaped: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def misfits(self) -> str:
        """Return the lines of what does not fit, empty if all fits."""
        parts = (
            ("in the model but not in the weights", self.missing),
            ("in the weights but not in the model", self.unexpected),
            ("of another shape or kind", self.misshaped),
        )
        return "\n".join(f"  {len(lines)} {what}: {', '.join(lines)}" for what, lines in parts if lines)

    def summary(self) -> str:
        """Return how much does not fit, and the first of it, in one line."""
        counts = (
            f"{len(self.misshaped)} of another shape, {len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )
        first = next(iter((*self.misshaped, *self.missing, *self.unexpected)), "none")
        return f"{counts}; first: {first}"


def read_state_dict(source: str) -> dict[str, Tensor]:
    """Read the state dict of a model from a path or a URL; see :func:`read_file` and :func:`state_dict_of`.

    A file that is called as published weights are, ``resnet18-5c106cde.pth``, must have the SHA-256 that its name
    begins to tell, wherever it lies.

    Raises:
        RuntimeError: also if it has not.
    """
    check_named_hash(source)
    return state_dict_of(read_file(source), source)


def state_dict_of(loaded: Any, source: str) -> dict[str, Tensor]:
    """Find the state dict in what a weight file holds.

    Wrappers (``model``, ``state_dict``, ``model_state``, ``model_state_dict``, ``net``) are taken off, and so are the
    ``module.`` that data parallelism puts before every key and the ``_orig_mod.`` of ``torch.compile``; of a
    ``teacher`` and a ``student``, as DINO trains them, the teacher is taken, and that is logged; numpy arrays become
    tensors.

    Raises:
        RuntimeError: if there is none.
    """
    for _ in range(_MAX_WRAPPERS):
        inner = [loaded[name] for name in _WRAPPERS if isinstance(loaded, Mapping) and _is_state(loaded.get(name))]
        if not inner:
            break
        loaded = inner[0]
    networks = [name for name in ("teacher", "student") if isinstance(loaded, Mapping) and _is_state(loaded.get(name))]
    if networks:
        logger.info("%s holds a %s; the %s is taken", source, " and a ".join(networks), networks[0])
        loaded = loaded[networks[0]]
    if not isinstance(loaded, Mapping) or not loaded:
        empty = "an empty " if isinstance(loaded, Mapping) else ""
        raise RuntimeError(f"{source!r} holds no state dict, but {empty}{type(loaded).__name__}")
    state = {}
    for key, value in loaded.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if not isinstance(value, Tensor):
            raise RuntimeError(
                f"{source!r} holds no state dict: its {_one_line(key)} is {type(value).__name__}, not a tensor; "
                f"a state dict may be in {', '.join(_WRAPPERS)}"
            )
        state[str(key)] = value
    while prefix := next((one for one in _PREFIXES if all(key.startswith(one) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def meta_of(loaded: Any) -> dict[str, Any]:
    """Return the ``meta`` of a checkpoint of this library; empty where there is none, or one of another library."""
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    if not isinstance(meta, dict):
        return {}
    ours = all(isinstance(meta.get(part, {}), dict) for part in ("preprocessing", "embedding", "thresholds", "dataset"))
    config = meta.get("config", "")
    # YAML; that of mmdetection is a program in Python
    return meta if ours and isinstance(config, str) and re.match(r"\s*(\{|$|\w+:)", config) else {}


def _one_line(key: Any) -> str:
    """Show a key of a file: in one line, whatever is in it."""
    return f"{key!r:.200}"


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def averaged_state_dict(loaded: Any, which: str, source: str) -> dict[str, Tensor]:
    """Return the state dict of a model with an average of its weights, from what a checkpoint holds.

    Args:
        loaded: the content of the checkpoint.
        which: the name of the average, ``ema`` or ``swa``.
        source: where the checkpoint comes from, for messages.

    Returns:
        Every tensor of ``model``, in its dtype; those that are averaged, from the average.

    Raises:
        RuntimeError: if there is no such average, or it had not begun.
    """
    averages = [key for key, value in loaded.items() if isinstance(value, Mapping) and "average" in value]
    if which not in averages:
        raise RuntimeError(
            f"{source!r} has no average {which!r} (MODEL.WEIGHTS_KEY); it has {', '.join(averages) or 'none'}. "
            "SOLVER.EMA.ENABLED or SOLVER.SWA.ENABLED True makes one; MODEL.WEIGHTS_KEY model takes the plain weights"
        )
    average = loaded[which]["average"]
    if not average:
        raise RuntimeError(f"the average {which!r} of {source!r} has no sample yet; take a later checkpoint of the run")
    state = state_dict_of(loaded, source)
    return {key: average[key].to(value.dtype) if key in average else value for key, value in state.items()}


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the module inside a data-parallel wrapper, or the module itself."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, parallel) else model


def load_weights(
    model: nn.Module,
    state_dict: Mapping[str, Tensor],
    *,
    source: str,
    strict: bool = True,
    may_miss: Iterable[str] = (),
    may_ignore: Iterable[str] = (),
) -> LoadReport:
    """Copy a state dict into a module; refuse, or report, what does not fit.

    A module may define ``upgrade_state_dict(state_dict, prefix)``, which renames older keys in place in a copy, and
    ``class_parameters``, the names of its parameters with one row per class: another number of classes is always
    allowed, and said. Counters ``num_batches_tracked`` may be absent.

    Args:
        model: changed only if all is well, or ``strict`` is False.
        state_dict: tensors by key.
        source: where they come from, for messages.
        strict: raise on a misfit; otherwise log a warning and load what fits.
        may_miss: patterns (``fnmatch``) of model keys that the source need not have.
        may_ignore: patterns of source keys that the model need not have.

    Returns:
        What was loaded, what was not, and what was allowed.

    Raises:
        WeightsMismatch: if ``strict`` and something does not fit; lists every key, and nothing was loaded.
    """
    model = unwrap_model(model)
    state = upgraded(model, state_dict)
    own = model.state_dict()
    may_miss = (*may_miss, "*num_batches_tracked")
    per_class = _class_parameters(model)
    report = LoadReport()
    fitting: dict[str, Tensor] = {}
    for key, value in own.items():
        if key not in state:
            allowed = key in per_class or _matches(key, may_miss)
            (report.allowed if allowed else report.missing).append(f"{key} (not in the file)" if allowed else key)
        elif _is_of_other_kind(state[key], value):
            report.misshaped.append(f"{key} {state[key].dtype} in the file, {value.dtype} in the model")
        elif state[key].shape == value.shape:
            fitting[key] = state[key]
        else:
            line = f"{key} {tuple(state[key].shape)} in the file, {tuple(value.shape)} in the model"
            resized = key in per_class and state[key].shape[1:] == value.shape[1:]
            (report.allowed if resized else report.misshaped).append(line)
    for key in sorted(state.keys() - own.keys()):
        allowed = _matches(key, may_ignore)
        shown = _shown(key)
        (report.allowed if allowed else report.unexpected).append(f"{shown} (left out)" if allowed else shown)
    misfits = report.misfits()
    if misfits and strict:
        raise WeightsMismatch(
            f"the weights of {source} do not fit the model: {report.summary()}\n{misfits}\n"
            "Check MODEL.* of the config against the run that wrote them; MODEL.WEIGHTS_STRICT False loads what fits."
        )
    _warn_of_broken_numbers(fitting, source)
    model.load_state_dict(fitting, strict=False)
    report.loaded = len(fitting)
    said = [line for line in report.allowed if "num_batches_tracked" not in line]
    if misfits:
        logger.warning(
            "The weights of %s do not fit the model (MODEL.WEIGHTS_STRICT is False): %s\n%s",
            source,
            report.summary(),
            misfits,
        )
    if said:
        logger.info("From %s, not loaded: %s", source, _shorten(said))
    logger.info("Loaded %d of %d tensors from %s", report.loaded, len(own), source)
    return report


def _is_of_other_kind(stored: Tensor, own: Tensor) -> bool:
    """Tell whether a tensor holds other numbers than the model computes with: integers, or complex ones.

    Copied, integers of quantized weights would lose their scale, and complex numbers a part.
    """
    return own.is_floating_point() and not stored.is_floating_point()


def _warn_of_broken_numbers(state: Mapping[str, Tensor], source: str) -> None:
    """Say which tensors have numbers that are not finite: a training that diverged writes them."""
    broken = [key for key, value in state.items() if not _is_finite(value)]
    if broken:
        logger.warning(
            "In the weights of %s, %d tensors have numbers that are not finite: %s",
            source,
            len(broken),
            _shorten(broken),
        )


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or not value.numel():
        return True
    wide = value if value.element_size() > 1 else value.float()  # torch computes nothing in 8 bits
    low, high = torch.aminmax(wide)  # a NaN is both
    return bool(torch.isfinite(low) and torch.isfinite(high))


def _shown(key: str) -> str:
    """Return a key of a file as it is, or escaped and shortened if it is none of a state dict."""
    return key if key.isprintable() and len(key) < 200 else _one_line(key)


def upgraded(model: nn.Module, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of a state dict with the names that a model has today, as :func:`load_weights` translates them."""
    state = dict(state_dict)
    for name, module in unwrap_model(model).named_modules():
        upgrade = getattr(module, "upgrade_state_dict", None)
        if callable(upgrade):
            upgrade(state, f"{name}." if name else "")
    return state


def class_count(model: nn.Module, state_dict: Mapping[str, Tensor]) -> int | None:
    """Return how many classes the classifiers of an :func:`upgraded` state dict have; ``None``: it tells no number."""
    rows = {len(state_dict[key]) for key in _class_parameters(unwrap_model(model)) if key in state_dict}
    return rows.pop() if len(rows) == 1 else None


def _class_parameters(model: nn.Module) -> set[str]:
    found = set()
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        found.update(prefix + parameter for parameter in getattr(module, "class_parameters", ()))
    return found


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def _shorten(lines: list[str], most: int = 12) -> str:
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return ", ".join(lines[:most]) + more
