"""Which half-precision type a machine should compute with."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

__all__ = ["cpu_has_bfloat16", "resolve_amp_dtype"]

logger = logging.getLogger(__name__)

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, arm


def resolve_amp_dtype(enabled: bool, name: str, device: torch.device, *, key: str = "SOLVER.AMP") -> torch.dtype | None:
    """Turn ``SOLVER.AMP`` or ``TEST.AMP`` into a dtype, or ``None`` for full precision.

    Args:
        enabled: ``ENABLED`` of that node.
        name: its ``DTYPE``: ``auto`` (float16 on CUDA, bfloat16 on CPUs that compute in it, otherwise off,
            with a line that says so), ``float16`` or ``bfloat16``.
        device: where the model is.
        key: of the node, for messages.

    Raises:
        ValueError: if the name is unknown, or float16 is wanted on a CPU.
    """
    if not enabled:
        return None
    if name != "auto":
        if name not in _DTYPES:
            raise ValueError(f"{key}.DTYPE must be auto, float16 or bfloat16, got {name!r}")
        if name == "float16" and device.type == "cpu":
            raise ValueError(f"{key}.DTYPE is float16, which CPUs are too slow in; use auto or bfloat16")
        return _DTYPES[name]
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    logger.info("%s is on, but this %s does not compute in half precision: staying in float32", key, device.type)
    return None


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor computes in bfloat16 itself; without that, autocast is slower than float32."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return False
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(_CPU_FLAGS & set(flags.split()))
