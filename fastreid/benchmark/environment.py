from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path

import torch
import torchvision

__all__ = ["environment"]


def environment() -> dict[str, str | int]:
    """Tell what the figures of this process stand on: versions, processor, threads, device."""
    library = importlib.import_module(__name__.removesuffix(".benchmark.environment"))
    cuda = torch.cuda.is_available()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "cpu": _cpu_name(),
        "fastreid": str(getattr(library, "__version__", "unknown")),
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "path": str(Path(library.__file__).resolve().parent),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
