"""Open-set identification: find the right identity, and nobody where there is none."""

from __future__ import annotations

import numpy as np

from .roc import RocCurve, roc_of_scores

__all__ = ["choose_absent", "identification_curve", "probes"]


def choose_absent(q_pids: np.ndarray, has_match: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Choose query identities to be taken out of a gallery in which every query has a match.

    Args:
        q_pids: ``(Q,)`` identities of the queries.
        has_match: ``(Q,)`` bool, the query has a true match. If one has none, there are absent identities already, and
            nothing is taken out.
        share: of the identities, in [0, 1); at least one identity is taken out if it is not 0, and at least one stays.
        seed: the same seed and identities give the same choice.

    Returns:
        The chosen identities, in ascending order; none if there is nothing to choose.

    Raises:
        ValueError: if ``share`` is out of its range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"TEST.OPEN_SET.SHARE must be in [0, 1), got {share}")
    identities = np.unique(q_pids)
    if share == 0 or not np.all(has_match) or identities.size < 2:
        return identities[:0]
    count = min(max(round(share * identities.size), 1), identities.size - 1)
    return np.sort(np.random.default_rng(seed).choice(identities, count, replace=False))


def probes(
    best_match: np.ndarray, best_other: np.ndarray, is_right: np.ndarray, is_absent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell the searches for somebody in the gallery, mated, from those for somebody absent, non-mated.

    Args:
        best_match: ``(Q,)`` float, the highest score of a true match.
        best_other: ``(Q,)`` float, the highest score of another identity.
        is_right: ``(Q,)`` bool, the best match is ahead of the others.
        is_absent: ``(Q,)`` bool, the gallery has no true match.

    Returns:
        The scores ``(M,)`` that identify the mated queries, minus infinity where another identity comes first; and the
        scores ``(N,)`` that raise false alarms for the others.
    """
    return np.where(is_right, best_match, -np.inf).astype(best_match.dtype)[~is_absent], best_other[is_absent]


def identification_curve(mated: np.ndarray, non_mated: np.ndarray) -> RocCurve:
    """Return identifications over false alarms, from the strictest threshold to the laxest.

    The false alarm rate (FAR, also false positive identification rate) is the share of non-mated probes whose best
    score reaches the threshold. The detection and identification rate (DIR) at rank 1 is the share of mated probes
    whose best score is that of the right identity and reaches it.

    Source: Jain, Li, "Handbook of Face Recognition", 2nd ed., 2011, ch. 21; Grother, Ngan, "Face Recognition Vendor
    Test", NIST IR 8009, 2014.

    Args:
        mated: ``(M,)`` see :func:`probes`.
        non_mated: ``(N,)`` see :func:`probes`.

    Returns:
        A curve with DIR as true positives out of M, and FAR as false positives out of N.
    """
    curve = roc_of_scores(mated[mated > -np.inf], non_mated[non_mated > -np.inf])
    return RocCurve(curve.thresholds, curve.false_positives, curve.true_positives, non_mated.size, mated.size)
