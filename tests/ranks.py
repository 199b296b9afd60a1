"""Run a function in several gloo processes, and end them all if one hangs."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# One process imports the library, and every rank of every test is forked from it.
multiprocessing.set_forkserver_preload(["fastreid.engine"])


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _join_and_run(rank, function, world, port, folder, args):
    torch.set_num_threads(1)
    os.environ.update(LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(world))
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world, timeout=timedelta(seconds=60))
    torch.save(function(rank, *args), Path(folder) / f"{world}.{rank}.pth")
    dist.barrier()
    time.sleep(0.5)  # gloo's threads must have come to an end, see engine/launch.py
    dist.destroy_process_group()


def run_ranks(function, world, folder, *args, timeout=240):
    """Call ``function(rank, *args)`` in ``world`` processes; return what each returns, tensors and plain values."""
    context = mp.start_processes(
        _join_and_run,
        (function, world, free_port(), str(folder), args),
        nprocs=world,
        join=False,
        start_method="forkserver",
    )
    end = time.monotonic() + timeout
    try:
        while not context.join(timeout=5):
            if time.monotonic() > end:
                raise TimeoutError(f"{function.__name__} hangs on {world} ranks")
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
    return [torch.load(Path(folder) / f"{world}.{rank}.pth", weights_only=True) for rank in range(world)]
