"""An average of a model over the iterations of its training, beside the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.weights import unwrap_model
from .moving_average import move_towards, of_rank_0
from .precision import at_least_float32

__all__ = ["WeightAverage"]

_STATISTICS = ("running_mean", "running_var")


class WeightAverage:
    """Hold an average of a model's parameters and batch-norm statistics, and lend it to the model.

    Averaged are all floating-point parameters and every buffer called ``running_mean`` or ``running_var``, as float32
    where the model is narrower, on the model's device: one more copy of the weights. Other buffers (counters, the
    memory of ``MoCo``) are no statistics of the weights; with an average go those that the model has at that time.

    Which average it is, is a matter of the shares that :meth:`update` is given: ``1 / (updates + 1)`` makes the mean of
    all updates, a constant an exponential moving average. No update makes the CPU wait for the device, or one rank for
    another: parameters are equal on all ranks, so their average is, and of the statistics those of rank 0 count, which
    :meth:`share` hands to the others.

    Args:
        model: the model, or its data-parallel wrapper.

    Attributes:
        updates: how often the average was moved.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = unwrap_model(model)
        self.updates = 0
        self._average: dict[str, Tensor] = {}
        self._places: dict[str, tuple[dict[str, Any], str]] = {}  # name -> where the module keeps the tensor
        self._other_names: dict[str, str] = {}  # of a parameter that several modules share -> its first name

    @property
    def started(self) -> bool:
        """Whether there is an average yet."""
        return bool(self._average)

    @torch.no_grad()
    def start(self) -> None:
        """Make the average a copy of the model; that is no update."""
        self._places, self._other_names = _places(self.model)
        self._average = {name: at_least_float32(value).clone() for name, value in self._tensors().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, share: float) -> None:
        """Move to ``(1 - share) * average + share * model``; the first update of one that was not started copies.

        Args:
            share: of the model as it is now, in [0, 1].
        """
        if not self.started:
            self.start()
        else:
            move_towards(list(self._average.values()), list(self._tensors().values()), share)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """Let the model have the average in the block, and its own tensors again behind it, bit for bit.

        In the block there is one more copy of the weights. Parameters and buffers stay the same objects.

        Raises:
            RuntimeError: if there is no average yet.
        """
        if not self.started:
            raise RuntimeError("there is no average of the weights yet: call start() or update() first")
        tensors = self._tensors()
        own = {name: value.detach().clone() for name, value in tensors.items()}
        try:
            _copy(self._average, tensors)
            yield self.model
        finally:
            _copy(own, tensors)

    def read_statistics(self) -> None:
        """Take the batch-norm statistics that the model has now into the average."""
        tensors = self._tensors()
        for name, value in self._statistics().items():
            value.copy_(tensors[name])

    def share(self) -> None:
        """Give every rank the averaged batch-norm statistics of rank 0; every rank must call it."""
        statistics = self._statistics()
        for name, value in of_rank_0(statistics).items():
            statistics[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return ``updates`` and ``average``, tensors by the names of the model's state dict; none before the start."""
        others = {name: self._average[first] for name, first in self._other_names.items()}
        return {"updates": self.updates, "average": {**self._average, **others}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned.

        Raises:
            ValueError: if it is of another model; nothing was changed then.
        """
        average = state_dict["average"]
        if not average:
            self._average, self.updates = {}, 0
            return
        places, others = _places(self.model)
        shapes = {name: table[key].shape for name, (table, key) in places.items()}
        wrong = [name for name, shape in shapes.items() if name not in average or average[name].shape != shape]
        wrong += [name for name in average if name not in places and name not in others]
        if wrong:
            raise ValueError(f"the average is of another model: {', '.join(wrong[:5])} differ ({len(wrong)} in all)")
        self.start()
        for name, value in self._average.items():
            value.copy_(average[name])
        self.updates = int(state_dict["updates"])

    def _tensors(self) -> dict[str, Tensor]:
        """Return the model's tensors by name; looked up anew, since ``.half()`` and ``.to()`` replace buffers."""
        return {name: table[key] for name, (table, key) in self._places.items()}

    def _statistics(self) -> dict[str, Tensor]:
        return {name: value for name, value in self._average.items() if name.rpartition(".")[2] in _STATISTICS}


def _places(model: nn.Module) -> tuple[dict[str, tuple[dict[str, Any], str]], dict[str, str]]:
    """Return where the tensors that are averaged lie, by name, and the further names of those that are shared."""
    places: dict[str, tuple[dict[str, Any], str]] = {}
    others: dict[str, str] = {}
    first: dict[int, str] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        wanted = [(module._parameters, key) for key in module._parameters]
        wanted += [(module._buffers, key) for key in module._buffers if key in _STATISTICS]
        for table, key in wanted:
            value = table[key]
            if value is None or not value.is_floating_point():
                continue
            name = f"{prefix}.{key}" if prefix else key
            if id(value) in first:
                others[name] = first[id(value)]
            else:
                first[id(value)] = name
                places[name] = (table, key)
    return places, others


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    torch._foreach_copy_([target[name] for name in source], list(source.values()))
