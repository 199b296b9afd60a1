"""The names, parameters and defaults that callers of FastReID v1.3 rely on.

``api_v13.json`` lists them by module: ``now`` is there and equal; ``later`` is not there yet. A name that arrives
moves from ``later`` to ``now``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

_API = json.loads((Path(__file__).parent / "api_v13.json").read_text())
_NOW = [(module, name, facts) for module, names in _API["now"].items() for name, facts in names.items()]
_LATER = [(module, name) for module, names in _API["later"].items() for name in names]
# v1.3's object -> what it says about its replacement
_GONE = {
    ("fastreid.data.data_utils", "DataLoaderX"): "torch.utils.data.DataLoader",
    ("fastreid.data.data_utils", "BackgroundGenerator"): "torch.utils.data.DataLoader",
    ("fastreid.utils.params", "ContiguousParams"): "build_optimizer",
    ("fastreid.utils.summary", "summary"): "torchinfo",
    ("fastreid.utils.faiss_utils", "search_index_pytorch"): "faiss",
}


def _fetch(module: str, name: str) -> Any:
    """Do what ``from module import name`` does."""
    owner = importlib.import_module(module)
    if hasattr(owner, name):
        return getattr(owner, name)
    return importlib.import_module(f"{module}.{name}")


def _parameters(signature: str) -> list[tuple[str, str, Any]]:
    """Return (name, kind, default) of the parameters in a text such as ``(a, b=1, *, c)``."""
    args = ast.parse(f"def f{signature}: ...").body[0].args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    found = [(arg.arg, "positional", _value(default)) for arg, default in zip(positional, defaults)]
    if args.vararg:
        found.append((args.vararg.arg, "*", _value(None)))
    found += [(arg.arg, "keyword", _value(default)) for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    if args.kwarg:
        found.append((args.kwarg.arg, "**", _value(None)))
    return found


def _value(node: ast.expr | None) -> Any:
    return inspect.Parameter.empty if node is None else ast.literal_eval(node)


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def _our_parameters(thing: Any) -> list[tuple[str, str, Any]]:
    parameters = inspect.signature(thing).parameters.values()
    return [(parameter.name, _KINDS[parameter.kind], parameter.default) for parameter in parameters]


def _fits(theirs: list[tuple[str, str, Any]], ours: list[tuple[str, str, Any]]) -> bool:
    """Tell whether every call that v1.3 understood means the same here.

    Parameters keep name, kind, order and default; one that had to be given may have got a default; new ones have one,
    or collect what is left.
    """
    required = inspect.Parameter.empty
    by_kind = {kind: [parameter for parameter in ours if parameter[1] == kind] for kind in _KINDS.values()}
    for kind in ("positional", "*", "keyword", "**"):
        wanted = [parameter for parameter in theirs if parameter[1] == kind]
        names = [parameter[0] for parameter in wanted]
        if kind == "positional":
            found, new = by_kind[kind][: len(wanted)], by_kind[kind][len(wanted) :]
        else:
            found = [parameter for parameter in by_kind[kind] if parameter[0] in names]
            new = [parameter for parameter in by_kind[kind] if parameter[0] not in names]
        if [parameter[0] for parameter in found] != names:
            return False
        if any(old[2] is not required and old[2] != ours_[2] for old, ours_ in zip(wanted, found)):
            return False
        if kind in ("positional", "keyword") and any(parameter[2] is required for parameter in new):
            return False
    return True


@pytest.mark.parametrize(("module", "name", "facts"), _NOW, ids=[f"{module}.{name}" for module, name, _ in _NOW])
def test_name_imports_with_its_parameters_and_members(module, name, facts):
    thing = _fetch(module, name)
    if "signature" in facts:
        # a class with from_config is called with what that takes, or with explicit arguments
        ours = [_our_parameters(way) for way in (thing, getattr(thing, "from_config", None)) if way is not None]
        assert any(_fits(_parameters(facts["signature"]), way) for way in ours), f"{facts['signature']} became {ours}"
    for member in facts.get("members", ()):
        # a member is of the class, or set by its own code
        set_by_code = isinstance(thing, type) and any(
            re.search(rf"\bself\.{member}\b.*=", inspect.getsource(base))
            for base in thing.__mro__
            if base.__module__.startswith("fastreid.")
        )
        assert hasattr(thing, member) or set_by_code, f"{name} has no {member}"


@pytest.mark.parametrize(("module", "name"), _LATER)
def test_what_is_called_later_is_not_there_yet(module, name):
    with pytest.raises((ImportError, AttributeError)):
        _fetch(module, name)


@pytest.mark.parametrize(("module", "name"), _GONE)
def test_what_is_gone_names_its_replacement(module, name):
    with pytest.raises(ImportError, match=re.escape(_GONE[module, name])):
        getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("ours", "fits"),
    [
        ("(a, b=1, *, c='x', **kw)", True),
        ("(a=0, b=1, *, c='x', **kw)", True),  # may be left out now
        ("(a, b=1, new=2, *, other=3, c='x', **kw)", True),
        ("(a, d=1, *, c='x', **kw)", False),
        ("(b=1, a=0, *, c='x', **kw)", False),
        ("(a, b=2, *, c='x', **kw)", False),
        ("(a, b, *, c='x', **kw)", False),
        ("(a, b=1, *, c='y', **kw)", False),
        ("(a, b=1, *, c='x')", False),
        ("(a, b=1, *, must, c='x', **kw)", False),
        ("(a, *, b=1, c='x', **kw)", False),
    ],
)
def test_the_comparison_notices_a_difference(ours, fits):
    namespace: dict[str, Any] = {}
    exec(f"def function{ours}: ...", namespace)
    assert _our_parameters(namespace["function"]) == _parameters(ours)
    assert _fits(_parameters("(a, b=1, *, c='x', **kw)"), _parameters(ours)) is fits


@pytest.mark.parametrize("name", ["triplet_loss", "focal_loss"])
def test_losses_give_the_function_or_the_module_as_v13_did(name):
    losses = importlib.import_module("fastreid.modeling.losses")
    module = importlib.import_module(f"fastreid.modeling.losses.{name}")
    assert inspect.isfunction(getattr(losses, name))
    assert getattr(module, name) is getattr(losses, name)
