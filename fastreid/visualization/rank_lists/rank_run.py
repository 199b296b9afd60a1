"""What ``tools/visualize_results.py`` does: from a checkpoint, or from saved features, to a folder of rank lists."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config import CfgNode
from ...data import CommDataset
from ...data.image_source import find_images
from ...data.storage import locate_images
from ...data.transforms import build_transforms
from ...engine import default_setup, launch
from ...engine.extraction import extract_features
from ...engine.feature_evaluation import FeatureTest, evaluate_test, open_feature_test, rank_feature_test
from ...engine.predictor import load_model
from ...utils import comm
from ..curves.roc_files import plot_roc_curve, save_jpeg
from ..thumbnails import Thumbnails, cell_size
from .painted_thumbnails import PaintedThumbnails, activation_painter
from .rank_cells import Look
from .rank_pictures import choose_queries, write_rank_pictures

__all__ = ["Choice", "draw_rank_lists", "draw_roc_of_test", "extract_test_set"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Which queries are drawn; see ``choose_queries``.

    Args:
        number: at most so many, at least 1.
        sort: a name in ``SORTS``.
        descending: the highest average precision first.
        seed: of a random order.
        identities: only these; empty: all.
        cameras: likewise.

    Raises:
        ValueError: if ``number`` is below 1.
    """

    number: int = 100
    sort: str = "ap"
    descending: bool = False
    seed: int = 0
    identities: Sequence[str] = ()
    cameras: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"--num-vis must be at least 1 picture, got {self.number}")


def extract_test_set(cfg: CfgNode, name: str, folder: str, *, processes: int = 1) -> None:
    """Embed queries and gallery of a test set into a folder, unless they are there already.

    Args:
        cfg: of the model, with ``MODEL.WEIGHTS``; see ``extract_features`` for what else is read.
        name: of the test set, as ``DATASETS.TESTS`` has it.
        folder: of the features.
        processes: that share the work.

    Raises:
        ValueError: if the folder has features of another model or other images.
    """
    launch(_extract, processes, args=(cfg, name, folder), device=cfg.MODEL.DEVICE)


def _extract(cfg: CfgNode, name: str, folder: str) -> None:
    if comm.get_world_size() > 1:  # a process of its own
        default_setup(cfg, argparse.Namespace(eval_only=True))
    data = cfg.DATASETS
    source = find_images(name, root=data.ROOT, options=data.OPTIONS, storage=data.STORAGE)
    model, _ = load_model(cfg)
    extract_features(cfg, model, source, folder)


def draw_rank_lists(
    cfg: CfgNode,
    features: str,
    output: str | os.PathLike[str],
    *,
    gallery: str | None = None,
    choice: Choice | None = None,
    look: Look | None = None,
    actmap: str = "",
    workers: int = 1,
) -> list[Path]:
    """Rank a test set as its evaluation does, and draw the rank lists of some queries.

    With ``TEST.ROC.ENABLED`` it is evaluated as well: ``roc.jpg``, and the files of an evaluation in ``OUTPUT_DIR``.

    Args:
        cfg: ``TEST`` is read, and for activation maps what the model is.
        features: folder of the queries' features, and of the gallery's if ``gallery`` is ``None``.
        output: folder of the pictures.
        gallery: folder of the gallery's features.
        choice: which queries; ``None``: the defaults.
        look: what is shown; ``None``: the defaults.
        actmap: a method of ``activation_maps``: ``cfg`` says the model whose maps lie over the images. Empty: none.
        workers: threads that draw, at least 1.

    Returns:
        The pictures of rank lists.
    """
    choice, look = choice or Choice(), look or Look()
    test = open_feature_test(cfg, features, gallery)
    ranked = rank_feature_test(cfg, test, length=look.max_rank)
    own = ranked.query_places.tolist()
    chosen = choose_queries(
        ranked.numbers["mAP"],
        [test.identities[place] for place in own],
        [test.cameras[place] for place in own],
        sort=choice.sort,
        descending=choice.descending,
        seed=choice.seed,
        only_identities=choice.identities,
        only_cameras=choice.cameras,
    )[: choice.number]
    paths = locate_images(test.img_paths, cfg.DATASETS.STORAGE, root=cfg.DATASETS.ROOT)
    read = Thumbnails(paths, *cell_size(paths))
    prepare = None
    if actmap:
        model, _ = load_model(cfg)
        read = PaintedThumbnails(activation_painter(model, actmap), _as_the_model_sees_them(cfg, paths), read)
        prepare = read.prepare
    files = write_rank_pictures(ranked, test, output, chosen, look=look, read=read, prepare=prepare, workers=workers)
    if cfg.TEST.ROC.ENABLED:
        draw_roc_of_test(cfg, test, Path(output, "roc.jpg"))
    return files


def draw_roc_of_test(cfg: CfgNode, test: FeatureTest, file: Path) -> None:
    """Evaluate a test set, write the files of an evaluation, and draw its ROC curve."""
    details = evaluate_test(cfg, test).details[test.label]
    curve = details.get("verification", {}).get("curve", {"fpr": []})
    if not curve["fpr"]:
        logger.warning("TEST.EVALUATOR %s has no ROC curve for %s", cfg.TEST.EVALUATOR, test.name)
        return
    save_jpeg(plot_roc_curve(np.array(curve["fpr"]), np.array(curve["tpr"]), test.label), file)


def _as_the_model_sees_them(cfg: CfgNode, paths: Sequence[str]) -> CommDataset:
    return CommDataset([(path, 0, 0) for path in paths], build_transforms(cfg, is_train=False), relabel=False)
