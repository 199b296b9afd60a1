"""Import a user's own code, so that what it registers can be named in a config."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["import_custom_modules"]


def import_custom_modules(names: Iterable[str]) -> None:
    """Import files and modules; one that was imported before is left alone.

    The folder of a file is appended to ``sys.path`` and the file imported under its own name, so that worker
    processes find the classes in it again.

    Args:
        names: ``CUSTOM_IMPORTS``: paths ending in ``.py``, or names of modules.

    Raises:
        FileNotFoundError: if a file is missing.
        ImportError: if a module cannot be imported, or a file has the name of another module.
    """
    for name in names:
        if name.endswith(".py"):
            _import_file(os.path.abspath(os.path.expanduser(name)))
        else:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                raise ImportError(
                    f"CUSTOM_IMPORTS names the module {name!r}, which cannot be imported ({error}); "
                    "install it, put its folder into PYTHONPATH, or name a .py file"
                ) from error


def _import_file(path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"CUSTOM_IMPORTS names {path}, which does not exist; a file is looked for beside the config that names it"
        )
    if any(_file_of(module) == os.path.realpath(path) for module in list(sys.modules.values())):
        return  # also if it came in under another name, as a part of a package or as the running script
    folder, stem = os.path.dirname(path), os.path.basename(path).removesuffix(".py")
    if folder not in sys.path:
        sys.path.append(folder)
    module = importlib.import_module(stem)
    if _file_of(module) != os.path.realpath(path):
        raise ImportError(
            f"CUSTOM_IMPORTS names {path}, but a module called {stem!r} exists already ({_file_of(module)}); "
            "give the file another name"
        )


def _file_of(module: Any) -> str:
    return os.path.realpath(getattr(module, "__file__", None) or "")
