"""The evaluator of classification: logits in, the share of right answers out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..config import CfgNode, configurable
from ..utils import comm
from .evaluator import DatasetEvaluator

__all__ = ["ClasEvaluator", "accuracy", "class_ranks"]


def class_ranks(output: Tensor, target: Tensor) -> Tensor:
    """Return the place of each image's class among its logits, from 1; on ties the other class goes first.

    Args:
        output: ``(N, C)`` float logits.
        target: ``(N,)`` int64 classes.

    Returns:
        ``(N,)`` int64 in 1..C.

    Raises:
        ValueError: if the shapes do not fit, a target is none of the C classes, or a logit is NaN.
    """
    if output.ndim != 2 or target.shape != output.shape[:1]:
        raise ValueError(
            f"needed logits (N, C) and targets (N,), got {tuple(output.shape)} and {tuple(target.shape)}; "
            "MODEL.HEADS.NAME ClasHead returns logits"
        )
    classes = output.shape[1]
    outside = target[(target < 0) | (target >= classes)]
    if len(outside):
        raise ValueError(
            f"{len(outside)} targets are none of the {classes} classes of the model (0..{classes - 1}), "
            f"e.g. {outside[0].item()}; label the test set by the training set's classes"
        )
    if output.isnan().any():
        raise ValueError("logits are NaN; check MODEL.WEIGHTS, and whether the model overflows in half precision")
    return (output >= output.gather(1, target[:, None])).sum(dim=1)


def accuracy(output: Tensor, target: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Return in how many percent of the images the right class is among the k highest logits, for each k.

    Args:
        output: ``(N, C)`` float logits, N > 0.
        target: ``(N,)`` int64 classes.
        topk: the values of k, at least 1; one above C means C.

    Returns:
        For each k a float tensor ``(1,)``, in percent.

    Raises:
        ValueError: if there are no images; and as :func:`class_ranks`.
    """
    if not len(target):
        raise ValueError("the accuracy of no images is undefined; give at least one")
    ranks = class_ranks(output, target)
    return [100 * (ranks <= k).float().mean(dim=0, keepdim=True) for k in topk]


class ClasEvaluator(DatasetEvaluator):
    """Top-1 accuracy, in percent, and top-5 where there are five classes or more.

    The ``targets`` of its test set must be the classes of the training set, which those of re-identification sets are
    not. So it is not a name for ``TEST.EVALUATOR``, but for the ``build_evaluator`` of a trainer that labels the test
    set, such as by ``CommDataset(items, transforms, relabel=True)`` where both sets have the same classes.

    Built as ``ClasEvaluator(cfg, output_dir=None)``, or without a config.

    Args:
        output_dir: where subclasses may write files; this class writes none.
    """

    @configurable
    def __init__(self, *, output_dir: str | None = None) -> None:
        self._output_dir = output_dir
        self.reset()

    @classmethod
    def from_config(cls, cfg: CfgNode, output_dir: str | None = None) -> dict[str, Any]:
        """Read nothing: there is nothing to choose."""
        return {"output_dir": output_dir}

    def reset(self) -> None:
        """Forget the outputs of an earlier round."""
        self._images = self._first = self._among_five = self._classes = 0

    def process(self, inputs: dict[str, Any], outputs: Tensor) -> None:
        """Count one batch.

        Args:
            inputs: ``targets`` ``(N,)`` int64, classes of the training set.
            outputs: ``(N, C)`` float logits.

        Raises:
            ValueError: as :func:`class_ranks`.
        """
        ranks = class_ranks(outputs, torch.as_tensor(inputs["targets"]).to(outputs.device))
        self._images += len(ranks)
        self._first += int((ranks <= 1).sum())
        self._among_five += int((ranks <= 5).sum())
        self._classes = outputs.shape[1]

    def evaluate(self) -> dict[str, float]:
        """Compute the results of all images of all ranks.

        Returns:
            On rank 0 an ordered dict with ``Acc@1``, ``metric`` (the same), and from five classes on ``Acc@5``, in
            percent; ``{}`` elsewhere.

        Raises:
            ValueError: on every rank, if no image was processed.
        """
        counts = comm.all_gather((self._images, self._first, self._among_five, self._classes))
        images, first, among_five, _ = map(sum, zip(*counts, strict=True))
        if not images:
            raise ValueError("the evaluator got no images; is the test set empty?")
        if not comm.is_main_process():
            return {}
        results = OrderedDict({"Acc@1": 100 * first / images, "metric": 100 * first / images})
        if max(classes for *_, classes in counts) >= 5:
            results["Acc@5"] = 100 * among_five / images
        return results
