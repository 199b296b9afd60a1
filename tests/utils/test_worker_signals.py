from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from fastreid.utils.worker_signals import leave_signals_to_parent

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs sigwaitinfo: macOS has none")


def worker(connection):
    leave_signals_to_parent()
    connection.send("ready")
    time.sleep(60)


def send_from_elsewhere(pid, number):
    os.kill(pid, number)


def test_a_worker_ends_with_its_parents_signal_and_no_others():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=worker, args=(theirs,), daemon=True)
    process.start()
    try:
        assert ours.poll(60) and ours.recv() == "ready"
        for number in (signal.SIGTERM, signal.SIGINT):
            sender = context.Process(target=send_from_elsewhere, args=(process.pid, number))
            sender.start()
            sender.join()
        os.kill(process.pid, signal.SIGINT)
        process.join(0.3)
        assert process.is_alive()
        process.terminate()
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
