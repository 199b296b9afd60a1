"""Write a synthetic benchmark to disk, in the layout of Market-1501: completely or not at all."""

from __future__ import annotations

import csv
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from .camera import Camera
from .framing import USUAL, Framing, sample_framing
from .identity import Identity
from .painter import paint
from .variants import SYNTHREID, Variant
from .vehicles import Vehicle

__all__ = ["Benchmark", "ensure_benchmark", "write_benchmark"]

logger = logging.getLogger(__name__)

# What a random stream is for: the number keeps the streams of one seed apart.
_IDENTITIES, _IMAGES, _DISTRACTORS, _FRAMINGS = range(4)
_PURPOSES = 16  # room for more, between the streams of two sets of people
_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_META = "meta.json"
_README = """{name}, painter version {version}, seed {seed}

{about}
The layout is that of Market-1501: {{identity}}_c{{camera}}s1_{{index}}_00.jpg, and identity 0000 for distractors,
{strangers} of the gallery who are nobody.

bounding_box_train/   {train_identities} identities
query/                {test_identities} other identities, one image per camera{query}
bounding_box_test/    the same, {gallery_images} images per camera{gallery}, and {distractors} distractors
attributes.csv        what every identity looks like: one row per identity, one column per attribute
meta.json             what the images were painted from

Colours repeat: every {group_size} identities in a row {wear} the same ones, and differ in {differ}.
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

    def people(self, variant: Variant = SYNTHREID) -> list[Identity] | list[Vehicle]:
        """Return who appears, first the training identities: number ``i`` of the list has the pid ``i + 1``."""
        count = self.train_identities + self.test_identities
        return variant.subjects(_stream(self, variant, _IDENTITIES), count=count, group_size=self.group_size)

    def statistics(self, variant: Variant = SYNTHREID) -> dict[str, tuple[int, int]]:
        """Return split -> (identities, images); in the gallery, all distractors count as one identity."""
        train, test = self.train_identities, self.test_identities
        gallery = test * len(variant.gallery_cameras) * self.gallery_images + self.distractors
        return {
            "train": (train, train * len(variant.cameras) * self.train_images),
            "query": (test, test * len(variant.query_cameras)),
            "gallery": (test + (self.distractors > 0), gallery),
        }


@dataclass(frozen=True)
class _Picture:
    """One image that is to be painted: its path within the benchmark, and what it is a function of."""

    path: str
    identity: Identity | Vehicle
    camera: Camera
    rng: np.random.Generator
    framing: Framing = USUAL


def ensure_benchmark(
    folder: str | os.PathLike[str], benchmark: Benchmark | None = None, variant: Variant = SYNTHREID
) -> None:
    """Paint the benchmark into `folder`, unless it is there.

    Args:
        folder: where it is, or shall be.
        benchmark: its size; None means the defaults.
        variant: what it shows.

    Raises:
        RuntimeError: `folder` holds something else.
        OSError: it cannot be written.
    """
    folder, benchmark = Path(folder), benchmark or Benchmark()
    if not folder.exists():
        write_benchmark(folder, benchmark, variant)
    elif _read_meta(folder) != _meta(benchmark, variant):
        raise RuntimeError(
            f"{folder} is not the synthetic benchmark that was asked for: {_META} should say "
            f"{_meta(benchmark, variant)}, and it says {_read_meta(folder)}. Delete or rename the folder; "
            "it is painted anew at the next start."
        )


def write_benchmark(
    folder: str | os.PathLike[str], benchmark: Benchmark | None = None, variant: Variant = SYNTHREID
) -> None:
    """Paint the benchmark into `folder`, which is complete from the moment it exists.

    It is painted aside and renamed at the end. Of several processes that paint at once the first to finish wins; the
    others throw their copy away.

    Args:
        folder: must not exist, or its own is kept.
        benchmark: its size; None means the defaults.
        variant: what it shows.

    Raises:
        OSError: the place is not writable or full; nothing is left behind.
    """
    folder, benchmark = Path(folder), benchmark or Benchmark()
    aside = folder.with_name(f".{folder.name}-unfinished-{secrets.token_hex(4)}")
    try:
        aside.mkdir(parents=True)
        _fill(aside, benchmark, folder, variant)
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


def _fill(place: Path, benchmark: Benchmark, final: Path, variant: Variant = SYNTHREID) -> None:
    """Write every file of the benchmark into `place`; the log speaks of `final`."""
    started = time.perf_counter()
    people = benchmark.people(variant)
    pictures = list(_pictures(benchmark, people, variant))
    logger.info("Painting %s: %d images into %s, once", variant.name, len(pictures), final)
    for name in _FOLDERS.values():
        (place / name).mkdir()
    for done, picture in enumerate(pictures, start=1):
        pixels = paint(picture.identity, picture.camera, picture.rng, picture.framing)
        Image.fromarray(pixels).save(place / picture.path, quality=picture.camera.jpeg_quality)
        if done * 10 // len(pictures) > (done - 1) * 10 // len(pictures):
            logger.info("Painted %d of %d images (%d%%)", done, len(pictures), 100 * done // len(pictures))
    _write_attributes(place / "attributes.csv", benchmark, people)
    (place / "README.txt").write_text(_readme(benchmark, variant), encoding="utf-8")
    (place / _META).write_text(json.dumps(_meta(benchmark, variant), indent=2) + "\n", encoding="utf-8")
    logger.info("Painted %s in %.1f s", variant.name, time.perf_counter() - started)


def _pictures(
    benchmark: Benchmark, people: Sequence[Identity | Vehicle], variant: Variant = SYNTHREID
) -> Iterator[_Picture]:
    """List the images of the three folders, the query being the first image of a test identity by each camera."""
    for pid, identity in enumerate(people, start=1):
        training = pid <= benchmark.train_identities
        for camera in variant.cameras:
            for index in range(benchmark.train_images if training else benchmark.gallery_images + 1):
                split = "train" if training else "query" if index == 0 else "gallery"
                if camera.number not in _cameras(variant, split):
                    continue
                key = (pid, camera.number, index)
                rng = _stream(benchmark, variant, _IMAGES, *key)
                framing = sample_framing(_framing(variant, split), _stream(benchmark, variant, _FRAMINGS, *key))
                yield _Picture(f"{_FOLDERS[split]}/{_name(*key)}", identity, camera, rng, framing)
    gallery = [camera for camera in variant.cameras if camera.number in variant.gallery_cameras]
    for index in range(benchmark.distractors):
        rng = _stream(benchmark, variant, _DISTRACTORS, index)
        camera = gallery[index % len(gallery)]
        framing = sample_framing(variant.gallery_framing, _stream(benchmark, variant, _FRAMINGS, 0, 0, index))
        path = f"{_FOLDERS['gallery']}/{_name(0, camera.number, index)}"
        yield _Picture(path, variant.stranger(rng), camera, rng, framing)


def _cameras(variant: Variant, split: str) -> tuple[int, ...]:
    """Return the numbers of the cameras that a split's images come from."""
    everywhere = tuple(camera.number for camera in variant.cameras)
    return {"query": variant.query_cameras, "gallery": variant.gallery_cameras}.get(split, everywhere)


