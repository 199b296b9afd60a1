"""Gone since v1.3; what it had says what replaces it."""

from __future__ import annotations

__all__: list[str] = []


def __getattr__(name: str) -> object:
    if name in ("summary",):
        raise ImportError(f"{name} is gone: print the model, or use a package such as torchinfo")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
