"""Embed image files with a trained model, as an evaluation does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import CfgNode
from ..data.numbered_loader import NumberedBatch, build_numbered_loader
from ..evaluation import inference_context
from ..evaluation.evaluator import outputs_of
from ..evaluation.scores import scores_of_pairs
from ..utils.progress import Progress
from .checkpoint_state import preprocessing_of
from .extraction import require_finite
from .inference import inference_model
from .predictor import load_model

__all__ = ["Embedder"]

logger = logging.getLogger(__name__)


class Embedder:
    """Turn paths of images into embeddings: preprocessing, flip, precision and batches are those of an evaluation.

    Settings that are not those of the checkpoint's preprocessing are logged as a warning.

    Args:
        cfg: ``MODEL.WEIGHTS``, ``INPUT`` and ``TEST`` are read; not changed.

    Attributes:
        model: the model as it was built, in eval mode; ``TEST.AMP`` and ``TEST.FOLD_BN`` do not apply to it.
        meta: of the checkpoint, see :func:`~fastreid.engine.predictor.load_model`.

    Example:
        >>> embed = Embedder(cfg)  # doctest: +SKIP
        >>> embed(["a.jpg", "b.jpg"]).shape  # doctest: +SKIP
        torch.Size([2, 2048])
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg.clone()
        self.model, self.meta = load_model(self.cfg)
        self._network = inference_model(self.cfg, self.model)
        _warn_of_other_preprocessing(self.cfg, self.model, self.meta)

    def __call__(self, paths: Sequence[str]) -> Tensor:
        """Return the embeddings ``(N, D)`` of some images, float32 on the CPU, of length 1.

        Raises:
            ImageReadError: if an image is missing or does not decode; names it.
            ValueError: if an embedding is NaN or infinite; names the image.
        """
        return F.normalize(self.features(paths))

    def features(self, paths: Sequence[str]) -> Tensor:
        """Return the embeddings ``(N, D)`` as an evaluation has them: float32 on the CPU, not normalised.

        Raises:
            ImageReadError, ValueError: as a call.
        """
        found = []
        with (
            inference_context(self._network),
            torch.no_grad(),
            Progress(total=len(paths), desc="Embedding", unit="image", plain_every=None) as bar,
        ):
            for batch in self._batches(paths):
                outputs = outputs_of(self._network, batch.inputs, self.cfg.TEST.FLIP.ENABLED)
                found.append(outputs.detach().to("cpu", torch.float32))
                require_finite(found[-1].numpy(), [paths[number] for number in batch.numbers], "float32")
                bar.update(len(batch.numbers))
        return torch.cat(found) if found else torch.empty(0, 0)

    def scores(self, query: Sequence[str], gallery: Sequence[str], *, metric: str | None = None) -> np.ndarray:
        """Return the score ``(Q, G)`` of each pair of images, as thresholds judge it; higher is more alike.

        Args:
            query: paths of Q images.
            gallery: paths of G images.
            metric: ``cosine``, or ``euclidean``: minus the distance; ``None``: ``TEST.METRIC``.

        Raises:
            ImageReadError, ValueError: as a call.
            KeyError: if the metric has no scores.
        """
        features = self.features([*query, *gallery])
        metric = self.cfg.TEST.METRIC if metric is None else metric
        return scores_of_pairs(features[: len(query)], features[len(query) :], metric=metric)

    def images(self, paths: Sequence[str]) -> Tensor:
        """Return some images as the model takes them: ``(N, 3, H, W)`` uint8, RGB, all at once.

        Raises:
            ImageReadError: as a call.
        """
        return torch.cat([batch.inputs["images"] for batch in self._batches(paths)])

    def _batches(self, paths: Sequence[str]) -> Iterator[NumberedBatch]:
        """Yield the images in order, in batches of ``TEST.IMS_PER_BATCH``."""
        cfg, size = self.cfg, self.cfg.TEST.IMS_PER_BATCH
        if size < 1:
            raise ValueError(f"TEST.IMS_PER_BATCH must be >= 1, got {size}")
        if len(paths) <= size:  # one batch: a worker would not save any time
            cfg = cfg.clone()
            cfg.defrost()
            cfg.TEST.NUM_WORKERS = 0
        batches = [range(start, min(start + size, len(paths))) for start in range(0, len(paths), size)]
        yield from build_numbered_loader(cfg, [(path, -1, -1) for path in paths], batches)


def _warn_of_other_preprocessing(cfg: CfgNode, model: nn.Module, meta: Mapping[str, Any]) -> None:
    stored = meta.get("preprocessing", {})
    for name, own in preprocessing_of(cfg, model).items():
        if name in stored and stored[name] != own:
            logger.warning(
                "%s was made for images with %s %s, but the config says %s: scores and thresholds may be others",
                cfg.MODEL.WEIGHTS,
                name,
                stored[name],
                own,
            )
