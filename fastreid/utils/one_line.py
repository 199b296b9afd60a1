"""Errors in one line."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(error: BaseException) -> str:
    """Return the class of an error and what it says; of one that a loader's worker sent, its own last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    from_worker = lines[0].startswith("Caught ") and "DataLoader worker process" in lines[0]
    if from_worker:
        worker = lines[0].rstrip(".").split(" in ", 1)[-1]
        return f"{lines[-1]} (in {worker})"
    return f"{type(error).__name__}: {' '.join(lines)}"
