"""Run a model over a test set, and hand its outputs to an evaluator."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..utils import comm
from ..utils.progress import Progress

__all__ = ["DatasetEvaluator", "go_through", "inference_context", "inference_on_dataset", "outputs_of"]

logger = logging.getLogger(__name__)


class DatasetEvaluator:
    """Turn the outputs of a model for a whole test set into results; override what you need.

    ``inference_on_dataset`` calls ``reset`` once, then ``preprocess_inputs`` and ``process`` for each batch, then
    ``evaluate`` once; with several processes on every rank, each of which sees its share of the batches.

    Attributes:
        details: after ``evaluate``, on rank 0, what goes into ``results.json`` beside the results: values that JSON can
            carry.
        queries: after ``evaluate``, on rank 0, arrays ``(Q,)`` by name, which go into a file of their own.
    """

    details: Mapping[str, Any] = MappingProxyType({})
    queries: Mapping[str, np.ndarray] = MappingProxyType({})

    def preprocess_inputs(self, inputs: dict[str, Any]) -> dict[str, Any] | None:
        """Return the batch that the model gets instead of ``inputs``; ``None``: ``inputs`` itself."""
        return inputs

    def reset(self) -> None:
        """Forget the outputs of an earlier round."""

    def process(self, inputs: dict[str, Any], outputs: Any) -> None:
        """Take in one batch and what the model returned for it."""

    def evaluate(self) -> dict[str, Any] | None:
        """Return the results, by name, on rank 0, and an empty dict or ``None`` elsewhere."""


def inference_on_dataset(
    model: nn.Module, data_loader: DataLoader, evaluator: DatasetEvaluator, flip_test: bool = False
) -> dict[str, Any]:
    """Run a model over a test set without gradients and return what the evaluator makes of its outputs.

    The model is in eval mode meanwhile, and afterwards every module is in the mode in which it was.

    Args:
        model: called with a batch dict; its images are not changed.
        data_loader: yields batch dicts with ``images`` ``(N, 3, H, W)``; has a length and a ``dataset``.
        evaluator: is reset first, then takes in every batch.
        flip_test: average the outputs for an image and for its mirror image (left and right exchanged).

    Returns:
        The results; ``{}`` on ranks other than 0.

    Raises:
        TypeError: if ``flip_test`` is set and the model does not return a tensor.
        Exception: what goes wrong on one rank with an image, the model or the evaluator; the other ranks raise
            ``RuntimeError``, at most ten batches later.
    """
    logger.info("Start inference on %d images", len(data_loader.dataset))
    evaluator.reset()
    compute_seconds, images, start = 0.0, 0, time.perf_counter()

    def batches() -> Iterator[None]:
        nonlocal compute_seconds, images
        for inputs in data_loader:
            arrived = time.perf_counter()
            prepared = evaluator.preprocess_inputs(inputs)
            outputs = outputs_of(model, inputs if prepared is None else prepared, flip_test)
            evaluator.process(inputs, outputs)
            compute_seconds += time.perf_counter() - arrived
            images += len(inputs["images"])
            bar.update(note=f"{images / (time.perf_counter() - start):.1f} images/s")
            yield

    with (
        inference_context(model),
        torch.no_grad(),
        Progress(total=len(data_loader), desc="Inference", unit="batch") as bar,
    ):
        go_through(batches())
    _log_times(time.perf_counter() - start, compute_seconds, len(data_loader), images)
    return evaluator.evaluate() or {}


def go_through(steps: Iterator[None], period: int = 10) -> None:
    """Take every step; the ranks, which may have different numbers of them, tell each other of failures in between.

    Args:
        steps: of this rank.
        period: steps between two messages.

    Raises:
        Exception: what a step of this rank raises; ``RuntimeError`` on the other ranks.
    """
    if comm.get_world_size() == 1:
        for _ in steps:
            pass
        return
    failure, busy = None, True
    while busy:
        try:
            own_busy = sum(1 for _ in islice(steps, period)) == period
        except Exception as error:
            logger.exception("rank %d cannot go on:", comm.get_rank())
            failure, own_busy = error, False
        comm.raise_on_all(failure)
        busy = any(comm.all_gather(own_busy))


def outputs_of(model: nn.Module, inputs: dict[str, Any], flip_test: bool) -> Any:
    """Return what a model makes of a batch; with ``flip_test`` the mean of that and of what it makes of mirror images.

    Raises:
        TypeError: if ``flip_test`` is set and the model does not return a tensor.
    """
    if not flip_test:
        return model(inputs)
    # The mirror images are made first, so that they are right even if a model should change its input in place.
    mirrored = {**inputs, "images": inputs["images"].flip(-1)}
    outputs = model(inputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"TEST.FLIP.ENABLED averages embeddings, but the model returns {type(outputs).__name__}, not a tensor; "
            "set TEST.FLIP.ENABLED False"
        )
    return (outputs + model(mirrored)) / 2


def _log_times(total: float, compute: float, batches: int, images: int) -> None:
    for name, seconds in (("time", total), ("pure compute time", compute)):
        logger.info(
            "Total inference %s: %s (%.6f s / batch per device, on %d devices; %.1f images/s per device)",
            name,
            datetime.timedelta(seconds=seconds),
            seconds / max(batches, 1),
            comm.get_world_size(),
            images / max(seconds, 1e-9),
        )


@contextmanager
def inference_context(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and afterwards, also after an error, every module back into the mode in which it was.

    Parts that are in eval mode while the rest trains, such as frozen layers, stay so.

    Args:
        model: any module.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        model.train(modes[0][1])  # for modules that do more than set their flag; the flags themselves follow
        for module, training in modes:
            module.training = training
