"""Normalisation layers, and the names by which a config asks for them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import at_least_float32

__all__ = [
    "IBN",
    "BatchNorm",
    "FrozenBatchNorm",
    "GhostBatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "SyncBatchNorm",
    "get_norm",
]


def _start(norm: nn.Module, weight_freeze: bool, bias_freeze: bool, weight_init: float, bias_init: float) -> None:
    """Fill and freeze the affine parameters of a norm; frozen ones are saved and loaded like the others."""
    nn.init.constant_(norm.weight, weight_init)
    nn.init.constant_(norm.bias, bias_init)
    norm.weight.requires_grad_(not weight_freeze)
    norm.bias.requires_grad_(not bias_freeze)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale and shift can be frozen one by one.

    Args:
        num_features: number of channels.
        eps: added to the variance.
        momentum: weight of the new batch in the running statistics, in [0, 1].
        weight_freeze: keep the scale as it is.
        bias_freeze: keep the shift as it is, as the neck of a re-identification head wants it.
        weight_init: first value of the scale.
        bias_init: first value of the shift.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        weight_freeze: bool = False,
        bias_freeze: bool = False,
        weight_init: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        _start(self, weight_freeze, bias_freeze, weight_init, bias_init)


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation over the batches of all ranks; on a single process it is :class:`BatchNorm`.

    torch's own exchanges statistics between GPUs only; this one does it on the CPU as well, so that a run on gloo
    computes what a run on NCCL does. Arguments as in :class:`BatchNorm`.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        weight_freeze: bool = False,
        bias_freeze: bool = False,
        weight_init: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        _start(self, weight_freeze, bias_freeze, weight_init, bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, ...)``, in any number of dimensions; N may differ between ranks."""
        if self.training and x.device.type == "cpu" and dist.is_available() and dist.is_initialized():
            return self._forward_on_cpu(x)
        return super().forward(x)

    def _forward_on_cpu(self, x: Tensor) -> Tensor:
        # Its backward pass adds the ranks' gradients up, which is what the gradient of a shared mean needs.
        from torch.distributed.nn.functional import all_reduce

        exact = at_least_float32(x)
        dims, shape = [0, *range(2, x.ndim)], (-1, *(1,) * (x.ndim - 2))
        count = exact.new_tensor(x.numel() / x.shape[1])
        dist.all_reduce(count)
        if count <= 1:
            raise ValueError(f"SyncBatchNorm needs more than one value of a channel to train on, got {tuple(x.shape)}")
        mean = all_reduce(exact.sum(dim=dims), group=dist.group.WORLD) / count  # (C,)
        centred = exact - mean.view(shape)
        var = all_reduce(centred.square().sum(dim=dims), group=dist.group.WORLD) / count  # (C,), biased
        if self.track_running_stats:
            self._track(mean.detach(), (var * count / (count - 1)).detach())
        scale = (var + self.eps).rsqrt()
        if self.affine:
            return (centred * (self.weight * scale).view(shape) + self.bias.view(shape)).to(x.dtype)
        return (centred * scale.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of a batch, ``(C,)`` each."""
        self.num_batches_tracked.add_(1)
        momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum  # None: plain mean
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), momentum)


class GhostBatchNorm(BatchNorm):
    """Batch normalisation in which the images of a batch see only those of their own part of it.

    In training a batch is cut into parts as equal as possible, of at most ``ghost_size`` images, each normalised by its
    own statistics; the running statistics move once per batch, by the mean over the parts.

    Source: Hoffer et al., "Train longer, generalize better", NeurIPS 2017, arXiv:1705.08741, "Ghost Batch
    Normalization".

    Args:
        num_features: number of channels.
        ghost_size: images per part, at least 2.
        **kwargs: as in :class:`BatchNorm`.
    """

    def __init__(self, num_features: int, ghost_size: int = 32, **kwargs: Any) -> None:
        if ghost_size < 2:
            raise ValueError(f"ghost_size must be at least 2 images, got {ghost_size}")
        super().__init__(num_features, **kwargs)
        self.ghost_size = ghost_size

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        parts = -(-len(x) // self.ghost_size)  # rounded up
        if not self.training or parts == 1:
            return super().forward(x)
        outputs, means, variances = [], [], []
        for part in x.tensor_split(parts):
            mean, var = self.running_mean.clone(), self.running_var.clone()
            outputs.append(F.batch_norm(part, mean, var, self.weight, self.bias, True, self.momentum, self.eps))
            means.append(mean)
            variances.append(var)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.copy_(torch.stack(means).mean(dim=0))
            self.running_var.copy_(torch.stack(variances).mean(dim=0))
        return torch.cat(outputs)


class FrozenBatchNorm(nn.Module):
    """Batch normalisation that always uses its running statistics, and learns nothing; every tensor is a buffer.

    The keys are those of :class:`BatchNorm`, so that either loads the weights of the other.

    Args:
        num_features: number of channels.
        eps: added to the variance.
        weight_init: the scale until weights are loaded.
        bias_init: the shift until weights are loaded.
        **kwargs: further arguments of :class:`BatchNorm`, which mean nothing where all is frozen.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        weight_init: float = 1.0,
        bias_init: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.full((num_features,), float(weight_init)))
        self.register_buffer("bias", torch.full((num_features,), float(bias_init)))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``, in training as in evaluation."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def extra_repr(self) -> str:
        """Describe the layer where the model is printed."""
        return f"{self.num_features}, eps={self.eps}"


