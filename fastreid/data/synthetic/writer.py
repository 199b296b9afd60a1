"""Write the synthetic benchmark to disk, in the layout of Market-1501: completely or not at all."""

from __future__ import annotations

import csv
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from .camera import CAMERAS, Camera
from .identity import Identity, sample_identities, sample_identity
from .painter import PAINTER_VERSION, paint

__all__ = ["Benchmark", "ensure_benchmark", "write_benchmark"]

logger = logging.getLogger(__name__)

# What a random stream is for: the number keeps the streams of one seed apart.
_IDENTITIES, _IMAGES, _DISTRACTORS = range(3)
_META = "meta.json"
_README = """SynthReID, painter version {version}, seed {seed}

Pedestrians painted by fastreid for trying out person re-identification; no picture shows a real person.
The layout is that of Market-1501: {{identity}}_c{{camera}}s1_{{index}}_00.jpg, and identity 0000 for distractors,
people of the gallery who are nobody.

bounding_box_train/   {train_identities} identities
query/                {test_identities} other identities, one image per camera
bounding_box_test/    the same, {gallery_images} images per camera, and {distractors} distractors
attributes.csv        what every identity looks like: one row per identity, one column per attribute
meta.json             what the images were painted from

Colours repeat: every {group_size} identities in a row wear the same ones, and differ in cut, pattern, hair and what
they carry.
"""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The size of a synthetic benchmark; every image is a function of the seed, its identity, its camera and its index.

    Attributes:
        seed: at least 0.
        train_identities: people, at least 1.
        test_identities: other people, at least 1.
        group_size: people in a row who wear the same colours, at least 1.
        train_images: per identity and camera, at least 1.
        gallery_images: per identity and camera, at least 1; the query is one more.
        distractors: images of the gallery that show somebody else each time, at least 0.
    """

    seed: int = 0
    train_identities: int = 240
    test_identities: int = 60
    group_size: int = 4
    train_images: int = 2
    gallery_images: int = 3
    distractors: int = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name in ("seed", "distractors") else 1
            value = getattr(self, field.name)
            if value < least:
                raise ValueError(f"{field.name} must be at least {least}, got {value}")

    def people(self) -> list[Identity]:
        """Return who appears, first the training identities: number ``i`` of the list has the pid ``i + 1``."""
        rng = _stream(self.seed, _IDENTITIES)
        return sample_identities(rng, count=self.train_identities + self.test_identities, group_size=self.group_size)


@dataclass(frozen=True)
class _Picture:
    """One image that is to be painted: its path within the benchmark, and what it is a function of."""

    path: str
    identity: Identity
    camera: Camera
    rng: np.random.Generator


def ensure_benchmark(folder: str | os.PathLike[str], benchmark: Benchmark | None = None) -> None:
    """Paint the benchmark into `folder`, unless it is there.

    Args:
        folder: where it is, or shall be.
        benchmark: its size; None means the defaults.

    Raises:
        RuntimeError: `folder` holds something else.
        OSError: it cannot be written.
    """
    folder, benchmark = Path(folder), benchmark or Benchmark()
    if not folder.exists():
        write_benchmark(folder, benchmark)
    elif _read_meta(folder) != _meta(benchmark):
        raise RuntimeError(
            f"{folder} is not the synthetic benchmark that was asked for: {_META} should say {_meta(benchmark)}, "
            f"and it says {_read_meta(folder)}. Delete or rename the folder; it is painted anew at the next start."
        )


def write_benchmark(folder: str | os.PathLike[str], benchmark: Benchmark | None = None) -> None:
    """Paint the benchmark into `folder`, which is complete from the moment it exists.

    It is painted aside and renamed at the end. Of several processes that paint at once the first to finish wins; the
    others throw their copy away.

    Args:
        folder: must not exist, or its own is kept.
        benchmark: its size; None means the defaults.

    Raises:
        OSError: the place is not writable or full; nothing is left behind.
    """
    folder, benchmark = Path(folder), benchmark or Benchmark()
    aside = folder.with_name(f".{folder.name}-unfinished-{secrets.token_hex(4)}")
    try:
        aside.mkdir(parents=True)
        _fill(aside, benchmark, folder)
        _publish(aside, folder)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write the synthetic benchmark ({error.strerror or error}); it needs about 20 MB in a folder that "
            "you may write to. Set FASTREID_DATASETS or DATASETS.ROOT to another one, or make room",
            str(folder),
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(place: Path, benchmark: Benchmark, final: Path) -> None:
    """Write every file of the benchmark into `place`; the log speaks of `final`."""
    started = time.perf_counter()
    people = benchmark.people()
    pictures = list(_pictures(benchmark, people))
    logger.info("Painting SynthReID: %d images into %s, once", len(pictures), final)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (place / name).mkdir()
    for done, picture in enumerate(pictures, start=1):
        pixels = paint(picture.identity, picture.camera, picture.rng)
        Image.fromarray(pixels).save(place / picture.path, quality=picture.camera.jpeg_quality)
        if done * 10 // len(pictures) > (done - 1) * 10 // len(pictures):
            logger.info("Painted %d of %d images (%d%%)", done, len(pictures), 100 * done // len(pictures))
    _write_attributes(place / "attributes.csv", benchmark, people)
    (place / "README.txt").write_text(_README.format(version=PAINTER_VERSION, **asdict(benchmark)), encoding="utf-8")
    (place / _META).write_text(json.dumps(_meta(benchmark), indent=2) + "\n", encoding="utf-8")
    logger.info("Painted SynthReID in %.1f s", time.perf_counter() - started)


def _pictures(benchmark: Benchmark, people: list[Identity]) -> Iterator[_Picture]:
    """List the images of the three folders, the query being the first image of a test identity by each camera."""
    for pid, identity in enumerate(people, start=1):
        training = pid <= benchmark.train_identities
        for camera in CAMERAS:
            for index in range(benchmark.train_images if training else benchmark.gallery_images + 1):
                folder = "bounding_box_train" if training else "query" if index == 0 else "bounding_box_test"
                rng = _stream(benchmark.seed, _IMAGES, pid, camera.number, index)
                yield _Picture(f"{folder}/{_name(pid, camera, index)}", identity, camera, rng)
    for index in range(benchmark.distractors):
        rng = _stream(benchmark.seed, _DISTRACTORS, index)
        camera = CAMERAS[index % len(CAMERAS)]
        yield _Picture(f"bounding_box_test/{_name(0, camera, index)}", sample_identity(rng), camera, rng)


def _write_attributes(path: Path, benchmark: Benchmark, people: list[Identity]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pid", "subset", *(field.name for field in fields(Identity))])
        for pid, identity in enumerate(people, start=1):
            subset = "train" if pid <= benchmark.train_identities else "test"
            writer.writerow([f"{pid:04d}", subset, *asdict(identity).values()])


def _publish(aside: Path, folder: Path) -> None:
    """Give the finished folder its name; keep the one that another process put there in the meantime."""
    try:
        os.rename(aside, folder)
    except OSError:
        if not folder.is_dir():
            raise
        logger.info("Another process has painted %s in the meantime; using that", folder)


def _name(pid: int, camera: Camera, index: int) -> str:
    return f"{pid:04d}_c{camera.number}s1_{index:06d}_00.jpg"


def _stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key))


def _meta(benchmark: Benchmark) -> dict[str, int]:
    return {"painter_version": PAINTER_VERSION, **asdict(benchmark)}


def _read_meta(folder: Path) -> dict[str, int] | None:
    """Return what an existing folder says of itself, None if nothing."""
    try:
        return json.loads((folder / _META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
