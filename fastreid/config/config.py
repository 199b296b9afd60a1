"""``CfgNode``: yacs with inheritance between files, lossless numbers and helpful errors; and ``configurable``."""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

import yaml
from yacs.config import CfgNode as _CfgNode

__all__ = ["CfgNode", "configurable", "get_cfg", "global_cfg", "set_global_cfg"]

BASE_KEY = "_BASE_"


class CfgNode(_CfgNode):
    """A tree of settings with attribute access, typed by its defaults.

    Beyond yacs: ``_BASE_`` in a file names the file that it builds on; a number is accepted where it can be
    held without loss (``0`` for a float, ``64.0`` for an int); an unknown key is answered with the nearest one;
    a key starting with ``COMPUTED_`` can be set once.
    """

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        """Read a YAML file and the chain of files that its ``_BASE_`` names.

        Args:
            filename: path of the file; ``~`` is expanded.
            allow_unsafe: accepted because old callers pass it; a YAML tag that would run code is refused always.

        Returns:
            The merged, nested dict. Values of the file win over those of its base.

        Raises:
            FileNotFoundError: if the file, or a base that it names, is missing.
            ValueError: if the file is not a mapping, is not plain YAML, or the chain of bases is a cycle.
        """
        return _load_chain(os.path.abspath(os.path.expanduser(filename)), ())

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = False) -> None:
        """Merge a YAML file (see :meth:`load_yaml_with_base`) into this tree."""
        loaded = self.load_yaml_with_base(cfg_filename, allow_unsafe)
        self._merge_mapping(loaded, [], source=cfg_filename)

    def merge_from_other_cfg(self, cfg_other: _CfgNode) -> None:
        """Merge another tree, whose keys must all exist here."""
        self._merge_mapping(cfg_other, [], source="the other config")

    def merge_from_list(self, cfg_list: list[Any]) -> None:
        """Merge ``[key, value, key, value, ...]``, as a command line gives them.

        Raises:
            ValueError: if a key has no value, a value has the wrong type, or there is an option (``--resume``).
            KeyError: if a key does not exist.
        """
        late = [part for part in cfg_list if isinstance(part, str) and part.startswith("--")]
        if late:
            raise ValueError(f"options stand before the settings: put {', '.join(late)} before {cfg_list[0]!r}")
        if len(cfg_list) % 2:
            raise ValueError(
                f"settings come as KEY VALUE pairs, but {cfg_list[-1]!r} has no value (got {list(cfg_list)})"
            )
        for key, value in zip(cfg_list[::2], cfg_list[1::2], strict=True):
            nested: Any = value
            for part in reversed(str(key).split(".")):
                nested = {part: nested}
            self._merge_mapping(nested, [], source="the command line")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value; a ``COMPUTED_*`` key may be set again only to the same value.

        Raises:
            KeyError: if a computed key already has another value.
            AttributeError: if the tree is frozen.
        """
        if name.startswith("COMPUTED_") and name in self and self[name] != value:
            raise KeyError(f"{name} is computed once: it is {self[name]!r} already, and cannot become {value!r}")
        super().__setattr__(name, value)

    def _merge_mapping(self, other: dict[str, Any], path: list[str], *, source: str) -> None:
        if self.is_frozen():
            raise AttributeError("this config is frozen; call defrost() before merging into it")
        for key, raw in other.items():
            full = ".".join([*path, str(key)])
            if key not in self and not self.is_new_allowed():
                raise KeyError(_unknown_key(self, str(key), path, source))
            value = _to_value(raw)
            if key not in self:
                if isinstance(value, CfgNode):
                    value.set_new_allowed(True)  # as here, so that another key can be merged into it later
                self[key] = value
            elif isinstance(self[key], CfgNode):
                if not isinstance(value, dict):
                    raise ValueError(
                        f"{full} in {source} is {value!r}, but it is a group of keys: {', '.join(self[key])}"
                    )
                self[key]._merge_mapping(value, [*path, str(key)], source=source)
            else:
                setattr(self, key, _coerce(value, self[key], full, source))


def _load_chain(filename: str, chain: tuple[str, ...]) -> dict[str, Any]:
    """Read ``filename`` over its bases; ``chain`` holds the files on the way here."""
    if os.path.realpath(filename) in chain:
        cycle = " -> ".join([*chain, filename])
        raise ValueError(f"the _BASE_ of these configs goes round in a circle: {cycle}; take one _BASE_ out")
    if not os.path.isfile(filename):
        named = f", the _BASE_ of {chain[-1]}" if chain else ""
        raise FileNotFoundError(f"no config file {filename}{named}")
    with open(filename, encoding="utf-8") as file:
        try:
            loaded = yaml.safe_load(file) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{filename} is not plain YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{filename} must hold a mapping of keys, but holds a {type(loaded).__name__}")
    folder = os.path.dirname(filename)
    if "CUSTOM_IMPORTS" in loaded:
        loaded["CUSTOM_IMPORTS"] = [_beside(folder, name) for name in _to_value(loaded["CUSTOM_IMPORTS"])]
    base = loaded.pop(BASE_KEY, None)
    if base is None:
        return loaded
    merged = _load_chain(_beside(folder, str(base), always=True), (*chain, os.path.realpath(filename)))
    _overlay(merged, loaded)
    return merged


def _beside(folder: str, name: str, *, always: bool = False) -> str:
    """Make a file name absolute, relative to the config that names it; leave a module name as it is."""
    name = os.path.expanduser(name)
    return os.path.normpath(os.path.join(folder, name)) if always or name.endswith(".py") else name


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _overlay(below[key], value)
        else:
            below[key] = value


def _to_value(raw: Any) -> Any:
    """Turn the text of a YAML file or a command line into a value (``"(1, 2)"`` into a tuple); copy the rest."""
    if isinstance(raw, dict) and not isinstance(raw, CfgNode):
        return CfgNode({key: _to_value(value) for key, value in raw.items()})
    return copy.deepcopy(_CfgNode._decode_cfg_value(raw))


def _coerce(value: Any, default: Any, full: str, source: str) -> Any:
    """Fit ``value`` to the type of ``default``, or say why it does not fit."""
    wanted, got = type(default), type(value)
    if wanted is got or default is None or value is None:
        return value
    if wanted is float and got is int:
        return float(value)
    if wanted is int and got is float and value.is_integer():
        return int(value)
    if wanted is tuple and got is list:
        return tuple(value)
    if wanted is list and got is tuple:
        return list(value)
    remedy = ""
    if wanted in (tuple, list) and got is str:
        remedy = f"; write it as a list, e.g. '(\"{value}\",)'"
    elif wanted is bool:
        remedy = "; write True or False"
    raise ValueError(
        f"{full} in {source} is {value!r} ({got.__name__}), but must be {wanted.__name__} "
        f"like its default {default!r}{remedy}"
    )


def _unknown_key(node: CfgNode, key: str, path: list[str], source: str) -> str:
    full = ".".join([*path, key])
    close = difflib.get_close_matches(key.upper(), list(node), n=1, cutoff=0.5)
    hint = f"; did you mean {'.'.join([*path, close[0]])}?" if close else "."
    return f"no config key {full} (in {source}){hint} Keys there: {', '.join(node)}."


global_cfg = CfgNode()
"""The config of the running job, for code that cannot be handed one. Nothing in the library reads it."""


def get_cfg() -> CfgNode:
    """Return a fresh copy of the defaults."""
    from .defaults import _C

    return _C.clone()


def set_global_cfg(cfg: CfgNode) -> None:
    """Make ``global_cfg`` hold what ``cfg`` holds."""
    global_cfg.clear()
    global_cfg.update(cfg)


def configurable(init_func: Callable | None = None, *, from_config: Callable | None = None) -> Callable:
    """Let a class or a function be built from explicit arguments, or from a config.

    On ``__init__``: ``Cls(cfg, **overrides)`` calls ``Cls.from_config(cfg)``, which returns the keyword
    arguments of ``__init__``; ``Cls(a=1, b=2)`` passes them as they are. On a function:
    ``@configurable(from_config=lambda cfg, ...: {...})``. Keyword arguments that ``from_config`` does not take
    override what it returns.

    Raises:
        TypeError: if ``from_config`` is missing, or its first parameter is not called ``cfg``.

    Example:
        >>> class Head:
        ...     @configurable
        ...     def __init__(self, *, width: int) -> None:
        ...         self.width = width
        ...
        ...     @classmethod
        ...     def from_config(cls, cfg):
        ...         return {"width": cfg.WIDTH}
        >>> Head(CfgNode({"WIDTH": 3})).width, Head(width=4).width
        (3, 4)
    """
    if init_func is not None:
        return _configurable_init(init_func)
    if from_config is None:
        return configurable
    _check_from_config(from_config)

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if _called_with_cfg(args, kwargs):
                return function(**_explicit_arguments(from_config, *args, **kwargs))
            return function(*args, **kwargs)

        wrapper.from_config = from_config
        return wrapper

    return decorate


def _configurable_init(init_func: Callable) -> Callable:
    if not inspect.isfunction(init_func) or init_func.__name__ != "__init__":
        raise TypeError(
            "@configurable without arguments belongs on __init__; a function takes @configurable(from_config=...)"
        )

    @functools.wraps(init_func)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if not _called_with_cfg(args, kwargs):
            init_func(self, *args, **kwargs)
            return
        builder = getattr(type(self), "from_config", None)
        if not inspect.ismethod(builder):
            raise TypeError(
                f"{type(self).__name__} needs a classmethod from_config(cls, cfg) to be built from a config"
            )
        _check_from_config(builder)
        init_func(self, **_explicit_arguments(builder, *args, **kwargs))

    return wrapper


def _check_from_config(from_config: Callable) -> None:
    names = list(inspect.signature(from_config).parameters)
    if names[:1] != ["cfg"]:
        raise TypeError(f"the first parameter of from_config must be called cfg, got {names}")


def _called_with_cfg(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(args and isinstance(args[0], _CfgNode)) or isinstance(kwargs.get("cfg"), _CfgNode)


def _explicit_arguments(from_config: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    parameters = inspect.signature(from_config).parameters.values()
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        return from_config(*args, **kwargs)
    taken = {parameter.name for parameter in parameters}
    overrides = {name: kwargs.pop(name) for name in list(kwargs) if name not in taken}
    return {**from_config(*args, **kwargs), **overrides}
