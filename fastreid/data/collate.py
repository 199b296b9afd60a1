"""Make a batch of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

__all__ = ["fast_batch_collator", "trivial_batch_collator"]


def fast_batch_collator(batched_inputs: Sequence[Any]) -> Any:
    """Put items of one structure together, value by value.

    Tensors and arrays of equal shape are stacked, keeping their type; ints become int64 ``(N,)``, floats float64
    ``(N,)``, bools bool ``(N,)``; strings a list. Dicts, lists and tuples are collated entry by entry.

    Args:
        batched_inputs: the items, at least one.

    Raises:
        TypeError: if an item holds something else.
        ValueError: if tensors differ in shape, or lists in length.

    Example:
        >>> fast_batch_collator([{"targets": 3, "img_paths": "a.jpg"}, {"targets": 5, "img_paths": "b.jpg"}])
        {'targets': tensor([3, 5]), 'img_paths': ['a.jpg', 'b.jpg']}
    """
    first = batched_inputs[0]
    if isinstance(first, Tensor):
        return _stack(batched_inputs)
    if isinstance(first, np.ndarray):
        return _stack([torch.as_tensor(value) for value in batched_inputs])
    if isinstance(first, Mapping):
        return {key: fast_batch_collator([item[key] for item in batched_inputs]) for key in first}
    if isinstance(first, str):
        return list(batched_inputs)
    # bool before int: a bool is an int to Python.
    for kinds, dtype in (((bool, np.bool_), torch.bool), ((int, np.integer), torch.int64)):
        if isinstance(first, kinds):
            return torch.tensor([int(value) for value in batched_inputs], dtype=dtype)
    if isinstance(first, (float, np.floating)):
        return torch.tensor([float(value) for value in batched_inputs], dtype=torch.float64)
    if isinstance(first, (list, tuple)):
        return _collate_columns(batched_inputs)
    raise TypeError(
        f"cannot make a batch of {type(first).__module__}.{type(first).__qualname__}; an item may hold tensors, "
        "arrays, numbers, strings, and dicts, lists and tuples of them (PIL images need a transform with ToTensor)"
    )


def trivial_batch_collator(batch: list[Any]) -> list[Any]:
    """Return the list of items as it is."""
    return batch


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        raise ValueError(
            f"the images of a batch must have one size, got {', '.join(map(str, shapes))}; give INPUT.SIZE_TRAIN and "
            "INPUT.SIZE_TEST two values above 0, or turn INPUT.CROP on"
        )
    # In a worker this writes straight into memory that the trainer shares.
    return default_collate([tensor.contiguous() for tensor in tensors])  # (N, ...)


def _collate_columns(rows: Sequence[Sequence[Any]]) -> list[Any]:
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise ValueError(f"the lists of a batch's items must have one length, got {lengths}; pad them")
    return [fast_batch_collator(column) for column in zip(*rows, strict=True)]
