from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from fastreid.visualization.thumbnails import PADDING, Thumbnails, cell_size, fit_into, read_thumbnail

PAD = tuple(int(PADDING[i : i + 2], 16) for i in (1, 3, 5))


def save(path, size, colour=(10, 200, 90), **options):
    Image.new("RGB", size, colour).save(path, **options)
    return str(path)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((50, 100), (0, 0, 40, 80)),
        ((100, 100), (0, 20, 40, 60)),
        ((10, 400), (19, 0, 21, 80)),
        ((1, 1), (0, 20, 40, 60)),
        ((3000, 1), (0, 39, 40, 40)),
    ],
)
def test_the_shape_of_an_image_stays(tmp_path, size, box):
    found = read_thumbnail(save(tmp_path / "a.png", size), 40, 80)
    assert (found.mode, found.size) == ("RGB", (40, 80))
    pixels = np.asarray(found)
    inside = np.zeros((80, 40), dtype=bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    assert (pixels[inside] == (10, 200, 90)).all()
    assert (pixels[~inside] == PAD).all()


def test_large_jpegs_are_read_small_and_look_the_same(tmp_path):
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 256, (24, 12, 3), dtype=np.uint8)).resize((960, 1920))
    large.save(tmp_path / "a.jpg", quality=95)
    found = np.asarray(read_thumbnail(str(tmp_path / "a.jpg"), 96, 192), dtype=float)
    expected = np.asarray(fit_into(Image.open(tmp_path / "a.jpg"), 96, 192), dtype=float)
    assert np.abs(found - expected).mean() < 2


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    picture = Image.new("RGB", (800, 400), "white")
    picture.paste((200, 30, 30), (0, 0, 400, 400))
    picture.save(tmp_path / "a.jpg", exif=exif)
    found = np.asarray(read_thumbnail(str(tmp_path / "a.jpg"), 40, 80)).astype(int)
    assert np.abs(found[10, 20] - (200, 30, 30)).max() < 8 and found[70, 20].min() > 247
    assert cell_size([str(tmp_path / "a.jpg")]) == (96, 192)


def test_grey_images_become_rgb(tmp_path):
    Image.new("L", (20, 40), 77).save(tmp_path / "a.png")
    assert read_thumbnail(str(tmp_path / "a.png"), 20, 40).getpixel((3, 3)) == (77, 77, 77)


def test_what_cannot_be_read_has_a_placeholder_and_is_counted(tmp_path, caplog):
    (tmp_path / "no.jpg").write_bytes(b"no image")
    paths = [save(tmp_path / "a.png", (20, 40)), str(tmp_path / "no.jpg"), str(tmp_path / "missing.jpg")]
    with caplog.at_level(logging.WARNING):
        pictures = [read_thumbnail(path, 60, 120) for path in paths]
    assert [len(picture.getcolors(9999)) > 10 for picture in pictures] == [False, True, True]
    assert pictures[1].tobytes() != pictures[2].tobytes()
    assert all(picture.size == (60, 120) for picture in pictures)
    assert "cannot decode the image" in caplog.messages[0] and paths[2] in caplog.messages[1]

    caplog.clear()
    read = Thumbnails(paths, 60, 120)
    again = [read(place) for place in (0, 1, 2, 1, 2)]
    assert [picture.tobytes() for picture in again[:3]] == [picture.tobytes() for picture in pictures]
    assert list(read.broken) == paths[1:] and "no image file" in read.broken[paths[2]]
    assert len(caplog.messages) == 2


def test_the_log_names_ten_broken_files(caplog):
    read = Thumbnails([f"/none/{i}.jpg" for i in range(15)], 8, 8)
    for place in range(15):
        read(place)
    assert len(read.broken) == 15 and len(caplog.messages) == 10


def test_images_stay_in_memory(tmp_path):
    paths = [save(tmp_path / f"{i}.png", (8, 8)) for i in range(3)]
    read = Thumbnails(paths, 8, 8, keep=2)
    assert read(0) is read(0)
    first = read(0)
    read(1), read(2)
    assert read(0) is not first


@pytest.mark.parametrize(
    ("shapes", "aspect"),
    [
        ([(64, 128)] * 3, 0.5),
        ([(64, 128), (64, 128), (900, 100)], 0.5),
        ([(320, 240)], 4 / 3),
        ([(10, 400)], 0.4),
        ([(400, 10)], 2.5),
        ([], 0.5),
    ],
)
def test_cells_suit_most_images_and_are_equally_large(tmp_path, shapes, aspect):
    paths = [save(tmp_path / f"{i}.png", size) for i, size in enumerate(shapes)]
    width, height = cell_size([*paths, str(tmp_path / "missing.png")])
    assert width / height == pytest.approx(aspect, rel=0.02)
    assert width >= 92 and 96 * 192 * 0.98 < width * height < 96 * 192 * 1.2
