from __future__ import annotations

import os
import random
import runpy
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from fastreid.data.datasets import build_dataset
from fastreid.data.inspect import inspect_dataset
from fastreid.data.split_writer import write_split
from fastreid.data.splitting import ImageOf, images_of, split_by_identity

from .conftest import write_image, write_market

_TOOL = Path(__file__).parents[2] / "tools" / "split_dataset.py"


def images(identities=20, cameras=("a", "b", "c"), each=3):
    return [
        ImageOf(f"/{pid}/{camera}{number}.jpg", f"p{pid}", camera)
        for pid in range(identities)
        for camera in cameras
        for number in range(each)
    ]


def people(part):
    return {image.identity for image in part if image.identity}


def parts(split):
    return [*split.train, *split.query, *split.gallery]


def test_every_image_is_somewhere_and_no_identity_is_in_both():
    split = split_by_identity(images())
    assert sorted(parts(split)) == sorted(images())
    assert people(split.train) & (people(split.query) | people(split.gallery)) == set()
    assert len(people(split.query)) == 6  # 0.3 of 20
    assert people(split.query) == people(split.gallery)
    assert (split.open_set, split.without_query) == ([], [])


def test_the_test_identities_are_the_first_of_the_shuffled():
    names = sorted(people(images()))
    random.Random(5).shuffle(names)
    split = split_by_identity(images(), seed=5, test_identities=7, open_set_share=0.3)
    assert people([*split.query, *split.gallery]) == set(names[:7])
    assert split.open_set == sorted(names[:2])


def test_a_function_of_the_seed_and_not_of_the_order():
    shuffled = random.Random(3).sample(images(), len(images()))
    assert split_by_identity(shuffled) == split_by_identity(images())
    assert split_by_identity(images(), seed=1) != split_by_identity(images())


def test_queries_of_an_identity_do_not_depend_on_others():
    split, fewer = split_by_identity(images()), split_by_identity(images(identities=15), test_identities=10)
    both = people(split.query) & people(fewer.query)
    assert both
    for identity in both:
        own = [[image for image in part.query if image.identity == identity] for part in (split, fewer)]
        assert own[0] == own[1]


@pytest.mark.parametrize(("wanted", "expected"), [(1, 1), (2, 2), (5, 2)])
def test_each_camera_gives_queries_and_keeps_an_image(wanted, expected):
    split = split_by_identity(images(), query_per_camera=wanted)
    counts = Counter((image.identity, image.camera) for image in split.query)
    assert set(counts.values()) == {expected}
    assert len(counts) == 6 * 3
    assert {(image.identity, image.camera) for image in split.gallery} == set(counts)


def test_one_camera_gives_no_query_where_cameras_are_known():
    seen_once = [ImageOf(f"/x/{number}.jpg", "x", "a") for number in range(3)]
    split = split_by_identity([*images(), *seen_once], test_identities=20)
    assert split.without_query == ["x"]
    assert set(seen_once) <= set(split.gallery)
    assert split_by_identity(images(cameras=("a",))).query == []


def test_where_each_camera_has_one_image_one_of_them_is_the_query():
    split = split_by_identity(images(cameras=("a", "b"), each=1), test_identities=19)
    assert len(split.query) == len(split.gallery) == 19
    assert {image.camera for image in split.query} == {"a", "b"}  # drawn, not always the first


def test_without_cameras_some_images_of_each_are_queries():
    unknown = [ImageOf(image.path, image.identity) for image in images(each=1)] + [ImageOf("/x.jpg", "alone")]
    split = split_by_identity(unknown, query_per_camera=2, test_identities=20)
    counts = Counter(image.identity for image in split.query)
    assert set(counts.values()) == {2}
    assert "alone" not in counts
    assert split.without_query == ([] if "alone" in people(split.train) else ["alone"])


def test_the_open_set_is_queries_only():
    split = split_by_identity(images(), test_share=0.5, open_set_share=0.25)
    assert len(split.open_set) == 2
    for identity in split.open_set:
        assert sum(image.identity == identity for image in split.query) == 9
        assert all(image.identity != identity for image in [*split.train, *split.gallery])
    assert split_by_identity(images(), test_identities=2, open_set_share=0.99).open_set != people(images())
    assert len(split_by_identity(images(), test_identities=2, open_set_share=0.99).open_set) == 1


def test_nobody_is_in_the_gallery():
    distractors = [ImageOf(f"/d{number}.jpg", "", "a") for number in range(4)]
    split = split_by_identity([*distractors, *images()])
    assert [image for image in parts(split) if not image.identity] == distractors
    assert set(distractors) <= set(split.gallery)


