from __future__ import annotations

import errno
import json
import os
import runpy
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

import fastreid.data.storage.pack as pack_module
from fastreid.data.datasets.build import build_dataset
from fastreid.data.storage import check_storage, contents_of, open_storage, pack_dataset, write_storage
from fastreid.data.stored_path import StorageError

from .conftest import OWN

KINDS = ("packed", "tar")
_TOOL = Path(__file__).parents[3] / "tools" / "pack_dataset.py"


def files_of(place):
    """Every file of a storage with its bytes."""
    place = Path(place)
    return {path.name: path.read_bytes() for path in (sorted(place.iterdir()) if place.is_dir() else [place])}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("name", OWN)
def test_every_image_keeps_the_bytes_of_its_file(sets, kind, name):
    size = pack_dataset(name, "x.pack", kind=kind)
    assert size == sum(map(len, files_of("x.pack").values()))
    data, storage = build_dataset(name), open_storage("x.pack")
    wanted = list(dict.fromkeys(item[0] for split in (data.train, data.query, data.gallery) for item in split))
    paths = storage.paths("datasets")
    assert paths == wanted  # each image once
    assert [path.read() for path in paths] == [Path(path).read_bytes() for path in wanted]
    assert check_storage("x.pack") == len(wanted)


def test_same_images_give_the_same_bytes(sets, kind):
    for output in ("one", "other"):
        pack_dataset("Market1501", output, kind=kind)
    assert list(files_of("one").values()) == list(files_of("other").values())


def test_shards_are_a_webdataset(sets):
    pack_dataset("Market1501", "shards", kind="tar", shard_mb=0.01)
    names = sorted(name for name in os.listdir("shards") if name != "index.pack")
    assert names == [f"shard-{number:06d}.tar" for number in range(len(names))] and len(names) > 2
    samples = {}
    for name in names:
        assert os.path.getsize(f"shards/{name}") <= 20_480  # a tar ends on a multiple of 10,240 bytes
        with tarfile.open(f"shards/{name}") as tar:
            members = tar.getmembers()
            for member in members:
                key, _, ending = member.name.partition(".")  # as webdataset tells them apart
                samples.setdefault(key, {})[ending] = tar.extractfile(member).read()
            keys = [member.name.partition(".")[0] for member in members]
            assert keys == sorted(keys)  # members of a sample follow each other
    data = build_dataset("Market1501")
    classes = sorted({pid for _, pid, _ in data.train})
    wanted = [(split, *item) for split in ("train", "query", "gallery") for item in getattr(data, split)]
    assert len(samples) == len(wanted)
    for (split, path, pid, camid), sample in zip(wanted, samples.values()):
        assert set(sample) == {"jpg", "json"}
        assert sample["jpg"] == Path(path).read_bytes()
        label = {"label": classes.index(pid)} if split == "train" else {}
        about = {"path": os.path.relpath(path, "datasets"), "split": split, "pid": pid, "camid": camid}
        assert json.loads(sample["json"]) == {**about, **label}


def test_names_with_dots_and_large_endings_are_keys_all_the_same(sets):
    pack_dataset("csv:shop/train.csv", "shards", kind="tar")
    with tarfile.open("shards/shard-000000.tar") as tar:
        assert {name.partition(".")[2] for name in tar.getnames()} == {"png", "json"}
        assert len({name.partition(".")[0] for name in tar.getnames()}) == 12


def test_only_some_splits(sets, kind):
    pack_dataset("Market1501", "x", kind=kind, splits=["query"])
    index = open_storage("x").index
    assert list(index.splits) == ["query"]
    assert len(index.paths) == len(build_dataset("Market1501").query)


def test_nothing_is_replaced_unless_it_may_be(sets, kind):
    pack_dataset("Market1501", "x", kind=kind, splits=["train"])
    before = files_of("x")
    with pytest.raises(FileExistsError, match=r"--output .*x exists; give --overwrite to replace it"):
        pack_dataset("Market1501", "x", kind=kind)
    assert files_of("x") == before
    pack_dataset("Market1501", "x", kind=kind, overwrite=True)
    assert list(open_storage("x").index.splits) == ["train", "query", "gallery", "combined"]
    other = KINDS[1 - KINDS.index(kind)]
    pack_dataset("Market1501", "x", kind=other, overwrite=True)
    assert open_storage("x").index.kind == other
    assert sorted(os.listdir(".")) == ["crops", "datasets", "shop", "street", "x"]


def test_other_peoples_files_are_never_replaced(sets, kind):
    for place in ("shop", "shop/train.csv"):
        with pytest.raises(FileExistsError, match="exists and is no stored data set; name another place"):
            pack_dataset("Market1501", place, kind=kind, overwrite=True)
    assert Path("shop/train.csv").is_file()


def test_things_beside_a_storage_are_never_replaced(sets, kind):
    pack_dataset("Market1501", "x", kind="tar")
    Path("x/thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"has other things beside a stored data set: thesis\.tex; move them"):
        pack_dataset("Market1501", "x", kind=kind, overwrite=True)
    assert Path("x/thesis.tex").read_text() == "mine"
    Path("y").mkdir()
    Path("y/index.pack").write_text("of another program")
    with pytest.raises(FileExistsError, match="exists and is no stored data set"):
        pack_dataset("Market1501", "y", kind=kind, overwrite=True)
    assert Path("y/index.pack").read_text() == "of another program"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_that_becomes_full_is_named(sets, kind, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    before = sorted(os.listdir("."))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=rf"{sets.name} has become full, .*nothing is left there; free some space"
    ) as caught:
        pack_dataset("Market1501", "x", kind=kind)
    assert caught.value.errno == number
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("the disk is full")])
@pytest.mark.parametrize("there", [False, True])
def test_what_ends_the_work_leaves_what_was_there(sets, kind, monkeypatch, error, there):
    if there:
        pack_dataset("Market1501", "x", kind=kind, splits=["query"])
    before, names = files_of("x") if there else None, sorted(os.listdir("."))
    read, count = pack_module.image_bytes, iter(range(100))

    def failing(path):
        if next(count) == 5:
            raise error
        return read(path)

    monkeypatch.setattr(pack_module, "image_bytes", failing)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        pack_dataset("Market1501", "x", kind=kind, overwrite=True)
    assert sorted(os.listdir(".")) == names
    assert not there or files_of("x") == before


