from __future__ import annotations

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from fastreid.utils.env import (
    get_random_state,
    keep_freed_memory,
    random_stream,
    seed_all_rng,
    set_random_state,
    setup_environment,
)


def draw():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item(), random.gauss(0, 1)


def test_the_same_seed_gives_the_same_streams():
    assert seed_all_rng(5) == 5
    first = draw()
    seed_all_rng(5)
    assert draw() == first


def test_without_a_seed_one_is_drawn_and_said(caplog):
    caplog.set_level("INFO")
    seed = seed_all_rng(None)
    assert f"Using a generated random seed {seed}" in caplog.text
    first = draw()
    seed_all_rng(seed)
    assert draw() == first


def test_a_state_is_restored_also_through_a_file(tmp_path):
    seed_all_rng(1)
    draw()  # leaves half-used Gaussian pairs behind
    torch.save(get_random_state(), tmp_path / "state.pth")
    expected = draw()
    seed_all_rng(2)
    set_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
    assert draw() == expected


def test_a_stream_depends_on_seed_and_position_alone():
    def at(seed, position):
        with random_stream(seed, position):
            return draw()

    draw()
    assert at(1, 2) == at(1, 2)
    assert len({at(1, 2), at(2, 1), at(1, 3), at(0, 2)}) == 4


def test_a_stream_that_is_not_put_back_is_the_same():
    with random_stream(1, 2):
        expected = draw()
    with random_stream(1, 2, restore=False):
        assert draw() == expected


def test_a_stream_puts_back_what_was_there_also_after_an_error():
    seed_all_rng(3)
    expected = draw()
    seed_all_rng(3)
    with pytest.raises(ZeroDivisionError), random_stream(9, 9):
        draw()
        raise ZeroDivisionError
    assert draw() == expected


def test_the_environment_module_of_the_user_is_run(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import os\ndef setup_environment():\n    os.environ['MINE_RAN'] = '1'\n")
    monkeypatch.setenv("FASTREID_ENV_MODULE", str(tmp_path / "mine.py"))
    monkeypatch.setenv("MINE_RAN", "0")
    setup_environment()
    import os

    assert os.environ["MINE_RAN"] == "1"
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"defines no setup_environment\(\)"):
        setup_environment()


def test_kept_memory_is_not_fetched_from_the_system_again():
    """In a process of its own: it cannot be taken back."""
    script = """
import resource, torch
from fastreid.utils.env import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        x = torch.ones(10 * 2**20)  # 40 MiB, 10240 pages
        x = x + 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
fresh = faults()
done = keep_freed_memory()
faults()
print(done, fresh, faults())
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    if out[0] == "False":
        pytest.skip("needs glibc")
    fresh, kept = map(int, out[1:])
    assert kept < fresh / 10


def test_a_system_that_cannot_keep_memory_is_said(monkeypatch, caplog):
    keep_freed_memory.cache_clear()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with caplog.at_level(logging.INFO):
        assert keep_freed_memory() is False
    assert "only glibc can do that" in caplog.text
    keep_freed_memory.cache_clear()