@pytest.mark.parametrize(
    ("items", "options", "message"),
    [
        (images(1), {}, "needs at least 2 identities, got 1"),
        (images(), {"test_share": 1.0}, r"test_share must be above 0 and below 1, got 1\.0"),
        (images(), {"test_identities": 20}, "test_identities must be from 1 to 19 of the 20 identities, got 20"),
        (images(), {"query_per_camera": 0}, "query_per_camera must be at least 1 image, got 0"),
        (images(), {"open_set_share": 1}, "open_set_share must be at least 0 and below 1, got 1"),
        ([*images(), images()[0]], {}, r"/0/a0\.jpg is there 2 times"),
        ([*images(), ImageOf("/x", "y")], {}, "cameras of 1 of 181 images are not known"),
    ],
)
def test_what_cannot_be_split(items, options, message):
    with pytest.raises(ValueError, match=message):
        split_by_identity(items, **options)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Images of 6 people by 3 cameras, named by a table."""
    monkeypatch.chdir(tmp_path)
    lines = ["path,pid,camid"]
    for number in range(36):
        write_image(tmp_path / "images" / f"{number}.png", size=(64, 128), seed=number)
        lines.append(f"images/{number}.png,person {number // 6},door {number % 3}")
    (tmp_path / "shop.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("how", ["csv", "copy", "symlink"])
def test_what_is_written_is_read_again_and_sound(shop, how):
    split = split_by_identity(images_of("csv:shop.csv"), test_identities=3)
    name = write_split(split, "halves", how=how)
    assert name == ("csv:halves/halves.csv" if how == "csv" else "market:halves")
    data = build_dataset(name)
    assert [len(data.train), len(data.query), len(data.gallery)] == [18, 9, 9]
    report = inspect_dataset(name, workers=0)
    assert report.findings == () or {finding.kind for finding in report.findings} == {"unlisted-file"}
    for part, written in ((split.train, data.train), (split.query, data.query), (split.gallery, data.gallery)):
        contents = sorted(Path(path).read_bytes() for path, *_ in written)
        assert contents == sorted(Path(image.path).read_bytes() for image in part)
    assert sorted(os.listdir(shop)) == ["halves", "images", "shop.csv"]
    if how == "symlink":
        assert all(os.path.islink(path) for path, *_ in data.train)


def test_labels_survive_the_layout_of_market(shop):
    split = split_by_identity(images_of("csv:shop.csv"), test_identities=3)
    write_split(split, "halves", how="copy")
    rows = [line.split(",") for line in (shop / "halves" / "images.csv").read_text().splitlines()]
    assert rows[0] == ["path", "source", "pid", "camid", "split"]
    pids = {}
    for path, source, identity, camera, part in rows[1:]:
        name = Path(path).name
        assert (shop / "halves" / path).read_bytes() == Path(source).read_bytes()
        assert name.split("_")[1] == f"c{int(camera.split()[1]) + 1}s1"
        assert pids.setdefault(identity, name.split("_")[0]) == name.split("_")[0]
        assert path.startswith({"train": "bounding_box_train", "gallery": "bounding_box_test"}.get(part, part))
    assert sorted(pids.values()) == [f"{number:04d}" for number in range(1, 7)]


def test_a_market_folder_keeps_its_numbers_and_distractors(tmp_path):
    folder = write_market(tmp_path) / "Market-1501-v15.09.15"
    found = images_of(f"market:{folder}")
    assert Counter(image.identity for image in found)[""] == 1  # junk is gone
    split = split_by_identity(found, test_identities=5)
    name = write_split(split, str(tmp_path / "new"), how="copy")
    data = build_dataset(name)
    pids = {int(pid.rpartition("_")[2]) for _, pid, _ in data.train} | {pid for _, pid, _ in data.gallery}
    assert pids == {0, 2, 3, 4, 7, 11, 12, 15, 1002}
    assert [pid for _, pid, _ in data.gallery].count(0) == 1
    table = build_dataset(write_split(split, str(tmp_path / "table")))
    assert "nobody" in {identity for identity, _ in table.labels_as_written("gallery")}


def test_folders_without_cameras_become_folders(tmp_path):
    for number in range(12):
        write_image(tmp_path / "crops" / f"p{number // 3}" / f"{number}.png", seed=number)
    split = split_by_identity(images_of(str(tmp_path / "crops")), test_identities=2)
    name = write_split(split, str(tmp_path / "new"), how="copy")
    assert name == f"folder:{(tmp_path / 'new').as_posix()}"
    data = build_dataset(name)
    assert [len(data.train), len(data.query), len(data.gallery)] == [6, 2, 4]
    assert build_dataset(write_split(split, str(tmp_path / "table"))).query[0][2] == -1


def test_the_folder_must_be_new_and_nothing_is_left_of_a_failure(shop, tmp_path):
    split = split_by_identity(images_of("csv:shop.csv"))
    with pytest.raises(FileExistsError, match=r"images is there and not empty"):
        write_split(split, "images")
    os.remove(split.gallery[0].path)
    with pytest.raises(FileNotFoundError):
        write_split(split, "new", how="copy")
    assert sorted(os.listdir(shop)) == ["images", "shop.csv"]
    strange = split_by_identity([ImageOf(f"/{pid}{number}.jpg", pid) for pid in ("a/b", "c/d") for number in (1, 2)])
    with pytest.raises(ValueError, match=r"the identity '[ac]/[bd]' cannot be the name of a folder; write a table"):
        write_split(strange, "new", how="copy")


@pytest.mark.parametrize("how", ["csv", "copy"])
@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            [("a", "door"), ("b", "door")],
            {},
            r"1 test identities in the gallery has only one camera or one image; leave",
        ),
        ([("a", ""), ("b", "")], {}, "has only one image; add some"),
        (
            [("a", "x"), ("b", "x"), ("c", "x")],
            {"test_identities": 2, "open_set_share": 0.5},
            "no query has a true match",
        ),
    ],
)
def test_a_split_that_cannot_be_tested_is_not_written(tmp_path, rows, options, message, how):
    items = [
        ImageOf(str(write_image(tmp_path / f"{pid}{number}.png")), pid, camera)
        for pid, camera in rows
        for number in range(3 if camera else 1)
    ]
    split = split_by_identity(items, **options)
    with pytest.raises(ValueError, match=message):
        write_split(split, str(tmp_path / "new"), how=how)
    assert not any("new" in name for name in os.listdir(tmp_path))


@pytest.mark.parametrize("how", ["copy", "symlink"])
@pytest.mark.parametrize("camera", ["", "door"])
def test_images_that_a_folder_would_hide_are_not_copied(tmp_path, camera, how):
    items = []
    for number in range(8):
        image = write_image(tmp_path / f"{number}.png", seed=number)
        path = shutil.move(image, tmp_path / str(number)) if number == 7 else image
        items.append(ImageOf(str(path), f"p{number // 2}", camera and f"{camera} {number % 2}"))
    split = split_by_identity(items)
    with pytest.raises(ValueError, match=r"/7 would be overlooked in a folder, where images end in \.jpg, .* --csv"):
        write_split(split, str(tmp_path / "new"), how=how)
    assert len(os.listdir(tmp_path)) == 8
    data = build_dataset(write_split(split, str(tmp_path / "new")))
    assert len(data.train) + len(data.query) + len(data.gallery) == 8


def test_identities_that_a_table_would_merge_are_an_error(tmp_path):
    items = [ImageOf(f"/{place}{n}.jpg", pid) for place, pid in enumerate(("anna", "anna ", "bob")) for n in range(2)]
    with pytest.raises(ValueError, match="the identity 'anna ' begins or ends with a space"):
        write_split(split_by_identity(items), str(tmp_path / "new"))
    assert os.listdir(tmp_path) == []


def test_sources_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="'nowhere' is neither a folder nor a registered data set"):
        images_of("nowhere")


def test_the_tool_says_what_it_made_and_how_to_go_on(shop, monkeypatch, capsys):
    arguments = ["csv:shop.csv", "--output", "halves", "--test-share", "0.5", "--open-set-share", "0.34"]
    monkeypatch.setattr(sys, "argv", ["split_dataset.py", *arguments])
    runpy.run_path(str(_TOOL), run_name="__main__")
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert rows[2:] == [["train", "3", "18", "3"], ["query", "3", "12", "3"], ["gallery", "2", "6", "3"]]
    assert "1 test identities are not in the gallery: the open set" in text
    assert "    python tools/check_dataset.py csv:halves/halves.csv\n" in text
    assert """DATASETS.NAMES "('csv:halves/halves.csv',)" """ in text
    with pytest.raises(SystemExit, match="halves is there and not empty"):
        runpy.run_path(str(_TOOL), run_name="__main__")
    monkeypatch.setattr(sys, "argv", ["split_dataset.py", "nowhere", "--output", "x"])
    with pytest.raises(SystemExit, match="'nowhere' is neither"):
        runpy.run_path(str(_TOOL), run_name="__main__")
