from __future__ import annotations

import os
import re

import pytest

from fastreid.data.datasets import build_dataset

from ..conftest import write_image

NAMES = ["a1", "a2", "b1", "b2"]


@pytest.fixture
def write(tmp_path):
    """Write a table beside four images, and read it."""
    for name in NAMES:
        write_image(tmp_path / "shop" / "images" / f"{name}.png")

    def write(text: str, encoding: str = "utf-8"):
        table = tmp_path / "shop" / "table.csv"
        table.write_bytes(text.encode(encoding))
        return build_dataset(f"csv:{table}")

    return write


def names(items):
    return [os.path.basename(item[0]).removesuffix(".png") for item in items]


def test_path_and_pid_are_enough(write):
    data = write("path,pid\nimages/a1.png,anna\nimages/a2.png,anna\nimages/b1.png,7\n")
    assert [item[1:] for item in data.train] == [
        ("table.csv_anna", "table.csv_0"), ("table.csv_anna", "table.csv_0"), ("table.csv_7", "table.csv_0"),
    ]  # fmt: skip
    assert (names(data.query), names(data.gallery)) == (["a1"], ["a2", "b1"])
    assert {item[2] for item in [*data.query, *data.gallery]} == {-1}
    assert all(os.path.isfile(item[0]) for item in data.train)


def test_all_columns_in_any_order(write):
    data = write(
        "split,camid,pid,path\ntrain,door,anna,images/a1.png\ntrain,7,anna,images/a2.png\n"
        "query,yard,bob,images/b1.png\ngallery,door,bob,images/b2.png\n"
    )
    assert [item[1:] for item in data.train] == [
        ("table.csv_anna", "table.csv_door"),
        ("table.csv_anna", "table.csv_7"),
    ]
    assert [item[1:] for item in data.query] == [(0, 1)]
    assert [item[1:] for item in data.gallery] == [(0, 0)]


def test_test_is_split_by_the_rule(write):
    data = write("path,pid,split\nimages/a1.png,a,train\nimages/b2.png,b,test\nimages/b1.png,b,test\n")
    assert (names(data.train), names(data.query), names(data.gallery)) == (["a1"], ["b1"], ["b2"])


def test_what_spreadsheets_write(write, tmp_path):
    write_image(tmp_path / "shop" / "images" / "ü, 1.png")
    data = write('path,pid\r\n"images/ü, 1.png", anna \r\n\r\n  \r\n', encoding="utf-8-sig")
    assert data.train[0][1] == "table.csv_anna"
    assert os.path.isfile(data.train[0][0])


def test_unknown_columns_are_left_out_with_a_warning(write, caplog):
    write("path,pid,cam\nimages/a1.png,a,3\n")
    assert re.search(
        r"table\.csv: the columns \['cam'\] are left out; known ones are path, pid, camid, split", caplog.text
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"table\.csv:1: the columns are not named; the first line must name path and pid"),
        ("path;pid\nimages/a1.png;a\n", r"table\.csv:1: the columns are 'path;pid'; .* with commas between"),
        ("path,pid,pid\n", r"table\.csv:1: .* each once"),
        ("path,pid\n", r"table\.csv lists no image"),
        ("path,pid\nimages/a1.png,a\nimages/a2.png\n", r"table\.csv:3: \['images/a2\.png'\] has 1 cells, .* 2 columns"),
        ("path,pid\nimages/a1.png,a,x\n", r"table\.csv:2: .* has 3 cells, .* double quotes"),
        ("path,pid\n\nimages/a1.png, \n", r"table\.csv:3: pid is empty in .*; fill it in"),
        (
            "path,pid,camid\nimages/a1.png,a,1\nimages/a2.png,a,\n",
            r"table\.csv:3: camid is empty .* or the whole column",
        ),
        ("path,pid,split\nimages/a1.png,a,Train\n", r"table\.csv:2: split is 'Train'; .* train, query, gallery, test"),
        ("path,pid\nimages/a1.png,a\nimages/a1.png,b\n", r"table\.csv:3: 'images/a1\.png' has pid 'b', but 'a' in an"),
        ("path,pid\nimages/a1.png,a\nimages/a1.png,a\n", r"table\.csv:3: 'images/a1\.png' is listed for train before"),
        (
            "path,pid\nimages/a1.png,a\n./images/a1.png,b\n",
            r"table\.csv:3: '\./images/a1\.png' has pid 'b', but 'a' in",
        ),
        (
            "path,pid\nimages/a1.png,a\nimages//a1.png,a\n",
            r"table\.csv:3: 'images//a1\.png' is listed for train before",
        ),
        ("path,pid,split\nimages/a1.png,a,query\n", r"table\.csv has images of the split query, but none of gallery"),
    ],
)
def test_tables_that_do_not_read_are_errors(write, text, message):
    with pytest.raises(ValueError, match=message):
        write(text)


def test_other_encodings_are_an_error(write):
    with pytest.raises(ValueError, match=r"table\.csv, after line \d+: .*; save the table as UTF-8"):
        write("path,pid\nimages/a1.png,Jürgen\n", encoding="latin-1")


def test_missing_images_are_counted_and_named(write):
    lines = "".join(f"images/gone{n}.png,x\n" for n in range(7))
    with pytest.raises(
        FileNotFoundError, match=r"7 of 8 images .* not there: .*gone0\.png, .*gone4\.png, \.\.\.;"
    ) as error:
        write(f"path,pid\nimages/a1.png,a\n{lines}")
    assert "gone5" not in str(error.value)
