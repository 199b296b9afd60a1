"""A search space: which keys of the config are tried, and with which values."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from fastreid.config import CfgNode

__all__ = ["Dimension", "SearchSpace", "load_space", "parse_space"]

_KINDS = ("choice", "float", "int", "log")
_EXAMPLES = "{log: [1.0e-5, 1.0e-2]}, {float: [0.1, 0.5]}, {int: [2, 8], step: 2} or {choice: [a, b]}"


@dataclass(frozen=True)
class Dimension:
    """One key of the config and the values that it may take.

    Attributes:
        key: with dots, such as ``SOLVER.BASE_LR``.
        distribution: what Optuna draws from.
        choices: of a choice, the value in the config for each label that Optuna stores; ``None`` for a range.
    """

    key: str
    distribution: BaseDistribution
    choices: Mapping[Any, Any] | None = None

    def suggest(self, trial: optuna.Trial) -> Any:
        """Return the value of this key in a trial."""
        dist = self.distribution
        if isinstance(dist, CategoricalDistribution):
            return self.choices[trial.suggest_categorical(self.key, dist.choices)]
        if isinstance(dist, IntDistribution):
            return trial.suggest_int(self.key, dist.low, dist.high, step=dist.step, log=dist.log)
        return trial.suggest_float(self.key, dist.low, dist.high, step=dist.step, log=dist.log)

    def points(self) -> list[Any]:
        """Return every value, as Optuna stores them.

        Raises:
            ValueError: for a range without steps.
        """
        dist = self.distribution
        if isinstance(dist, CategoricalDistribution):
            return list(dist.choices)
        if dist.log or dist.step is None:
            raise ValueError(f"{self.key} has no steps, and a grid needs them: write a step or a choice")
        count = math.floor((dist.high - dist.low) / dist.step + 1e-9) + 1
        return [min(dist.low + index * dist.step, dist.high) for index in range(count)]

    def label(self, value: Any) -> Any:
        """Return what Optuna stores for a value of the config.

        Raises:
            ValueError: if the value is outside the dimension.
        """
        if self.choices is not None:
            found = [label for label, choice in self.choices.items() if choice == value]
            inside = bool(found)
        else:
            found = [value]
            inside = self.distribution.low <= value <= self.distribution.high
        if not inside:
            raise ValueError(f"{self.key} is {value!r} in the config, which is outside the search space")
        return found[0]


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions of a search.

    Example:
        >>> from fastreid.config import get_cfg
        >>> space = parse_space({"SOLVER.BASE_LR": {"log": ["1e-5", "1e-2"]}}, get_cfg(), source="an example")
        >>> space.dimensions[0].distribution
        FloatDistribution(high=0.01, log=True, low=1e-05, step=None)
    """

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the settings of a trial: value by key."""
        return {dimension.key: dimension.suggest(trial) for dimension in self.dimensions}

    def decode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that Optuna stored as ``params``."""
        return {
            dimension.key: params[dimension.key]
            if dimension.choices is None
            else dimension.choices[params[dimension.key]]
            for dimension in self.dimensions
        }

    def encode(self, cfg: CfgNode) -> dict[str, Any]:
        """Return the config's own values, as Optuna stores them; raise ``ValueError`` if one is outside the space."""
        return {dimension.key: dimension.label(value_of(cfg, dimension.key)) for dimension in self.dimensions}

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distributions by key."""
        return {dimension.key: dimension.distribution for dimension in self.dimensions}


def load_space(path: str, cfg: CfgNode) -> SearchSpace:
    """Read a search space from a YAML file; see :func:`parse_space`.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError, ValueError: see :func:`parse_space`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"--space {path}: there is no such file; it holds lines like SOLVER.BASE_LR: {_EXAMPLES}"
        )
    with open(path, encoding="utf-8") as file:
        try:
            raw = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not plain YAML: {error}") from error
    return parse_space(raw, cfg, source=path)


