"""Fixtures of pictures and pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium for all tests of a module; they are skipped where there is none."""
    with chromium() as running:
        yield running
