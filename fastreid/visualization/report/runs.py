"""The runs of a report: features of one test set, judged, ranked, and laid side by side."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...config import CfgNode
from ...engine.feature_evaluation import FeatureTest, evaluate_test, open_feature_test, rank_feature_test
from ...evaluation import compare_queries
from ...evaluation.breakdown import by_match_camera
from ...evaluation.rank_lists import RankedTest, RankList

__all__ = ["JudgedRun", "judge_runs", "name_runs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """One run of a report.

    Args:
        name: short, as the page shows it.
        test: its features.
        results: numbers of the evaluation, in percent.
        details: what the evaluation says beside them.
        queries: its numbers for each query.
        ranked: its rankings.
        places: ``(N,)`` int64, for each image of its test set the place in the first run's.
        numbers: ``(Q,)`` int64, for each query of the first run the number of the same query in this one.
    """

    name: str
    test: FeatureTest
    results: Mapping[str, float]
    details: Mapping[str, Any]
    queries: Mapping[str, np.ndarray]
    ranked: RankedTest
    places: np.ndarray
    numbers: np.ndarray

    def lists(self, queries: Sequence[int] | np.ndarray, length: int) -> list[RankList]:
        """Return the rank lists of queries of the first run; all places are those of this run's test set."""
        return self.ranked.lists(self.numbers[np.asarray(queries, dtype=np.int64)], length)

    def precision(self) -> np.ndarray:
        """Return the average precision ``(Q,)`` of the first run's queries, in [0, 1]; NaN without a true match."""
        return self.ranked.numbers["mAP"][self.numbers]

    def pairs(self, lists: Sequence[RankList]) -> dict[str, np.ndarray] | None:
        """Return the average precision of each query by the camera of its matches, see ``by_match_camera``.

        Returns:
            ``query`` counts the lists, and ``camera`` is a camid; ``None`` if the evaluation takes no account of
            cameras, or does not know them.
        """
        if "camera_pairs" not in self.details.get("breakdown", {}):
            return None
        return by_match_camera(
            [own.match_ranks for own in lists], [self.test.camids[own.match_places] for own in lists]
        )

    def camera_names(self) -> dict[int, str]:
        """Return what people call each camera, by its camid."""
        return dict(zip(self.test.camids.tolist(), self.test.cameras, strict=True))

    def compare(self, first: JudgedRun) -> dict[str, Any] | None:
        """Return whether this run is better than the first one, see ``compare_queries``.

        Returns:
            ``queries``, ``Rank-1`` and ``mAP``; ``None`` if no query has a true match in both.
        """
        paths = np.array(first.test.img_paths, dtype=np.str_)
        own = {**self.queries, "place": self.places[self.queries["place"]]}
        own["img_path"] = paths[own["place"]]
        theirs = {**first.queries, "img_path": paths[first.queries["place"]]}
        order = [np.lexsort((of["place"], of.get("split", of["place"]))) for of in (theirs, own)]
        precision = [np.asarray(of["mAP"])[by] for of, by in zip((theirs, own), order, strict=True)]
        if not np.isfinite(precision[0] + precision[1]).any():
            return None
        found = compare_queries(theirs, own)
        return {name: found[name] for name in ("queries", "Rank-1", "mAP")}


