"""Random states: seed a run, save and restore its streams, and the stream of one training item."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import importlib.util
import logging
import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = [
    "get_random_state",
    "keep_freed_memory",
    "random_stream",
    "seed_all_rng",
    "set_random_state",
    "setup_custom_environment",
    "setup_environment",
]

logger = logging.getLogger(__name__)


def seed_all_rng(seed: int | None = None) -> int:
    """Seed the global streams of Python, numpy and torch (all devices).

    Args:
        seed: ``None`` or a negative number draws one from the operating system and logs it.

    Returns:
        The seed that was used, in [0, 2**32).
    """
    if seed is None or seed < 0:
        seed = int.from_bytes(os.urandom(4), "little") % (2**31)
        logger.info("Using a generated random seed %d", seed)
    seed %= 2**32
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def get_random_state() -> dict[str, Any]:
    """Return the global streams' states as tensors and plain numbers, which a checkpoint can hold."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached_gaussian": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`get_random_state` returned; a CUDA state is left out on a machine without CUDA."""
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    array = state["numpy"]
    keys = array["keys"].numpy().astype(np.uint32)
    np.random.set_state((array["name"], keys, array["position"], array["has_gauss"], array["cached_gaussian"]))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def random_stream(seed: int, position: int, *, restore: bool = True) -> Iterator[None]:
    """Make everything random inside the block a function of ``(seed, position)`` alone.

    The global CPU streams of Python, numpy and torch are seeded on entry and put back on exit, so that
    neither the order of calls nor the worker that makes them matters. Costs about 0.15 ms, nearly all of it for
    putting back numpy's.

    Args:
        seed: seed of the run, at least 0.
        position: place in the stream of samples, at least 0.
        restore: put the streams back; without it, 0.02 ms.

    Example:
        >>> with random_stream(7, 42):
        ...     first = random.random()
        >>> with random_stream(7, 42):
        ...     first == random.random()
        True
    """
    saved = (random.getstate(), np.random.get_state(), torch.get_rng_state()) if restore else None
    # Three seeds that have nothing to do with each other, nor with those of the positions beside this one.
    digest = hashlib.blake2b(b"%d %d" % (seed, position), digest_size=20).digest()
    for_python, for_numpy, for_torch = struct.unpack("<QIQ", digest)
    random.seed(for_python)
    np.random.seed(for_numpy)
    # The CPU stream alone: torch.manual_seed would also touch every CUDA device, from a worker process too.
    torch.default_generator.manual_seed(for_torch)
    try:
        yield
    finally:
        if saved is not None:
            random.setstate(saved[0])
            np.random.set_state(saved[1])
            torch.set_rng_state(saved[2])


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones, instead of giving it back to the system.

    Getting the memory of large tensors anew for every batch, page by page, can cost a CPU as much as the batch itself.
    Afterwards the process holds its highest use until it ends. It cannot be taken back.

    Returns:
        Whether it could be done: only the C library of most Linux systems, glibc, can.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; another kind of system
        done = False
    else:
        done = bool(mallopt(trim_threshold, 2**31 - 1) and mallopt(mmap_threshold, 2**30))
    logger.info("KEEP_FREED_MEMORY is on%s", "" if done else ", but only glibc can do that: without effect")
    return done


def setup_environment() -> None:
    """Run the user's ``setup_environment()`` of the file or module named in ``$FASTREID_ENV_MODULE``, if it is set."""
    module = os.environ.get("FASTREID_ENV_MODULE")
    if module:
        setup_custom_environment(module)


def setup_custom_environment(custom_module: str) -> None:
    """Import ``custom_module`` (a ``.py`` file or a module name) and call its ``setup_environment()``.

    Raises:
        ValueError: if it defines no such function.
    """
    if custom_module.endswith(".py"):
        spec = importlib.util.spec_from_file_location("fastreid_env_module", custom_module)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(custom_module)
    setup = getattr(module, "setup_environment", None)
    if not callable(setup):
        raise ValueError(
            f"FASTREID_ENV_MODULE {custom_module!r} defines no setup_environment(); add that function to it"
        )
    setup()
