"""A report's folder: complete or not there, and nothing of anybody else's is ever deleted."""

from __future__ import annotations

import errno
import json

import pytest

from fastreid.visualization.report.folder import MARKER, check_output, staged_folder


def write(path, text="new", *, overwrite=False):
    with staged_folder(path, overwrite=overwrite) as staged:
        (staged / "index.html").write_text(text)
        (staged / "data").mkdir()
        assert not path.exists() or overwrite or not any(path.iterdir())


def names(place):
    return sorted(path.name for path in place.iterdir())


def test_it_has_its_name_when_it_is_complete(tmp_path):
    write(tmp_path / "deep" / "report")
    assert names(tmp_path / "deep") == ["report"]
    assert names(tmp_path / "deep" / "report") == ["data", "index.html", MARKER]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert (tmp_path / "empty" / "index.html").read_text() == "new"


@pytest.mark.parametrize("ending", ["unfinished", "replaced"])
def test_folders_beside_it_are_checked_too(tmp_path, ending):
    (tmp_path / f"report.{ending}").mkdir()
    (tmp_path / f"report.{ending}" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=rf"report\.{ending} is in the way, and is no report"):
        write(tmp_path / "report", overwrite=True)
    assert (tmp_path / f"report.{ending}" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left")])
def test_after_an_error_nothing_new_is_left_and_the_old_report_is(tmp_path, error):
    path = tmp_path / "report"
    write(path, "old")
    with pytest.raises(type(error)) as caught, staged_folder(path, overwrite=True) as staged:
        (staged / "index.html").write_text("half")
        raise error
    assert names(tmp_path) == ["report"]
    assert (path / "index.html").read_text() == "old"
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert f"cannot write the report {path}: No space left" in str(caught.value)


def test_only_a_report_is_replaced_and_only_if_asked(tmp_path):
    path = tmp_path / "report"
    write(path, "old")
    with pytest.raises(FileExistsError, match=r"is a report already; --overwrite replaces it"):
        write(path)
    write(path, "new", overwrite=True)
    assert (path / "index.html").read_text() == "new"
    assert names(tmp_path) == ["report"]
    (path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes\.txt, which are not of the report; nothing is deleted"):
        write(path, overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "marker", [None, "no json", "[]", '{"kind": "a photo album", "complete": true, "entries": []}']
)
def test_what_is_no_report_is_never_touched(tmp_path, marker):
    path = tmp_path / "photos"
    path.mkdir()
    (path / "a.jpg").write_text("mine")
    if marker is not None:
        (path / MARKER).write_text(marker)
    for place in (path, path / "a.jpg"):
        with pytest.raises(FileExistsError, match="is there already, and is no report; nothing is deleted"):
            check_output(place, overwrite=True)
    with pytest.raises(NotADirectoryError, match="is a file; name another folder"):
        check_output(path / "a.jpg" / "report", overwrite=True)
    assert (path / "a.jpg").read_text() == "mine"


def test_a_link_to_a_report_is_not_followed(tmp_path):
    write(tmp_path / "report", "old")
    (tmp_path / "link").symlink_to(tmp_path / "report")
    with pytest.raises(FileExistsError, match="is no report"):
        check_output(tmp_path / "link", overwrite=True)
    assert (tmp_path / "report" / "index.html").read_text() == "old"


def test_what_a_kill_leaves_is_cleared_away_if_it_is_ours(tmp_path):
    path, unfinished = tmp_path / "report", tmp_path / "report.unfinished"
    unfinished.mkdir()
    (unfinished / MARKER).write_text(json.dumps({"kind": "fastreid report", "complete": False, "entries": [MARKER]}))
    (unfinished / "half").write_text("")
    write(path)
    assert names(tmp_path) == ["report"]


def test_a_kill_or_an_error_between_the_two_moves_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "report"
    write(path, "old")
    path.rename(tmp_path / "report.replaced")  # where a kill may leave it
    write(path, "new")
    assert (path / "index.html").read_text() == "new"
    write(path, "newer", overwrite=True)
    assert names(tmp_path) == ["report"]
    rename = type(path).rename

    def fails(self, target):
        if self.name.endswith(".unfinished"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", fails)
    with pytest.raises(OSError, match="Permission denied"):
        write(path, "newest", overwrite=True)
    assert names(tmp_path) == ["report"]
    assert (path / "index.html").read_text() == "newer"
