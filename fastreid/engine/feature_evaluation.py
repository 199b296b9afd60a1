"""Evaluate features that are on disk, without the model and the images that they are from."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import CfgNode, get_cfg
from ..data.protocol import check_protocol, embedded_images
from ..evaluation import build_evaluator, print_csv_format
from ..evaluation.feature_folder import FeatureFolder, number_together, read_feature_folder, read_meta
from ..utils import comm
from .evaluation_results import EvaluationResults, judged_by, write_queries, write_results

__all__ = ["config_of_features", "evaluate_features"]

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


def evaluate_features(cfg: CfgNode, query_folder: str, gallery_folder: str | None = None) -> EvaluationResults:
    """Evaluate the queries of one folder of features against the gallery of another, or of the same.

    The numbers, and the files in ``OUTPUT_DIR``, are those of an evaluation of the model. In two folders, all images
    count if none is of a split; and where both are of one's own images, equal texts are the same identity and camera.
    By ``leave_one_out`` every image of the two splits counts once, and there may be no query.

    Args:
        cfg: ``TEST`` and ``OUTPUT_DIR`` are read, and ``MODEL.DEVICE`` for the search of neighbours.
        query_folder: written by ``extract_features``, with images of the split ``query``.
        gallery_folder: likewise, ``gallery``; ``None``: the same folder.

    Returns:
        As ``DefaultTrainer.test``, for one test set; empty on ranks other than 0.

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
    paths = [*query.img_paths, *gallery.img_paths]
    logger.info("Evaluating %d queries against %d gallery images, from disk", len(query), len(gallery))
    results = evaluator.judge(query.as_set(pids[0], camids[0]), gallery.as_set(pids[1], camids[1]), paths)
    if not comm.is_main_process():
        return EvaluationResults()
    print_csv_format(OrderedDict({"dataset": label, **results}))
    details = {label: {"judged_by": judged_by(cfg), **evaluator.details}}
    if cfg.OUTPUT_DIR:
        write_queries(cfg.OUTPUT_DIR, label, evaluator.queries)
        write_results(cfg.OUTPUT_DIR, {label: results}, details)
    return EvaluationResults(results, details)


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
