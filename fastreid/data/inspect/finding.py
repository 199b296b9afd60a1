"""What the doctor says: findings and the cases that they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["SEVERITIES", "Case", "Finding", "Severity", "counted"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the worst: numbers will be wrong or a run will stop; numbers may mislead; worth knowing."""


@dataclass(frozen=True)
class Case:
    """One instance of what a finding is about.

    Args:
        paths: the images that show it, perhaps none.
        text: what there is to say about it, perhaps nothing.
    """

    paths: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Finding:
    """Something about a data set that its owner should know.

    Args:
        severity: one of :data:`SEVERITIES`.
        kind: what it is about, such as ``truncated-image``; the checks that are registered tell all kinds.
        message: one sentence with the complete counts, and what would help.
        count: number of cases, at least 1.
        cases: the first of them.
    """

    severity: Severity
    kind: str
    message: str
    count: int = 1
    cases: tuple[Case, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}, got {self.severity!r}")
        if self.count < 1:
            raise ValueError(f"a finding has at least one case, got count {self.count}")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "image"), counted(2, "image"), counted(3, "identity")
        ('1 image', '2 images', '3 identities')
    """
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun}"
