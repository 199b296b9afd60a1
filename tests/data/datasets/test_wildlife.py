from __future__ import annotations

import logging

import pytest

from fastreid.config import get_cfg
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import Wildlife

TABLE = """image_id,identity,path,species,split,date
0,turtle_1,images/a/1.jpg,turtle,train,
1,turtle_1,images/a/2.jpg,turtle,test,2020-01-01
2,whale_9,images/b/1.jpg,whale,test,
3,whale_9,images/b/2.jpg,whale,test,
4,unknown,images/b/3.jpg,whale,test,
5,,images/b/4.jpg,whale,train,
"""


def write(root, folder="wildlife", table=TABLE):
    place = root / folder
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (place / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "images" / f"{name}.jpg").touch()
    (place / "metadata.csv").write_text(table)
    return place


@pytest.fixture
def root(tmp_path):
    return tmp_path / "0002_c1s1_000451_03.jpg" / "p123_s4"


def test_table_beside_the_images(root, caplog):
    place = write(root)
    with caplog.at_level(logging.INFO):
        data = Wildlife(str(root))
    assert data.train == [(str(place / "images/a/1.jpg"), "wildlife_turtle_1", "wildlife_0")]
    assert data.query == [(str(place / "images/b/1.jpg"), 1, -1)]  # the one turtle of the test is no query
    assert data.gallery == [(str(place / "images/a/2.jpg"), 0, -1), (str(place / "images/b/2.jpg"), 1, -1)]
    assert "metadata.csv: left out 2 images of unknown identity" in caplog.text
    assert "columns" not in caplog.text  # the table has more than is read, as it should


def test_without_split_all_images_are_both(root):
    lines = [line.split(",") for line in TABLE.splitlines()]
    write(root, table="\n".join(",".join((line[1], line[2])) for line in lines))
    data = Wildlife(str(root), combineall=True)
    assert len(data.train) == 4
    assert (len(data.query), len(data.gallery)) == (2, 2)


def test_cameras_are_read_where_there_are_some(root):
    write(root, table="identity,path,camera\na,images/a/1.jpg,door\na,images/a/2.jpg,yard\n")
    data = Wildlife(str(root))
    assert data.train[0][2] == "wildlife_door"
    assert [item[2] for item in [*data.query, *data.gallery]] == [0, 1]


def test_folder_comes_from_the_config(root):
    write(root, "WildlifeReID-10k")
    cfg = get_cfg()
    cfg.DATASETS.ROOT = str(root)
    cfg.DATASETS.NAMES = ("Wildlife",)
    cfg.DATALOADER.NUM_WORKERS = cfg.TEST.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 1
    cfg.TEST.PROTOCOL = "cameraless"
    with pytest.raises(RuntimeError, match=r"wildlife.metadata\.csv\" is not found(.|\n)*wildlife_folder"):
        build_reid_train_loader(cfg)
    cfg.merge_from_list(["DATASETS.OPTIONS.Wildlife.wildlife_folder", "WildlifeReID-10k"])
    assert build_reid_train_loader(cfg).dataset.num_classes == 1
    assert build_reid_test_loader(cfg, "Wildlife")[1] == 1


def test_missing_set_says_what_is_wanted(root):
    with pytest.raises(RuntimeError) as error:
        Wildlife(str(root))
    text = str(error.value)
    for part in (f'"{root}/wildlife/metadata.csv" is not found', "columns path and identity", Wildlife.url, "Terms: "):
        assert part in text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("pid,path\n", r"metadata\.csv:1: the columns are 'pid', 'path'; the first line must name path and identity"),
        ("identity,path,path\n", r"metadata\.csv:1: .* each once"),
        ("identity,path,split\na,images/a/1.jpg,val\n", r"metadata\.csv:2: split is 'val'; it must be one of train"),
        ("identity,path\nunknown,images/a/1.jpg\n", r"metadata\.csv lists no image"),
    ],
)
def test_tables_that_do_not_read_are_errors(root, table, message):
    write(root, table=table)
    with pytest.raises(ValueError, match=message):
        Wildlife(str(root))


def test_missing_images_are_named(root):
    place = write(root)
    (place / "images" / "b" / "2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 images .*metadata\.csv lists are not there: .*2\.jpg"):
        Wildlife(str(root))
