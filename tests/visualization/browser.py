"""A headless Chromium for tests of pages, and a page that notices everything that goes wrong on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["address", "chromium", "find_chromium", "watched_page"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return the path of a browser: of ``$FASTREID_CHROMIUM``, else one that is installed; ``None``: there is none."""
    own = os.environ.get("FASTREID_CHROMIUM")
    return own or next((path for name in _NAMES if (path := shutil.which(name)) and _runs(path)), None)


def _runs(path: str) -> bool:
    """Tell whether a program is more than a hint where the browser is to be had, which some systems install instead."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a browser; skip the test, saying so, where there is none."""
    reason = "needs playwright, which the extra dev brings: pip install '.[dev]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium, or name one in FASTREID_CHROMIUM")
    with playwright.sync_playwright() as running:
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = running.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Any, *, width: int = 1280, height: int = 1100, **context: Any) -> Iterator[Any]:
    """Open a page; afterwards, nothing was written to the console, and no request has left the disk.

    Args:
        browser: of :func:`chromium`.
        width: of the window, in pixels.
        height: likewise.
        **context: of ``Browser.new_context``.
    """
    opened = browser.new_context(viewport={"width": width, "height": height}, **context)
    page = opened.new_page()
    page.set_default_timeout(10_000)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"{request.url}: {request.failure}"))
    page.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
    page.on("request", lambda request: problems.append(request.url) if not _stays(request.url) else None)
    yield page
    opened.close()
    assert problems == []


def _stays(url: str) -> bool:
    return url.startswith(("file:", "data:", "blob:"))


def address(folder: Path, state: str = "") -> str:
    """Return the address of a page on disk."""
    return (folder / "index.html").as_uri() + state
