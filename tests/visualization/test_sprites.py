from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fastreid.visualization.sprites import write_sprites


def save(path, colour, size):
    Image.new("RGB", size, colour).save(path)
    return str(path)


def test_every_image_is_found_whole_in_its_cell(tmp_path):
    rng = np.random.default_rng(0)
    colours = [tuple(map(int, colour)) for colour in rng.integers(0, 256, (53, 3))]
    paths = [save(tmp_path / f"{i}.png", colour, (64, 128)) for i, colour in enumerate(colours)]
    paths[7] = save(tmp_path / "wide.png", colours[7], (200, 100))
    sheets = write_sprites(paths, tmp_path / "sheets")
    assert sheets.cell == (64, 128) and sheets.missing == 0
    assert [path.name for path in sorted((tmp_path / "sheets").iterdir())] == ["0.jpg", "1.jpg"]
    assert sheets.sizes[7].tolist() == [64, 32] and sheets.sizes[0].tolist() == [64, 128]
    each = sheets.columns * sheets.rows
    for number, colour in enumerate(colours):
        sheet = np.asarray(Image.open(tmp_path / "sheets" / f"{number // each}.jpg")).astype(int)
        left, top = number % each % sheets.columns * sheets.cell[0], number % each // sheets.columns * sheets.cell[1]
        width, height = sheets.sizes[number]
        found = sheet[top + 4 : top + height - 4, left + 4 : left + width - 4]
        assert abs(found - colour).max() < 12


def test_wide_images_have_wide_cells(tmp_path):
    paths = [save(tmp_path / f"{i}.png", "red", (400, 100)) for i in range(3)]
    assert write_sprites(paths, tmp_path / "sheets").cell == (128, 32)
    assert write_sprites([save(tmp_path / "thin.png", "red", (10, 1000))], tmp_path / "thin").cell == (32, 128)


def test_an_image_that_cannot_be_read_leaves_its_cell_empty_and_is_told(tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    paths = [str(tmp_path / "absent.jpg"), str(tmp_path / "broken.jpg"), save(tmp_path / "a.png", "red", (50, 100))]
    sheets = write_sprites(paths, tmp_path / "sheets")
    assert sheets.sizes.tolist() == [[0, 0], [0, 0], [50, 100]] and sheets.missing == 2
    assert "2 of 3 images could not be read; the first: no image file" in caplog.text


@pytest.mark.parametrize("count", [0, 1])
def test_no_images_are_no_sheets(tmp_path, count):
    write_sprites([str(tmp_path / "absent.jpg")] * count, tmp_path / "sheets")
    assert len(list((tmp_path / "sheets").iterdir())) == count
