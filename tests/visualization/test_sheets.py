"""Sheets of thumbnails: each picture is where the page looks for it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fastreid.visualization.sheets import COLUMNS, ROWS, sheet_name, sheet_order, write_sheets


def flat(number):
    return Image.new("RGB", (16, 32), (number * 2 % 256, 255 - number, number // 2))


@pytest.mark.parametrize("workers", [1, 3])
def test_each_picture_is_in_its_cell(tmp_path, workers):
    count = COLUMNS * ROWS + 11
    write_sheets(count, flat, tmp_path / "sheets", size=(16, 32), workers=workers)
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["0000.jpg", "0001.jpg"]
    for number in range(count):
        sheet, cell = divmod(number, COLUMNS * ROWS)
        with Image.open(tmp_path / "sheets" / sheet_name(sheet)) as file:
            assert file.size == (16 * COLUMNS, 32 * ROWS)
            left, top = cell % COLUMNS * 16, cell // COLUMNS * 32
            found = np.asarray(file.convert("RGB").crop((left, top, left + 16, top + 32)), dtype=int)
        assert np.abs(found - np.asarray(flat(number), dtype=int)).max() <= 12


def test_no_picture_at_all(tmp_path):
    write_sheets(0, flat, tmp_path / "sheets", size=(16, 32))
    assert list((tmp_path / "sheets").iterdir()) == []


def test_an_error_of_one_picture_ends_it(tmp_path):
    def fails(number):
        if number == 70:
            raise OSError("disk gone")
        return flat(number)

    with pytest.raises(OSError, match="disk gone"):
        write_sheets(500, fails, tmp_path / "sheets", size=(16, 32), workers=2)
    with pytest.raises(ValueError, match="--workers must be at least 1"):
        write_sheets(1, flat, tmp_path / "more", size=(16, 32), workers=-1)


def test_the_worst_queries_come_first_then_identities():
    identities = np.array(["a", "b", "a", "c", "b", "a", "c"])
    order = sheet_order(np.array([3, 0, 4]), np.array([0.5, 0.1, np.nan]), np.array([6, 2, 1, 6, 0, 5]), identities)
    assert order.tolist() == [0, 3, 4, 2, 5, 1, 6]
