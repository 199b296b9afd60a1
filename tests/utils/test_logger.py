from __future__ import annotations

import io
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastreid
from fastreid.utils import logger as logger_module
from fastreid.utils.logger import log_every_n, log_every_n_seconds, log_first_n, setup_logger


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


_STAMP = r"\[\d\d/\d\d \d\d:\d\d:\d\d"


def test_formats_of_terminal_and_file(tmp_path, capsys):
    setup_logger(str(tmp_path))
    logging.getLogger("fastreid.utils.events").info("hello %d", 3)
    logging.getLogger("fastreid.engine").warning("careful")
    terminal = capsys.readouterr().out.splitlines()
    assert re.fullmatch(_STAMP + r" fastreid\.utils\.events\]: hello 3", terminal[0])
    assert re.fullmatch(_STAMP + r" fastreid\.engine\]: WARNING: careful", terminal[1])
    file = (tmp_path / "log.txt").read_text().splitlines()
    assert re.fullmatch(_STAMP + r"\] fastreid\.utils\.events INFO: hello 3", file[0])
    assert re.fullmatch(_STAMP + r"\] fastreid\.engine WARNING: careful", file[1])


def test_a_terminal_gets_colours_and_a_pipe_does_not(monkeypatch):
    logger = setup_logger()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", _Terminal())
    logger.info("text")
    logger.error("text")
    green, red = sys.stdout.getvalue().splitlines()
    assert re.fullmatch(r"\x1b\[32m" + _STAMP + r" fastreid\]:\x1b\[0m text", green)
    assert "\x1b[31mERROR\x1b[0m: text" in red
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", _Terminal())
    logger.info("text")
    assert "\x1b" not in sys.stdout.getvalue()


def test_calling_twice_writes_once(tmp_path, capsys):
    for _ in range(3):
        logger = setup_logger(str(tmp_path))
    logger.info("once")
    assert capsys.readouterr().out.count("once") == 1
    assert (tmp_path / "log.txt").read_text().count("once") == 1


def test_a_file_is_continued_and_another_output_takes_its_place(tmp_path):
    setup_logger(str(tmp_path / "a")).info("first run")
    setup_logger(str(tmp_path / "b" / "train.log")).info("second run")
    setup_logger(str(tmp_path / "a")).info("first run again")
    assert re.findall(r"INFO: (.*)", (tmp_path / "a" / "log.txt").read_text()) == ["first run", "first run again"]
    assert re.findall(r"INFO: (.*)", (tmp_path / "b" / "train.log").read_text()) == ["second run"]


def test_other_ranks_write_a_file_of_their_own_and_no_terminal(tmp_path, capsys):
    setup_logger(str(tmp_path), distributed_rank=1).info("from rank 1")
    assert capsys.readouterr().out == ""
    assert "from rank 1" in (tmp_path / "log.txt.rank1").read_text()
    assert not (tmp_path / "log.txt").exists()


def test_abbreviation(capsys):
    try:
        setup_logger(name="some_project", abbrev_name="sp")
        logging.getLogger("some_project.part").info("x")
        assert " sp.part]: x" in capsys.readouterr().out
    finally:
        logging.getLogger("some_project").handlers.clear()


def test_a_vendored_package_sets_up_its_own_logger(tmp_path):
    folder = tmp_path / "fast_reid"
    folder.mkdir()
    (folder / "__init__.py").touch()
    source = Path(fastreid.__file__).parent
    shutil.copytree(source, folder / "fastreid", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import logging; from fast_reid.fastreid.utils.logger import setup_logger; setup_logger();"
        "logging.getLogger('fast_reid.fastreid.engine').info('vendored')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    assert re.fullmatch(_STAMP + r" fastreid\.engine\]: vendored\n", run.stdout)


def test_log_first_n_counts_a_line_of_code(caplog):
    for step in range(5):
        log_first_n(logging.WARNING, f"a{step}", n=2)
        log_first_n(logging.WARNING, f"b{step}")
    assert [record.getMessage() for record in caplog.records] == ["a0", "b0", "a1"]
    assert caplog.records[0].name == __name__


def test_log_first_n_can_count_a_message(caplog):
    def warn(text: str, key: str | tuple[str, ...]) -> None:
        log_first_n(logging.WARNING, text, key=key, name="fastreid.elsewhere")

    for text in ("x", "y", "x"):
        warn(text, "message")
    assert [record.getMessage() for record in caplog.records] == ["x", "y"]
    log_first_n(logging.WARNING, "x", key="message")  # another line, same message
    log_first_n(logging.WARNING, "x", key=("caller", "message"))
    assert [record.getMessage() for record in caplog.records] == ["x", "y", "x"]
    assert caplog.records[0].name == "fastreid.elsewhere"
    with pytest.raises(ValueError, match="key must be 'caller', 'message' or a tuple of both, got 'line'"):
        warn("x", "line")


def test_log_every_n(caplog):
    for step in range(7):
        log_every_n(logging.WARNING, str(step), n=3)
    assert [record.getMessage() for record in caplog.records] == ["0", "3", "6"]


def test_log_every_n_seconds(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logger_module, "monotonic", lambda: now[0])
    for step in range(7):
        log_every_n_seconds(logging.WARNING, str(step), n=2.5)
        now[0] += 1
    assert [record.getMessage() for record in caplog.records] == ["0", "3", "6"]


def test_path_manager_is_found_here_too():
    assert logger_module.PathManager.exists(__file__)
