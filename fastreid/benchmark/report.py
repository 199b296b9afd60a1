"""From the runs to medians, ratios and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from .cases import AREAS, Case

__all__ = ["FIGURES", "compare", "summarize_runs", "tables"]

FIGURES = {
    "images_per_second": "images/s",
    "seconds": "s",
    "setup_seconds": "s to set up",
    "waiting_percent": "waiting %",
    "waiting_percent_median": "median waiting %",
    "peak_memory_mib": "peak MiB",
    "extra_memory_mib": "MiB on top",
    "times_baseline": "x baseline",
    "times_reference": "x bare loop",
    "files_per_second": "images/s from files",
    "files_ratio": "x files",
    "product_seconds": "s of torch.mm",
    "product_ratio": "x torch.mm",
    "extra_ratio": "x torch.mm on top",
    "growth": "growth",
}
"""Every figure by its key, with the heading of its column, in their order.

``images_per_second``: higher is better. ``seconds``: per step, batch, evaluation or epoch's order.
``setup_seconds``: before the first epoch, once.
``waiting_percent``: share of the training steps in which they waited for their batch; ``waiting_percent_median``: that
of the median step. ``peak_memory_mib``: see ``PeakMemory``.
``times_baseline``: images per second divided by the baseline's of the same round; ``times_reference``: by those of
the bare loop. ``files_per_second``, ``files_ratio``: of the files that a storage was made of, and the storage's images
per second divided by theirs. ``product_ratio``: time of the evaluation divided by that of ``torch.mm``, which is
``product_seconds``; ``extra_ratio`` and ``extra_memory_mib``: what ROC takes on top of the ranking; ``growth``: of the
time per gallery image, from a quarter of the gallery to the whole.
"""

_COMPARED = ("images_per_second", "seconds", "setup_seconds", "peak_memory_mib")

Figures = dict[str, dict[str, dict[str, dict[str, Any]]]]  # area -> variant -> key -> median, low, high, runs


def summarize_runs(answers: Sequence[tuple[Case, Sequence[dict[str, Any]]]]) -> dict[str, Any]:
    """Turn what the processes answered for each case into medians and spreads.

    Args:
        answers: each case with its answers in the order of the rounds, see ``Checkout.measure``.

    Returns:
        ``environment`` (of the first that answered), ``figures`` and ``failures``, see ``benchmark``.
    """
    report: dict[str, Any] = {"environment": {}, "figures": {}, "failures": {}}
    runs = {case.area: {} for case, _ in answers}
    for case, given in answers:
        failed = next((answer["failed"] for answer in given if "failed" in answer), None)
        if failed is not None:
            report["failures"].setdefault(case.area, {})[case.variant] = failed
            continue
        report["environment"] = report["environment"] or given[0]["environment"]
        keys = given[0]["figures"]
        runs[case.area][case.variant] = {key: [answer["figures"][key] for answer in given] for key in keys}
    for case, _ in answers:
        base = runs[case.area].get(case.variant) if case.is_baseline else None
        for variant in runs[case.area].values() if base else ():
            pairs = zip(variant["images_per_second"], base["images_per_second"])
            variant["times_baseline"] = [own / other for own, other in pairs]
    for case, _ in answers:
        own, other = (runs[case.area].get(variant) for variant in (case.variant, case.reference))
        if own and other:
            pairs = zip(own["images_per_second"], other["images_per_second"])
            own["times_reference"] = [one / bare for one, bare in pairs]
    for area, variants in runs.items():
        for variant, figures in variants.items():
            spreads = {key: _spread(values) for key, values in figures.items()}
            report["figures"].setdefault(area, {})[variant] = spreads
    return report


def compare(ours: Figures, theirs: Figures) -> Figures:
    """Divide our figures by theirs, round by round, where both have them."""
    ratios: Figures = {}
    for area, variants in ours.items():
        for variant, figures in variants.items():
            other = theirs.get(area, {}).get(variant, {})
            for key in (key for key in _COMPARED if key in figures and key in other):
                pairs = list(zip(figures[key]["runs"], other[key]["runs"]))
                if all(their for _, their in pairs):  # a peak of 0 compares with nothing
                    place = ratios.setdefault(area, {}).setdefault(variant, {})
                    place[key] = _spread([own / their for own, their in pairs])
    return ratios


def tables(report: dict[str, Any]) -> str:
    """Return the result of ``benchmark`` as text: medians (lowest to highest) of each side, failures, ratios."""
    parts = []
    for side in ("ours", "theirs"):
        if side in report:
            found = report[side]
            facts = ", ".join(f"{key} {found['environment'][key]}" for key in sorted(found["environment"]))
            parts.append(f"{side}: {facts or 'nothing could be measured'}\n\n{_table(found['figures'])}")
            parts += [
                f"failed: {area}, {variant}: {message}"
                for area, variants in found["failures"].items()
                for variant, message in variants.items()
            ]
    if "ratios" in report:
        parts.append(f"ours divided by theirs:\n\n{_table(report['ratios'])}")
    return "\n\n".join(parts) + "\n"


def _table(figures: Figures) -> str:
    keys = [key for key in FIGURES if any(key in own for variants in figures.values() for own in variants.values())]
    rows = [
        (area, variant, *(_cell(own.get(key)) for key in keys))
        for area in AREAS
        for variant, own in figures.get(area, {}).items()
    ]
    return tabulate(rows, headers=("area", "variant", *(FIGURES[key] for key in keys)), tablefmt="pipe")


def _cell(spread: dict[str, Any] | None) -> str:
    if spread is None:
        return ""
    return f"{spread['median']:.4g} ({spread['low']:.4g} to {spread['high']:.4g})"


def _spread(runs: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(runs), "low": min(runs), "high": max(runs), "runs": list(runs)}
