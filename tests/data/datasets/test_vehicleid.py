from __future__ import annotations

import os
import random

import numpy as np
import pytest

from fastreid.data.datasets import DATASET_REGISTRY, LargeVehicleID, MediumVehicleID, SmallVehicleID, VehicleID
from fastreid.utils.random_gallery import draw_gallery

from ..conftest import write_image

NAMES = {"VehicleID": 13164, "SmallVehicleID": 800, "MediumVehicleID": 1600, "LargeVehicleID": 2400}
TRAIN = ["0000001 14", "0000002 14", "0000003 15"]
TEST = ["0000104 3", "0000101 2", "0000102 2", "0000103 3", "0000106 3", "0000105 2", "0000107 7"]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "0999_c001_data"
    folder = root / "vehicleid" / "train_test_split"
    folder.mkdir(parents=True)
    for name, lines in {"train_list": TRAIN, **{f"test_list_{size}": TEST for size in NAMES.values()}}.items():
        (folder / f"{name}.txt").write_text("\n".join([*lines, ""]))
        for line in lines:
            write_image(root / "vehicleid" / "image" / f"{line.split()[0]}.jpg")
    return root


def list_of(root, name):
    return root / "vehicleid" / "train_test_split" / name


def test_train_labels(root):
    data = VehicleID(str(root))
    assert [item[1:] for item in data.train] == [
        ("vehicleid_14", "vehicleid_1"), ("vehicleid_14", "vehicleid_2"), ("vehicleid_15", "vehicleid_3"),
    ]  # fmt: skip
    assert all(os.path.isfile(item[0]) for item in data.train)


@pytest.mark.parametrize(("name", "size"), NAMES.items())
def test_each_test_has_its_list_and_one_image_of_a_vehicle_in_the_gallery(root, name, size):
    list_of(root, f"test_list_{size}.txt").write_text("\n".join(TEST[: size % 5 + 4]))
    data = DATASET_REGISTRY.get(name)(root=str(root))
    items = [tuple(map(int, line.split())) for line in TEST[: size % 5 + 4]]
    assert sorted((camid, pid) for _, pid, camid in [*data.query, *data.gallery]) == sorted(items)
    assert [pid for _, pid, _ in data.gallery] == sorted({pid for _, pid in items})
    for path, _, camid in [*data.query, *data.gallery]:
        assert os.path.isfile(path) and os.path.basename(path) == f"{camid:07d}.jpg"


def test_split_is_the_same_each_time_and_documented(root):
    first = VehicleID(str(root))
    random.seed(7)
    np.random.seed(7)
    second = VehicleID(str(root))
    gallery = second.gallery
    assert (first.query, first.gallery) == (second.query, gallery)
    assert random.random() == random.Random(7).random()  # the global stream was not touched
    pairs = [tuple(map(int, line.split())) for line in TEST]
    drawn = draw_gallery([pid for _, pid in pairs], [number for number, _ in pairs], seed=0)
    assert [camid for _, _, camid in gallery] == [pairs[place][0] for place in drawn]


def test_order_of_the_list_does_not_change_the_split(root):
    before = VehicleID(str(root))
    gallery, query = before.gallery, before.query
    list_of(root, "test_list_13164.txt").write_text("\n".join(reversed(TEST)))
    after = VehicleID(str(root))
    assert after.gallery == gallery
    assert sorted(after.query) == sorted(query)


@pytest.mark.parametrize("name", ["train_list.txt", "test_list_800.txt"])
def test_missing_list_is_named_with_where_to_put_it(root, name):
    list_of(root, name).unlink()
    with pytest.raises(RuntimeError) as error:
        SmallVehicleID(str(root))
    text = str(error.value)
    assert f'vehicleid" is there, but has no train_test_split/{name}\n' in text
    assert f"    vehicleid/train_test_split/{name}\n" in text
    assert VehicleID.url in text and "FASTREID_DATASETS" in text


def test_only_the_list_of_the_test_itself_is_needed(root):
    list_of(root, "test_list_2400.txt").unlink()
    assert len(MediumVehicleID(str(root)).gallery) == 3
    with pytest.raises(RuntimeError, match=r"has no train_test_split/test_list_2400\.txt"):
        LargeVehicleID(str(root))


@pytest.mark.parametrize("line", ["0000001", "0000001.jpg 14", "0000001 14 2"])
def test_line_that_is_none_is_an_error(root, line):
    with list_of(root, "train_list.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=rf"train_list\.txt:4: '{line}' does not read like '0000001 14038'"):
        VehicleID(str(root)).train  # noqa: B018


def test_empty_list_is_an_error(root):
    list_of(root, "test_list_13164.txt").write_text("\n")
    with pytest.raises(RuntimeError, match=r"test_list_13164\.txt lists no image; get the lists anew"):
        VehicleID(str(root)).gallery  # noqa: B018


def test_images_that_are_not_there_are_counted_and_named(root):
    os.remove(root / "vehicleid" / "image" / "0000002.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"1 of 3 .*train_list\.txt lists are not there: .*0000002\.jpg; .*image$"
    ):
        VehicleID(str(root)).train  # noqa: B018


def test_combineall_trains_on_the_test_too(root):
    data = VehicleID(str(root), combineall=True)
    assert len(data.train) == len(TRAIN) + len(TEST)
    assert {item[1] for item in data.train[3:]} == {"vehicleid_test_2", "vehicleid_test_3", "vehicleid_test_7"}


def test_published_sizes():
    assert [
        cls.statistics["query"][1] + cls.statistics["gallery"][1]
        for cls in (SmallVehicleID, MediumVehicleID, LargeVehicleID)
    ] == [6493, 13377, 19777]
    assert sum(images for _, images in VehicleID.statistics.values()) == 221567
