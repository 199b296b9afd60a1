"""What ``pip install`` delivers: built from the sdist, as an index would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fastreid

pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools 77, which the extra dev brings")

_ROOT = Path(__file__).parents[1]
_SOURCES = ("fastreid", "configs", "tools", "datasets", "docs", ".ci")
_RECIPES = sorted(path.relative_to(_ROOT / "configs").as_posix() for path in (_ROOT / "configs").rglob("*.yml"))
_PAGES = sorted(
    path.relative_to(_ROOT).as_posix()
    for path in (_ROOT / "fastreid" / "visualization" / "pages").rglob("*")
    if path.is_file()
)


def _build(kind: str, source: Path, target: Path) -> Path:
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return target / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist of this checkout, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "checkout"  # a copy: building writes beside the sources
    for name in _SOURCES:
        ignore = shutil.ignore_patterns("__pycache__")
        if name == "datasets":  # images may lie there
            (source / name).mkdir()
            shutil.copy(_ROOT / name / "README.md", source / name)
        else:
            shutil.copytree(_ROOT / name, source / name, ignore=ignore)
    for path in _ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    sdist = _build("sdist", source, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return sdist, _build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


def test_the_sdist_holds_what_it_takes_to_build_and_to_work(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "pyproject.toml",
        "setup.py",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        ".ci/run",
        ".ci/find_python",
    }
    wanted |= {f"configs/{name}" for name in _RECIPES} | {"tools/train_net.py", "datasets/README.md"}
    wanted |= {f"docs/images/{path.name}" for path in (_ROOT / "docs" / "images").iterdir()}
    assert wanted - names == set()


def test_the_wheel_holds_every_module_recipe_and_page_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "fastreid").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert names == modules | {f"fastreid/_configs/{name}" for name in _RECIPES} | set(_PAGES)
    for name in ("embed_map", "report"):
        assert f"fastreid/visualization/pages/{name}/index.html" in _PAGES


def test_an_installed_package_finds_its_recipes(built, tmp_path):
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import fastreid; from fastreid.config import get_cfg, get_config_file\n"
        "path = get_config_file('configs/Market1501/sbs_R50.yml'); cfg = get_cfg(); cfg.merge_from_file(path)\n"
        "print(fastreid.__version__, path, cfg.INPUT.SIZE_TRAIN, sep='|')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    version, path, size = run.stdout.strip().split("|")
    assert version == fastreid.__version__
    assert Path(path).is_relative_to(tmp_path / "site")
    assert size == "[384, 128]"


def test_the_version_is_the_packages(built):
    assert built[1].name == f"fastreid-{fastreid.__version__}-py3-none-any.whl"
