"""Find the recipes that are shipped with the library."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["get_config_file"]

_PACKAGE = Path(__file__).resolve().parent.parent


def _shipped_configs() -> Path:
    """Return the folder of the recipes: inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "_configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def get_config_file(name: str) -> str:
    """Return the path of a config: an existing file as it is, else the shipped recipe of that name.

    Args:
        name: a path, or a name below ``configs/`` such as ``Market1501/bagtricks_R50.yml``, ``configs/`` may lead it.

    Raises:
        FileNotFoundError: if there is neither; the message names both places and the nearest recipe.

    Example:
        >>> get_config_file("Market1501/bagtricks_R50.yml").endswith("bagtricks_R50.yml")
        True
    """
    path = Path(name).expanduser()
    if path.is_file():
        return str(path)
    folder = _shipped_configs()
    relative = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    if not relative.is_absolute() and (folder / relative).is_file():
        return str(folder / relative)
    shipped = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.yml"))
    close = difflib.get_close_matches(relative.as_posix(), shipped, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise FileNotFoundError(f"no config file {name!r}: neither {path.absolute()} nor a shipped one in {folder}.{hint}")
