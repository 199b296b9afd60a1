"""All that the doctor found, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .finding import SEVERITIES, Finding, Severity, counted
from .subject import Subject

__all__ = ["Report"]

_READY, _DOUBTFUL, _BROKEN = 0, 1, 2  # exit codes


@dataclass(frozen=True)
class Report:
    """What the doctor says of a data set.

    Args:
        subject: what was looked at.
        findings: the worst first.
        summary: what the data set has, as plain values: ``splits``, ``cameras``, ``training_identities``, ``queries``,
            ``images`` of :mod:`.summary`.
        fingerprints: SHA-256 by what they are of: ``train`` and ``test`` of names and labels, as a checkpoint stores
            that of its training set; ``content`` of labels and bytes, whatever the files are called.
    """

    subject: Subject
    findings: Sequence[Finding]
    summary: Mapping[str, Any]
    fingerprints: Mapping[str, str]

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One of ``ready``, ``usable, with 2 warnings`` and ``broken: 1 error, 2 warnings``."""
        errors, warnings = (counted(self.count(severity), severity) for severity in ("error", "warning"))
        if self.count("error"):
            return f"broken: {errors}" + (f", {warnings}" if self.count("warning") else "")
        return f"usable, with {warnings}" if self.count("warning") else "ready"

    def exit_code(self, *, strict: bool = False) -> int:
        """Return 2 with errors, 1 with warnings if ``strict``, otherwise 0."""
        if self.count("error"):
            return _BROKEN
        return _DOUBTFUL if strict and self.count("warning") else _READY

    def as_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values for JSON; paths are absolute."""
        return {
            "name": self.subject.name,
            "verdict": self.verdict,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "protocol": self.subject.protocol,
            "input_size": list(self.subject.size),
            "images_read": self.subject.facts is not None,
            **self.summary,
            "fingerprints": dict(self.fingerprints),
            "findings": [asdict(finding) for finding in self.findings],
        }
