"""Report what a run stands on: versions, devices, paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch
from tabulate import tabulate

__all__ = [
    "collect_env",
    "collect_env_info",
    "collect_torch_env",
    "detect_compute_compatibility",
    "get_env_module",
]

_ENV_MODULE = "FASTREID_ENV_MODULE"
# What the library uses, the required ones first.
_DISTRIBUTIONS = (
    "torchvision",
    "numpy",
    "yacs",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "faiss-cpu",
    "tabulate",
    "termcolor",
    "Pillow",
    "tensorboard",
)


def collect_env_info() -> str:
    """Return the report as text: a table, and the build settings of torch."""
    return f"{tabulate(collect_env().items(), tablefmt='plain', disable_numparse=True)}\n{collect_torch_env()}"


def collect_env() -> dict[str, str]:
    """Return the table of the report: versions, devices and settings by name."""
    return dict([*_software(), *_hardware(), *_environment()])


def collect_torch_env() -> str:
    """Return the settings that torch was built with."""
    return torch.__config__.show()


def get_env_module() -> tuple[str, str]:
    """Return the name and the value of the environment variable that names the user's set-up module."""
    return _ENV_MODULE, os.environ.get(_ENV_MODULE, "<not set>")


def detect_compute_compatibility(CUDA_HOME: str, so_file: str) -> str:
    """Return the GPU architectures that a compiled extension holds code for.

    Args:
        CUDA_HOME: the CUDA toolkit, whose ``bin/cuobjdump`` is asked.
        so_file: the shared library.

    Returns:
        Such as ``"7.5, 8.0"``; the path of the file and the reason if it cannot be told.
    """
    tool = Path(CUDA_HOME) / "bin" / "cuobjdump"
    try:
        listing = subprocess.run([str(tool), "--list-elf", so_file], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{so_file}; cannot tell: {error}"
    found = sorted({int(number) for number in re.findall(r"sm_(\d+)", listing)})
    return ", ".join(f"{number // 10}.{number % 10}" for number in found) or f"{so_file}; no GPU code in it"


def _software() -> list[tuple[str, str]]:
    package = __name__.split(".utils.")[0]
    root = sys.modules.get(package)
    rows = [
        ("platform", platform.platform()),
        ("Python", sys.version.replace("\n", "")),
        ("fastreid", f"{getattr(root, '__version__', '<unknown>')} @ {Path(__file__).parents[1]}"),
        ("torch", f"{torch.__version__} @ {Path(torch.__file__).parent}"),
        ("torch debug build", str(torch.version.debug)),
    ]
    for name in _DISTRIBUTIONS:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "<not installed>"))
    return rows


def _hardware() -> list[tuple[str, str]]:
    cpu = platform.processor() or platform.machine()
    rows = [("CPU", f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch")]
    rows.append(("CUDA available", str(torch.cuda.is_available())))
    if torch.cuda.is_available():
        devices: dict[str, list[str]] = {}
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            text = f"{facts.name} (capability {facts.major}.{facts.minor}, {facts.total_memory / 2**30:.1f} GiB)"
            devices.setdefault(text, []).append(str(index))
        rows += [(f"GPU {','.join(indices)}", text) for text, indices in devices.items()]
        rows.append(("CUDA of torch", str(torch.version.cuda)))
        rows.append(("cuDNN", str(torch.backends.cudnn.version())))
    rows.append(("MPS available", str(torch.backends.mps.is_available())))
    return rows


def _environment() -> list[tuple[str, str]]:
    names = ("FASTREID_DATASETS", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    return [get_env_module(), *((name, os.environ.get(name, "<not set>")) for name in names)]
