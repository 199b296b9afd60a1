"""The headline numbers and the curves of a run, as plain values for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["curves", "headline", "judgement"]

_POINTS = {"verification": "tpr", "open_set": "dir"}  # tables of operating points, and what is found at them


def headline(results: Mapping[str, float], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the numbers of an evaluation, in its order, then EER, AUC and DIR, each with what is known about it.

    Args:
        results: by name, in percent.
        details: of the same evaluation.

    Returns:
        For each ``name``, ``value`` and ``interval`` (two numbers, or ``None``), in percent, and ``threshold``
        (``None`` where none belongs to it). A number that is not defined is ``None``.
    """
    intervals = details.get("intervals", {})
    rows = {name: _row(name, value, intervals.get(name)) for name, value in results.items()}
    verification = details.get("verification")
    if verification:
        rows["EER"] = _row("EER", verification["eer"], verification["eer_interval"], verification["eer_threshold"])
        area, bounds = verification["auc"], verification["auc_interval"]
        rows["AUC"] = _row("AUC", None if area is None else 100 * area, bounds and [100 * bound for bound in bounds])
    for table, found in _POINTS.items():
        for name, point in details.get(table, {}).get("operating_points", {}).items():
            rows[name] = _row(name, point[found], point[f"{found}_interval"], point["threshold"])
    return list(rows.values())


def _row(
    name: str, value: float | None, interval: list[float] | None, threshold: float | None = None
) -> dict[str, Any]:
    return {"name": name, "value": value, "interval": interval, "threshold": threshold}


def curves(details: Mapping[str, Any], cameras: Mapping[int, str]) -> dict[str, Any]:
    """Return the curves of an evaluation; of one with several splits those of pairs are of the first split.

    Args:
        details: of the evaluation.
        cameras: what people call each camera, by its camid.

    Returns:
        ``cmc``, in percent from rank 1. Where the evaluation has them ``roc`` (``x``: FPR, ``y``: TPR) and ``dir``
        (``x``: FAR, ``y``: DIR) in percent; ``histogram`` (``edges``, ``genuine``, ``impostor``); ``threshold``, the
        recommended one; ``cameraPairs`` (``query`` and ``gallery``, names of cameras, ``queries``, ``rank1``, ``map``)
        and ``cameraPairCount`` of the breakdown; ``ofFirstSplit``.
    """
    splits = details.get("splits")
    own = splits[0] if splits else details
    found: dict[str, Any] = {"cmc": details.get("cmc", []), "ofFirstSplit": bool(splits)}
    if own.get("verification"):
        found["roc"] = _in_percent(own["verification"]["curve"], "fpr", "tpr")
        found["histogram"] = own["verification"]["histogram"]
    if own.get("open_set"):
        found["dir"] = _in_percent(own["open_set"]["curve"], "far", "dir")
    if own.get("threshold"):
        found["threshold"] = own["threshold"]
    pairs = details.get("breakdown", {}).get("camera_pairs")
    if pairs:
        found["cameraPairs"] = [
            {
                "query": cameras[row["query_camera"]],
                "gallery": cameras[row["gallery_camera"]],
                "queries": row["queries"],
                "rank1": row["Rank-1"],
                "map": row["mAP"],
            }
            for row in pairs["worst"]
        ]
        found["cameraPairCount"] = pairs["count"]
    return found


def _in_percent(curve: Mapping[str, list[float]], x: str, y: str) -> dict[str, list[float]]:
    return {"x": [100 * rate for rate in curve[x]], "y": [100 * rate for rate in curve[y]]}


def judgement(details: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a run was judged, and what its features are of.

    Args:
        details: of the evaluation.
        meta: of the features, see ``read_meta``.

    Returns:
        Names and texts, numbers or lists of them.
    """
    judged, model = details.get("judged_by", {}), meta["checkpoint"]
    return {
        **judged,
        "model": meta["model"],
        "checkpoint": model["path"],
        "checkpointHash": model["sha256"],
        "weights": model["weights"],
        "size": meta["preprocessing"]["size"],
        "dimensions": meta.get("embedding", {}).get("dim"),
        "amp": meta["inference"]["amp"],
        "library": meta.get("library"),
        "leftOut": len(meta.get("skipped", [])),
    }
