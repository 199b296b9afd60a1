"""Gone since v1.3; what it had says what replaces it."""

from __future__ import annotations

__all__: list[str] = []


def __getattr__(name: str) -> object:
    if name in ("search_index_pytorch", "search_raw_array_pytorch", "index_init_gpu", "index_init_cpu"):
        raise ImportError(f"{name} is gone: use the package faiss itself")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