class GroupNorm(nn.GroupNorm):
    """Group normalisation with 32 groups of channels; an image does not depend on the others of its batch.

    Source: Wu and He, "Group Normalization", ECCV 2018, arXiv:1803.08494.

    Args:
        num_features: number of channels, a multiple of 32.
        eps: added to the variance.
        weight_freeze: keep the scale as it is.
        bias_freeze: keep the shift as it is.
        weight_init: first value of the scale.
        bias_init: first value of the shift.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        weight_freeze: bool = False,
        bias_freeze: bool = False,
        weight_init: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        groups = 32
        if num_features % groups:
            raise ValueError(f"NORM GN needs a multiple of {groups} channels, got {num_features}; use BN here")
        super().__init__(groups, num_features, eps=eps)
        _start(self, weight_freeze, bias_freeze, weight_init, bias_init)


_NORMS: dict[str, type[nn.Module]] = {
    "BN": BatchNorm,
    "syncBN": SyncBatchNorm,
    "GhostBN": GhostBatchNorm,
    "FrozenBN": FrozenBatchNorm,
    "GN": GroupNorm,
}


def get_norm(norm: str | Callable[..., nn.Module], out_channels: int, **kwargs: Any) -> nn.Module | None:
    """Build a normalisation layer for ``(N, C, H, W)``.

    Args:
        norm: ``BN``, ``syncBN``, ``GhostBN``, ``FrozenBN``, ``GN``; a callable, which gets the rest; or ``""``.
        out_channels: number of channels C.
        **kwargs: arguments of the layer: ``weight_freeze``, ``bias_freeze``, ``weight_init``, ``bias_init`` ...

    Returns:
        The layer, or ``None`` for ``""``.

    Raises:
        KeyError: if the name is unknown.
    """
    if not isinstance(norm, str):
        return norm(out_channels, **kwargs)
    if norm == "":
        return None
    if norm not in _NORMS:
        close = difflib.get_close_matches(norm, _NORMS, n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise KeyError(f"NORM: no {norm!r}.{hint} Known: {', '.join(_NORMS)}, or '' for none.")
    return _NORMS[norm](out_channels, **kwargs)


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation with scale and shift, whose output has the memory format of its input.

    torch's own always returns the standard format, so that a network in ``channels_last`` would go back and forth.

    Args:
        num_features: number of channels.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps=eps, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        if self.training:  # its backward pass is one kernel
            out = super().forward(x)
            return out.contiguous(memory_format=torch.channels_last) if x.stride(1) == 1 else out
        exact = at_least_float32(x)
        mean = exact.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        var = (exact - mean).square().mean(dim=(2, 3), keepdim=True)
        scale = (var + self.eps).rsqrt() * self.weight[:, None, None]
        return torch.addcmul(self.bias[:, None, None] - mean * scale, exact, scale).to(x.dtype)


class IBN(nn.Module):
    """Instance normalisation for the first half of the channels, batch normalisation for the second.

    Source: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018,
    arXiv:1807.09441, "IBN-a".

    Args:
        planes: number of channels, at least 2.
        bn_norm: the norm of the second half, see :func:`get_norm`.
        **kwargs: arguments of that norm.
    """

    def __init__(self, planes: int, bn_norm: str | Callable[..., nn.Module], **kwargs: Any) -> None:
        super().__init__()
        self.half = planes // 2
        self.IN = InstanceNorm(self.half)
        self.BN = get_norm(bn_norm, planes - self.half, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        first, second = x[:, : self.half], x[:, self.half :]
        return torch.cat([self.IN(first), self.BN(second)], dim=1)
