from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from torch.utils.data import Dataset, get_worker_info

from ..utils.env import random_stream
from .data_utils import read_image
from .image_cache import ImageCache, as_picture
from .samplers.stream import StreamIndex
from .transforms.batch_stage import ON_DEVICE, BatchStage
from .transforms.build import Pipeline

__all__ = ["CommDataset"]


class CommDataset(Dataset):
    """Serve images with their labels, one dict per image.

    With a ``StreamIndex`` (what the training samplers yield) everything random about the item is a function of
    the index's seed and position. A plain int uses the global streams as they are.

    Args:
        img_items: ``(img_path, pid, camid)`` of every image; further entries of an item are left alone.
        transform: maps the PIL image (mode RGB) to what the model takes; ``None`` gives the PIL image. One that
            defines ``bind(img_paths)`` gets to know the images of the set; a ``Pipeline`` also who is on them.
        relabel: replace pids and camids by their places in the sorted ``pids`` and ``cams``: class labels. Strings sort
            as strings: ``market1501_1002`` comes before ``market1501_2``.
        cache: reads the images, and keeps them; ``None``: they are read from their files each time.
        cameras: for each image the place of its camera in the model's list of cameras, which goes into its dict as
            ``cameras``; see :func:`~fastreid.data.cameras.camera_places`. ``None``: there is no such entry.

    Attributes:
        img_items, transform, relabel: the arguments.
        pids, cams: the different pids and camids, sorted.
        pid_dict, cam_dict: label of each of them; only with ``relabel``.

    Raises:
        ValueError: if pids, or camids, cannot be sorted because some are strings and some numbers.
    """

    def __init__(
        self,
        img_items: Sequence[tuple[Any, ...]],
        transform: Callable | None = None,
        relabel: bool = True,
        *,
        cache: ImageCache | None = None,
        cameras: Sequence[int] | None = None,
    ) -> None:
        self.img_items = img_items
        self._cameras = cameras
        self.transform = _bound(transform, img_items)
        self.relabel = relabel
        self._cache = cache
        self.pids = _sorted_unique((item[1] for item in img_items), "pids")
        self.cams = _sorted_unique((item[2] for item in img_items), "camids")
        if relabel:
            self.pid_dict = {pid: label for label, pid in enumerate(self.pids)}
            self.cam_dict = {cam: label for label, cam in enumerate(self.cams)}

    @property
    def known_cams(self) -> list[Any]:
        """The different camids, sorted, of the images whose camera is in the model's list; without one, all."""
        if self._cameras is None:
            return self.cams
        return sorted({item[2] for item, place in zip(self.img_items, self._cameras, strict=True) if place >= 0})

    def __len__(self) -> int:
        return len(self.img_items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one image.

        Returns:
            ``images``: what the transform makes, by ``build_transforms`` uint8 ``(3, H, W)``; ``targets``, ``camids``:
            int; ``img_paths``: str; perhaps ``cameras``: int. If the transform leaves stages to the device
            (``INPUT.ON_DEVICE``), ``images`` is what they take, and ``on_device`` holds the parameters of each, float32
            ``(P,)``, by its name.

        Raises:
            ImageReadError: if the image cannot be read; names the file.
        """
        img_path, pid, camid = self.img_items[index][:3]
        image = read_image(img_path) if self._cache is None else self._cached(int(index), img_path)
        if self.transform is not None:
            if isinstance(index, StreamIndex):
                # Nobody draws from a worker's streams between two items, and numpy's takes long to put back.
                with random_stream(index.seed, index.position, restore=get_worker_info() is None):
                    image = self._transformed(image, int(index))
            else:
                image = self._transformed(image, int(index))
        if self.relabel:
            pid, camid = self.pid_dict[pid], self.cam_dict[camid]
        # Plain text: a StoredPath would take the places of all images along to the trainer.
        labels = {"targets": pid, "camids": camid, "img_paths": str(img_path)}
        if self._cameras is not None:
            labels["cameras"] = self._cameras[int(index)]
        if isinstance(image, tuple):
            image, parameters = image
            return {"images": image, **labels, ON_DEVICE: parameters}
        return {"images": image, **labels}

    def _transformed(self, image: Any, place: int) -> Any:
        """Return what the transform makes; if it leaves stages to the device, their parameters too."""
        transform = self.transform
        if self._cache is not None and self._cache.stages:
            transform = transform.behind(self._cache.stages)
        if isinstance(transform, Pipeline):
            transform = transform.at(place)
        return transform.prepare(image) if self.batch_stages else transform(image)

    def _cached(self, index: int, img_path: str) -> Any:
        """Return what the transform takes: a ``Pipeline`` takes pixels, others a PIL image."""
        pixels = self._cache.fetch(index, img_path)
        return pixels if isinstance(self.transform, Pipeline) else as_picture(pixels)

    @property
    def batch_stages(self) -> dict[str, BatchStage]:
        """Stages that are left for the device, by name; see ``finish_batch``."""
        return getattr(self.transform, "batch_stages", {})

    @property
    def num_classes(self) -> int:
        """Number of different identities."""
        return len(self.pids)

    @property
    def num_cameras(self) -> int:
        """Number of different cameras."""
        return len(self.cams)


def _bound(transform: Callable | None, img_items: Sequence[tuple[Any, ...]]) -> Callable | None:
    """Return the transform as one that knows the images of the set, if it wants to."""
    if isinstance(transform, Pipeline):
        return transform.bind([item[0] for item in img_items], [item[1] for item in img_items])
    return transform.bind([item[0] for item in img_items]) if hasattr(transform, "bind") else transform


def _sorted_unique(values: Iterable[Hashable], what: str) -> list[Any]:
    unique = set(values)
    if len({isinstance(value, str) for value in unique}) > 1:
        text = min(value for value in unique if isinstance(value, str))
        number = next(value for value in unique if not isinstance(value, str))
        raise ValueError(
            f"the {what} of a data set must be all strings or all numbers, got {text!r} and {number!r}; data sets that "
            "are trained on together name theirs '<dataset_name>_<number>'"
        )
    return sorted(unique)
