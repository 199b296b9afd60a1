"""Find the files of runs that are to be drawn, and names for a legend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["find_runs"]


def find_runs(
    paths: Sequence[str | os.PathLike[str]], file_name: str, names: Sequence[str] | None = None
) -> list[tuple[str, Path]]:
    """Return a name and a file for each run.

    Args:
        paths: folders, which have the file, or files.
        file_name: of the file in a folder; the folder names a file that is called so, others name themselves.
        names: instead of those of the folders or files, which have as many of the folders above as it takes to tell
            them apart.

    Raises:
        ValueError: if there is no path, one is named twice, or there are more or fewer names than paths, or equal ones.
    """
    if not paths:
        raise ValueError("no run was named; name at least one OUTPUT_DIR")
    files = [Path(path, file_name) if Path(path).is_dir() else Path(path) for path in paths]
    real = [file.resolve() for file in files]
    if len(set(real)) < len(real):
        raise ValueError(f"a run is named twice: {', '.join(map(str, paths))}; name each once")
    if names is None:
        names = _names([file.parent if file.name == file_name else file for file in real])
    elif len(names) != len(files) or len(set(names)) != len(names):
        raise ValueError(f"--names must be {len(files)} different names, one for each run, got {', '.join(names)}")
    return list(zip(names, files))


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that differ from each other."""
    deepest = max(len(path.parts) for path in paths)
    for count in range(1, deepest + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
