"""Names that a config may use, and the objects behind them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Registry"]


class Registry:
    """Map the names of a config to classes and functions.

    A registry holds one kind of thing; its contract (what is called with what, and what must come
    back) is written where the registry is created.

    Example:
        >>> LOSSES = Registry("LOSS")
        >>> @LOSSES.register()
        ... class MyLoss: ...
        >>> LOSSES.get("MyLoss") is MyLoss
        True
        >>> sorted(LOSSES)
        ['MyLoss']
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._objects: dict[str, Any] = {}

    def register(self, obj: Any = None) -> Any:
        """Register ``obj`` under its ``__name__``, as a call or as a decorator ``@R.register()``.

        Raises:
            AssertionError: if the name is taken by another object.
        """
        if obj is None:
            return self._add
        return self._add(obj)

    def _add(self, obj: Callable[..., Any]) -> Callable[..., Any]:
        name = obj.__name__
        if name in self._objects:
            raise AssertionError(
                f"{self._name}: {name!r} is already registered by {self._objects[name].__module__}; "
                "give yours another name"
            )
        self._objects[name] = obj
        return obj

    def get(self, name: str) -> Any:
        """Return the object registered as ``name``.

        Raises:
            KeyError: if there is none; the message names the nearest and lists all.
        """
        if name not in self._objects:
            close = difflib.get_close_matches(str(name), self._objects, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(self._objects)) or "nothing"
            raise KeyError(
                f"{self._name}: no {name!r}.{hint} Registered: {known}. "
                "A component of your own is found when its file is named in CUSTOM_IMPORTS."
            )
        return self._objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"Registry({self._name!r}: {', '.join(sorted(self._objects))})"
