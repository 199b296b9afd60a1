"""Read the single numbers of numpy that many programs put beside their weights: a metric, an epoch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .pickle_audit import WeightFileError

__all__ = ["NUMPY_SCALARS"]

_NUMBER = re.compile(r"[biufc](1|2|4|8|16)")  # kind and bytes


class _NumberType:
    """Stands in for ``numpy.dtype``, of plain numbers only."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _NUMBER.fullmatch(name):
            raise WeightFileError(
                f"it holds numbers of numpy of the type {name!r:.40}, which are no plain ones; save the state dict"
            )
        self.name, self.order = name, "="

    def __setstate__(self, state: Any) -> None:
        """Take the byte order, the second item of what numpy stores."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        self.order = order if order in ("<", ">") else "="


def _number(kind: Any, data: Any = b"") -> bool | int | float | complex:
    """Stand in for numpy's function that makes a number of its bytes; return one of Python."""
    if not isinstance(kind, _NumberType) or not isinstance(data, bytes):
        raise WeightFileError("it is damaged: it holds a number of numpy without its type or its bytes; get it anew")
    dtype = np.dtype(kind.order + kind.name)
    if len(data) != dtype.itemsize:
        raise WeightFileError(
            f"it is damaged: a number of numpy of {dtype.itemsize} bytes has {len(data)}; get it anew"
        )
    return np.frombuffer(data, dtype)[0].item()


def _named(thing: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    thing.__module__, thing.__name__, thing.__qualname__ = module, name, name
    return thing


def _numbers_by(module: str) -> Callable[..., Any]:
    def number(kind: Any, data: Any = b"") -> Any:
        return _number(kind, data)

    return _named(number, module, "scalar")


NUMPY_SCALARS: tuple[Callable[..., Any], ...] = (
    _named(_NumberType, "numpy", "dtype"),
    _numbers_by("numpy.core.multiarray"),  # numpy 1
    _numbers_by("numpy._core.multiarray"),
)
"""For ``torch.serialization.safe_globals``, which goes by names: what files call by them makes a number of Python.

Nothing of numpy's own unpickling is called.
"""
