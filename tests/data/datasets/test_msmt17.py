from __future__ import annotations

import logging
import os
import shutil

import pytest

from fastreid.data.datasets import MSMT17

from ..conftest import write_image

LISTS = {
    "train": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0007/0007_001_15_0303noon_0001_1_ex.jpg 7"],
    "val": ["0000/0000_003_02_0303morning_0015_0.jpg 0"],
    "query": ["0000/0000_000_03_0303morning_0015_0.jpg 0", "0001/0001_000_04_0303morning_0015_0.jpg 1"],
    "gallery": ["0000/0000_001_05_0303morning_0015_0.jpg 0"],
}
FOLDERS = {"MSMT17_V1": ("train", "test"), "MSMT17_V2": ("mask_train_v2", "mask_test_v2")}


def write_msmt17(root, version="MSMT17_V1"):
    for split, lines in LISTS.items():
        folder = FOLDERS[version][split in ("query", "gallery")]
        for line in lines:
            write_image(root / version / folder / line.split()[0])
        (root / version / f"list_{split}.txt").write_text("\n".join([*lines, ""]))
    return root


@pytest.fixture
def root(tmp_path):
    return write_msmt17(tmp_path / "2020_c3_05_data")


def test_splits_and_labels(root):
    data = MSMT17(str(root))
    assert [item[1:] for item in data.train] == [("msmt17_0", "msmt17_0"), ("msmt17_7", "msmt17_14")]
    # two people of training: the test's begin at 2
    assert [item[1:] for item in data.query] == [(2, 2), (3, 3)]
    assert [item[1:] for item in data.gallery] == [(2, 4)]
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


def test_val_is_trained_on_only_with_combineall(root):
    data = MSMT17(str(root), combineall=True)
    assert [item[1] for item in data.train] == [
        "msmt17_0", "msmt17_7", "msmt17_0", "msmt17_test_2", "msmt17_test_3", "msmt17_test_2",
    ]  # fmt: skip
    assert os.path.basename(data.train[2][0]) == "0000_003_02_0303morning_0015_0.jpg"
    assert data.query == MSMT17(str(root)).query


@pytest.mark.parametrize(
    ("versions", "taken"),
    [(["MSMT17_V1"], "MSMT17_V1"), (["MSMT17_V2"], "MSMT17_V2"), (["MSMT17_V2", "MSMT17_V1"], "MSMT17_V1")],
)
def test_version_is_told_by_its_folder_and_logged(tmp_path, versions, taken, caplog):
    for version in versions:
        write_msmt17(tmp_path, version)
    with caplog.at_level(logging.INFO):
        data = MSMT17(str(tmp_path))
    assert f"MSMT17: taking {taken}, in {tmp_path / taken}" in caplog.text
    assert os.path.dirname(os.path.dirname(data.train[0][0])) == str(tmp_path / taken / FOLDERS[taken][0])
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


@pytest.mark.parametrize("split", LISTS)
def test_missing_list_is_named_with_where_to_get_it(root, split):
    (root / "MSMT17_V1" / f"list_{split}.txt").unlink()
    with pytest.raises(RuntimeError) as error:
        MSMT17(str(root))
    text = str(error.value)
    assert f'MSMT17_V1" is there, but has no list_{split}.txt\n' in text
    assert "https://www.pkuvmc.com/dataset.html" in text
    assert "list_*.txt files are in the same archive" in text


def test_missing_set_names_both_versions(root):
    shutil.rmtree(root / "MSMT17_V1")
    with pytest.raises(RuntimeError, match=r"MSMT17_V1/train/\n(.|\n)*\n  or\n    MSMT17_V2/mask_train_v2/\n"):
        MSMT17(str(root))


@pytest.mark.parametrize("line", ["0000/0000_000_01_x.jpg", "0000/0000_000_01_x.jpg seven", "0000/portrait.jpg 3"])
def test_line_that_is_none_is_an_error(root, line):
    with (root / "MSMT17_V1" / "list_query.txt").open("a") as file:
        file.write(f"\n{line}\n")
    data = MSMT17(str(root))
    assert len(data.train) == 2
    with pytest.raises(ValueError, match=rf"list_query\.txt:4: '{line}' does not read like"):
        data.query  # noqa: B018


def append(root, split, line):
    with (root / "MSMT17_V1" / f"list_{split}.txt").open("a") as file:
        file.write(f"{line}\n")


def test_images_that_are_not_there_are_counted_and_named(root):
    append(root, "gallery", "0001/0001_000_06_x.jpg 1")
    data = MSMT17(str(root))
    assert len(data.query) == 2
    with pytest.raises(
        FileNotFoundError, match=r"1 of 2 .*list_gallery\.txt lists are not there: .*_06_x\.jpg; .*test$"
    ):
        data.gallery  # noqa: B018


def test_camera_below_the_first_is_an_error(root):
    write_image(root / "MSMT17_V1" / "test" / "0001" / "0001_000_00_x.jpg")
    append(root, "gallery", "0001/0001_000_00_x.jpg 1")
    with pytest.raises(ValueError, match=r"_00_x\.jpg: its name says camera 0, but MSMT17 counts cameras from 1"):
        MSMT17(str(root)).gallery  # noqa: B018


def test_mark_at_the_start_of_a_list_is_no_part_of_a_name(root):
    path = root / "MSMT17_V1" / "list_query.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert os.path.basename(MSMT17(str(root)).query[0][0]) == "0000_000_03_0303morning_0015_0.jpg"


def test_list_that_is_no_text_is_an_error_with_its_line(root):
    (root / "MSMT17_V1" / "list_query.txt").write_bytes(b"\x80\xff\n")
    with pytest.raises(ValueError, match=r"list_query\.txt:1: .* does not read like"):
        MSMT17(str(root)).query  # noqa: B018


def test_published_sizes():
    assert MSMT17.statistics == {"train": (1041, 30248), "query": (3060, 11659), "gallery": (3060, 82161)}


@pytest.mark.parametrize("lacking", ["everything", "train"])
def test_complete_version_is_taken_where_the_other_is_not(tmp_path, lacking):
    write_msmt17(tmp_path, "MSMT17_V2")
    if lacking == "everything":
        (tmp_path / "MSMT17_V1").mkdir()
    else:
        write_msmt17(tmp_path, "MSMT17_V1")
        shutil.rmtree(tmp_path / "MSMT17_V1" / lacking)
    assert MSMT17(root=str(tmp_path)).folder == "MSMT17_V2"