def parse_space(raw: Any, cfg: CfgNode, *, source: str) -> SearchSpace:
    """Build a search space, and check it against the config.

    Args:
        raw: a dimension by key, the keys with dots or nested as in a config. A dimension is ``{float: [low, high]}``,
            ``{int: [low, high]}``, both with an optional ``step``, ``{log: [low, high]}`` (evenly on a logarithmic
            scale; whole numbers for a key that holds one) or ``{choice: [value, ...]}``. Bounds are inclusive.
        cfg: the config that is tuned; tells the keys and their types.
        source: named in errors.

    Raises:
        KeyError: if the config has no such key.
        ValueError: if a dimension is malformed, or its values do not suit the key.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise ValueError(f"{source} must hold a mapping of config keys, each to {_EXAMPLES}; got {raw!r}")
    dimensions: dict[str, Dimension] = {}
    for key, spec in _leaves(raw, (), source):
        if key in dimensions:
            raise ValueError(f"{key} is twice in {source}")
        dimensions[key] = _dimension(key, spec, cfg, source)
    return SearchSpace(tuple(dimensions.values()))


def value_of(cfg: CfgNode, key: str) -> Any:
    """Return the value of a key with dots, ``None`` where a group takes any key and has not this one."""
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, CfgNode) else None
    return node


def with_settings(cfg: CfgNode, settings: Mapping[str, Any]) -> CfgNode:
    """Return a copy of the config with other values; ``cfg`` itself is not changed."""
    changed = cfg.clone()
    changed.defrost()
    changed.merge_from_list([part for pair in settings.items() for part in pair])
    return changed


def leaf_keys(cfg: CfgNode, prefix: str = "") -> list[str]:
    """Return all keys that hold values, with dots, in order."""
    keys = []
    for name, value in cfg.items():
        inner = isinstance(value, CfgNode)
        keys += leaf_keys(value, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return keys


def _leaves(raw: Mapping[str, Any], path: tuple[str, ...], source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in raw.items():
        key = ".".join([*path, str(name)])
        if not isinstance(value, Mapping) or not value:
            raise ValueError(f"{key} in {source} is {value!r}; a dimension is {_EXAMPLES}")
        if any(kind in value for kind in _KINDS):
            yield key, value
        elif all(str(inner).islower() for inner in value) and not any(isinstance(v, Mapping) for v in value.values()):
            raise ValueError(f"{key} in {source} is {dict(value)!r}; a dimension is {_EXAMPLES}")
        else:
            yield from _leaves(value, (*path, str(name)), source)


def _dimension(key: str, spec: Mapping[str, Any], cfg: CfgNode, source: str) -> Dimension:
    where = f"{key} in {source}"
    _check_key(key, cfg, source)
    kinds = [kind for kind in _KINDS if kind in spec]
    extra = set(spec) - set(kinds) - ({"step"} if kinds[0] in ("float", "int") else set())
    if len(kinds) > 1 or extra:
        raise ValueError(
            f"{where} is {dict(spec)!r}; a dimension is one of {_EXAMPLES}; only float and int take a step"
        )
    kind = kinds[0]
    if kind == "choice":
        return _choice(key, spec[kind], cfg, where)
    return _range(key, kind, spec, cfg, where)


def _choice(key: str, values: Any, cfg: CfgNode, where: str) -> Dimension:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: choice must be a list of values, got {values!r}")
    choices: dict[Any, Any] = {}
    for value in values:
        held = _held(cfg, key, value, where)
        plain = held is None or isinstance(held, bool | int | float | str)
        label = held if plain else str(list(held) if isinstance(held, tuple) else held)
        if label in choices:
            raise ValueError(f"{where}: the choice {value!r} is there twice")
        choices[label] = held
    return Dimension(key, CategoricalDistribution(list(choices)), choices)


def _range(key: str, kind: str, spec: Mapping[str, Any], cfg: CfgNode, where: str) -> Dimension:
    bounds = spec[kind]
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ValueError(f"{where}: {kind} takes [low, high], got {bounds!r}")
    low, high = (_number(bound, where) for bound in bounds)
    if not low < high:
        raise ValueError(f"{where}: low must be below high, got {bounds!r}")
    for bound in (low, high):
        _held(cfg, key, bound, where)
    step = _number(spec["step"], where) if "step" in spec else None
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"{where}: step must be above 0 and at most high - low, got {step!r}")
    whole = type(value_of(cfg, key)) is int
    if kind == "log" and low <= 0:
        raise ValueError(f"{where}: a logarithmic range begins above 0, got {bounds!r}")
    if kind == "float" and whole:
        raise ValueError(
            f"{where}: the key holds whole numbers, like its value {value_of(cfg, key)!r}; write int or log"
        )
    if kind == "int" or (kind == "log" and whole):
        if any(number is not None and number != int(number) for number in (low, high, step)):
            raise ValueError(f"{where}: bounds and step must be whole numbers, got {dict(spec)!r}")
        return Dimension(key, IntDistribution(int(low), int(high), log=kind == "log", step=int(step or 1)))
    return Dimension(key, FloatDistribution(float(low), float(high), log=kind == "log", step=step))


def _number(value: Any, where: str) -> float | int:
    """Take ``1e-5`` too, which YAML reads as text."""
    try:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: bounds and step must be finite numbers, got {value!r}")
    return number


def _held(cfg: CfgNode, key: str, value: Any, where: str) -> Any:
    """Return the value as the config holds it."""
    try:
        return value_of(with_settings(cfg, {key: value}), key)
    except ValueError as error:
        raise ValueError(f"{where}: {value!r} does not suit the key: {error}") from error


def _check_key(key: str, cfg: CfgNode, source: str) -> None:
    if key == "OUTPUT_DIR":
        raise ValueError(f"OUTPUT_DIR in {source}: each trial has a folder of its own; leave it out of the space")
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, CfgNode) or (part not in node and not node.is_new_allowed()):
            close = difflib.get_close_matches(key, leaf_keys(cfg), n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise KeyError(f"{source}: there is no config key {key}.{hint}")
        node = node.get(part)
    if isinstance(node, CfgNode) and not node.is_new_allowed():
        raise ValueError(f"{key} in {source} is a group of keys: {', '.join(node)}; name one of them")
