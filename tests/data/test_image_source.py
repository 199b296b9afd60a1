from __future__ import annotations

import pytest

from fastreid.data.image_source import SourceImage, find_images, list_images


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_a_folder_is_all_images_below_it_sorted(tmp_path):
    touch(tmp_path / "crops", "b/2.png", "b/1.jpg", "a.JPG", "note.txt", ".hidden.jpg", ".cache/3.jpg")
    source = find_images(str(tmp_path / "crops"))
    assert source.label == "crops"
    assert [image.img_path for image in source.images] == [
        str(tmp_path / "crops" / name) for name in ("a.JPG", "b/1.jpg", "b/2.png")
    ]
    assert source.images[0] == SourceImage(str(tmp_path / "crops" / "a.JPG"))


def test_a_list_is_relative_to_itself(tmp_path):
    touch(tmp_path, "x/1.jpg", "2.jpg")
    (tmp_path / "list.txt").write_text("x/1.jpg\n\n 2.jpg \n", encoding="utf-8")
    source = find_images(str(tmp_path / "list.txt"))
    assert [image.img_path for image in source.images] == [str(tmp_path / "x/1.jpg"), str(tmp_path / "2.jpg")]
    (tmp_path / "list.txt").write_text("x/1.jpg\ny/3.jpg\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images that .* lists are not there: .*y/3\.jpg"):
        find_images(str(tmp_path / "list.txt"))


def test_images_of_ones_own_keep_their_labels_as_written(tmp_path):
    touch(tmp_path, *(f"{n}.jpg" for n in range(5)))
    lines = ["0.jpg,anna,door", "1.jpg,anna,yard", "2.jpg,bert,door", "3.jpg,bert,yard", "4.jpg,carl,yard"]
    (tmp_path / "all.csv").write_text("path,pid,camid\n" + "\n".join(lines) + "\n")
    source = find_images(f"csv:{tmp_path / 'all.csv'}", splits=("query", "gallery", "train"))
    assert source.label == "all.csv"
    found = [(image.split, image.pid, image.camid, image.identity, image.camera) for image in source.images]
    assert found[:3] == [
        ("query", 0, 0, "anna", "door"),
        ("query", 1, 0, "bert", "door"),
        ("gallery", 0, 1, "anna", "yard"),
    ]
    assert found[5:7] == [
        ("train", "all.csv_anna", "all.csv_door", "anna", "door"),
        ("train", "all.csv_anna", "all.csv_yard", "anna", "yard"),
    ]
    assert len(found) == 10
    touch(tmp_path, "people/1/a.jpg", "people/1/b.jpg")
    own = find_images(f"folder:{tmp_path / 'people'}").images
    assert [(image.split, image.camid, image.identity, image.camera) for image in own] == [
        ("query", -1, "1", ""),
        ("gallery", -1, "1", ""),
    ]


def test_what_cannot_be_listed(tmp_path):
    with pytest.raises(KeyError, match="Did you mean 'Market1501'"):
        find_images("Market1502")
    with pytest.raises(FileNotFoundError, match="there is no folder or list"):
        find_images(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="there is no image in"):
        find_images(str(tmp_path))
    (tmp_path / "a.csv").write_text("path,pid\n")
    with pytest.raises(ValueError, match="is a table; write csv:"):
        find_images(str(tmp_path / "a.csv"))
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(FileNotFoundError, match="lists no image"):
        find_images(str(tmp_path / "empty.txt"))
    for splits in ((), ("test",)):
        with pytest.raises(ValueError, match="splits must be some of query, gallery, train"):
            find_images("Market1501", splits=splits)


def test_options_of_the_data_set_are_heeded(tmp_path):
    touch(tmp_path / "zoo", "images/1.jpg", "images/2.jpg")
    (tmp_path / "zoo" / "metadata.csv").write_text("path,identity\nimages/1.jpg,a\nimages/2.jpg,a\n")
    options = {"Wildlife": {"wildlife_folder": "zoo"}}
    assert len(find_images("Wildlife", root=str(tmp_path), options=options).images) == 2


def test_images_named_one_by_one_are_those_of_paths_folders_and_patterns(tmp_path, monkeypatch):
    touch(tmp_path, "a/2.jpg", "a/deep/1.png", "a/note.txt", "b1.jpg", "b2.JPG", "odd[1].jpg", "scan")
    monkeypatch.chdir(tmp_path)
    assert list_images(["scan", "a", "b1.jpg"]) == ["scan", "a/2.jpg", "a/deep/1.png", "b1.jpg"]
    assert list_images(["*1*", "b*"]) == ["b1.jpg", "odd[1].jpg", "b2.JPG"]  # each once
    assert list_images(["a/**"]) == ["a/2.jpg", "a/deep/1.png"]
    assert list_images(["odd[1].jpg"]) == ["odd[1].jpg"]
    assert list_images([str(tmp_path / "a")]) == [str(tmp_path / "a" / name) for name in ("2.jpg", "deep/1.png")]
    assert list_images(["./a/2.jpg", "a", "b1.jpg", "a/../b1.jpg"]) == ["./a/2.jpg", "a/deep/1.png", "b1.jpg"]
    assert list_images([]) == []
    for name, message in (
        ("c.jpg", r"there is no image or folder 'c\.jpg' \(looked for .*c\.jpg\)"),
        ("a/*.txt", r"no image matches 'a/\*\.txt'"),
        ("a/d*", r"no image matches 'a/d\*'"),  # a folder that matches is not looked into
    ):
        with pytest.raises(FileNotFoundError, match=message):
            list_images(["b1.jpg", name])
