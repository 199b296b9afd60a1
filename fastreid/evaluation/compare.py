"""Whether one model is better than another, query by query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .bootstrap import IdentityBootstrap

__all__ = ["compare_queries"]

_COMPARED = ("Rank-1", "mAP")


def compare_queries(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two evaluations of the same queries by a paired bootstrap over their identities.

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993.

    Args:
        first: arrays ``(Q,)`` by name: ``place``, ``img_path``, ``pid``, ``Rank-1``, ``mAP`` (in [0, 1]; NaN: no true
            match), perhaps ``split``. Queries of a split are matched by ``img_path``, or by ``place`` where paths are
            unknown or not unique.
        second: likewise, in any order.
        resamples: draws of identities, >= 1.
        seed: the same seed gives the same intervals.

    Returns:
        ``queries``: how many have a true match in both. For each of ``Rank-1`` and ``mAP``, in percent: ``first``,
        ``second``, ``difference`` (second less first) with its 95 % ``interval``, the ``share_above_zero`` of draws in
        [0, 1], and a ``verdict``: ``better`` or ``worse`` if the interval does not hold 0, else ``undecided``.
        ``improved`` and ``declined``: for each query whose average precision changed ``img_path``, ``place``, ``pid``
        and ``first``, ``second`` in percent, the largest change first.

    Raises:
        ValueError: if the queries are not the same ones, or none has a true match in both.
    """
    order = _match(first, second)
    pids = np.asarray(first["pid"])
    ours, theirs = (
        100 * np.stack([np.asarray(of[name], dtype=np.float64) for name in _COMPARED], axis=1)
        for of in (first, {name: np.asarray(second[name])[order] for name in _COMPARED})
    )
    both = np.isfinite(ours).all(axis=1) & np.isfinite(theirs).all(axis=1)
    if not both.any():
        raise ValueError(f"none of the {len(pids)} queries has a true match in both evaluations: nothing to compare")
    change = (theirs - ours)[both]
    bootstrap = IdentityBootstrap(pids[both], resamples=resamples, seed=seed)
    drawn = bootstrap.draw_means(change)
    report: dict[str, Any] = {"queries": int(both.sum())}
    for column, name in enumerate(_COMPARED):
        low, high = np.quantile(drawn[:, column], (0.025, 0.975))
        report[name] = {
            "first": float(ours[both, column].mean()),
            "second": float(theirs[both, column].mean()),
            "difference": float(change[:, column].mean()),
            "interval": [float(low), float(high)],
            "share_above_zero": float((drawn[:, column] > 0).mean()),
            "verdict": "better" if low > 0 else "worse" if high < 0 else "undecided",
        }
    gain = np.where(both, theirs[:, 1] - ours[:, 1], 0.0)
    for name, sign in (("improved", 1), ("declined", -1)):
        changed = [query for query in np.argsort(-sign * gain, kind="stable").tolist() if sign * gain[query] > 0]
        report[name] = [
            {
                "img_path": str(first["img_path"][query]),
                "place": int(first["place"][query]),
                "pid": int(pids[query]),
                "first": float(ours[query, 1]),
                "second": float(theirs[query, 1]),
            }
            for query in changed
        ]
    return report


def _match(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for each query of ``first`` where it is in ``second``, ``(Q,)``."""
    if ("split" in first) != ("split" in second):
        raise ValueError(
            "one evaluation has several splits, the other one has none; evaluate both with the same TEST.EVALUATOR"
        )
    paths, keys = ([_keys(of, by) for of in (first, second)] for by in ("img_path", "place"))
    if all(path for of in (first, second) for path in np.asarray(of["img_path"]).tolist()):
        keys = paths if all(len(set(of)) == len(of) for of in paths) else keys
    where = {key: place for place, key in enumerate(keys[1])}
    strangers = set(keys[0]) ^ set(keys[1])
    if strangers:
        raise ValueError(
            f"{len(strangers)} queries are in one evaluation only, such as {sorted(strangers)[0]!r}; compare two "
            "models on the same test set, from the same folder"
        )
    order = np.array([where[key] for key in keys[0]], dtype=np.int64)
    differing = int((np.asarray(first["pid"]) != np.asarray(second["pid"])[order]).sum())
    if differing:
        raise ValueError(
            f"{differing} queries have different identities in the two evaluations; are the sets the same?"
        )
    return order


def _keys(queries: Mapping[str, np.ndarray], by: str) -> list[Any]:
    """Return what tells the queries apart: their own ``by`` and, where a test set has several splits, the split."""
    own = np.asarray(queries[by]).tolist()
    return list(zip(np.asarray(queries["split"]).tolist(), own, strict=True)) if "split" in queries else own
