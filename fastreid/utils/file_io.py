"""Open, list and move files by path; a path may also begin with a prefix that somebody registered a handler for."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

__all__ = ["NativePathHandler", "PathHandler", "PathManager", "get_cache_dir"]

logger = logging.getLogger(__name__)


def get_cache_dir(cache_dir: str | None = None) -> str:
    """Return a folder for downloads, made if it is not there.

    It is the first that is given of ``cache_dir``, ``$FVCORE_CACHE``, ``$XDG_CACHE_HOME/fastreid`` and
    ``~/.cache/fastreid``. Where it cannot be written to, a folder in the temporary directory is used, with a warning.
    """
    if cache_dir is None:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        cache_dir = os.environ.get("FVCORE_CACHE") or os.path.join(base, "fastreid")
    folder = Path(cache_dir).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if writable:
        return str(folder)
    fallback = Path(tempfile.gettempdir()) / "fastreid_cache"
    fallback.mkdir(exist_ok=True)
    logger.warning("Cannot write to the cache folder %s, use %s", folder, fallback)
    return str(fallback)


class PathHandler:
    """What a handler of one kind of path implements: the prefixes that it takes, and the operations that it can do.

    An operation that a subclass leaves out raises ``NotImplementedError``. Keyword arguments that an operation does
    not know are an error, or a warning after ``PathManager.set_strict_kwargs_checking(False)``.
    """

    _strict_kwargs_check = True

    def _check_kwargs(self, kwargs: dict[str, Any]) -> None:
        if not kwargs:
            return
        text = f"{type(self).__name__} does not know the arguments {sorted(kwargs)}; leave them out"
        if self._strict_kwargs_check:
            raise ValueError(text)
        logger.warning(text)

    def _missing(self, operation: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} cannot {operation}")

    def _get_supported_prefixes(self) -> list[str]:
        """Return the beginnings of the paths that this handler takes, such as ``["s3://"]``."""
        raise self._missing("name its prefixes")

    def _get_local_path(self, path: str, **kwargs: Any) -> str:
        """Return the path of a local file with the same content, fetched if need be."""
        raise self._missing("make a local copy")

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        raise self._missing("open files")

    def _copy(self, src_path: str, dst_path: str, overwrite: bool = False, **kwargs: Any) -> bool:
        raise self._missing("copy files")

    def _exists(self, path: str, **kwargs: Any) -> bool:
        raise self._missing("tell whether a path exists")

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        raise self._missing("tell whether a path is a file")

    def _isdir(self, path: str, **kwargs: Any) -> bool:
        raise self._missing("tell whether a path is a folder")

    def _ls(self, path: str, **kwargs: Any) -> list[str]:
        raise self._missing("list folders")

    def _mkdirs(self, path: str, **kwargs: Any) -> None:
        raise self._missing("make folders")

    def _rm(self, path: str, **kwargs: Any) -> None:
        raise self._missing("remove files")


class NativePathHandler(PathHandler):
    """Paths of the local file system; ``~`` is not expanded."""

    def _get_supported_prefixes(self) -> list[str]:
        return []  # it takes what nobody else takes

    def _get_local_path(self, path: str, **kwargs: Any) -> str:
        self._check_kwargs(kwargs)
        return os.fspath(path)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        options = {name: kwargs.pop(name) for name in ("encoding", "errors", "newline") if name in kwargs}
        self._check_kwargs(kwargs)
        return open(path, mode, buffering=buffering, **options)

    def _copy(self, src_path: str, dst_path: str, overwrite: bool = False, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        if os.path.exists(dst_path) and not overwrite:
            logger.error("Cannot copy %s: %s exists; pass overwrite=True to replace it", src_path, dst_path)
            return False
        shutil.copyfile(src_path, dst_path)
        return True

    def _exists(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return os.path.exists(path)

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return os.path.isfile(path)

    def _isdir(self, path: str, **kwargs: Any) -> bool:
        self._check_kwargs(kwargs)
        return os.path.isdir(path)

    def _ls(self, path: str, **kwargs: Any) -> list[str]:
        self._check_kwargs(kwargs)
        return sorted(os.listdir(path))

    def _mkdirs(self, path: str, **kwargs: Any) -> None:
        self._check_kwargs(kwargs)
        os.makedirs(path, exist_ok=True)

    def _rm(self, path: str, **kwargs: Any) -> None:
        self._check_kwargs(kwargs)
        os.remove(path)


class PathManager:
    """Hand each path to its handler: the registered one with the longest fitting prefix, else the local disk.

    It is used as it stands, ``PathManager.open(path)``; there is nothing to construct.
    """

    _handlers: dict[str, PathHandler] = {}
    _native: PathHandler = NativePathHandler()

    @classmethod
    def register_handler(cls, handler: PathHandler) -> None:
        """Let ``handler`` take the paths that begin with one of its prefixes.

        Raises:
            TypeError: if it is no :class:`PathHandler`.
            KeyError: if a prefix is taken.
        """
        if not isinstance(handler, PathHandler):
            raise TypeError(f"a handler must be a PathHandler, got {type(handler).__name__}")
        prefixes = handler._get_supported_prefixes()
        for prefix in prefixes:
            if prefix in cls._handlers:
                raise KeyError(f"prefix {prefix!r} is taken by {type(cls._handlers[prefix]).__name__}; use another")
        handler._strict_kwargs_check = cls._native._strict_kwargs_check
        cls._handlers.update(dict.fromkeys(prefixes, handler))

    @classmethod
    def set_strict_kwargs_checking(cls, enable: bool) -> None:
        """Make arguments that a handler does not know an error (``True``, the default) or a warning."""
        for handler in (cls._native, *cls._handlers.values()):
            handler._strict_kwargs_check = enable

    @classmethod
    def open(cls, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        """Open a file as the built-in ``open`` does; for a local one ``encoding``, ``errors``, ``newline`` work too."""
        return cls._handler(path)._open(path, mode, buffering=buffering, **kwargs)

    @classmethod
    def copy(cls, src_path: str, dst_path: str, overwrite: bool = False, **kwargs: Any) -> bool:
        """Copy a file of one handler; return whether it was done (an existing target stays unless ``overwrite``)."""
        handler = cls._handler(src_path)
        if handler is not cls._handler(dst_path):
            raise ValueError(f"cannot copy {src_path} to {dst_path}, another kind of path; use get_local_path()")
        return handler._copy(src_path, dst_path, overwrite, **kwargs)

    @classmethod
    def get_local_path(cls, path: str, **kwargs: Any) -> str:
        """Return the path of a local file with the content of ``path``."""
        return cls._handler(path)._get_local_path(path, **kwargs)

    @classmethod
    def exists(cls, path: str, **kwargs: Any) -> bool:
        """Tell whether there is anything at ``path``."""
        return cls._handler(path)._exists(path, **kwargs)

    @classmethod
    def isfile(cls, path: str, **kwargs: Any) -> bool:
        """Tell whether ``path`` is a file."""
        return cls._handler(path)._isfile(path, **kwargs)

    @classmethod
    def isdir(cls, path: str, **kwargs: Any) -> bool:
        """Tell whether ``path`` is a folder."""
        return cls._handler(path)._isdir(path, **kwargs)

    @classmethod
    def ls(cls, path: str, **kwargs: Any) -> list[str]:
        """Return the names in a folder, sorted on the local disk."""
        return cls._handler(path)._ls(path, **kwargs)

    @classmethod
    def mkdirs(cls, path: str, **kwargs: Any) -> None:
        """Make a folder and the folders above it, where they are not there."""
        cls._handler(path)._mkdirs(path, **kwargs)

    @classmethod
    def rm(cls, path: str, **kwargs: Any) -> None:
        """Remove a file."""
        cls._handler(path)._rm(path, **kwargs)

    @classmethod
    def _handler(cls, path: str) -> PathHandler:
        fitting = [prefix for prefix in cls._handlers if os.fspath(path).startswith(prefix)]
        return cls._handlers[max(fitting, key=len)] if fitting else cls._native
