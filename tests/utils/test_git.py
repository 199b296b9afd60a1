from __future__ import annotations

import shutil
import subprocess

import pytest

from fastreid.utils.git import git_state


def _git(folder, *arguments) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    (folder / "deeper").mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "trunk")
    (folder / "deeper" / "file.py").write_text("1\n")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_commit_and_whether_something_changed(repository):
    clean = {"commit": _git(repository, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert git_state(repository) == git_state(repository / "deeper") == clean
    (repository / "logs.txt").write_text("untracked files do not count\n")
    assert git_state(repository) == clean
    (repository / "deeper" / "file.py").write_text("2\n")
    assert git_state(repository / "deeper" / "file.py") == {**clean, "dirty": True}
    _git(repository, "checkout", "-q", "--detach")
    assert git_state(repository)["branch"] is None


def test_a_file_that_git_does_not_track_belongs_to_no_commit(repository):
    installed = repository / "venv" / "package.py"
    installed.parent.mkdir()
    installed.touch()
    assert git_state(installed) is None


def test_no_repository_no_commit_and_no_git_are_no_error(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert git_state(tmp_path) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    _git(empty, "init", "-q")
    assert git_state(empty) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(repository) is None
