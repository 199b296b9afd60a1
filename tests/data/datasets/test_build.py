from __future__ import annotations

import pytest

from fastreid.data.datasets import (
    DATASET_SCHEME_REGISTRY,
    ImageDataset,
    Market1501,
    build_dataset,
    dataset_labels,
    dataset_root,
)
from fastreid.data.datasets.build import dataset_options, find_path

from ..conftest import write_image


def test_names_are_looked_up(market_root):
    data = build_dataset("Market1501", root=str(market_root), combineall=True)
    assert isinstance(data, Market1501) and len(data.train) == 24


@pytest.mark.parametrize("path", ["C:/images/train.csv", r"C:\images\train.csv", "/images/a:b.csv"])
def test_only_the_first_colon_counts(path, monkeypatch):
    def table(path, *, name, root, **options):
        return path, name, root, options

    monkeypatch.setitem(DATASET_SCHEME_REGISTRY._objects, "table", table)
    assert build_dataset(f"table:{path}", label="mine", root="/data", verbose=False) == (
        path, "mine", "/data", {"verbose": False},
    )  # fmt: skip


def test_every_scheme_is_one_text_away(tmp_path):
    assert sorted(DATASET_SCHEME_REGISTRY) == ["csv", "folder", "market"]
    for scheme in DATASET_SCHEME_REGISTRY:
        with pytest.raises(FileNotFoundError, match="'nowhere', which DATASETS names, is not found"):
            build_dataset(f"{scheme}:nowhere", root=str(tmp_path))
        with pytest.raises(ValueError, match=f"'{scheme}:' in DATASETS names no file or folder"):
            build_dataset(f"{scheme}:")


@pytest.mark.parametrize(("scheme", "kind"), [("csv", "file"), ("folder", "folder"), ("market", "folder")])
def test_file_is_no_folder_and_a_folder_no_file(tmp_path, scheme, kind):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    other = tmp_path / {"file": "folder", "folder": "file"}[kind]
    with pytest.raises(
        FileNotFoundError, match=f"is not found: looked for the {kind} '.*{other.name}'; correct the path"
    ):
        build_dataset(f"{scheme}:{other}")


def test_unknown_scheme_names_those_there_are():
    with pytest.raises(KeyError, match=r"no 'C'.* Registered: csv, folder, market"):
        build_dataset(r"C:\images\train.csv")
    with pytest.raises(KeyError, match=r"no 'dir'"):
        build_dataset("dir:images")


def test_relative_paths_are_seen_from_here_and_then_from_the_root(tmp_path, monkeypatch):
    here, root = tmp_path / "here", tmp_path / "root"
    for folder in (here, root):
        write_image(folder / "shop" / "anna" / "1.jpg")
    write_image(root / "street" / "bob" / "1.jpg")
    monkeypatch.chdir(here)
    assert find_path("shop", str(root), kind="folder") == "shop"
    assert find_path("street", str(root), kind="folder") == str(root / "street")
    assert find_path(str(root / "shop"), "", kind="folder") == str(root / "shop")
    with pytest.raises(FileNotFoundError) as error:
        find_path("gone", str(root), kind="file")
    assert f"looked for the file {str(here / 'gone')!r} and {str(root / 'gone')!r};" in str(error.value)
    assert len(build_dataset("folder:street", root=str(root)).train) == 1


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["Market1501"], ["Market1501"]),
        (["csv:a/b/test.csv"], ["test.csv"]),
        (["csv:a/b/test.csv", "csv:a/c/test.csv"], ["b-test.csv", "c-test.csv"]),
        (["folder:/data/Market1501/", "Market1501"], ["data-Market1501", "Market1501"]),
        (["csv:C:/a/t.csv", r"csv:D:\a\t.csv"], ["C:-a-t.csv", "D:-a-t.csv"]),
        (["folder:shop", "market:shop"], ["folder:shop", "market:shop"]),
        (["folder:a-b/c", "folder:a/b-c"], ["c", "b-c"]),
        ([], []),
    ],
)
def test_labels_are_short_and_unique(names, labels):
    assert dataset_labels(names) == dict(zip(names, labels, strict=True))


def test_what_a_scheme_returns_is_a_data_set(tmp_path):
    write_image(tmp_path / "shop" / "anna" / "1.jpg")
    data = build_dataset("folder:shop", root=str(tmp_path))
    assert isinstance(data, ImageDataset)
    assert data[0][0].size == (8, 16)
    assert dataset_root(str(tmp_path)) == str(tmp_path)


def test_options_that_were_chosen_for_a_data_set_reach_it(market_root):
    write_image(market_root / "Market-1501-v15.09.15" / "images" / "0000_c2s1_000001_01.jpg")
    options = {"Market1501": {"market1501_500k": True}, "CUHK03": {"split_id": 3}}
    chosen = dataset_options(options, "Market1501")
    assert len(build_dataset("Market1501", root=str(market_root), chosen=chosen).gallery) == 5
    assert dataset_options(options, "MSMT17") == {}


def test_option_that_its_data_set_does_not_know_is_an_error(market_root, caplog):
    with pytest.raises(
        ValueError, match=r"DATASETS\.OPTIONS\.Market1501 has market1501_50k, which Market1501 does not know"
    ):
        build_dataset("Market1501", root=str(market_root), chosen={"market1501_50k": True})
    build_dataset("Market1501", root=str(market_root), cuhk03_labeled=True)  # meant for another set
    assert "does not know the options cuhk03_labeled" in caplog.text


def test_options_of_one_s_own_images(tmp_path):
    write_image(tmp_path / "shop" / "anna" / "1.jpg")
    write_image(tmp_path / "shop" / "anna" / "2.jpg")
    chosen = dataset_options({"folder:shop": {"combineall": True}}, "folder:shop")
    assert build_dataset("folder:shop", root=str(tmp_path), chosen=chosen).combineall


def test_options_of_what_is_no_data_set_are_an_error():
    with pytest.raises(KeyError, match=r"no 'CUHK3'. Did you mean 'CUHK03'"):
        dataset_options({"CUHK3": {"split_id": 3}}, "Market1501")
    with pytest.raises(ValueError, match=r"DATASETS\.OPTIONS\.CUHK03 is True; write the name of an argument too"):
        dataset_options({"CUHK03": True}, "CUHK03")
