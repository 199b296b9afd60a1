"""The registry of data sets, and where they lie."""

from __future__ import annotations

import os

from ...utils.registry import Registry

__all__ = ["DATASET_REGISTRY", "dataset_root"]

DATASET_REGISTRY = Registry("DATASET")
"""Data sets, by the names in ``DATASETS.NAMES`` and ``DATASETS.TESTS``.

Called as ``Cls(root=folder, **options)``, with ``combineall=True`` among the options if ``DATASETS.COMBINEALL``. Has
``train``, ``query`` and ``gallery``: lists of ``(img_path, pid, camid)``. In ``train``, pids and camids are strings
``<dataset_name>_<number>``, so that several sets can be trained on together; elsewhere they are ints. Best derived from
``ImageDataset``, whose ``show_train`` and ``show_test`` log what was found.
"""


def dataset_root(root: str = "") -> str:
    """Return the folder of all data sets, read anew at each call.

    Args:
        root: ``DATASETS.ROOT``. Where it is empty, ``$FASTREID_DATASETS`` counts, and without that ``datasets``.
    """
    return os.path.expanduser(root or os.environ.get("FASTREID_DATASETS") or "datasets")
