"""Who may import whom, what an import costs, and the package under another name."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastreid

_PACKAGE = Path(fastreid.__file__).parent

# A room imports itself and lower floors; rooms of one floor do not know each other.
_FLOORS = {
    "utils": 0,
    "config": 1,
    "layers": 2,
    "data": 2,
    "modeling": 3,
    "solver": 3,
    "evaluation": 3,
    "engine": 4,
    "visualization": 5,
    "export": 5,
    "gallery": 5,
    "benchmark": 5,
}

# Addresses where something was in FastReID v1.3: at most ten lines that re-export it; the library uses none.
_OLD_ADDRESSES = {
    "engine/train_loop.py",
    "modeling/losses/cross_entroy_loss.py",
    "utils/compute_dist.py",
    "utils/precision_bn.py",
    "utils/visualizer.py",
    "utils/weight_init.py",
}

# Imported inside the function that needs them, never when a module is loaded.
_NOT_AT_IMPORT_TIME = {
    "faiss",
    "h5py",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "optuna",
    "playwright",
    "safetensors",
    "scipy",
    "sklearn",
    "tensorboard",
    "timm",
    "umap",
}

_FILES = sorted(path for path in _PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
_EACH_FILE = pytest.mark.parametrize("path", _FILES, ids=[path.relative_to(_PACKAGE).as_posix() for path in _FILES])


def _module_name(path: Path) -> str:
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_MODULES = {_module_name(path): path for path in _FILES}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _at_load_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is loaded: all but bodies of functions and ``if TYPE_CHECKING``."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))


def _targets(path: Path, node: ast.AST) -> list[str]:
    """Return the full names of the modules that an import statement loads; nothing for other nodes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = _module_name(path).split(".")
        if path.name != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        base = ".".join([*package, base] if base else package)
    # `from .x import y` loads the module y if there is one, and x alone if y is a name in it
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in _MODULES else base for name in names]


def _all_targets(path: Path) -> set[str]:
    return {name for node in ast.walk(_tree(path)) for name in _targets(path, node)}


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "fastreid" and len(parts) > 1 else None


@_EACH_FILE
def test_a_room_imports_only_rooms_before_it(path):
    if path.relative_to(_PACKAGE).as_posix() in _OLD_ADDRESSES:
        return  # they point to wherever the thing lives now, and nothing in the library points to them
    own = _room(_module_name(path))
    if own is None:
        assert not any(target.startswith("fastreid.") for target in _all_targets(path)), "fastreid/__init__.py is light"
        return
    for target in sorted(_all_targets(path)):
        other = _room(target)
        if other is not None and other != own:
            assert _FLOORS[other] < _FLOORS[own], f"{own} imports {target}"


@_EACH_FILE
def test_imports_are_relative_and_name_what_they_take(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"star import in line {node.lineno}"
            assert node.level or node.module.split(".")[0] != "fastreid", f"absolute import in line {node.lineno}"
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "fastreid" for alias in node.names), f"line {node.lineno}"


@_EACH_FILE
def test_optional_and_heavy_packages_are_imported_where_they_are_used(path):
    loaded = {target.split(".")[0] for node in _at_load_time(_tree(path)) for target in _targets(path, node)}
    assert not loaded & _NOT_AT_IMPORT_TIME


@_EACH_FILE
def test_a_public_module_says_literally_what_is_public(path):
    if path.name.startswith("_") and path.name != "__init__.py":
        return
    values = [
        node.value
        for node in _tree(path).body
        if (isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"])
        or (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "__all__")
    ]
    assert len(values) == 1, "one __all__ is needed"
    names = ast.literal_eval(values[0])
    assert len(set(names)) == len(names)
    module = importlib.import_module(_module_name(path))
    assert [name for name in names if not hasattr(module, name)] == []


def test_old_addresses_are_short_and_unused():
    for name in sorted(_OLD_ADDRESSES):
        path = _PACKAGE / name
        assert len(path.read_text().splitlines()) <= 10, name
        kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)  # docstring, imports, __all__
        assert all(isinstance(node, kinds) for node in _tree(path).body), name
        users = [other for other in _FILES if _module_name(path) in _all_targets(other)]
        assert users == [], name


def test_no_module_imports_itself_in_a_circle():
    graph = {
        module: {
            target
            for node in _at_load_time(_tree(path))
            for target in _targets(path, node)
            if target in _MODULES and target != module
        }
        for module, path in _MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, [*way, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])


def _run(code: str, **kwargs) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, **kwargs).stdout


def test_importing_the_engine_loads_nothing_that_training_may_not_need():
    code = "import json, sys, fastreid.engine; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = set(json.loads(_run(code)))
    assert "torch" in loaded
    assert not loaded & _NOT_AT_IMPORT_TIME


def test_importing_the_package_loads_nothing():
    assert json.loads(_run("import json, sys, fastreid; print(json.dumps('torch' in sys.modules))")) is False


def test_importing_the_engine_adds_only_small_packages_to_torch_and_torchvision():
    """So that it is hardly slower: what could take long is imported where it is used."""

    def packages(modules: str) -> set[str]:
        code = f"import json, sys, {modules}; print(json.dumps(sorted(sys.modules)))"
        names = {name.split(".")[0] for name in json.loads(_run(code))} - sys.stdlib_module_names
        return {name for name in names if not name.startswith("_")}  # halves of others in C

    added = packages("fastreid.engine") - packages("torch, torchvision")
    assert "fastreid" in added
    assert added <= {"fastreid", "tabulate", "termcolor", "yacs", "yaml", "wcwidth"}


def test_the_package_works_under_another_name(tmp_path):
    """Trackers vendor it as ``fast_reid.fastreid``."""
    vendor = tmp_path / "fast_reid"
    vendor.mkdir()
    (vendor / "__init__.py").touch()
    shutil.copytree(_PACKAGE, vendor / "fastreid", ignore=shutil.ignore_patterns("__pycache__"))
    names = [f"fast_reid.{module}" for module in _MODULES]
    code = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] == 'fastreid']))"
    )
    assert json.loads(_run(code, cwd=tmp_path)) == []
