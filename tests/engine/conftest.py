from __future__ import annotations

import signal

import pytest

from fastreid.engine.stop_signals import SIGNALS

from .tiny import write_market


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(autouse=True)
def _signals_are_put_back():
    """Where a signal stopped a run, its handlers stay for two seconds, and what is forked has them too."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
