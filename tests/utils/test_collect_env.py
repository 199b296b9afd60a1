from __future__ import annotations

import importlib.metadata
import os
import platform
import re

import pytest
import torch

import fastreid
from fastreid.utils import collect_env
from fastreid.utils.collect_env import (
    collect_env_info,
    collect_torch_env,
    detect_compute_compatibility,
    get_env_module,
)


def _rows() -> dict[str, str]:
    table = collect_env_info().split(collect_torch_env())[0]
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in table.splitlines())


def test_report_states_the_facts():
    rows = _rows()
    assert rows["fastreid"].startswith(f"{fastreid.__version__} @ ")
    assert rows["torch"].startswith(torch.__version__)
    assert rows["numpy"] == importlib.metadata.version("numpy")
    assert rows["Python"].startswith(platform.python_version())
    assert rows["CUDA available"] == str(torch.cuda.is_available())
    assert f"{os.cpu_count()} cores" in rows["CPU"]


def test_a_package_that_is_not_there_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(collect_env, "_DISTRIBUTIONS", ("no-such-package-for-fastreid",))
    assert "no-such-package-for-fastreid" in collect_env_info()
    assert "<not installed>" in collect_env_info()


def test_equal_gpus_share_a_row(monkeypatch):
    class Facts:
        name, major, minor, total_memory = "Toy GPU", 8, 6, 24 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Facts)
    assert "GPU 0,1" in collect_env_info()
    assert "Toy GPU (capability 8.6, 24.0 GiB)" in collect_env_info()


def test_env_module(monkeypatch):
    monkeypatch.delenv("FASTREID_ENV_MODULE", raising=False)
    assert get_env_module() == ("FASTREID_ENV_MODULE", "<not set>")
    monkeypatch.setenv("FASTREID_ENV_MODULE", "mine.py")
    assert get_env_module() == ("FASTREID_ENV_MODULE", "mine.py")


@pytest.mark.parametrize(
    ("listing", "found"),
    [("a.sm_80.cubin\nb.sm_75.cubin\nc.sm_80.cubin", "7.5, 8.0"), ("d.sm_120.cubin", "12.0"), ("", "no GPU code")],
)
def test_architectures_of_an_extension(tmp_path, listing, found):
    tool = tmp_path / "bin" / "cuobjdump"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{listing}\nEND\n")
    tool.chmod(0o755)
    assert found in detect_compute_compatibility(str(tmp_path), "lib.so")


def test_architectures_without_the_tool(tmp_path):
    assert detect_compute_compatibility(str(tmp_path), "lib.so").startswith("lib.so; cannot tell: ")
