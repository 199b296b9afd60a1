from __future__ import annotations

import io
import logging

import pytest

from fastreid.utils.file_io import NativePathHandler, PathHandler, PathManager, get_cache_dir


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch):
    monkeypatch.setattr(PathManager, "_handlers", {})
    monkeypatch.setattr(PathManager, "_native", NativePathHandler())


class _Memory(PathHandler):
    """Files in a dict."""

    def __init__(self, *prefixes: str) -> None:
        self.prefixes = list(prefixes)
        self.files: dict[str, bytes] = {}

    def _get_supported_prefixes(self):
        return self.prefixes

    def _open(self, path, mode="r", buffering=-1, **kwargs):
        self._check_kwargs(kwargs)
        return io.BytesIO(self.files[path])

    def _exists(self, path, **kwargs):
        return path in self.files


def test_local_paths(tmp_path):
    folder, file, copy = tmp_path / "a" / "b", tmp_path / "a" / "b" / "x.txt", tmp_path / "a" / "b" / "y.txt"
    PathManager.mkdirs(str(folder))
    PathManager.mkdirs(str(folder))
    with PathManager.open(str(file), "w", encoding="utf-8", newline="\n") as out:
        out.write("grüße\n")
    assert file.read_bytes() == "grüße\n".encode()
    assert PathManager.copy(str(file), str(copy))
    assert PathManager.ls(str(folder)) == ["x.txt", "y.txt"]
    assert PathManager.isfile(str(file)) and not PathManager.isfile(str(folder))
    assert PathManager.isdir(str(folder)) and not PathManager.isdir(str(file))
    assert PathManager.get_local_path(str(file)) == str(file)
    PathManager.rm(str(file))
    assert not PathManager.exists(str(file)) and PathManager.exists(str(copy))


def test_copy_replaces_only_when_asked(tmp_path, caplog):
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("new")
    target.write_text("old")
    assert not PathManager.copy(str(source), str(target))
    assert target.read_text() == "old" and "pass overwrite=True" in caplog.text
    assert PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "new"


def test_the_longest_prefix_wins():
    shop, bucket = _Memory("mem://"), _Memory("mem://bucket/")
    PathManager.register_handler(shop)
    PathManager.register_handler(bucket)
    shop.files["mem://x"] = b"1"
    bucket.files["mem://bucket/x"] = b"2"
    assert PathManager.open("mem://x", "rb").read() == b"1"
    assert PathManager.open("mem://bucket/x", "rb").read() == b"2"
    assert not PathManager.exists("mem://bucket/y")


def test_registration_errors():
    PathManager.register_handler(_Memory("mem://"))
    with pytest.raises(KeyError, match="'mem://' is taken by _Memory"):
        PathManager.register_handler(_Memory("mem://"))
    with pytest.raises(TypeError, match="must be a PathHandler, got str"):
        PathManager.register_handler("mem://")


def test_an_operation_that_a_handler_has_not(tmp_path):
    PathManager.register_handler(_Memory("mem://"))
    calls = {
        "list folders": lambda: PathManager.ls("mem://"),
        "make folders": lambda: PathManager.mkdirs("mem://x"),
        "remove files": lambda: PathManager.rm("mem://x"),
        "copy files": lambda: PathManager.copy("mem://x", "mem://y"),
        "make a local copy": lambda: PathManager.get_local_path("mem://x"),
        "tell whether a path is a file": lambda: PathManager.isfile("mem://x"),
        "tell whether a path is a folder": lambda: PathManager.isdir("mem://x"),
    }
    for operation, call in calls.items():
        with pytest.raises(NotImplementedError, match=f"_Memory cannot {operation}"):
            call()
    with pytest.raises(ValueError, match="another kind of path"):
        PathManager.copy("mem://x", str(tmp_path / "x"))


def test_unknown_arguments(tmp_path, caplog):
    memory = _Memory("mem://")
    memory.files["mem://x"] = b"1"
    PathManager.register_handler(memory)
    for path in (str(tmp_path), "mem://x"):
        with pytest.raises(ValueError, match=r"does not know the arguments \['region'\]"):
            PathManager.open(path, region="eu")
    PathManager.set_strict_kwargs_checking(False)
    caplog.set_level(logging.WARNING)
    assert PathManager.open("mem://x", region="eu").read() == b"1"
    assert PathManager.exists(str(tmp_path), region="eu")
    assert caplog.text.count("['region']") == 2
    PathManager.set_strict_kwargs_checking(True)
    with pytest.raises(ValueError, match="region"):
        PathManager.exists(str(tmp_path), region="eu")


def test_cache_dir(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "fv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert get_cache_dir(str(tmp_path / "mine")) == str(tmp_path / "mine")
    assert get_cache_dir() == str(tmp_path / "fv")
    monkeypatch.delenv("FVCORE_CACHE")
    assert get_cache_dir() == str(tmp_path / "xdg" / "fastreid")
    assert (tmp_path / "xdg" / "fastreid").is_dir()

    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert get_cache_dir(str(tmp_path / "file" / "below")) == str(tmp_path / "fastreid_cache")
    assert "Cannot write to the cache folder" in caplog.text
