"""Gone since v1.3; what it had says what replaces it."""

from __future__ import annotations

__all__: list[str] = []


def __getattr__(name: str) -> object:
    if name in ("ContiguousParams",):
        raise ImportError(f"{name} is gone: build_optimizer steps the parameters themselves, no flat buffer is needed")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
