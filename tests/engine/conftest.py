from __future__ import annotations

import pytest

from .tiny import write_market


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("datasets"))
