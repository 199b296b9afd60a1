"""Which device a name of the config means on this machine."""

from __future__ import annotations

import torch

__all__ = ["resolve_device"]


def resolve_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Turn ``MODEL.DEVICE`` into a device that exists.

    Args:
        name: ``auto`` (CUDA, else MPS, else CPU), or a torch device: ``cuda``, ``cuda:1``, ``mps``, ``cpu``, ``meta``.
        local_rank: this process's number on its machine; a bare ``cuda`` or ``auto`` means ``cuda:<local_rank>``.

    Raises:
        ValueError: if the name is no device, or the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"MODEL.DEVICE is {name!r}, which is no device; use auto, cuda, cuda:N, mps or cpu") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index if device.index is not None else local_rank
        if index >= count:
            raise ValueError(
                f"MODEL.DEVICE is {name!r}, but this machine has {count} usable CUDA device(s); "
                "use MODEL.DEVICE auto or cpu, or mend the driver or CUDA_VISIBLE_DEVICES"
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(
            f"MODEL.DEVICE is {name!r}, but torch finds no Metal device here; use MODEL.DEVICE auto or cpu"
        )
    return device
