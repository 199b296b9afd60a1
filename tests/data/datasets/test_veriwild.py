from __future__ import annotations

import os

import pytest

from fastreid.data.datasets import DATASET_REGISTRY, LargeVeRiWild, MediumVeRiWild, SmallVeRiWild, VeRiWild

from ..conftest import write_image

NAMES = {"VeRiWild": 10000, "SmallVeRiWild": 3000, "MediumVeRiWild": 5000, "LargeVeRiWild": 10000}
TRAIN = ["00001/000001.jpg", "00001/000002.jpg", "30671/000003.jpg"]
CAMERAS = {"00001/000001": 1, "00001/000002": 174, "30671/000003": 9}


def lists_of(size):
    """Return query and gallery of a test; they differ between the tests."""
    return [f"{size}/1{size:05d}.jpg"], [f"{size}/2{size:05d}.jpg", "40000/400000.jpg"]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "0999_c001_data"
    folder = root / "VERI-Wild" / "train_test_split"
    folder.mkdir(parents=True)
    lists, cameras = {"train_list": TRAIN}, {**CAMERAS, "40000/400000": 5}
    for size in set(NAMES.values()):
        lists[f"test_{size}_query"], lists[f"test_{size}"] = lists_of(size)
        cameras |= {f"{size}/1{size:05d}": 2, f"{size}/2{size:05d}": 3}
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join([*lines, ""]))
        for line in lines:
            write_image(root / "VERI-Wild" / "images" / line)
    info = [f"{image};{camera};2018-03-11 06:52:32;model;SUV;white" for image, camera in cameras.items()]
    (folder / "vehicle_info.txt").write_text("\n".join(["id/image;Camera ID;Time;Model;Type;Color", *info, ""]))
    return root


def file_of(root, name):
    return root / "VERI-Wild" / "train_test_split" / name


@pytest.mark.parametrize(("name", "size"), NAMES.items())
def test_splits_and_labels(root, name, size):
    data = DATASET_REGISTRY.get(name)(root=str(root))
    assert [item[1:] for item in data.train] == [
        ("veriwild_1", "veriwild_1"), ("veriwild_1", "veriwild_174"), ("veriwild_30671", "veriwild_9"),
    ]  # fmt: skip
    assert [item[1:] for item in data.query] == [(size, 2)]
    assert [item[1:] for item in data.gallery] == [(size, 3), (40000, 5)]
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


def test_lists_without_endings(root):
    file_of(root, "train_list.txt").write_text("\n".join(line.removesuffix(".jpg") for line in TRAIN))
    data = VeRiWild(str(root))
    assert [os.path.basename(item[0]) for item in data.train] == ["000001.jpg", "000002.jpg", "000003.jpg"]


@pytest.mark.parametrize("name", ["train_list.txt", "vehicle_info.txt", "test_3000.txt", "test_3000_query.txt"])
def test_missing_file_is_named_with_where_to_put_it(root, name):
    file_of(root, name).unlink()
    with pytest.raises(RuntimeError) as error:
        SmallVeRiWild(str(root))
    text = str(error.value)
    assert f'VERI-Wild" is there, but has no train_test_split/{name}\n' in text
    assert f"    VERI-Wild/train_test_split/{name}\n" in text
    assert VeRiWild.url in text and "FASTREID_DATASETS" in text


def test_image_without_a_camera_is_an_error(root):
    file_of(root, "vehicle_info.txt").write_text("id/image;Camera ID\n00001/000001;1\n00001/000002;?\n")
    with pytest.raises(
        ValueError, match=r"vehicle_info\.txt does not tell the camera of 00001/000002, which .*train_list"
    ):
        VeRiWild(str(root)).train  # noqa: B018


@pytest.mark.parametrize("line", ["00001", "00001/000001.png", "../00001/000001.jpg", "car/000001.jpg"])
def test_line_that_is_none_is_an_error(root, line):
    with file_of(root, "test_10000.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=rf"test_10000\.txt:3: '{line}' does not read like '00001/000001\.jpg'"):
        VeRiWild(str(root)).gallery  # noqa: B018


def test_published_sizes():
    assert {cls.__name__: cls.statistics["gallery"] for cls in (SmallVeRiWild, MediumVeRiWild, LargeVeRiWild)} == {
        "SmallVeRiWild": (3000, 38861), "MediumVeRiWild": (5000, 64389), "LargeVeRiWild": (10000, 128517),
    }  # fmt: skip
    assert LargeVeRiWild.statistics == VeRiWild.statistics
