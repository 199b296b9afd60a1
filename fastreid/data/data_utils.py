"""Read images from disk."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from .stored_path import StorageError, image_file

__all__ = ["ImageReadError", "read_image"]


class ImageReadError(OSError):
    """An image is missing or cannot be decoded; the message names it."""


def read_image(file_name: str, format: str | None = None, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read an image upright (its EXIF orientation applied), in mode RGB unless asked otherwise.

    Grey, palette, CMYK and 16-bit images are converted; 16-bit values keep their upper 8 bits; transparency is dropped.

    Args:
        file_name: path of the image; a ``StoredPath`` is read from the file that holds it (``DATASETS.STORAGE``).
        format: ``None`` for RGB, ``"BGR"`` for the channels in reverse, or a PIL mode such as ``"L"``.
        at_least: width and height in pixels that are enough: a larger JPEG may then come at 1/2, 1/4 or 1/8 of its
            size, no smaller than this, which takes a fraction of the time. ``None``: in its own size.

    Returns:
        PIL image of 8 bits per channel.

    Raises:
        ImageReadError: if the image is missing, cut off, damaged in its storage, or nothing that PIL can convert.
    """
    try:
        with Image.open(image_file(file_name)) as file:
            if at_least is not None:
                # where the image may have to be turned, either side may become the longer one
                file.draft(None, (max(at_least), max(at_least)) if "exif" in file.info else at_least)
            # A JPEG without either is upright; to look for it all the same takes half as long as to decode it.
            if file.format != "JPEG" or "exif" in file.info or "xmp" in file.info:
                ImageOps.exif_transpose(file, in_place=True)
            image = _to_rgb(file)
    except StorageError as error:
        raise ImageReadError(str(error)) from error
    except FileNotFoundError as error:
        raise ImageReadError(f"no image file {file_name}") from error
    except Exception as error:  # PIL's decoders raise what they like: OSError, SyntaxError, struct.error ...
        raise ImageReadError(
            f"cannot decode the image {file_name} ({type(error).__name__}: {error}); replace it, or take it out of the "
            "data set"
        ) from error
    if format == "BGR":
        return Image.fromarray(np.asarray(image)[:, :, ::-1])
    return image if format in (None, "RGB") else image.convert(format)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode == "F":
        raise ValueError("an image of floats has no defined range; save it with 8 bits per channel")
    if image.mode == "I" or image.mode.startswith("I;"):
        # PIL would cut every value above 255 to white.
        values = np.asarray(image).astype(np.int64).clip(0, 2**16 - 1)  # (H, W)
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # directly to RGB, PIL warns
    return image.convert("RGB")


def __getattr__(name: str) -> object:
    if name in ("DataLoaderX", "BackgroundGenerator"):
        raise ImportError(
            f"{name} is gone: use torch.utils.data.DataLoader, as build_reid_train_loader and build_reid_test_loader "
            "do; batches stay on the CPU until the trainer moves them"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
