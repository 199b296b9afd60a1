"""Start the processes of a run."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.elastic.multiprocessing.errors import record

from ..utils import comm
from .stopped import RunStopped
from .supervise import reporting, supervise

__all__ = ["launch"]

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 1800.0
"""Seconds that a process waits for a message of another one before it gives up."""


def launch(
    main_func: Callable[..., Any],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple[Any, ...] = (),
    *,
    device: str = "auto",
    timeout: float = DEFAULT_TIMEOUT,
) -> Any:
    """Run ``main_func(*args)`` in as many processes as there are devices to train on.

    Under torchrun (it sets ``RANK`` and ``WORLD_SIZE``) this process is one of them already, and
    the numbers given here do not count. One process in all runs here, without any process group.

    Args:
        main_func: a function that can be pickled (defined at the top of a module).
        num_gpus_per_machine: processes on this machine.
        num_machines: machines of the run.
        machine_rank: this machine's number, from 0.
        dist_url: ``tcp://host:port`` of machine 0; ``None`` or ``auto``: a free port, on a single machine.
        args: passed on to ``main_func``.
        device: what the run trains on, as ``MODEL.DEVICE`` says. CUDA talks through NCCL, anything else through gloo.
        timeout: seconds that a process waits for a message of another one before it gives up, > 0. A process that dies
            is noticed within seconds on its own machine whatever this says; it bounds the wait for the other machines.

    Returns:
        What ``main_func`` returns, when it runs in this process; otherwise ``None``.

    Raises:
        ValueError: if there are fewer GPUs than processes, several machines have no ``dist_url``, there is no such
            machine, or ``timeout`` is not positive.
        RankFailed: if one of several processes failed or died; the others are ended with it.
        RunStopped: if a signal stopped the run and it can go on; so the exit code is 75.
    """
    if timeout <= 0:
        raise ValueError(f"--dist-timeout must be more than 0 seconds, got {timeout}")
    limit = timedelta(seconds=timeout)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _run_under_torchrun(main_func, args, device, limit)
    if num_gpus_per_machine < 1 or num_machines < 1:
        raise ValueError(
            f"--num-gpus and --num-machines must be at least 1, got {num_gpus_per_machine} and {num_machines}"
        )
    if not 0 <= machine_rank < num_machines:
        raise ValueError(f"--machine-rank must be in 0..{num_machines - 1} (--num-machines - 1), got {machine_rank}")
    use_cuda = _trains_on_cuda(device)
    if use_cuda and num_gpus_per_machine > torch.cuda.device_count():
        raise ValueError(
            f"--num-gpus is {num_gpus_per_machine}, but this machine has {torch.cuda.device_count()}; "
            "ask for fewer, or set MODEL.DEVICE cpu for processes without GPUs"
        )
    world_size = num_machines * num_gpus_per_machine
    if world_size == 1:
        return main_func(*args)
    if not use_cuda:
        logger.warning(
            "%d processes without GPUs (MODEL.DEVICE %s), talking through gloo", num_gpus_per_machine, device
        )
    if dist_url in (None, "", "auto"):
        if num_machines > 1:
            raise ValueError("--dist-url must be tcp://host:port of machine 0 when --num-machines is more than 1")
        dist_url = f"tcp://127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory(prefix="fastreid-launch-") as reports:
        context = mp.start_processes(
            _run_process,
            args=(main_func, args, world_size, num_gpus_per_machine, machine_rank, dist_url, use_cuda, limit, reports),
            nprocs=num_gpus_per_machine,
            join=False,
            start_method="spawn",
        )
        first = machine_rank * num_gpus_per_machine
        supervise({first + number: process for number, process in enumerate(context.processes)}, reports)
    return None


def _trains_on_cuda(device: str) -> bool:
    if device == "auto":
        return torch.cuda.is_available()
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"MODEL.DEVICE is {device!r}, but torch finds no CUDA device here; use MODEL.DEVICE auto or cpu"
        )
    return device.startswith("cuda")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _run_process(
    local_rank: int,
    main_func: Callable[..., Any],
    args: tuple[Any, ...],
    world_size: int,
    local_size: int,
    machine_rank: int,
    dist_url: str,
    use_cuda: bool,
    limit: timedelta,
    reports: str,
) -> None:
    os.environ["LOCAL_RANK"], os.environ["LOCAL_WORLD_SIZE"] = str(local_rank), str(local_size)
    rank = machine_rank * local_size + local_rank
    with reporting(rank, reports):
        _join(local_rank, local_size, use_cuda, limit, init_method=dist_url, world_size=world_size, rank=rank)
        try:
            main_func(*args)
        except RunStopped:
            _leave()
            raise
        _leave()


def _run_under_torchrun(main_func: Callable[..., Any], args: tuple[Any, ...], device: str, limit: timedelta) -> Any:
    use_cuda = _trains_on_cuda(device)
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if use_cuda and local_size > torch.cuda.device_count():
        raise ValueError(
            f"torchrun started {local_size} processes here, but this machine has {torch.cuda.device_count()} GPUs; "
            "lower --nproc-per-node, or set MODEL.DEVICE cpu"
        )
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if restarts != "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        logger.warning(
            "Restart %s uses the store of the processes that died, and may find their addresses there; if connections "
            "are refused, export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun",
            restarts,
        )
    _join(local_rank, local_size, use_cuda, limit)
    try:
        result = record(main_func)(*args)  # torchrun's report at the end shows the error that came first
    except RunStopped:
        _leave()
        raise
    _leave()
    return result


def _join(local_rank: int, local_size: int, use_cuda: bool, limit: timedelta, **where: Any) -> None:
    """Join the process group; share the cores fairly when the processes compute on the CPU."""
    if use_cuda:
        torch.cuda.set_device(local_rank)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local_size))
    dist.init_process_group("nccl" if use_cuda else "gloo", timeout=limit, **where)


def _leave() -> None:
    """Leave the process group when all ranks are done; after an error nobody waits, the process just ends."""
    comm.synchronize()
    if dist.get_backend() == "gloo":
        # Its threads take the interpreter's lock to free the tensors of the last messages. The destructor holds that
        # lock while it waits for them (seen with torch 2.5), so they must have come to an end before.
        time.sleep(0.5)
    dist.destroy_process_group()
