"""Evaluate features that are on disk, without the model and the images that they are from."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..config import CfgNode, get_cfg
from ..data.protocol import check_protocol, embedded_images
from ..evaluation import DatasetEvaluator, FeatureSet, build_evaluator, print_csv_format
from ..evaluation.feature_folder import FeatureFolder, number_together, read_feature_folder, read_meta
from ..evaluation.rank_lists import RankedTest, rank_test
from ..utils import comm
from .evaluation_results import EvaluationResults, judged_by, write_queries, write_results

__all__ = [
    "FeatureTest",
    "config_of_features",
    "evaluate_features",
    "evaluate_test",
    "open_feature_test",
    "rank_feature_test",
]

logger = logging.getLogger(__name__)


def config_of_features(folder: str) -> CfgNode:
    """Return the defaults with the ``TEST`` of the config that features were extracted with.

    Nothing else of that config is read, and none of its ``CUSTOM_IMPORTS``. ``OUTPUT_DIR`` is ``evaluation`` in the
    folder.
    """
    cfg = get_cfg()
    stored = CfgNode.load_cfg(read_meta(folder)["config"])
    known = CfgNode({key: value for key, value in stored.TEST.items() if key in cfg.TEST})
    cfg.merge_from_other_cfg(CfgNode({"TEST": known}))
    cfg.OUTPUT_DIR = os.path.join(folder, "evaluation")
    return cfg


@dataclass(frozen=True, eq=False)
class FeatureTest:
    """A test set whose features are on disk.

    Args:
        name: of the data set.
        label: a short name.
        query: Q images.
        gallery: G images.
        img_paths: of queries and gallery, the positions of the test set.
        identities: likewise, what people call them: as their owner wrote them, else the numbers.
        cameras: likewise; empty where none is known.
        evaluator: that of the config.
        meta: what the features of the queries are, see ``read_meta``.
    """

    name: str
    label: str
    query: FeatureSet
    gallery: FeatureSet
    img_paths: Sequence[str]
    identities: Sequence[str]
    cameras: Sequence[str]
    evaluator: DatasetEvaluator
    meta: dict[str, Any]

    @property
    def pids(self) -> np.ndarray:
        """Identities of queries and gallery, int64 ``(Q + G,)``."""
        return torch.cat([self.query.pids, self.gallery.pids]).numpy()

    @property
    def camids(self) -> np.ndarray:
        """Cameras of queries and gallery, int64 ``(Q + G,)``; below 0: not known."""
        return torch.cat([self.query.camids, self.gallery.camids]).numpy()


def open_feature_test(cfg: CfgNode, query_folder: str, gallery_folder: str | None = None) -> FeatureTest:
    """Open the queries of one folder of features and the gallery of another, or of the same, and check that they fit.

    In two folders, all images count if none is of a split; and where both are of one's own images, equal texts are the
    same identity and camera. By ``leave_one_out`` every image of the two splits counts once, and there may be no query.

    Args:
        cfg: ``TEST`` is read, and ``MODEL.DEVICE`` for the search of neighbours.
        query_folder: written by ``extract_features``, with images of the split ``query``.
        gallery_folder: likewise, ``gallery``; ``None``: the same folder.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the features are not complete, not of one model, or lack labels, or cannot be evaluated, or
            ``TEST.FLIP`` is not that of the extraction.
    """
    query = read_feature_folder(query_folder)
    gallery = query if gallery_folder is None else read_feature_folder(gallery_folder)
    together = gallery is query
    query, gallery = query.of_split("query"), gallery.of_split("gallery")
    if not together:
        _check_pair(query, gallery)
    _check_flip(cfg, query)
    each_once = cfg.TEST.PROTOCOL == "leave_one_out"
    _check_labels(query, gallery, needs_query=not each_once)
    evaluator = build_evaluator(cfg, 0 if each_once else len(query), cfg.OUTPUT_DIR)
    if not hasattr(evaluator, "judge"):
        raise ValueError(
            f"TEST.EVALUATOR {cfg.TEST.EVALUATOR} needs more than features: it has no method judge(query, gallery, "
            "paths); take ReidEvaluator, or one that has"
        )
    pids, camids = _numbers(query, gallery, together)
    name, label = (query.meta["dataset"][key] for key in ("name", "label"))
    items = [_Items(*of) for of in zip((query, gallery), pids, camids, strict=True)]
    if each_once:
        places = _places_once(name, *items)
        query, gallery = query.take(places[0]), gallery.take(places[1])
        pids, camids = ([of[own] for of, own in zip(both, places, strict=True)] for both in (pids, camids))
    else:
        check_protocol(cfg.TEST.PROTOCOL, name, *items)
    return FeatureTest(
        name,
        label,
        query.as_set(pids[0], camids[0]),
        gallery.as_set(pids[1], camids[1]),
        [*query.img_paths, *gallery.img_paths],
        [*_texts(query, "identity", "pid"), *_texts(gallery, "identity", "pid")],
        [*_texts(query, "camera", "camid"), *_texts(gallery, "camera", "camid")],
        evaluator,
        query.meta,
    )


def evaluate_features(cfg: CfgNode, query_folder: str, gallery_folder: str | None = None) -> EvaluationResults:
    """Evaluate the queries of one folder of features against the gallery of another, or of the same.

    The numbers, and the files in ``OUTPUT_DIR``, are those of an evaluation of the model.

    Args:
        cfg: see :func:`open_feature_test`; ``OUTPUT_DIR`` is read, too.
        query_folder: likewise.
        gallery_folder: likewise.

    Returns:
        As ``DefaultTrainer.test``, for one test set; empty on ranks other than 0.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: see :func:`open_feature_test`.
    """
    return evaluate_test(cfg, open_feature_test(cfg, query_folder, gallery_folder))


def evaluate_test(cfg: CfgNode, test: FeatureTest) -> EvaluationResults:
    """Do what :func:`evaluate_features` does with a test set that is open already."""
    query, gallery = test.query, test.gallery
    logger.info("Evaluating %d queries against %d gallery images, from disk", len(query), len(gallery))
    results = test.evaluator.judge(query, gallery, test.img_paths)
    if not comm.is_main_process():
        return EvaluationResults()
    print_csv_format(OrderedDict({"dataset": test.label, **results}))
    details = {test.label: {"judged_by": judged_by(cfg), **test.evaluator.details}}
    if cfg.OUTPUT_DIR:
        write_queries(cfg.OUTPUT_DIR, test.label, test.evaluator.queries)
        write_results(cfg.OUTPUT_DIR, {test.label: results}, details)
    return EvaluationResults(results, details)


def rank_feature_test(cfg: CfgNode, test: FeatureTest, *, length: int = 50) -> RankedTest:
    """Rank a test set to look at its rankings, which are those that its evaluator judges.

    Args:
        cfg: ``TEST.MEMORY_GB`` is read.
        test: see :func:`open_feature_test`. Positions in it are those of ``img_paths``.
        length: images of other identities that are kept for each query, at least 1.

    Raises:
        ValueError: if the evaluator ranks nothing that could be shown, or see ``rank_test``.
    """
    if not hasattr(test.evaluator, "placed_retrieval"):
        raise ValueError(
            f"TEST.EVALUATOR {cfg.TEST.EVALUATOR} shows no rankings: it has no method placed_retrieval(query, "
            "gallery); take ReidEvaluator, or one that has"
        )
    placed = test.evaluator.placed_retrieval(test.query, test.gallery)
    return rank_test(placed, length=length, memory_gb=cfg.TEST.MEMORY_GB)


def _texts(folder: FeatureFolder, written: str, number: str) -> list[str]:
    """Return labels as their owner wrote them, else the numbers; those below 0 of cameras mean that none is known."""
    own, numbers = folder.labels[written], folder.labels[number]
    if own.used() - {""}:
        return [own.names[code] for code in own.codes.tolist()]
    names = ["" if number == "camid" and name.startswith("-") else name for name in numbers.names]
    return [names[code] for code in numbers.codes.tolist()]


def _check_pair(query: FeatureFolder, gallery: FeatureFolder) -> None:
    """Check that two folders can be compared."""
    for key in ("model", "preprocessing", "inference"):
        if query.meta[key] != gallery.meta[key]:
            raise ValueError(
                f"the features in {query.path} and {gallery.path} are not comparable: {key} was {query.meta[key]} and "
                f"{gallery.meta[key]}; extract both with one model and one config"
            )
    written = [bool(folder.labels["identity"].used() - {""}) for folder in (query, gallery)]
    if written[0] != written[1]:
        raise ValueError(
            f"{query.path} and {gallery.path} name identities differently: one is of a registered data set, which has "
            "numbers, and one of images of your own, which have names; give both as csv: or folder:"
        )
    names = [folder.meta["dataset"]["name"] for folder in (query, gallery)]
    if names[0] != names[1] and not written[0]:
        logger.warning("Equal numbers of %s and %s are taken for the same identity", *names)


def _check_flip(cfg: CfgNode, folder: FeatureFolder) -> None:
    flip = folder.meta["inference"]["flip"]
    if flip != cfg.TEST.FLIP.ENABLED:
        raise ValueError(
            f"TEST.FLIP.ENABLED is {cfg.TEST.FLIP.ENABLED}, but the features in {folder.path} were extracted with "
            f"{flip}, and that cannot be changed without the model; set it to {flip}, or extract them anew"
        )


def _check_labels(query: FeatureFolder, gallery: FeatureFolder, *, needs_query: bool) -> None:
    if needs_query and not len(query):
        raise ValueError(
            f"{query.path} has no image of the split query; extract those of query and gallery, or look for each image "
            "among all others: TEST.PROTOCOL leave_one_out, TEST.EVALUATOR RetrievalEvaluator"
        )
    if not len(query) + len(gallery):
        raise ValueError(f"{query.path} has no image of the splits query and gallery; extract those")
    for folder in (query, gallery):
        own = folder.labels["pid"]
        unknown = np.count_nonzero(own.numbered({"": 1}))
        if unknown:
            raise ValueError(
                f"{unknown} of {len(folder)} images in {folder.path} have no identity, without which nothing can be "
                "judged; extract them as csv: or folder:, with identities"
            )


def _numbers(query: FeatureFolder, gallery: FeatureFolder, together: bool) -> tuple[Any, Any]:
    """Return identities, and cameras, of queries and gallery as numbers: those of the data set, where there is one."""
    as_text = not together and bool(query.labels["identity"].used() - {""})
    columns = ("identity", "camera") if as_text else ("pid", "camid")
    pids, camids = (number_together(query.labels[name], gallery.labels[name], as_text=as_text) for name in columns)
    return pids, camids


def _places_once(name: str, query: Sequence[Any], gallery: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the images that leave-one-out retrieval takes, in the queries and in the gallery.

    They are those that a model would embed: an image that is in both counts as a query, and once.
    """
    placed = (
        [(*item, first + place) for place, item in enumerate(of)] for of, first in ((query, 0), (gallery, len(query)))
    )
    chosen, _ = embedded_images("leave_one_out", name, *placed)
    places = np.array([item[3] for item in chosen], dtype=np.int64)
    return places[places < len(query)], places[places >= len(query)] - len(query)


class _Items(Sequence):
    """The ``(img_path, pid, camid)`` of a folder, each made when it is asked for: a gallery may have millions."""

    def __init__(self, folder: FeatureFolder, pids: np.ndarray, camids: np.ndarray) -> None:
        self._paths, self._pids, self._camids = folder.img_paths, pids, camids

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[str, int, int]:
        return self._paths[place], int(self._pids[place]), int(self._camids[place])
