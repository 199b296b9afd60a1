from __future__ import annotations

import csv
import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.data.synthetic import (
    CAMERAS,
    CHOICES,
    PAINTER_VERSION,
    Benchmark,
    Identity,
    ensure_benchmark,
    paint,
    write_benchmark,
    writer,
)

TINY = Benchmark(train_identities=3, test_identities=2, group_size=2, train_images=2, gallery_images=1, distractors=4)


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root") / "tiny"
    write_benchmark(folder, TINY)
    return folder


def test_layout(tiny):
    assert sorted(path.name for path in tiny.iterdir()) == [
        "README.txt",
        "attributes.csv",
        "bounding_box_test",
        "bounding_box_train",
        "meta.json",
        "query",
    ]
    names = {
        folder: sorted(os.listdir(tiny / folder)) for folder in ("bounding_box_train", "query", "bounding_box_test")
    }
    assert names["bounding_box_train"] == sorted(
        f"{pid:04d}_c{cam}s1_{index:06d}_00.jpg" for pid in (1, 2, 3) for cam in range(1, 7) for index in (0, 1)
    )
    assert names["query"] == [f"{pid:04d}_c{cam}s1_000000_00.jpg" for pid in (4, 5) for cam in range(1, 7)]
    people = [f"{pid:04d}_c{cam}s1_000001_00.jpg" for pid in (4, 5) for cam in range(1, 7)]
    assert names["bounding_box_test"] == [f"0000_c{i + 1}s1_{i:06d}_00.jpg" for i in range(4)] + people
    with Image.open(tiny / "query" / names["query"][0]) as image:
        assert (image.size, image.mode, image.format) == ((64, 128), "RGB", "JPEG")


def test_same_seed_same_bytes(tiny, tmp_path):
    write_benchmark(tmp_path / "again", TINY)
    assert digests(tmp_path / "again") == digests(tiny)


def test_another_seed_other_pictures(tiny, tmp_path):
    write_benchmark(tmp_path / "other", replace(TINY, seed=1))
    one, other = digests(tiny), digests(tmp_path / "other")
    assert one.keys() == other.keys()
    assert not {one[name] for name in one if name.endswith(".jpg")} & set(other.values())


def test_no_two_pictures_are_alike(tiny):
    pictures = [digest for name, digest in digests(tiny).items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures) == 36 + 12 + 12 + 4


def test_a_picture_is_a_function_of_its_name(tiny, tmp_path):
    """More identities of the same groups, or more images, leave the others as they are."""
    write_benchmark(tmp_path / "more", replace(TINY, train_images=3, distractors=6))
    few, more = digests(tiny), digests(tmp_path / "more")
    assert {name: more[name] for name in few if name.endswith((".jpg", ".csv"))}.items() <= few.items()


def test_files_hold_what_the_painter_paints(tiny, tmp_path):
    person = TINY.people()[1]
    rng = np.random.Generator(np.random.PCG64([TINY.seed, 1, 2, 3, 1]))  # images, pid 2, camera 3, index 1
    Image.fromarray(paint(person, CAMERAS[2], rng)).save(tmp_path / "a.jpg", quality=CAMERAS[2].jpeg_quality)
    written = tiny / "bounding_box_train" / "0002_c3s1_000001_00.jpg"
    assert written.read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_attributes_are_complete(tiny):
    with open(tiny / "attributes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["pid"], row["subset"]) for row in rows] == [
        ("0001", "train"),
        ("0002", "train"),
        ("0003", "train"),
        ("0004", "test"),
        ("0005", "test"),
    ]
    assert set(rows[0]) == {"pid", "subset", *(field.name for field in fields(Identity))}
    for row, person in zip(rows, TINY.people(), strict=True):
        values = {name: row[name] for name in CHOICES} | {name: float(row[name]) for name in ("height", "build")}
        assert Identity(**values) == person


def test_meta_and_readme_say_what_it_is(tiny):
    meta = json.loads((tiny / "meta.json").read_text())
    assert meta["painter_version"] == PAINTER_VERSION
    assert {field.name: meta[field.name] for field in fields(Benchmark)} == {
        field.name: getattr(TINY, field.name) for field in fields(Benchmark)
    }
    assert f"painter version {PAINTER_VERSION}, seed 0" in (tiny / "README.txt").read_text()