def _framing(variant: Variant, split: str) -> str:
    return {"query": variant.query_framing, "gallery": variant.gallery_framing}.get(split, "usual")


def _readme(benchmark: Benchmark, variant: Variant) -> str:
    """Return the text of README.txt."""
    everywhere = tuple(camera.number for camera in variant.cameras)
    seen = {
        split: "" if numbers == everywhere else f" {numbers[0]} to {numbers[-1]}"
        for split, numbers in (("query", variant.query_cameras), ("gallery", variant.gallery_cameras))
    }
    return _README.format(
        name=variant.name,
        version=variant.version,
        about=variant.about,
        differ=variant.differ,
        strangers="vehicles" if variant.vehicles else "people",
        wear="have" if variant.vehicles else "wear",
        **seen,
        **asdict(benchmark),
    )


def _write_attributes(path: Path, benchmark: Benchmark, people: Sequence[Identity | Vehicle]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["pid", "subset", *(field.name for field in fields(people[0]))])
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


def _name(pid: int, camera: int, index: int) -> str:
    return f"{pid:04d}_c{camera}s1_{index:06d}_00.jpg"


def _stream(benchmark: Benchmark, variant: Variant, purpose: int, *key: int) -> np.random.Generator:
    """Return the random stream of one thing; sets that show the same people have the same streams."""
    return np.random.Generator(np.random.PCG64([benchmark.seed, variant.people * _PURPOSES + purpose, *key]))


def _meta(benchmark: Benchmark, variant: Variant) -> dict[str, int | str]:
    """Return what tells one benchmark from another; SynthReID's, being older than the others, names no variant."""
    name = {} if variant is SYNTHREID else {"variant": variant.name}
    return {"painter_version": variant.version, **name, **asdict(benchmark)}


def _read_meta(folder: Path) -> dict[str, int | str] | None:
    """Return what an existing folder says of itself, None if nothing."""
    try:
        return json.loads((folder / _META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
