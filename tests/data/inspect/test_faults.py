"""Every fault that is planted in a copy of a painted data set is found, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.data.data_utils import ImageReadError, read_image
from fastreid.data.inspect import CHECK_REGISTRY, inspect_dataset

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


def file(folder: Path, split: str, pid: int, camera: int = 1, index: int = 0) -> Path:
    return folder / split / f"{pid:04d}_c{camera}s1_{index:06d}_00.jpg"


def first(folder):
    return file(folder, TRAIN, 1)


def load(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def truncate(folder):
    content = first(folder).read_bytes()
    first(folder).write_bytes(content[: len(content) // 2])


def empty(folder):
    first(folder).write_bytes(b"")


def replace_by_text(folder):
    first(folder).write_text("<html>404 Not Found</html>")


def store_floats(folder):
    Image.fromarray(np.zeros((128, 64), np.float32)).save(first(folder), "TIFF")


def shrink(folder):
    load(first(folder)).resize((20, 40)).save(first(folder))


def turn_on_its_side(folder):
    load(first(folder)).transpose(Image.Transpose.ROTATE_90).save(first(folder))


def stretch(folder):
    load(first(folder)).resize((64, 500)).save(first(folder))


def rotate_by_exif(folder):
    exif = Image.Exif()
    exif[0x0112] = 3
    load(first(folder)).save(first(folder), exif=exif)


def rotate_by_exif_to_its_side(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    load(first(folder)).save(first(folder), exif=exif)


def store_as(mode, kind="PNG"):
    def spoil(folder):
        load(first(folder)).convert(mode).save(first(folder), kind)

    return spoil


def store_16_bits(folder):
    values = np.asarray(load(first(folder)).convert("L")).astype(np.uint16) * 257
    Image.fromarray(values).save(first(folder), "PNG")


def make_transparent(folder):
    image = load(first(folder))
    image.putalpha(100)
    image.save(first(folder), "PNG")


def blacken(folder):
    Image.new("RGB", (64, 128)).save(first(folder))


def blacken_two_people(folder):  # no images of two identities, but none at all
    for pid in (1, 2):
        Image.new("RGB", (64, 128)).save(file(folder, TRAIN, pid))


def copy(source, target):
    def spoil(folder):
        shutil.copy(file(folder, *source), file(folder, *target))

    return spoil


def copy_encoded_anew(source, target):
    def spoil(folder):
        load(file(folder, *source)).resize((96, 192)).save(file(folder, *target), quality=80)

    return spoil


def move_to_the_test(folder):
    first(folder).rename(file(folder, GALLERY, 1))


def keep_only(pid, split, names):
    """Delete the images of an identity whose names do not have this in them."""

    def spoil(folder):
        for path in (folder / split).glob(f"{pid:04d}_*"):
            if names not in path.name:
                path.unlink()

    return spoil


def swamp(folder):
    rng = np.random.default_rng(0)
    for index in range(10, 125):
        noise = np.kron(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(noise).save(file(folder, TRAIN, 1, 1, index))


def ask_for_a_distractor(folder):
    file(folder, GALLERY, 0).rename(file(folder, QUERY, 0))


def ask_for_what_cannot_be_read(folder):
    for path in (folder / GALLERY).glob("0005_*"):
        path.write_bytes(b"")


def forget_a_camera(folder):
    for path in (folder / TRAIN).glob("*_c6s1_*"):
        path.unlink()


def add_junk(folder):
    shutil.copy(first(folder), folder / GALLERY / "-1_c1s1_000000_00.jpg")


def add_a_picture_without_labels(folder):
    shutil.copy(first(folder), folder / TRAIN / "holiday.jpg")


def leave_one_identity(folder):
    for path in (folder / TRAIN).iterdir():
        if not path.name.startswith("0001_"):
            path.unlink()


def forget_training(folder):
    shutil.rmtree(folder / TRAIN)


def forget_the_test(folder):
    shutil.rmtree(folder / QUERY)
    shutil.rmtree(folder / GALLERY)


def mistype_a_name(folder):
    first(folder).rename(folder / TRAIN / f"{2**63}_c1s1_000000_00.jpg")


def forget_the_gallery(folder):
    shutil.rmtree(folder / GALLERY)


FAULTS = [
    (truncate, {"truncated-image": "error"}),
    (empty, {"empty-file": "error"}),
    (replace_by_text, {"not-an-image": "error"}),
    (store_floats, {"unreadable-image": "error"}),
    (shrink, {"tiny-image": "warning"}),
    (turn_on_its_side, {"landscape": "warning"}),
    (stretch, {"stretched-image": "warning"}),
    (rotate_by_exif, {"exif-rotated": "note"}),
    (rotate_by_exif_to_its_side, {"exif-rotated": "note", "landscape": "warning"}),
    (store_as("L"), {"grey": "note"}),
    (store_as("CMYK", "JPEG"), {"cmyk": "warning"}),
    (store_as("P"), {"palette": "note"}),
    (store_as("RGBA"), {"unused-alpha": "note"}),
    (store_as("LAB", "TIFF"), {"unusual-mode": "note"}),
    (store_16_bits, {"16-bit": "warning", "grey": "note"}),
    (make_transparent, {"transparency": "warning"}),
    (blacken, {"blank-image": "warning"}),
    (blacken_two_people, {"blank-image": "warning"}),
    (copy((TRAIN, 1), (TRAIN, 1, 1, 9)), {"repeated-image": "warning"}),
    (copy((TRAIN, 1), (TRAIN, 2, 1, 9)), {"image-of-two-identities": "error"}),
    (copy((GALLERY, 5, 1, 1), (GALLERY, 6, 1, 9)), {"image-of-two-identities": "error"}),
    (copy((TRAIN, 1), (GALLERY, 5, 1, 9)), {"image-in-train-and-test": "error"}),
    (copy((QUERY, 5), (GALLERY, 5, 1, 9)), {"image-in-query-and-gallery": "warning"}),
    (copy((QUERY, 5), (GALLERY, 5, 2, 9)), {"image-in-query-and-gallery": "error"}),
    (copy_encoded_anew((TRAIN, 1), (TRAIN, 1, 1, 9)), {"near-copy": "note"}),
    (copy_encoded_anew((TRAIN, 1), (TRAIN, 2, 1, 9)), {"near-copy-of-two-identities": "warning"}),
    (copy_encoded_anew((TRAIN, 1), (GALLERY, 5, 1, 9)), {"near-copy-in-train-and-test": "error"}),
    (copy_encoded_anew((QUERY, 5), (GALLERY, 5, 1, 9)), {"near-copy-in-query-and-gallery": "note"}),
    (copy_encoded_anew((QUERY, 5), (GALLERY, 5, 2, 9)), {"near-copy-in-query-and-gallery": "warning"}),
    (move_to_the_test, {"identity-in-train-and-test": "error"}),
    (keep_only(1, TRAIN, "_c3s1_000000_"), {"single-image": "warning"}),
    (keep_only(1, TRAIN, "_c3s1_"), {"single-camera": "note"}),
    (swamp, {"imbalance": "warning"}),
    (keep_only(5, GALLERY, "nothing"), {"query-absent": "warning"}),
    (keep_only(5, GALLERY, "_c3s1_"), {"query-own-camera": "warning"}),
    (ask_for_a_distractor, {"query-nobody": "error"}),
    (ask_for_what_cannot_be_read, {"query-unreadable-matches": "warning", "empty-file": "error"}),
    (forget_a_camera, {"unseen-camera": "note"}),
    (add_junk, {"unlisted-file": "note"}),
    (add_a_picture_without_labels, {"unlisted-file": "note", "data-set-warning": "warning"}),
    (leave_one_identity, {"one-identity": "error"}),
    (forget_training, {"no-train": "note"}),
    (forget_the_test, {"no-test": "note"}),
    (forget_the_gallery, {"cannot-build": "error"}),
    (mistype_a_name, {"cannot-list": "error"}),
]


def inspect(folder, **options):
    return inspect_dataset(f"market:{folder}", workers=0, **options)


def kinds(report):
    return {finding.kind: finding.severity for finding in report.findings}


@pytest.mark.parametrize("protocol", ["auto", "cameraless", "cuhk03"])
def test_nothing_is_found_where_nothing_is_wrong(painted, protocol):
    report = inspect(painted, protocol=protocol)
    assert report.findings == ()
    assert report.verdict == "ready"
    assert report.exit_code(strict=True) == 0


@pytest.mark.parametrize(("spoil", "expected"), FAULTS, ids=["-".join(expected) for _, expected in FAULTS])
def test_each_fault_is_found_and_nothing_else(spoiled, spoil, expected):
    spoil(spoiled)
    report = inspect(spoiled)
    assert kinds(report) == expected
    assert len(report.findings) == len(expected)
    broken, doubtful = ("error" in expected.values(), "warning" in expected.values())
    assert report.exit_code() == (2 if broken else 0)
    assert report.exit_code(strict=True) == (2 if broken else 1 if doubtful else 0)


def test_every_kind_of_the_checks_is_planted_somewhere():
    planted = {kind for _, expected in FAULTS for kind in expected}
    elsewhere = {  # in the tests of each group
        "missing-image", "decoder-warning", "no-images", "no-query", "no-gallery", "protocol", "not-published",
        "not-split", "query-own-image", "no-true-match",
    }  # fmt: skip
    known = {kind for name in CHECK_REGISTRY for kind in CHECK_REGISTRY.get(name).kinds}
    assert known <= planted | elsewhere


@pytest.mark.parametrize("spoil", [truncate, empty, replace_by_text, store_floats])
def test_what_is_an_error_of_an_image_is_one_to_the_loader(spoiled, spoil):
    spoil(spoiled)
    with pytest.raises(ImageReadError):
        read_image(str(first(spoiled)))
    (finding,) = inspect(spoiled).findings
    assert finding.count == 1
    assert finding.cases[0].paths == (str(first(spoiled)),)
    assert finding.message.endswith("which stops a run: train 1 (2.1 %)")


def test_of_many_cases_the_first_are_listed_and_all_are_counted(spoiled):
    paths = sorted((spoiled / TRAIN).iterdir())[:12]
    for path in paths:
        path.write_bytes(b"")
    (finding,) = inspect(spoiled, most=5).findings
    assert finding.count == 12
    assert [case.paths for case in finding.cases] == [(str(path),) for path in paths[:5]]
    assert finding.message.startswith("12 images without a byte")


def test_without_reading_images_only_labels_are_checked(spoiled):
    truncate(spoiled)
    copy((TRAIN, 1, 2), (TRAIN, 2, 2, 9))(spoiled)
    move = file(spoiled, TRAIN, 3)
    move.rename(file(spoiled, GALLERY, 3))
    report = inspect(spoiled, read_images=False)
    assert kinds(report) == {"identity-in-train-and-test": "error"}
    assert report.subject.facts is None
    assert "content" not in report.fingerprints


def test_an_ignored_kind_is_a_note(spoiled):
    truncate(spoiled)
    report = inspect(spoiled, ignore=["truncated-image"])
    assert kinds(report) == {"truncated-image": "note"}
    assert report.findings[0].message.endswith("(error, ignored)")
    assert (report.verdict, report.exit_code(strict=True)) == ("ready", 0)


def test_links_to_one_file_are_copies(spoiled):
    os.symlink(first(spoiled), file(spoiled, TRAIN, 2, 1, 9))
    assert kinds(inspect(spoiled)) == {"image-of-two-identities": "error"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "best"}, "protocol must be one of auto, market1501, .* got 'best'"),
        ({"size": (0, 128)}, r"size must be .* got \(0, 128\)"),
        ({"most": 0}, "most must be at least 1 case of each finding, got 0"),
        ({"ignore": ["grye"]}, "no findings of the kind 'grye'; kinds: .*grey"),
    ],
)
def test_arguments_out_of_range_are_an_error(painted, options, message):
    with pytest.raises(ValueError, match=message):
        inspect(painted, **options)
