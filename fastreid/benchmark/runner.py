from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .cases import Case
from .checkout import Checkout
from .report import compare, summarize_runs

__all__ = ["benchmark"]


def benchmark(
    cases: Sequence[Case],
    *,
    repeats: int = 5,
    against: Checkout | None = None,
    say: Callable[[str], None] = lambda line: None,
    own: Checkout | None = None,
) -> dict[str, Any]:
    """Measure cases again and again, each time in a fresh process, in turns.

    One round measures each case of an area once, in this library and then in the other; so whatever else the machine
    does meets all of them. A case that fails is not tried again.

    Args:
        cases: what to measure, see ``plan``.
        repeats: rounds, at least 1.
        against: another copy of the library to compare with.
        say: gets a line on each measurement that begins.
        own: the copy that is measured; ``None``: this one.

    Returns:
        What JSON can carry: ``ours``, and with ``against`` also ``theirs`` and ``ratios``. ``ours`` and ``theirs`` hold
        ``environment``, ``figures`` by area, variant and name (see ``FIGURES``; each with ``median``, ``low``, ``high``
        and all ``runs``) and ``failures`` by area and variant; ``ratios`` holds ours divided by theirs, round by round,
        like ``figures``.

    Raises:
        ValueError: if ``repeats`` is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"--repeats must be at least 1, got {repeats}")
    sides = {"ours": own or Checkout.own(), **({"theirs": against} if against else {})}
    answers: dict[str, dict[int, list[dict[str, Any]]]] = {side: {} for side in sides}  # by id of the case
    for area in dict.fromkeys(case.area for case in cases):
        of_area = [case for case in cases if case.area == area]
        for number in range(1, repeats + 1):
            for case in of_area:
                for side, checkout in sides.items():
                    given = answers[side].setdefault(id(case), [])
                    if given and "failed" in given[-1]:
                        continue
                    say(f"{area}: {case.variant}, {side}, round {number} of {repeats}")
                    given.append(checkout.measure(area, dict(case.values)))
    report = {side: summarize_runs([(case, given[id(case)]) for case in cases]) for side, given in answers.items()}
    if against:
        report["ratios"] = compare(report["ours"]["figures"], report["theirs"]["figures"])
    return report
