"""The synthetic sets: what each promises, on small cuts of all of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.data.synthetic import SYNTHREID, VARIANTS, Benchmark, ensure_benchmark, paint, write_benchmark
from fastreid.data.synthetic.palette import INFRARED, VISIBLE
from fastreid.data.synthetic.season import SUMMER, WINTER
from fastreid.data.synthetic.writer import _pictures

from .histogram import rank_one

TINY = Benchmark(train_identities=2, test_identities=2, group_size=2, train_images=1, gallery_images=1, distractors=3)
NAMES = sorted(VARIANTS)
_LABELS = re.compile(r"(?P<folder>\w+)/(?P<pid>\d{4})_c(?P<cam>\d)s1_(?P<index>\d{6})_00\.jpg")

# Means of blocks of 32 x 32 pixels of one picture by each of SynthReID's cameras: rows, columns, channels.
SYNTHREID_V1 = (
    "190 197 210 198 199 213 166 172 148 150 151 152 154 155 137 140 142 144 144 146 131 136 140 126",
    "99 66 62 90 72 66 99 73 62 91 76 64 102 87 80 92 77 65 80 82 87 76 67 72",
    "99 132 64 88 134 77 102 96 94 92 88 65 89 103 77 111 123 67 113 113 85 144 143 95",
    "166 143 142 178 136 140 173 146 159 158 110 149 122 109 120 140 107 139 189 183 184 158 135 161",
    "119 148 93 122 130 93 96 94 85 99 93 77 83 93 90 95 109 96 141 159 118 133 154 117",
    "141 78 100 133 100 111 149 81 99 144 96 110 99 84 116 82 73 107 89 72 94 76 61 86",
)


def pictures(name: str, benchmark: Benchmark = TINY) -> list:
    return list(_pictures(benchmark, benchmark.people(VARIANTS[name]), VARIANTS[name]))


def painted(name: str) -> dict[str, np.ndarray]:
    """Return every picture of a tiny cut, by its path."""
    return {p.path: paint(p.identity, p.camera, p.rng, p.framing) for p in pictures(name)}


@pytest.fixture(scope="module")
def cuts() -> dict[str, dict[str, np.ndarray]]:
    return {name: painted(name) for name in NAMES}


def of(images: dict[str, np.ndarray], folder: str) -> list[np.ndarray]:
    return [image for path, image in images.items() if path.startswith(f"{folder}/")]


def digest(images: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(path.encode() + images[path].tobytes() for path in sorted(images))).hexdigest()


@pytest.mark.parametrize("number", range(6))
def test_pictures_of_synthreid_are_those_of_its_version(number):
    """Two grey levels allow for another version of numpy or Pillow, and for nothing that one can see."""
    person, camera = Benchmark().people()[40 * (number + 1)], SYNTHREID.cameras[number]
    rng = np.random.Generator(np.random.PCG64([0, 1, 40 * (number + 1) + 1, camera.number, 0]))
    blocks = paint(person, camera, rng).reshape(4, 32, 2, 32, 3).mean(axis=(1, 3))  # (4, 2, 3)
    assert np.abs(blocks.ravel() - np.array(SYNTHREID_V1[number].split(), dtype=float)).max() < 2


def test_order_does_not_matter(cuts):
    for name in NAMES:
        backwards = {p.path: paint(p.identity, p.camera, p.rng, p.framing) for p in reversed(pictures(name))}
        assert digest(backwards) == digest(cuts[name]), name


def test_another_process_paints_the_same(cuts):
    code = (
        "from tests.data.synthetic.test_variants import NAMES, digest, painted\n"
        "for name in reversed(NAMES): print(name, digest(painted(name)))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert dict(line.split() for line in done.stdout.splitlines()) == {name: digest(cuts[name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_function_of_its_name(name, cuts):
    """More people of other groups, more images and more distractors leave the others as they are."""
    more = replace(TINY, test_identities=4, gallery_images=2, distractors=5)
    wanted = [p for p in pictures(name, more) if p.path in cuts[name]]
    assert len(wanted) == len(cuts[name])
    for p in wanted[::5]:
        assert (paint(p.identity, p.camera, p.rng, p.framing) == cuts[name][p.path]).all()


@pytest.mark.parametrize("name", NAMES)
def test_statistics_count_the_pictures(name):
    found = defaultdict(list)
    for picture in pictures(name):
        match = _LABELS.fullmatch(picture.path)
        assert int(match["cam"]) == picture.camera.number
        found[match["folder"]].append(match["pid"])
    counts = {folder: (len(set(pids)), len(pids)) for folder, pids in found.items()}
    wanted = TINY.statistics(VARIANTS[name])
    assert counts == {
        "bounding_box_train": wanted["train"],
        "query": wanted["query"],
        "bounding_box_test": wanted["gallery"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_two_pictures_are_alike(name, cuts):
    assert len({image.tobytes() for image in cuts[name].values()}) == len(cuts[name])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "SynthPartial"])
def test_pictures_have_one_size_and_something_on_them(name, cuts):
    size = (96, 128, 3) if name == "SynthVehicle" else (128, 64, 3)
    assert {image.shape for image in cuts[name].values()} == {size}
    assert min(image.std() for image in cuts[name].values()) > 10


@pytest.mark.parametrize("name", ["SynthOccluded", "SynthPartial"])
def test_training_and_people_are_those_of_synthreid(name, cuts):
    ours = {path: image for path, image in cuts[name].items() if path.startswith("bounding_box_train/")}
    theirs = {path: image for path, image in cuts["SynthReID"].items() if path.startswith("bounding_box_train/")}
    assert digest(ours) == digest(theirs)
    assert TINY.people(VARIANTS[name]) == TINY.people(SYNTHREID)
    assert {p.framing.occluders for p in pictures(name) if p.path.startswith("bounding_box_test")} == {False}


def test_partial_queries_are_cut_from_whole_pictures(cuts):
    for picture in pictures("SynthPartial"):
        if picture.path.startswith("query/"):
            whole = paint(picture.identity, picture.camera, picture.rng, replace(picture.framing, box=(0, 0, 1, 1)))
            left, top, right, bottom = np.multiply(picture.framing.box, [64, 128, 64, 128]).round().astype(int)
            assert (cuts["SynthPartial"][picture.path] == whole[top:bottom, left:right]).all()
            assert 0.2 < cuts["SynthPartial"][picture.path].size / whole.size < 0.71


def test_cameras_at_night_are_grey_and_the_others_are_not(cuts):
    variant = VARIANTS["SynthNight"]
    assert [camera.infrared for camera in variant.cameras] == [False] * 3 + [True] * 3
    for path, image in cuts["SynthNight"].items():
        written = io.BytesIO()
        Image.fromarray(image).save(written, "jpeg", quality=78)
        colour = np.ptp(np.asarray(Image.open(written)).astype(int), axis=2).mean()
        assert (colour == 0) == (int(_LABELS.fullmatch(path)["cam"]) > 3)


def test_night_is_looked_for_in_the_day(cuts):
    cameras = defaultdict(set)
    for path in cuts["SynthNight"]:
        match = _LABELS.fullmatch(path)
        cameras[match["folder"]].add(int(match["cam"]))
    assert cameras == {"query": {4, 5, 6}, "bounding_box_test": {1, 2, 3}, "bounding_box_train": {1, 2, 3, 4, 5, 6}}


def test_infrared_orders_cloth_otherwise_than_the_eye():
    for kind in ("cloth", "skin", "hair"):
        assert getattr(INFRARED, kind).keys() == getattr(VISIBLE, kind).keys()
    luma = np.array([np.dot(rgb, (0.299, 0.587, 0.114)) for rgb in VISIBLE.cloth.values()])
    infrared = np.array([rgb[0] for rgb in INFRARED.cloth.values()])
    pairs = [(i, j) for i in range(len(luma)) for j in range(i)]
    swapped = sum((luma[i] - luma[j]) * (infrared[i] - infrared[j]) < 0 for i, j in pairs)
    assert 0.1 < swapped / len(pairs) < 0.5


def test_cities_share_neither_people_nor_cameras(cuts):
    first, second = VARIANTS["SynthCityA"], VARIANTS["SynthCityB"]
    large = Benchmark(train_identities=40, test_identities=20)
    people = [{person for person in large.people(variant)} for variant in (first, second, SYNTHREID)]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    assert not {camera.scene for camera in first.cameras} & {camera.scene for camera in second.cameras}
    for variant, looks, other in ((first, SUMMER, WINTER), (second, WINTER, SUMMER)):
        worn = {person.upper_cut for person in large.people(variant)}
        assert worn == set(looks["upper_cut"]) != set(other["upper_cut"])
    means = [np.mean([image.mean(axis=(0, 1)) for image in cuts[v.name].values()], axis=0) for v in (first, second)]
    assert means[0].mean() > 1.15 * means[1].mean()  # the south is brighter ...
    assert means[0][0] / means[0][2] > 1.15 * means[1][0] / means[1][2]  # ... and warmer


def test_written_set_says_what_it_is(tmp_path):
    variant = VARIANTS["SynthNight"]
    write_benchmark(tmp_path / "set", TINY, variant)
    meta = json.loads((tmp_path / "set" / "meta.json").read_text())
    assert meta == {
        "painter_version": variant.version,
        "variant": "SynthNight",
        **{field.name: getattr(TINY, field.name) for field in fields(Benchmark)},
    }
    text = (tmp_path / "set" / "README.txt").read_text()
    assert text.startswith("SynthNight, painter version 1, seed 0\n\nPedestrians painted by fastreid")
    assert "one image per camera 4 to 6\n" in text and "1 images per camera 1 to 3, and 3 distractors\n" in text
    ensure_benchmark(tmp_path / "set", TINY, variant)
    with pytest.raises(RuntimeError, match="Delete or rename the folder"):
        ensure_benchmark(tmp_path / "set", TINY, VARIANTS["SynthOccluded"])


def test_histograms_of_colour_do_not_tell_vehicles_apart(tmp_path):
    part = Benchmark(train_identities=1, train_images=1, test_identities=20, gallery_images=2, distractors=20)
    write_benchmark(tmp_path / "part", part, VARIANTS["SynthVehicle"])
    reached = rank_one(tmp_path / "part")
    assert 10 < max(reached.values()) < 60, reached


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query_framing", "half", "query_framing must be one of usual, whole, occluded, part; got 'half'"),
        ("gallery_cameras", (1, 9), r"gallery_cameras must be among \(1, 2, 3, 4, 5, 6\), got \(1, 9\)"),
        ("cameras", SYNTHREID.cameras[1:], "cameras must be numbered 1, 2, 3 ..., got"),
    ],
)
def test_impossible_variant_is_an_error(name, value, message):
    with pytest.raises(ValueError, match=message):
        replace(VARIANTS["SynthOccluded"], **{name: value})


def test_names_and_people_are_apart():
    assert [name for name, variant in VARIANTS.items() if variant.people == 0] == [
        "SynthReID", "SynthOccluded", "SynthPartial", "SynthNight",
    ]  # fmt: skip
    own = [variant.people for variant in VARIANTS.values() if variant.people]
    assert len(set(own)) == len(own)
