"""Keep decoded images, so that a later epoch need not decode them again."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import CfgNode
from .data_utils import read_image
from .stored_path import image_file
from .transforms import Pipeline
from .transforms.resize import resize
from .transforms.to_tensor import to_pixels

__all__ = ["ArrayStore", "ImageCache", "as_picture", "build_image_cache"]

logger = logging.getLogger(__name__)

_GIB = 2**30
_HEAD = 4  # int32: whether the array is there, and its shape
_SHARED_MEMORY = "/dev/shm"


class ArrayStore:
    """Arrays in one file without a name, which all processes that got this object share.

    The file is gone when the last process that has it open ends, however it ends. An array is there when all of it is;
    two processes may put the same one. The store can be pickled to worker processes.

    Args:
        sizes: most bytes of each array, ``(n,)``; arrays from the first on get a place while ``budget`` lasts.
        budget: bytes that the file may have. All that is needed of it is reserved at once.
        folder: where the file is.

    Attributes:
        room: arrays that have a place.
        nbytes: size of the file.

    Raises:
        OSError: if the folder has no room for it, or the system cannot share a file this way.
    """

    def __init__(self, sizes: Sequence[int] | np.ndarray, *, budget: int, folder: str | os.PathLike[str]) -> None:
        if not hasattr(os, "preadv"):
            raise OSError("the cache of images needs os.preadv, which this system lacks; set DATALOADER.CACHE ''")
        ends = np.cumsum(np.asarray(sizes, dtype=np.int64) + 4 * _HEAD)  # (n,)
        self.room = int(np.searchsorted(ends, budget, side="right"))
        self._offsets = np.concatenate([[0], ends[: self.room]])  # (room + 1,)
        self.nbytes = int(self._offsets[-1])
        # open as long as the store
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        if self.nbytes:
            _reserve(self._file.fileno(), self.nbytes, folder)

    def get(self, number: int) -> np.ndarray | None:
        """Return a copy of an array, uint8, or ``None`` if it is not there (yet)."""
        if number >= self.room:
            return None
        begin, end = self._offsets[number : number + 2].tolist()
        head, values = np.empty(_HEAD, np.int32), np.empty(end - begin - 4 * _HEAD, np.uint8)
        read = os.preadv(self._file.fileno(), [head, values], begin)
        if read < end - begin or not head[0]:
            return None
        shape = head[1:].tolist()
        return values[: int(np.prod(shape))].reshape(shape)

    def put(self, number: int, array: np.ndarray) -> None:
        """Keep an array of uint8 and three dimensions, if it has a place and is not larger than was said."""
        if number >= self.room:
            return
        begin, end = self._offsets[number : number + 2].tolist()
        if array.nbytes > end - begin - 4 * _HEAD:
            return
        left = memoryview(np.ascontiguousarray(array)).cast("B")
        place = begin + 4 * _HEAD
        while left:
            written = os.pwrite(self._file.fileno(), left, place)
            left, place = left[written:], place + written
        os.pwrite(self._file.fileno(), np.array([1, *array.shape], np.int32).tobytes(), begin)  # last: now it is there

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": reduction.DupFd(self._file.fileno())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = os.fdopen(state["_file"].detach(), "r+b", buffering=0)


class ImageCache:
    """Read images of a data set, each from its file the first time only.

    What is kept is the image as the random stages get it: decoded, or decoded and resized.

    Args:
        store: keeps the pixels, a place for each image.
        head: first stage of the transform, which draws nothing and is done before the pixels are kept; ``None``: none.

    Attributes:
        stages: stages of the transform that are done already in what :meth:`fetch` returns: 0 or 1.
    """

    def __init__(self, store: ArrayStore, head: Callable[[Tensor], Tensor] | None = None) -> None:
        self._store = store
        self._head = head
        self.stages = int(head is not None)

    def fetch(self, number: int, path: str) -> Tensor:
        """Return the pixels of an image, uint8 ``(3, H, W)``, RGB.

        Args:
            number: place of the image in the data set.
            path: its file, which is read if its pixels are not kept.

        Raises:
            ImageReadError: if it must be read and cannot be.
        """
        kept = self._store.get(number)  # (H, W, 3), or (3, H, W) behind a resize: as they were in memory
        if kept is None:
            pixels = to_pixels(read_image(path))  # (3, H, W), channels last in memory
            if self._head is not None:
                pixels = self._head(pixels)
            kept = (pixels if self._head is not None else pixels.permute(1, 2, 0)).numpy()
            self._store.put(number, kept)
        pixels = torch.from_numpy(kept)
        return pixels if self._head is not None else pixels.permute(2, 0, 1)


def build_image_cache(cfg: CfgNode, paths: Sequence[str], transform: Callable) -> ImageCache | None:
    """Build the cache that ``DATALOADER.CACHE`` and ``CACHE_GB`` ask for; ``None``: none.

    Args:
        cfg: the config.
        paths: of the images.
        transform: of the training set. If it is a ``Pipeline`` that begins with a resize to a height and width, the
            resized images are kept, otherwise the decoded ones, whose sizes are looked up in the files first.

    Raises:
        ValueError: if the keys are not possible, or not one image fits.
        OSError: if the memory or the folder has no room.
    """
    where, gigabytes = cfg.DATALOADER.CACHE, cfg.DATALOADER.CACHE_GB
    if not where:
        return None
    if where != "ram" and not Path(where).is_dir():
        raise ValueError(f"DATALOADER.CACHE must be '', ram, or a folder that is there, got {where!r}")
    if gigabytes <= 0:
        raise ValueError(f"DATALOADER.CACHE_GB must be positive (GiB), got {gigabytes}")
    in_memory = _SHARED_MEMORY if os.path.isdir(_SHARED_MEMORY) else tempfile.gettempdir()
    folder = in_memory if where == "ram" else where
    first = transform.transforms[0] if isinstance(transform, Pipeline) and transform.transforms else None
    head = first if isinstance(first, partial) and first.func is resize and len(first.keywords["size"]) == 2 else None
    sizes = _decoded_sizes(paths) if head is None else np.full(len(paths), 3 * np.prod(head.keywords["size"]))
    store = ArrayStore(sizes, budget=int(gigabytes * _GIB), folder=folder)
    needed = (sizes.sum() + 4 * _HEAD * len(paths)) / _GIB
    if not store.room:
        raise ValueError(
            f"DATALOADER.CACHE_GB {gigabytes} is too little for one image; all {len(paths)} take {needed:.3g} GiB"
        )
    logger.log(
        logging.INFO if store.room == len(paths) else logging.WARNING,
        "DATALOADER.CACHE: %d of %d %s images fit; they take %.3g GiB in %s, all would take %.3g, CACHE_GB is %g",
        store.room,
        len(paths),
        "decoded" if head is None else "resized",
        store.nbytes / _GIB,
        folder,
        needed,
        gigabytes,
    )
    return ImageCache(store, head)


def as_picture(pixels: Tensor) -> Image.Image:
    """Return the PIL image of uint8 ``(3, H, W)``, for transforms that are no ``Pipeline``."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _decoded_sizes(paths: Sequence[str]) -> np.ndarray:
    """Return the bytes of each image in RGB, ``(n,)`` int64; 0 if it cannot be read, which the reader tells."""
    sizes = np.zeros(len(paths), np.int64)
    for number, path in enumerate(paths):
        try:
            with Image.open(image_file(path)) as file:
                sizes[number] = 3 * file.width * file.height
        except Exception:  # PIL's decoders raise what they like
            logger.debug("No size of %s", path, exc_info=True)
    return sizes


def _reserve(descriptor: int, nbytes: int, folder: str | os.PathLike[str]) -> None:
    """Take the room now: a disk that is full later would end a run."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, nbytes)
        else:
            os.truncate(descriptor, nbytes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno,
            f"DATALOADER.CACHE: {folder} has no room for {nbytes / _GIB:.3g} GiB; lower DATALOADER.CACHE_GB, or name a "
            "folder on a larger disk",
        ) from error
