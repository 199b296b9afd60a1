from __future__ import annotations

__all__ = ["probability"]


def probability(value: float, key: str) -> float:
    """Return ``value`` if it is a probability.

    Args:
        value: what the config says.
        key: the config key, for the error.

    Raises:
        ValueError: if it is outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{key} must be a probability in [0, 1], got {value}")
    return float(value)
