from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.data.data_utils import read_image
from fastreid.data.inspect import scan
from fastreid.data.inspect.facts import FACTS, MODES, STATES, read_facts
from fastreid.data.inspect.looks import colours, gradients
from fastreid.data.inspect.scan import scan_images

from ..conftest import write_image


def test_facts_of_an_image(tmp_path):
    path = write_image(tmp_path / "a.png", size=(20, 30))
    facts, text = read_facts(path)
    assert text == ""
    assert STATES[facts["state"]] == "fine"
    assert (facts["width"], facts["height"], MODES[facts["mode"]], facts["orientation"]) == (20, 30, "RGB", 1)
    assert not facts["grey"] and not facts["blank"] and not facts["has_alpha"] and not facts["transparent"]
    with open(path, "rb") as file:
        assert facts["digest"].tobytes() == hashlib.blake2b(file.read(), digest_size=16).digest()
    assert facts["gradients"].tolist() == gradients(read_image(path)).tolist()
    assert facts["colours"].tolist() == colours(read_image(path)).tolist()
    assert FACTS.itemsize <= 128


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_that_the_model_gets(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    facts, _ = read_facts(str(tmp_path / "a.jpg"))
    assert facts["orientation"] == orientation
    assert (facts["width"], facts["height"]) == read_image(str(tmp_path / "a.jpg")).size


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "a.tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_files_that_are_cut_off(tmp_path, name, share):
    path = write_image(tmp_path / name, size=(40, 80))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    facts, _ = read_facts(path)
    assert STATES[facts["state"]] == "truncated"


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    names = {"gone.jpg": "missing", "empty.jpg": "empty", "text.jpg": "not-an-image", "folder.jpg": "unreadable"}
    for name, state in names.items():
        facts, text = read_facts(str(tmp_path / name))
        assert STATES[facts["state"]] == state
        assert "BytesIO" not in text


def test_an_image_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.png", size=(40, 80))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    facts, text = read_facts(path)
    assert STATES[facts["state"]] == "unreadable"
    assert "exceeds limit" in text
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # up to twice as many, PIL only warns
    facts, text = read_facts(path)
    assert STATES[facts["state"]] == "fine"
    assert "exceeds limit" in text


@pytest.mark.parametrize(("difference", "grey"), [(0, True), (2, True), (3, False)])
def test_grey_is_what_a_jpeg_may_make_of_it(tmp_path, difference, grey):
    pixels = np.tile(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None], (1, 20, 3))
    pixels[5, 5, 1] += difference
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_facts(str(tmp_path / "a.png"))[0]["grey"] == grey


@pytest.fixture
def paths(tmp_path):
    found = [write_image(tmp_path / f"{number}.png", seed=number) for number in range(150)]
    (tmp_path / "70.png").write_bytes(b"")
    (tmp_path / "149.png").write_bytes((tmp_path / "149.png").read_bytes()[:100])
    return found


def test_processes_find_what_one_finds(paths):
    facts, texts = scan_images(paths, workers=2)
    expected, expected_texts = scan_images(paths, workers=0)
    assert facts.tobytes() == expected.tobytes()
    assert texts == expected_texts
    assert list(texts) == [149]
    assert np.flatnonzero(facts["state"]).tolist() == [70, 149]
    assert facts[3].tobytes() == read_facts(paths[3])[0].tobytes()


def test_no_image_at_all():
    facts, texts = scan_images([], workers=2)
    assert (len(facts), texts) == (0, {})


def test_a_negative_number_of_workers_is_an_error():
    with pytest.raises(ValueError, match=r"workers must be >= 0 processes .* got -1"):
        scan_images([], workers=-1)


def _sleep(paths):
    (Path(paths[0]).parent / f"{os.getpid()}.pid").touch()
    time.sleep(300)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_processes_end_with_a_parent_that_is_killed(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "read_many", _sleep)
    parent = multiprocessing.get_context("fork").Process(target=scan_images, args=(paths,), kwargs={"workers": 2})
    parent.start()

    def workers():
        return [int(path.stem) for path in tmp_path.glob("*.pid")]

    assert _becomes_true(lambda: len(workers()) == 2)
    parent.kill()
    parent.join()
    assert _becomes_true(lambda: not any(_is_alive(pid) for pid in workers()))


def _becomes_true(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def _is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _die(paths):
    os._exit(1)


def test_a_process_that_dies_is_an_error_and_no_hang(paths, monkeypatch):
    monkeypatch.setattr(scan, "read_many", _die)
    with pytest.raises(RuntimeError, match=r"has died at .*0\.png or one of the next 128 images"):
        scan_images(paths, workers=2)
