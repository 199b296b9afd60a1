"""Whether training still computes with numbers: kept on the device, looked at now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..utils import comm
from ..utils.weights import unwrap_model

__all__ = ["FiniteWatch", "StepRecord", "Undo", "describe_bad_step"]

_MAX_PENDING = 1024  # records that wait; a longer period is cut, so that memory stays bounded


@dataclass(frozen=True)
class StepRecord:
    """What is kept of one iteration until somebody looks.

    Attributes:
        iteration: 0-based.
        values: loss parts, ``total_loss`` and ``grad_norm``, averaged over the ranks; scalars on the device.
        finite: bool scalar on the device, the same on every rank.
        own_finite: the same for this rank's part of the batch alone.
        paths: the images of this rank's part of the batch.
    """

    iteration: int
    values: dict[str, Tensor]
    finite: Tensor
    own_finite: Tensor
    paths: Sequence[str]


class FiniteWatch:
    """Collect the records of iterations, and find the first bad one in them; only the finding waits for the device.

    Args:
        period: iterations between two looks, ``LOG_PERIOD``, at least 1.
    """

    def __init__(self, period: int) -> None:
        if period < 1:
            raise ValueError(f"LOG_PERIOD must be at least 1 iteration, got {period}")
        self._period = min(period, _MAX_PENDING)
        self._pending: list[StepRecord] = []

    def add(self, record: StepRecord) -> bool:
        """Keep a record; return whether it is time to look: every rank says so at the same iterations."""
        self._pending.append(record)
        return (record.iteration + 1) % self._period == 0 or len(self._pending) >= self._period

    def first_bad(self) -> StepRecord | None:
        """Return the first record that is not finite, of those since the last call; ``None`` if all are."""
        records, self._pending = self._pending, []
        if not records:
            return None
        good = torch.stack([record.finite for record in records]).tolist()
        return next((record for record, is_good in zip(records, good, strict=True) if not is_good), None)


def describe_bad_step(record: StepRecord) -> str:
    """Say which iteration was bad, with its loss parts and its images; every rank must call it, for the same one.

    Of several ranks, those whose own part of the batch was bad tell their images; if none was, the gradients were
    bad only together, and all do.
    """
    values = {name: float(value) for name, value in record.values.items()}
    parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    told = comm.all_gather((bool(record.own_finite), list(record.paths)))
    at_fault = [paths for own_finite, paths in told if not own_finite] or [paths for _, paths in told]
    images = ", ".join(path for paths in at_fault for path in paths) or "not known, the batch has no img_paths"
    what = "loss" if not torch.isfinite(record.values["total_loss"]) else "gradient"
    return (
        f"the {what} became infinite or NaN at iteration {record.iteration} ({parts}). Images of that batch: {images}"
    )


class Undo:
    """Put back what a forward pass changes in a model beside its gradients.

    That is its buffers (statistics of batch norms, the memory of ``MoCo``), which one bad batch would spoil for good,
    and what ``model.checkpointables()`` names (the moving average of a ``Distiller``).

    Args:
        model: the model, or its data-parallel wrapper; its buffers are copied now.
    """

    def __init__(self, model: nn.Module) -> None:
        model = unwrap_model(model)
        self._buffers: list[tuple[Tensor, Tensor]] = [(buffer, buffer.clone()) for buffer in model.buffers()]
        self._states: list[tuple[Any, dict[str, Any]]] = []
        for thing in getattr(model, "checkpointables", dict)().values():
            state = thing.state_dict()
            if not state and isinstance(getattr(thing, "model", None), nn.Module):  # an average that has not begun
                self._buffers += [(value, value.clone()) for value in thing.model.state_dict().values()]
            copied = {key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()}
            self._states.append((thing, copied))

    @torch.no_grad()
    def __call__(self) -> None:
        """Put it back."""
        for buffer, before in self._buffers:
            buffer.copy_(before)
        for thing, state in self._states:
            thing.load_state_dict(state)