def test_existing_folder_is_not_written_again(tiny, monkeypatch):
    monkeypatch.setattr(writer, "paint", None)  # painting would fail
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    ensure_benchmark(tiny, TINY)
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before


def test_missing_folder_is_painted(tmp_path):
    ensure_benchmark(tmp_path / "new" / "root" / "set", TINY)
    assert (tmp_path / "new" / "root" / "set" / "meta.json").is_file()
    assert os.listdir(tmp_path / "new" / "root") == ["set"]


@pytest.mark.parametrize("meta", [None, "{", json.dumps({"painter_version": 0})])
def test_folder_with_something_else_is_an_error(tmp_path, meta):
    folder = tmp_path / "set"
    folder.mkdir()
    if meta is not None:
        (folder / "meta.json").write_text(meta)
    with pytest.raises(RuntimeError, match=r"is not the synthetic benchmark that was asked for.*Delete or rename"):
        ensure_benchmark(folder, TINY)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "full")])
def test_failure_half_way_leaves_nothing(tmp_path, monkeypatch, failure):
    painted = []

    def fail_later(*args):
        if len(painted) == 20:
            raise failure
        painted.append(1)
        return paint(*args)

    monkeypatch.setattr(writer, "paint", fail_later)
    with pytest.raises((KeyboardInterrupt, ValueError, OSError)):
        write_benchmark(tmp_path / "set", TINY)
    assert len(painted) == 20
    assert os.listdir(tmp_path) == []


def test_full_disk_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "paint", full)
    with pytest.raises(OSError, match=r"No space left on device.*Set FASTREID_DATASETS.*make room.*set'") as caught:
        write_benchmark(tmp_path / "set", TINY)
    assert caught.value.errno == errno.ENOSPC


def test_root_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")  # also root cannot make a folder below a file
    with pytest.raises(OSError, match=r"cannot write the synthetic benchmark.*DATASETS.ROOT"):
        write_benchmark(tmp_path / "file" / "set", TINY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_read_only_root_is_a_permission_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot write the synthetic benchmark"):
            write_benchmark(tmp_path / "set", TINY)
    finally:
        tmp_path.chmod(0o700)


def test_killed_process_leaves_nothing_that_looks_complete(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from fastreid.data.synthetic import Benchmark, paint, writer\n"
        "def stop(*args):\n"
        "    stop.count += 1\n"
        "    if stop.count == 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return paint(*args)\n"
        "stop.count = 0\n"
        "writer.paint = stop\n"
        f"writer.write_benchmark(sys.argv[1], {TINY!r})\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "set")], cwd=root, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "set").exists()
    assert [path.name.startswith(".set-unfinished-") for path in tmp_path.iterdir()] == [True]
    ensure_benchmark(tmp_path / "set", TINY)  # and the next start paints it
    assert len(list((tmp_path / "set").rglob("*.jpg"))) == 64


def test_loser_of_a_race_throws_its_copy_away(tiny, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "set"

    def finish_second(place, *rest):
        fill(place, *rest)
        shutil.copytree(tiny, folder)
        (folder / "winner").touch()

    fill = writer._fill
    monkeypatch.setattr(writer, "_fill", finish_second)
    with caplog.at_level(logging.INFO, logger="fastreid"):
        write_benchmark(folder, TINY)
    assert os.listdir(tmp_path) == ["set"]
    assert (folder / "winner").exists()
    assert "Another process has painted" in caplog.text


def test_progress_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="fastreid"):
        write_benchmark(tmp_path / "set", TINY)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("Painting SynthReID: 64 images into ")
    # 64 images: the first count at or over every tenth of them
    counts = (7, 13, 20, 26, 32, 39, 45, 52, 58, 64)
    assert lines[1:-1] == [f"Painted {count} of 64 images ({100 * count // 64}%)" for count in counts]
    assert lines[-1].startswith("Painted SynthReID in ")


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("test_identities", 0), ("distractors", -1), ("group_size", 0)]
)
def test_impossible_size_is_an_error(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least .*, got {value}"):
        replace(TINY, **{name: value})
