"""Print, flatten and check results."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tabulate import tabulate
from termcolor import colored

if TYPE_CHECKING:
    from ..config import CfgNode

__all__ = ["flatten_results_dict", "print_csv_format", "verify_results"]

logger = logging.getLogger(__name__)


def print_csv_format(results: Mapping[str, Any]) -> None:
    """Log results as a table with one column per metric, in their order, with two decimals.

    Args:
        results: either one test set, ``{"dataset": name, metric: value, ...}``, or several,
            ``{name: {metric: value, ...}, ...}``; then a metric that a test set lacks is left blank.
    """
    rows = {name: values for name, values in results.items() if isinstance(values, Mapping)}
    if not rows and results:
        rows = {results.get("dataset", ""): {key: value for key, value in results.items() if key != "dataset"}}
    metrics = list(dict.fromkeys(metric for values in rows.values() for metric in values))
    table = tabulate(
        [[name, *(values.get(metric) for metric in metrics)] for name, values in rows.items()],
        headers=["Dataset", *metrics],
        tablefmt="pipe",
        floatfmt=".2f",
        numalign="left",
    )
    logger.info("Evaluation results in csv format: \n%s", colored(table, "cyan"))


def flatten_results_dict(results: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a nested dict into a flat one, with ``/`` between the levels.

    Example:
        >>> flatten_results_dict({"Market1501": {"Rank-1": 95.0}, "metric": 90.0})
        {'Market1501/Rank-1': 95.0, 'metric': 90.0}
    """
    flat: dict[str, Any] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{inner}": leaf for inner, leaf in flatten_results_dict(value).items()})
        else:
            flat[key] = value
    return flat


def verify_results(cfg: CfgNode, results: Mapping[str, Any]) -> bool:
    """Compare results with ``TEST.EXPECTED_RESULTS``, for runs that must not get worse unseen.

    Args:
        cfg: ``TEST.EXPECTED_RESULTS``, if there, is a list of ``[test set, metric, expected value, tolerance]``.
        results: of one test set, ``{metric: value}``, or of several, ``{test set: {metric: value}}``.

    Returns:
        True: all is as expected, or nothing is.

    Raises:
        SystemExit: with a list of what differs, so that the process ends with an error.
        ValueError: if an entry of the list is not of that form.
    """
    expectations = cfg.TEST.get("EXPECTED_RESULTS", [])
    if not expectations:
        return True
    failures = []
    for entry in expectations:
        if not isinstance(entry, (list, tuple)) or len(entry) != 4:
            raise ValueError(
                f"TEST.EXPECTED_RESULTS has {entry!r}; write an entry as [test set, metric, expected value, tolerance]"
            )
        dataset, metric, expected, tolerance = entry
        values = results.get(dataset, results)  # the results of a single test set are not nested
        actual = values.get(metric) if isinstance(values, Mapping) else None
        if actual is None or not math.isfinite(actual) or abs(actual - expected) > tolerance:
            failures.append(f"{dataset}/{metric} is {actual}, expected {expected} within {tolerance}")
    if failures:
        raise SystemExit("The results are not the expected ones: " + "; ".join(failures))
    logger.info("All %d expected results were reached", len(expectations))
    return True
