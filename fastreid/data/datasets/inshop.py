from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .listed import PATHS_AND_LABELS, ListedDataset

__all__ = ["InShop"]

_SPLITS = ("train", "query", "gallery")


@DATASET_REGISTRY.register()
class InShop(ListedDataset):
    """7982 items of clothing on models, the in-shop retrieval benchmark of DeepFashion; 3997 are trained on.

    No cameras are known: ``TEST.PROTOCOL cameraless``. Lists ``train.txt``, ``test_query.txt`` and ``test_gallery.txt``
    of lines ``path,label``, as FastReID v1.3 read them, count before the archive's, which lies beside the images or in
    ``Eval``.

    Source: Liu et al., "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations", CVPR
    2016.
    """

    dataset_name = "inshop"
    folder = "InShop"
    url = "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html"
    licence = "non-commercial research and education only, on request"
    lists = dict.fromkeys(_SPLITS, "list_eval_partition.txt")
    more_files = ("img",)
    header = 2
    pattern = re.compile(r"(?P<image>.+?)\s+id_(?P<pid>\d+)\s+(?P<split>train|query|gallery)")
    example = "img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train"
    layouts = (
        PATHS_AND_LABELS | {"lists": {"train": "train.txt", "query": "test_query.txt", "gallery": "test_gallery.txt"}},
        {},
        {"lists": dict.fromkeys(_SPLITS, "Eval/list_eval_partition.txt")},
        {
            "lists": dict.fromkeys(_SPLITS, "Eval/list_eval_partition.txt"),
            "splits": dict.fromkeys(_SPLITS, "Img"),
            "more_files": ("Img/img",),
        },
    )
    # split -> (identities, images)
    statistics = {"train": (3997, 25882), "query": (3985, 14218), "gallery": (3985, 12612)}
