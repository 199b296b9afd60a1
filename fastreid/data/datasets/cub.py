from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .listed import PATHS_AND_LABELS, ListedDataset

__all__ = ["CUB"]


@DATASET_REGISTRY.register()
class CUB(ListedDataset):
    """200 species of birds, known as CUB-200-2011; the first 100 are trained on, the others tested.

    No cameras are known and there is no gallery: ``TEST.PROTOCOL leave_one_out`` with ``TEST.EVALUATOR
    RetrievalEvaluator`` looks for each image among all others. Lists ``train.txt`` and ``test.txt`` of lines
    ``path,label``, as FastReID v1.3 read them, count before those of the archive.

    Source: Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", 2011; the split is that of Oh Song et al., "Deep
    Metric Learning via Lifted Structured Feature Embedding", CVPR 2016, arXiv:1511.06452.
    """

    dataset_name = "cub"
    folder = "CUB_200_2011"
    url = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
    licence = "non-commercial research and education only"
    lists = {"train": "images.txt", "query": "images.txt"}
    splits = {"train": "images", "query": "images"}
    pattern = re.compile(r"\d+ +(?P<image>(?P<pid>\d+)\.[^/]+/.+)")
    example = "1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"
    training_pids = range(1, 101)
    layouts = (PATHS_AND_LABELS, {})
    # split -> (identities, images)
    statistics = {"train": (100, 5864), "query": (100, 5924)}
