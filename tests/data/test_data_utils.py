from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from fastreid.data import data_utils
from fastreid.data.data_utils import ImageReadError, read_image

from .conftest import write_image


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_parameters_are_those_of_old():
    old, new = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    assert [(p.name, p.default, p.kind) for p in inspect.signature(read_image).parameters.values()] == [
        ("file_name", inspect.Parameter.empty, old),
        ("format", None, old),
        ("at_least", None, new),
    ]


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    source = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)).convert(mode)
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "YCbCr", "LA") else "image.png")
    source.save(path)
    image = read_image(str(path))
    assert (image.mode, image.size) == ("RGB", (6, 4))
    with Image.open(path) as stored:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(stored.convert("RGB")))


def test_alpha_is_dropped(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(np.asarray(read_image(str(tmp_path / "image.png"))), pixels[:, :, :3])


def test_palette_with_transparency(tmp_path):
    source = Image.new("P", (3, 2), 1)
    source.putpalette([10, 20, 30, 40, 50, 60])
    source.save(tmp_path / "image.png", transparency=bytes([0, 128]))
    assert read_image(str(tmp_path / "image.png")).getpixel((0, 0)) == (40, 50, 60)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_16_bits_keep_the_upper_8(tmp_path, ending):
    values = np.array([[0, 255, 256], [4096, 32767, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"image.{ending}")
    image = np.asarray(read_image(str(tmp_path / f"image.{ending}")))
    assert image[:, :, 0].tolist() == [[0, 0, 1], [16, 127, 255]]
    assert (image == image[:, :, :1]).all()


def test_16_bits_in_32_are_read_alike(tmp_path):
    values = np.array([[0, 256], [65535, 70000]], dtype=np.int32)
    Image.fromarray(values).save(tmp_path / "image.tiff")
    assert np.asarray(read_image(str(tmp_path / "image.tiff")))[:, :, 0].tolist() == [[0, 1], [255, 255]]


@pytest.mark.parametrize(("ending", "tolerance"), [("png", 0), ("jpg", 8), ("webp", 0)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_stands_upright(tmp_path, orientation, ending, tolerance):
    upright = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    # what the camera stored, by the definition of the EXIF tag
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / f"image.{ending}")
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, lossless=True, quality=95, subsampling=0)
    np.testing.assert_allclose(np.asarray(read_image(path)).astype(int), upright.astype(int), atol=tolerance)


def test_image_is_usable_after_its_file_is_gone(tmp_path):
    for ending in ("jpg", "png", "bmp", "tiff", "webp", "gif"):
        path = write_image(tmp_path / f"image.{ending}")
        image = read_image(path)
        pixels = np.asarray(image)
        (tmp_path / f"image.{ending}").unlink()
        np.testing.assert_array_equal(np.asarray(image.copy().resize(image.size)), pixels)
        np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(image))), pixels)


def test_format(tmp_path):
    path = write_image(tmp_path / "image.png")
    rgb = np.asarray(read_image(path))
    np.testing.assert_array_equal(np.asarray(read_image(path, "RGB")), rgb)
    np.testing.assert_array_equal(np.asarray(read_image(path, format="BGR")), rgb[:, :, ::-1])
    assert read_image(path, "L").mode == "L"


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ImageReadError, match=r"no image file .*nowhere\.jpg"):
        read_image(str(tmp_path / "nowhere.jpg"))
    assert issubclass(ImageReadError, OSError)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tiff"])
def test_file_that_is_cut_off_is_named(tmp_path, ending):
    path = write_image(tmp_path / f"cut.{ending}", size=(40, 80))
    content = (tmp_path / f"cut.{ending}").read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageReadError, match=rf"cannot decode the image .*cut.{ending} \(.*replace it, or take it out"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 40]
)
def test_file_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageReadError, match=r"cannot decode the image .*bad\.jpg"):
        read_image(str(tmp_path / "bad.jpg"))


def test_floats_have_no_range(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "image.tiff")
    with pytest.raises(ImageReadError, match="an image of floats has no defined range; save it with 8 bits"):
        read_image(str(tmp_path / "image.tiff"))


@pytest.mark.parametrize("name", ["DataLoaderX", "BackgroundGenerator"])
def test_what_is_gone_names_its_replacement(name):
    with pytest.raises(ImportError, match=f"{name} is gone: use torch.utils.data.DataLoader"):
        exec(f"from fastreid.data.data_utils import {name}")


def test_other_names_are_missing_as_usual():
    assert not hasattr(data_utils, "anything")


@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        ((96, 192), (100, 200)),
        ((110, 100), (200, 400)),
        ((300, 300), (400, 800)),
        ((9999, 9), (800, 1600)),
        (None, (800, 1600)),
    ],
)
def test_a_jpeg_may_come_smaller(tmp_path, at_least, expected):
    Image.new("RGB", (800, 1600), "red").save(tmp_path / "a.jpg")
    assert read_image(str(tmp_path / "a.jpg"), at_least=at_least).size == expected
    Image.new("RGB", (800, 1600), "red").save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png"), at_least=at_least).size == (800, 1600)


def test_a_jpeg_that_lies_on_its_side_comes_large_enough(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 800), "red").save(tmp_path / "a.jpg", exif=exif)
    assert read_image(str(tmp_path / "a.jpg"), at_least=(96, 192)).size == (200, 400)
