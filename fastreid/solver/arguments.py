"""Keyword arguments that a config hands to a class."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["call_with_arguments"]


def call_with_arguments(
    key: str, arguments: Mapping[str, Any], function: Callable[..., Any], *args: Any, **own: Any
) -> Any:
    """Return ``function(*args, **own, **arguments)``; if that does not work, say which key of the config is wrong.

    Args:
        key: of the config, where ``arguments`` come from.
        arguments: what the user wrote.
        function: a class or function.
        *args: what it gets from the library, by position.
        **own: what it gets from the library, by keyword.

    Raises:
        ValueError: if an argument is unknown, is one that the library gives, or has a value that ``function`` refuses.
    """
    parameters = inspect.signature(function).parameters
    taken = {*list(parameters)[: len(args)], *own, "last_epoch"}
    free = [name for name in parameters if name not in taken]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in arguments.items():
        if name in taken or not (name in free or takes_any):
            why = "the library gives it itself" if name in taken else f"{function.__name__} has no such argument"
            close = difflib.get_close_matches(name, free, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{key} has {name!r} ({value!r}), but {why}.{hint} It takes: {', '.join(free) or 'none'}.")
    try:
        return function(*args, **own, **arguments)
    except Exception as error:  # classes of torch raise whatever a value leads to: an IndexError for betas [0.9]
        raise ValueError(f"{function.__name__} refuses {key} {dict(arguments)}: {error}") from error
