"""Things that know nothing of re-identification; each is imported from its own module."""

from __future__ import annotations

__all__: list[str] = []