def judge_runs(
    folders: Sequence[str], names: Sequence[str], configs: Sequence[CfgNode], *, length: int
) -> list[JudgedRun]:
    """Evaluate and rank the features of each folder.

    Args:
        folders: of features, of one test set; images may be in another order, or lie elsewhere.
        names: of the runs.
        configs: of each run; ``TEST`` is read, and nothing is written to ``OUTPUT_DIR``.
        length: images with a rank in a list, at least 1.

    Raises:
        ValueError: if the folders are not of the same images, or see ``open_feature_test``.
        FileNotFoundError: if a file is missing.
    """
    tests = [open_feature_test(cfg, folder) for cfg, folder in zip(configs, folders, strict=True)]
    places = [_places_in(tests[0], test, folders[0], folder) for test, folder in zip(tests, folders, strict=True)]
    runs: list[JudgedRun] = []
    for name, test, cfg, own_places in zip(names, tests, configs, places, strict=True):
        logger.info("Judging %s", name)
        silent = cfg.clone()
        silent.defrost()
        silent.OUTPUT_DIR = ""
        results = evaluate_test(silent, test)
        details, queries = results.details[test.label], test.evaluator.queries
        ranked = rank_feature_test(silent, test, length=length)
        asked = own_places[ranked.query_places]
        first = runs[0].ranked.query_places if runs else asked
        if not np.array_equal(np.sort(asked), np.sort(first)):
            raise ValueError(
                f"{folders[0]} and {folders[len(runs)]} have the same images, but other queries among them; give them "
                "the same TEST.EVALUATOR and TEST.PROTOCOL"
            )
        number = np.full(len(test.img_paths), -1, dtype=np.int64)
        number[asked] = np.arange(asked.size)
        runs.append(JudgedRun(name, test, results, details, queries, ranked, own_places, number[first]))
    return runs


def name_runs(folders: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """Return a name for each run: as given, or the names of the folders, with more of the path where these are equal.

    Raises:
        ValueError: if there are not as many names as folders, or two are equal.

    Example:
        >>> name_runs(["logs/a/features", "logs/b/features"], None)
        ['a/features', 'b/features']
    """
    if names:
        if len(names) != len(folders):
            raise ValueError(f"--names must name each of {len(folders)} folders, got {len(names)}: {', '.join(names)}")
    else:
        parts = [os.path.normpath(os.path.abspath(folder)).split(os.sep) for folder in folders]
        depth = 1
        while len({"/".join(own[-depth:]) for own in parts}) < len(parts) and depth < max(map(len, parts)):
            depth += 1
        names = ["/".join(own[-depth:]) for own in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"the runs must have different names, got {', '.join(names)}; give --names, and other folders")
    return list(names)


def _places_in(first: FeatureTest, other: FeatureTest, folder: str, other_folder: str) -> np.ndarray:
    """Return for each image of a test set its place in the first one, int64 ``(N,)``."""
    sizes = [(len(test.query), len(test.gallery)) for test in (first, other)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{folder} has {sizes[0][0]} queries and {sizes[0][1]} gallery images, but {other_folder} has "
            f"{sizes[1][0]} queries and {sizes[1][1]}; compare features of one test set"
        )
    keys, other_keys = (_keys(test, list(test.img_paths)) for test in (first, other))
    places = np.arange(len(keys))
    if keys != other_keys:
        where = {key: place for place, key in enumerate(keys)}
        if len(where) == len(keys) and where.keys() == set(other_keys):
            places = np.array([where[key] for key in other_keys], dtype=np.int64)
        else:
            _require_same_names(first, other, folder, other_folder)
            logger.info(
                "%s and %s have the same images in two places; those of the first are shown", folder, other_folder
            )
    differing = [
        place
        for place, own in enumerate(places.tolist())
        if (first.identities[own], first.cameras[own]) != (other.identities[place], other.cameras[place])
    ]
    if differing:
        raise ValueError(
            f"{len(differing)} images have another identity or camera in {other_folder} than in {folder}, such as "
            f"{other.img_paths[differing[0]]}; extract both from the same data set"
        )
    return places


def _require_same_names(first: FeatureTest, other: FeatureTest, folder: str, other_folder: str) -> None:
    names = [[os.path.basename(path) for path in test.img_paths] for test in (first, other)]
    for place, (name, other_name) in enumerate(zip(*names, strict=True)):
        if name != other_name:
            raise ValueError(
                f"{folder} and {other_folder} are not of the same images: at place {place} of the test set one has "
                f"{first.img_paths[place]}, the other {other.img_paths[place]}; extract both from the same data set"
            )


def _keys(test: FeatureTest, paths: Sequence[str]) -> list[tuple[bool, str]]:
    """Return what tells the images of a test set apart: an image may be a query and in the gallery."""
    return [(place < len(test.query), path) for place, path in enumerate(paths)]
