"""A loader of given batches, which says which image is which, and may go on after a broken one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from ..config import CfgNode
from .build import loader_options, wants_pinned_memory
from .collate import fast_batch_collator
from .common import CommDataset
from .data_utils import ImageReadError
from .loader import NamingLoader
from .transforms import build_transforms

__all__ = ["NumberedBatch", "build_numbered_loader"]


class NumberedBatch(NamedTuple):
    """Some images of a list.

    Args:
        inputs: a batch dict as of a test loader; ``None``: no image of it could be read.
        numbers: places in the list of the N images in ``inputs``.
        broken: place and reason of each image that could not be read.
    """

    inputs: dict[str, Any] | None
    numbers: list[int]
    broken: list[tuple[int, str]]


def build_numbered_loader(
    cfg: CfgNode,
    items: Sequence[tuple[str, int, int]],
    batches: Sequence[Sequence[int]],
    *,
    skip_broken: bool = False,
    cameras: Sequence[int] | None = None,
) -> DataLoader:
    """Build a loader that yields a :class:`NumberedBatch` for each of ``batches``, preprocessed as in a test.

    Args:
        cfg: its ``INPUT`` and ``TEST.NUM_WORKERS`` are read.
        items: ``(img_path, pid, camid)`` of all images, labels as ints.
        batches: places in ``items``.
        skip_broken: an image that cannot be read is left out of its batch; False: it is an ``ImageReadError``.
        cameras: see :class:`~fastreid.data.common.CommDataset`.
    """
    images = CommDataset(items, build_transforms(cfg, is_train=False), relabel=False, cameras=cameras)
    options = loader_options(cfg.TEST.NUM_WORKERS, wants_pinned_memory(cfg), seed=0)
    return NamingLoader(_Numbered(images, skip_broken), batch_sampler=batches, **{**options, "collate_fn": _collate})


class _Numbered(Dataset):
    def __init__(self, images: CommDataset, skip_broken: bool) -> None:
        self._images, self._skip_broken = images, skip_broken

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> tuple[int, dict[str, Any] | str]:
        try:
            return number, self._images[number]
        except ImageReadError as error:
            if not self._skip_broken:
                raise
            return number, str(error)


def _collate(items: list[tuple[int, dict[str, Any] | str]]) -> NumberedBatch:
    good = [(number, item) for number, item in items if not isinstance(item, str)]
    inputs = fast_batch_collator([item for _, item in good]) if good else None
    return NumberedBatch(
        inputs, [number for number, _ in good], [(number, item) for number, item in items if isinstance(item, str)]
    )