def test_folder_that_cannot_be_renamed_comes_back(sets, monkeypatch):
    pack_dataset("Market1501", "x", kind="tar", splits=["query"])
    before, rename = files_of("x"), os.rename

    def failing(source, target):
        if os.path.basename(source) == "new":
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="no"):
        pack_dataset("Market1501", "x", kind="tar", overwrite=True)
    assert files_of("x") == before


def test_disk_without_room_is_seen_before_anything_is_written(sets, kind, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 7))
    monkeypatch.setattr(pack_module.tempfile, "mkdtemp", None)
    with pytest.raises(OSError, match=r"has 6.52e-09 GiB left, but the storage takes up to .* GiB; free some space"):
        pack_dataset("Market1501", "x", kind=kind)


def test_estimate_of_the_room_is_enough(sets, kind, monkeypatch):
    asked = []
    monkeypatch.setattr(pack_module, "_check_room", lambda folder, needed: asked.append(needed))
    for name in OWN:
        size = pack_dataset(name, "x", kind=kind, shard_mb=0.1, overwrite=True)
        assert size <= asked[-1] + 20_480  # the last shard's end, and the header and frame of the index


def test_missing_image_is_named(sets, kind):
    contents = contents_of("Market1501")
    os.remove(contents.splits["query"][1][0])
    with pytest.raises(OSError, match=r"cannot read the image .*0004_c6s1_000002_01.jpg \(No such file .*; put it"):
        write_storage(contents, "x", kind=kind)
    assert not os.path.exists("x")


def test_image_that_changes_meanwhile_is_found_by_verify(sets, kind, monkeypatch):
    contents = contents_of("Market1501")
    victim = contents.splits["query"][0][0]
    opened = pack_module.open_storage

    def late(place):
        Path(victim).write_bytes(b"another image")
        return opened(place)

    monkeypatch.setattr(pack_module, "open_storage", late)
    with pytest.raises(OSError, match=r"0003_c1s1_000001_01.jpg changed while the data set was packed"):
        write_storage(contents, "x", kind=kind, verify=True)
    assert not os.path.exists("x")
    write_storage(contents, "x", kind=kind)


def test_check_finds_a_damaged_image(sets, kind):
    pack_dataset("Market1501", "x", kind=kind)
    storage = open_storage("x")
    place, offset = storage.store.files[0].path, int(storage.index.offset[3])
    data = bytearray(Path(place).read_bytes())
    data[offset + 10] ^= 1
    Path(place).write_bytes(data)
    with pytest.raises(StorageError, match=rf"{os.path.basename(storage.index.paths[3])} in .* is damaged"):
        check_storage("x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "zip"}, "--format must be one of packed, tar, got 'zip'"),
        ({"shard_mb": 0}, r"--shard-size must be positive and finite \(MB\), got 0"),
        ({"shard_mb": float("inf")}, "--shard-size must be positive and finite .*, got inf"),
        ({"shard_mb": float("nan")}, "--shard-size must be positive and finite .*, got nan"),
        ({"splits": ["test"]}, "--splits must be some of train, query, gallery, got test"),
        ({"splits": []}, "--splits must be some of .*, got none"),
    ],
)
def test_impossible_arguments_are_an_error(sets, options, message):
    with pytest.raises(ValueError, match=message):
        pack_dataset("Market1501", "x", **options)


def test_folder_of_the_output_must_be_there(sets):
    with pytest.raises(FileNotFoundError, match=r"--output .*none/x: there is no folder .*none; make it first"):
        pack_dataset("Market1501", "none/x")


def test_set_without_images_is_an_error(sets):
    with pytest.raises(ValueError, match="market:alone has no images of query, so there is nothing to store"):
        shutil.copytree("street/bounding_box_train", "alone/bounding_box_train")
        pack_dataset("market:alone", "x", splits=["query"])


def run_tool(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pack_dataset.py", *words])
    monkeypatch.setattr("signal.signal", lambda *_: None)  # not those of the tests
    runpy.run_path(str(_TOOL), run_name="__main__")


def test_tool_packs_and_checks(sets, monkeypatch, capsys):
    run_tool(monkeypatch, "folder:crops", "--output", "x.pack", "--verify")
    assert """use it with DATASETS.STORAGE "('x.pack',)\"""" in capsys.readouterr().out
    run_tool(monkeypatch, "--check", "x.pack")
    assert "x.pack: all 12 images are what was stored" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"x.pack exists; give --overwrite"):
        run_tool(monkeypatch, "folder:crops", "--output", "x.pack")
    with pytest.raises(SystemExit, match="Did you mean 'Market1501'"):
        run_tool(monkeypatch, "Market1502", "--output", "y.pack")
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, "Market1501")
    assert "give NAME and --output, or --check PATH" in capsys.readouterr().err
