from __future__ import annotations

import os

import pytest

from fastreid.data.datasets import build_dataset

from ..conftest import write_image


@pytest.fixture
def shop(tmp_path):
    for file in ("anna/2.jpg", "anna/1.png", "bob/x.webp", "cleo/9.jpg", "cleo/8.JPG"):
        write_image(tmp_path / "shop" / file)
    return tmp_path / "shop"


def files(items, place):
    return [os.path.relpath(item[0], place) for item in items]


def test_a_folder_per_identity(shop, monkeypatch):
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scan(path), key=lambda entry: entry.name, reverse=True))
    data = build_dataset(f"folder:{shop}")
    assert files(data.train, shop) == ["anna/1.png", "anna/2.jpg", "bob/x.webp", "cleo/8.JPG", "cleo/9.jpg"]
    assert data.train[0][1:] == ("shop_anna", "shop_0")
    assert files(data.query, shop) == ["anna/1.png", "cleo/8.JPG"]
    assert files(data.gallery, shop) == ["anna/2.jpg", "bob/x.webp", "cleo/9.jpg"]
    assert [item[1:] for item in data.gallery] == [(0, -1), (1, -1), (2, -1)]


@pytest.mark.parametrize("test", [("test",), ("query", "gallery")])
def test_folders_of_splits(tmp_path, test, caplog):
    for split in ("train", *test):
        write_image(tmp_path / "shop" / split / "anna" / "1.jpg")
        write_image(tmp_path / "shop" / split / "anna" / "2.jpg")
    write_image(tmp_path / "shop" / "bob" / "1.jpg")
    data = build_dataset(f"folder:{tmp_path / 'shop'}")
    assert "left out 1 folders beside train, " in caplog.text and "such as bob" in caplog.text
    assert files(data.train, tmp_path / "shop") == ["train/anna/1.jpg", "train/anna/2.jpg"]
    assert {os.path.dirname(file) for file in files([*data.query, *data.gallery], tmp_path / "shop")} == {
        f"{split}/anna" for split in test
    }
    assert {item[1] for item in [*data.query, *data.gallery]} == {0}


def test_images_in_the_wrong_place_are_logged(shop, caplog):
    write_image(shop / "loose.jpg")
    (shop / "empty").mkdir()
    (shop / ".hidden").mkdir()
    write_image(shop / "anna" / "seen.jpg" / "3.jpg")
    assert len(build_dataset(f"folder:{shop}").train) == 5
    assert "1 folders have no image, such as empty" in caplog.text
    assert "left out 1 images in no identity's folder, such as loose.jpg" in caplog.text
    assert f"left out 1 folders inside identities' folders, such as {os.path.join('anna', 'seen.jpg')}" in caplog.text


def test_no_image_is_an_error(tmp_path):
    write_image(tmp_path / "shop" / "loose.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"no image in .*shop/<identity>/ with one of the endings .*make a folder"
    ):
        build_dataset(f"folder:{tmp_path / 'shop'}")
