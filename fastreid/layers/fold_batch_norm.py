"""Fold batch norms into the convolutions before them: the same function with fewer passes over memory."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .batch_norm import IBN, FrozenBatchNorm

__all__ = ["FoldingError", "FoldsItself", "fold_batch_norms", "scale_and_shift"]

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm)


class FoldingError(RuntimeError):
    """Raised if a model cannot be folded, or the folded one does not compute what the model computes."""


@runtime_checkable
class FoldsItself(Protocol):
    """A module with a form for inference of its own, in which it does without its norms."""

    def fold_norms(self) -> int:
        """Take that form for good, in place, and return the number of norms that are gone, 0 if it cannot."""


def fold_batch_norms(model: nn.Module, inputs: Any, *, tolerance: float = 1e-4) -> tuple[nn.Module, int]:
    """Return a copy of a model in eval mode, each batch norm put into the convolution whose output it reads.

    Which one that is is seen in one run of the copy, not read off names: a norm is folded if it was called once, with
    the untouched output of a convolution that was called once. Of an :class:`~fastreid.layers.IBN`, the half that is
    batch norm is folded. A module that is a :class:`FoldsItself` does it its own way. Whether something else reads
    the convolution's output too cannot be seen; then the copy computes something else, and a second run finds out.

    Args:
        model: any module; it is not changed.
        inputs: what to call it with, such as a batch of two random images.
        tolerance: largest ``|folded - plain| / |plain|`` of the output, as vectors.

    Returns:
        The copy, and the number of norms that were folded.

    Raises:
        FoldingError: if the outputs differ by more, or are no tensor; or if the model's own code fails: it cannot be
            copied, or does not take ``inputs``, or misses its norms.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            folded = copy.deepcopy(model).eval()
            pairs, plain = _pairs(folded, inputs)
            count = sum(module.fold_norms() for module in list(folded.modules()) if isinstance(module, FoldsItself))
            left = set(folded.modules())
            pairs = [(conv, norm) for conv, norm in pairs if norm in left]
            for conv, norm in pairs:
                _fold(folded, conv, norm)
            count += len(pairs)
            found = folded(inputs)
    except Exception as failure:  # of any class, since it is the user's code that runs
        raise FoldingError(f"its copy fails with {type(failure).__name__}: {failure}") from failure
    if not isinstance(plain, Tensor):
        raise FoldingError(f"the model returns {type(plain).__name__}, not a tensor that could be compared")
    error = float(torch.linalg.vector_norm(found - plain) / torch.linalg.vector_norm(plain))
    if not error <= tolerance:  # NaN too
        raise FoldingError(
            f"with {count} batch norms folded the output differs by {error:.2g}, more than {tolerance:.2g}; "
            "something else than the norm reads a convolution's output or weight, or the model is in half precision"
        )
    return folded, count


def _pairs(model: nn.Module, inputs: Any) -> tuple[list[tuple[nn.Conv2d, nn.Module]], Any]:
    """Run the model; return ``(convolution, norm)`` wherever one can be folded into the other, and the output."""
    made: dict[int, tuple[nn.Conv2d, Tensor, int]] = {}  # the tensor is kept, so that its id stays its own
    read: list[tuple[nn.Conv2d | None, nn.Module]] = []
    conv_calls: Counter[nn.Module] = Counter()

    def after_conv(conv: nn.Conv2d, _: Any, output: Tensor) -> None:
        conv_calls[conv] += 1
        made[id(output)] = (conv, output, output._version)

    def before_norm(norm: nn.Module, args: tuple[Any, ...]) -> None:
        conv, output, version = made.get(id(args[0]) if args else 0, (None, None, 0))
        untouched = output is not None and output._version == version
        read.append((conv if untouched else None, norm))

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and "weight" in module._parameters:  # and not computed from other parameters
            hooks.append(module.register_forward_hook(after_conv))
        elif _affine(module) is not None:
            hooks.append(module.register_forward_pre_hook(before_norm))
    output = model(inputs)
    for hook in hooks:
        hook.remove()
    norm_calls = Counter(norm for _, norm in read)
    readers = Counter(conv for conv, _ in read)
    pairs = [
        (conv, norm)
        for conv, norm in read
        if conv is not None and conv_calls[conv] == norm_calls[norm] == readers[conv] == 1
    ]
    return pairs, output


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return the scale and the shift that a batch norm is in eval mode.

    Args:
        norm: any module.

    Returns:
        Two tensors ``(C,)``, or ``None`` for what is no batch norm with running statistics.
    """
    if not isinstance(norm, _NORMS) or norm.running_mean is None:
        return None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return what a convolution can take over from a norm, ``(C,)`` each: of an IBN, the half that is batch norm."""
    if not isinstance(norm, IBN):
        return scale_and_shift(norm)
    batch = scale_and_shift(norm.BN)
    if batch is None:
        return None
    ones = batch[0].new_ones(norm.half)
    return torch.cat([ones, batch[0]]), torch.cat([0 * ones, batch[1]])


def _fold(model: nn.Module, conv: nn.Conv2d, norm: nn.Module) -> None:
    """Change ``conv`` so that it does what ``norm`` does too, and take ``norm`` out of the model, in place.

    Of a norm with an activation, such as timm's ``BatchNormAct2d``, that stays.
    """
    scale, shift = _affine(norm)
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None])  # (C_out, C_in / groups, k, k)
    conv.bias = nn.Parameter(shift if conv.bias is None else conv.bias * scale + shift)
    if isinstance(norm, IBN):
        norm.BN = nn.Identity()
        return
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is norm:
                setattr(parent, name, _behind(norm))


def _behind(norm: nn.Module) -> nn.Module:
    """Return what a norm does behind normalising."""
    parts = [part for part in (getattr(norm, "drop", None), getattr(norm, "act", None)) if isinstance(part, nn.Module)]
    return nn.Sequential(*parts) if parts else nn.Identity()
