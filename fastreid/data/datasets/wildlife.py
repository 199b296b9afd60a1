from __future__ import annotations

import os
from typing import Any

from .build import DATASET_REGISTRY, dataset_root
from .csv_file import read_table
from .own import OwnDataset

__all__ = ["Wildlife"]

_COLUMNS = {"path": "path", "identity": "pid", "camera": "camid", "split": "split"}


@DATASET_REGISTRY.register()
class Wildlife(OwnDataset):
    """Animals of any species, in the layout of WildlifeDatasets: one table, ``metadata.csv``, beside the images.

    Its columns ``path`` and ``identity`` are read, and ``split`` (``train``, ``test``, ``query`` or ``gallery``) and
    ``camera`` where there are such. Without ``split``, all images are trained on and tested. The test is split as that
    of ``csv:`` is. Images whose identity is ``unknown``, or empty, are left out.

    WildlifeReID-10k and the sets that the toolkit unites lie like that: ``DATASETS.OPTIONS.Wildlife.wildlife_folder
    WildlifeReID-10k`` takes such a set.

    Source: Čermák et al., "WildlifeDatasets: An open-source toolkit for animal re-identification", WACV 2024,
    arXiv:2311.09118.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        wildlife_folder: the data set's folder below the root.
        **options: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        RuntimeError: if the table is not there.
        FileNotFoundError: if images that it lists are not.
        ValueError: if it does not read like that; the message names file, line and value.
    """

    dataset_name = "wildlife"
    url = "https://github.com/WildlifeDatasets/wildlife-datasets"
    licence = "of each source its own; most are for research only"

    def __init__(self, root: str = "", wildlife_folder: str = "wildlife", **options: Any) -> None:
        table = os.path.join(dataset_root(root), wildlife_folder, "metadata.csv")
        if not os.path.isfile(table):
            raise RuntimeError(
                f'The data set Wildlife is missing: "{os.path.abspath(table)}" is not found.\n'
                "Wanted is a table with the columns path and identity, and perhaps split and camera; "
                f"datasets/README.md of the project describes it.\nHome page: {self.url}\nTerms: {self.licence}\n"
                "To use another folder, set FASTREID_DATASETS, DATASETS.ROOT, or "
                "DATASETS.OPTIONS.Wildlife.wildlife_folder."
            )
        super().__init__(read_table(table, _COLUMNS, unknown={"unknown", ""}), name=self.dataset_name, **options)
