from __future__ import annotations

import logging

import pytest
import torch

from fastreid.engine import amp
from fastreid.engine.amp import resolve_amp_dtype

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "dtype"),
    [(CPU, True, torch.bfloat16), (CPU, False, None), (CUDA, False, torch.float16), (MPS, True, None)],
)
def test_auto_is_what_the_device_is_fast_in(monkeypatch, caplog, device, has_bfloat16, dtype):
    monkeypatch.setattr(amp, "cpu_has_bfloat16", lambda: has_bfloat16)
    with caplog.at_level(logging.INFO):
        assert resolve_amp_dtype(True, "auto", device, key="TEST.AMP") is dtype
    line = f"TEST.AMP is on, but this {device.type} does not compute in half precision: staying in float32"
    assert caplog.messages == ([line] if dtype is None else [])


def test_off_is_off_and_a_named_type_is_taken():
    assert resolve_amp_dtype(False, "bfloat16", CPU) is None
    assert resolve_amp_dtype(True, "bfloat16", CPU) is torch.bfloat16
    assert resolve_amp_dtype(True, "float16", CUDA) is torch.float16


def test_a_type_that_will_not_do_is_an_error():
    with pytest.raises(ValueError, match=r"TEST\.AMP\.DTYPE must be auto, float16 or bfloat16, got 'half'"):
        resolve_amp_dtype(True, "half", CPU, key="TEST.AMP")
    with pytest.raises(ValueError, match=r"SOLVER\.AMP\.DTYPE is float16, which CPUs are too slow in"):
        resolve_amp_dtype(True, "float16", CPU)
