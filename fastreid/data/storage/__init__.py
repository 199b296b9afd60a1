"""A data set in one file, or in tar shards, instead of a file per image; ``DATASETS.STORAGE`` reads it."""

from __future__ import annotations

from .contents import SPLITS, Contents, contents_of
from .dataset import StoredDataset, locate_images, open_dataset
from .index import SplitIndex, StorageIndex
from .pack import KINDS, check_storage, pack_dataset, write_storage
from .reader import Storage, open_storage

__all__ = [
    "KINDS",
    "SPLITS",
    "Contents",
    "SplitIndex",
    "Storage",
    "StorageIndex",
    "StoredDataset",
    "check_storage",
    "contents_of",
    "locate_images",
    "open_dataset",
    "open_storage",
    "pack_dataset",
    "write_storage",
]
