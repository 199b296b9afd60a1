"""The doctor's report as text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from tabulate import tabulate

from .finding import SEVERITIES, Case, Finding
from .report import Report

__all__ = ["report_text"]

_BAR = 30  # characters of the longest bar of the histogram
_MOST_CAMERAS = 30  # rows of the table


def report_text(report: Report) -> str:
    """Write a report out: what there is, the findings, the fingerprints, and the verdict in the last line.

    Paths are shortened by the folder that all images have in common, which the second line names.
    """
    folder = _common_folder(report)
    parts = [_head(report, folder), *_tables(report), *_findings(report, folder), _fingerprints(report)]
    return "\n\n".join([*(part for part in parts if part), f"Verdict: {report.verdict}"])


def _common_folder(report: Report) -> str:
    folders = {os.path.dirname(path) for path in report.subject.paths}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return ""


def _head(report: Report, folder: str) -> str:
    return f"Data set {report.subject.name}" + (f"\nPaths are relative to {folder}" if folder else "")


def _tables(report: Report) -> Iterator[str]:
    summary = report.summary
    rows = [
        [
            name,
            own["identities"],
            own["images"],
            own["distractors"],
            own["cameras"] or ("unknown" if own["images"] else 0),
            _span(own["images_per_identity"]),
        ]
        for name, own in summary["splits"].items()
    ]
    if rows:
        headers = ["split", "identities", "images", "of distractors", "cameras", "images per identity"]
        yield tabulate(rows, headers=headers, tablefmt="pipe", numalign="right", stralign="right")
    yield _camera_table(summary["cameras"])
    yield _spread(summary["training_identities"])
    yield _lines(report)


def _camera_table(cameras: dict[str, dict[str, int]]) -> str:
    if not cameras:
        return ""
    shown = list(cameras.items())[:_MOST_CAMERAS]
    table = tabulate(
        [[name, *own.values()] for name, own in shown],
        headers=["images by camid", *shown[0][1]],
        tablefmt="pipe",
        disable_numparse=[0],
    )
    left = len(cameras) - len(shown)
    return table + (f"\n... and {left} more camids" if left else "")


def _spread(found: dict[str, Any]) -> str:
    """Return a histogram of training identities by their number of images."""
    if not found:
        return ""
    bins = found["identities_by_images"]
    rows = [
        [f"{span} images", count, "#" * max(1, round(_BAR * count / max(bins.values())))]
        for span, count in bins.items()
    ]
    head = (
        f"Images per training identity: {_span([found['least'], found['median'], found['most']])} "
        f"(Gini {found['gini']:.2f})"
    )
    return head + "\n" + tabulate(rows, tablefmt="plain", colalign=("right", "right", "left"))


def _lines(report: Report) -> str:
    lines = []
    images, queries = report.summary["images"], report.summary["queries"]
    if images:
        lines.append(f"Images: {images['readable']} of {images['files']} files can be read")
        if "modes" in images:
            modes = ", ".join(f"{count} {mode}" for mode, count in images["modes"].items())
            lines[-1] += f"; height {_span(images['height'])}; width {_span(images['width'])} pixels; {modes}"
    else:
        lines.append("Images: not read")
    if queries:
        lines.append(
            f"Queries: {queries['with_match']} of {queries['total']} have a true match by the protocol "
            f"{report.subject.protocol}, the median one {queries['median_matches']}"
        )
    return "\n".join(lines)


def _span(values: list[float]) -> str:
    """Write least, median and most; one number if they are equal, nothing if there are none."""
    if not values:
        return ""
    least, median, most = values
    return f"{least:g}" if least == most else f"{least:g} to {most:g}, median {median:g}"


def _findings(report: Report, folder: str) -> Iterator[str]:
    if not report.findings:
        yield "No findings."
    for severity in SEVERITIES:
        for finding in report.findings:
            if finding.severity == severity:
                yield _finding(finding, folder)


def _finding(finding: Finding, folder: str) -> str:
    lines = [f"{finding.severity.upper()} {finding.kind}: {finding.message}"]
    lines += [f"    {_case(case, folder)}" for case in finding.cases]
    left = finding.count - len(finding.cases)
    if finding.cases and left > 0:
        lines.append(f"    ... and {left} more")
    return "\n".join(lines)


def _case(case: Case, folder: str) -> str:
    paths = ", ".join(os.path.relpath(path, folder) if folder else path for path in case.paths)
    return f"{paths} ({case.text})" if paths and case.text else paths or case.text


def _fingerprints(report: Report) -> str:
    what = {
        "train": "training names and labels, as in checkpoints",
        "test": "test names and labels",
        "content": "labels and bytes of all images",
    }
    rows = [[what[name], value] for name, value in report.fingerprints.items()]
    return "Fingerprints (SHA-256)\n" + tabulate(rows, tablefmt="plain") if rows else ""
