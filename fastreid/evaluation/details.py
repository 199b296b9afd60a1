"""What an evaluation knows beside its headline numbers, as plain values that JSON can carry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .bootstrap import IdentityBootstrap
from .open_set import identification_curve, probes
from .pair_scores import PairTable
from .rates import cmc
from .roc import RocCurve, area_under_curve, equal_error_rate, operating_point, roc_of_table
from .score_sketch import ScoreSketch

__all__ = [
    "FARS",
    "FPRS",
    "cmc_details",
    "open_set_details",
    "query_details",
    "rate_intervals",
    "threshold_details",
    "verification_details",
]

FPRS = (1e-4, 1e-3, 1e-2)
FARS = (0.01, 0.1)

_BARS = 100  # of a histogram
_LONGEST_CMC = 50
_POINTS_PER_DECADE = 10  # of a curve


def query_details(has_match: np.ndarray, places: np.ndarray, paths: Sequence[str]) -> dict[str, Any]:
    """Count the queries and name those without a true match.

    Args:
        has_match: ``(Q,)`` bool.
        places: ``(Q,)`` int64 positions in the test set.
        paths: Q paths of their images; ``""``: not known.

    Returns:
        ``count``, ``without_match`` (a number), ``unmatched`` (for each ``place`` and ``img_path``).
    """
    missing = np.flatnonzero(~has_match).tolist()
    unmatched = [{"place": int(places[query]), "img_path": paths[query] or None} for query in missing]
    return {"count": len(has_match), "without_match": len(missing), "unmatched": unmatched}


def cmc_details(ranks: Sequence[np.ndarray], draws: Sequence[np.ndarray] | None = None) -> list[float]:
    """Return the CMC curve of ranks 1 to 50, in percent.

    Args:
        ranks: for each query those of its true matches, ascending.
        draws: if the curve is that of drawn galleries, for each query the rank of its match in each of them.
    """
    if draws is not None:
        ranks = [rank[None] for own in draws for rank in own]
    return (100 * cmc(ranks, _LONGEST_CMC)).tolist()


def rate_intervals(numbers: dict[str, np.ndarray], bootstrap: IdentityBootstrap) -> dict[str, list[float] | None]:
    """Return the interval of each mean of per-query numbers ``(Q,)``, in percent."""
    found = 100 * bootstrap.means(np.stack(list(numbers.values()), axis=1))
    return {name: _pair(bounds) for name, bounds in zip(numbers, found, strict=True)}


def verification_details(
    table: PairTable, bootstrap: IdentityBootstrap | None, sketch: ScoreSketch | None = None
) -> dict[str, Any]:
    """Describe how well one threshold for all pairs tells genuine pairs from impostors.

    Args:
        table: of the pairs.
        bootstrap: for intervals.
        sketch: of the same pairs, for the intervals of AUC and EER.

    Returns:
        ``genuine_pairs``, ``impostor_pairs``; ``operating_points`` by the names of the headline numbers, each with
        ``fpr``, ``tpr`` (percent), ``threshold`` and their intervals; ``auc`` in [0, 1], ``eer`` (percent), their
        intervals, ``eer_threshold``; ``curve`` (``fpr``, ``tpr`` in [0, 1]); ``histogram`` (``edges`` of bars, pairs in
        each).
    """
    curve = roc_of_table(table)
    area, equal = area_under_curve(curve), equal_error_rate(curve)
    bounds = np.full((2, 2), np.nan)
    if area is not None and equal is not None and bootstrap is not None and sketch is not None:
        shifts = bootstrap.curve(sketch.count(table.genuine, table.genuine_query), sketch.impostors)
        bounds = np.clip(shifts + np.array([[area], [equal[0]]]), 0, 1)
    return {
        "genuine_pairs": curve.genuine,
        "impostor_pairs": curve.impostors,
        "operating_points": {
            f"TPR@FPR={rate:.0e}": _point("fpr", "tpr", rate, *_verification_point(table, bootstrap, rate))
            for rate in FPRS
        },
        "auc": area,
        "auc_interval": _pair(bounds[0]),
        "eer": None if equal is None else 100 * equal[0],
        "eer_interval": _pair(100 * bounds[1]),
        "eer_threshold": None if equal is None else equal[1],
        "curve": _curve(curve, "fpr", "tpr"),
        "histogram": _histogram(table),
    }


def open_set_details(
    table: PairTable, is_absent: np.ndarray, held_out: int, bootstrap: IdentityBootstrap | None
) -> dict[str, Any]:
    """Describe how well identities are found, and absent ones are not.

    Args:
        table: of the pairs.
        is_absent: ``(Q,)`` bool, the query's identity has no true match in the gallery.
        held_out: number of identities that were taken out of the gallery for this.
        bootstrap: for intervals.

    Returns:
        ``mated``, ``non_mated`` (probes), ``identities_held_out``; ``operating_points`` like
        those of verification, with ``far`` and ``dir``; ``curve`` (``far``, ``dir`` in [0, 1]).
    """
    mated, non_mated = probes(table.best_match, table.best_other, table.is_right, is_absent)
    return {
        "mated": mated.size,
        "non_mated": non_mated.size,
        "identities_held_out": held_out,
        "operating_points": {
            f"DIR@FAR={rate:.0e}": _point("far", "dir", rate, *_open_set_point(table, is_absent, bootstrap, rate))
            for rate in FARS
        },
        "curve": _curve(identification_curve(mated, non_mated), "far", "dir"),
    }


def threshold_details(
    kind: str, value: float, table: PairTable, is_absent: np.ndarray, bootstrap: IdentityBootstrap | None
) -> dict[str, Any]:
    """Recommend a threshold.

    Args:
        kind: ``fpr`` or ``far``.
        value: the wanted rate.
        table: of the pairs.
        is_absent: ``(Q,)`` bool, the query's identity has no true match in the gallery.
        bootstrap: for the intervals.

    Returns:
        ``kind``, ``value``, ``threshold`` (accept a score that is at least as high; ``None``: not defined),
        ``threshold_interval``, and what share is found with it: ``tpr`` or ``dir`` (percent), and its interval.
    """
    if kind == "fpr":
        point = _point("value", "tpr", value, *_verification_point(table, bootstrap, value))
    else:
        point = _point("value", "dir", value, *_open_set_point(table, is_absent, bootstrap, value))
    return {"kind": kind, **point}


def _verification_point(
    table: PairTable, bootstrap: IdentityBootstrap | None, rate: float
) -> tuple[tuple[float, float] | None, np.ndarray | None]:
    point = operating_point(table.genuine, table.top, int(table.impostors.sum()), rate)
    if point is None or bootstrap is None:
        return point, None
    pairs = (table.genuine, table.genuine_query, table.top, table.top_query, table.impostors)
    return point, bootstrap.operating_point(*pairs, rate)


def _open_set_point(
    table: PairTable, is_absent: np.ndarray, bootstrap: IdentityBootstrap | None, rate: float
) -> tuple[tuple[float, float] | None, np.ndarray | None]:
    mated, non_mated = probes(table.best_match, table.best_other, table.is_right, is_absent)
    queries = np.flatnonzero(is_absent)
    order = np.argsort(-non_mated, kind="stable")
    point = operating_point(mated, non_mated[order], non_mated.size, rate)
    if point is None or bootstrap is None:
        return point, None
    own = (mated, np.flatnonzero(~is_absent), non_mated[order], queries[order], is_absent.astype(np.int64))
    return point, bootstrap.operating_point(*own, rate)


def _point(
    wanted: str, found: str, rate: float, point: tuple[float, float] | None, bounds: np.ndarray | None
) -> dict[str, Any]:
    return {
        wanted: rate,
        found: None if point is None else 100 * point[0],
        f"{found}_interval": None if bounds is None else _pair(100 * bounds[0]),
        "threshold": None if point is None else _finite(point[1]),
        "threshold_interval": None if bounds is None else _pair(point[1] + bounds[1]),
    }


def _curve(curve: RocCurve, false: str, true: str) -> dict[str, list[float]]:
    """Return the highest true rates at false rates that are evenly spread on a logarithmic scale."""
    if not curve.impostors or not curve.genuine:
        return {false: [], true: []}
    decades = math.log10(max(curve.impostors, 2))
    rates = np.geomspace(1 / curve.impostors, 1, int(decades * _POINTS_PER_DECADE) + 2)
    allowed = np.floor(rates * curve.impostors * (1 + 1e-12))
    place = np.searchsorted(curve.false_positives, allowed, side="right")
    found = np.append(0, curve.true_positives)[place] / curve.genuine
    return {false: rates.tolist(), true: found.tolist()}


def _histogram(table: PairTable) -> dict[str, list[float]]:
    """Count the scores of both kinds of pairs in bars of equal width."""
    filled = np.flatnonzero(table.counts)
    middles = table.scale.middles(filled)
    seen = np.concatenate([middles, table.genuine])
    if seen.size == 0:
        return {"edges": [], "genuine": [], "impostor": []}
    bars = np.histogram_bin_edges(seen, _BARS)
    impostor, _ = np.histogram(middles, bars, weights=table.counts[filled])
    genuine, _ = np.histogram(table.genuine, bars)
    return {"edges": bars.tolist(), "genuine": genuine.tolist(), "impostor": impostor.astype(np.int64).tolist()}


def _pair(bounds: np.ndarray) -> list[float] | None:
    return [float(bound) for bound in bounds] if np.isfinite(bounds).all() else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
