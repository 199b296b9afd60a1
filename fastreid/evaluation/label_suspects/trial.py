"""How far to trust the suspects of a data set: spoil some of its labels on purpose, and see which are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .groups import Groups
from .suspect import ONE_PERSON, TWO_PEOPLE, Suspect

__all__ = ["FIRST", "TrialResult", "corrupt_labels", "regroup_labels", "run_trial", "summarize_trials"]

FIRST = 50  # suspects that somebody would look at
_PURE = 0.9  # share of a group's images that must be of one person, for it to count as found


@dataclass(frozen=True)
class TrialResult:
    """What was found of labels that were spoilt on purpose.

    Args:
        spoilt: images with a wrong label.
        listed: suspects, of all kinds.
        right_of_first: of the first 50 suspects, those whose first image has a wrong label.
        found: images with a wrong label that are in a suspect.
        regrouped: identities that were made of two, and as many that were divided in two.
        two_found: of the former, those that are a suspect whose images are of one of the two, to at least nine tenths.
        one_found: of the latter, those whose two parts are a suspect.
    """

    spoilt: int
    listed: int
    right_of_first: int
    found: int
    regrouped: int
    two_found: int
    one_found: int


def corrupt_labels(
    pids: np.ndarray, splits: np.ndarray, nobody: frozenset[int], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give some images another identity of their split, drawn at random.

    Args:
        pids: ``(N,)`` int64, not changed.
        splits: ``(N,)``.
        nobody: pids that are no identity.
        count: number of images.
        rng: where the draws come from.

    Returns:
        The new pids ``(N,)`` and the places of the images ``(count,)``, int64.

    Raises:
        ValueError: if there are fewer images that can have another identity.
    """
    counted = ~np.isin(pids, list(nobody))
    choices = {split: np.unique(pids[counted & (splits == split)]) for split in np.unique(splits).tolist()}
    able = [split for split, identities in choices.items() if len(identities) > 1]
    possible = np.flatnonzero(counted & np.isin(splits, able))
    if not 0 <= count <= len(possible):
        raise ValueError(f"count must be at least 0 and at most {len(possible)}, the images of identities; got {count}")
    changed = rng.choice(possible, count, replace=False)
    spoilt = pids.copy()
    for image in changed.tolist():
        others = choices[splits[image]]
        spoilt[image] = rng.choice(others[others != pids[image]])
    return spoilt, changed


def regroup_labels(
    pids: np.ndarray, nobody: frozenset[int], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, int]], list[tuple[int, int]]]:
    """Make ``count`` identities of two, and divide as many others in two at random.

    Only identities with at least four images are taken, so that either side has two.

    Returns:
        The new pids ``(N,)``; pairs of pids of which the second became the first; and pairs of which the second, a new
        one, was taken from the first.

    Raises:
        ValueError: if there are fewer than ``3 * count`` such identities.
    """
    groups = Groups.of(pids, nobody)
    large = [int(pid) for pid, members in zip(groups.pids, groups.members) if len(members) >= 4]
    if not 0 <= 3 * count <= len(large):
        raise ValueError(
            f"count must be at least 0 and at most {len(large) // 3}, for {len(large)} identities; got {count}"
        )
    drawn = rng.permutation(large)[: 3 * count].tolist()
    merged = list(zip(drawn[:count], drawn[count : 2 * count]))
    divided = [(pid, int(pids.max()) + 1 + number) for number, pid in enumerate(drawn[2 * count :])]
    new = pids.copy()
    for first, second in merged:
        new[pids == second] = first
    for pid, part in divided:
        members = rng.permutation(groups.images_of(pid))
        new[members[: len(members) // 2]] = part
    return new, merged, divided


def run_trial(
    find: Callable[[np.ndarray], Sequence[Suspect]],
    pids: np.ndarray,
    splits: np.ndarray,
    nobody: frozenset[int],
    *,
    spoilt: int,
    regrouped: int = 0,
    seed: int = 0,
) -> TrialResult:
    """Spoil labels, find suspects, and count which of them are right.

    Args:
        find: from pids ``(N,)`` to suspects, the most suspicious first.
        pids: ``(N,)`` int64, taken for right.
        splits: ``(N,)``.
        nobody: pids that are no identity.
        spoilt: images that get another identity of their split.
        regrouped: identities that are made of two, and as many that are divided, before that.
        seed: of the draws.

    Raises:
        ValueError: if there are too few images or identities.
    """
    rng = np.random.default_rng(seed)
    grouped, merged, divided = regroup_labels(pids, nobody, regrouped, rng)
    new, changed = corrupt_labels(grouped, splits, nobody, spoilt, rng)
    suspects = find(new)
    wrong = set(changed.tolist())
    both = {frozenset(suspect.pids) for suspect in suspects if suspect.kind == ONE_PERSON}
    return TrialResult(
        spoilt=spoilt,
        listed=len(suspects),
        right_of_first=sum(suspect.images[0] in wrong for suspect in suspects[:FIRST]),
        found=len(wrong & {image for suspect in suspects for image in suspect.images if suspect.kind != ONE_PERSON}),
        regrouped=regrouped,
        two_found=sum(any(_is_either(suspect, pids, pair) for suspect in suspects) for pair in merged),
        one_found=sum(frozenset(pair) in both for pair in divided),
    )


def summarize_trials(results: Sequence[TrialResult]) -> list[tuple[str, float, int, int]]:
    """Return what was counted in trials of one kind, the mean, the least and the most of each; at least one trial."""
    first = results[0]
    names = {
        "listed": "suspects",
        "right_of_first": f"wrong labels among the first {FIRST}",
        "found": f"of {first.spoilt} wrong labels found",
    }
    if first.regrouped:
        names["two_found"] = f"of {first.regrouped} identities of two people found"
        names["one_found"] = f"of {first.regrouped} people with two identities found"
    counts = {text: [getattr(result, name) for result in results] for name, text in names.items()}
    return [(text, sum(values) / len(values), min(values), max(values)) for text, values in counts.items()]


def _is_either(suspect: Suspect, pids: np.ndarray, pair: tuple[int, int]) -> bool:
    """Return whether a suspect says that ``pair[0]`` is two people, and has the images of one of them."""
    if suspect.kind != TWO_PEOPLE or suspect.pids[0] != pair[0]:
        return False
    return max(np.mean(pids[list(suspect.images)] == pid) for pid in pair) >= _PURE
