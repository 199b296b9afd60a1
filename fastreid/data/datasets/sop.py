from __future__ import annotations

import re

from .build import DATASET_REGISTRY
from .listed import PATHS_AND_LABELS, ListedDataset

__all__ = ["SOP"]


@DATASET_REGISTRY.register()
class SOP(ListedDataset):
    """22634 products of an online shop, known as Stanford Online Products; 11318 are trained on.

    No cameras are known and there is no gallery: ``TEST.PROTOCOL leave_one_out`` with ``TEST.EVALUATOR
    RetrievalEvaluator`` looks for each image among all others. Lists ``train.txt`` and ``test.txt`` of lines
    ``path,label``, as FastReID v1.3 read them, count before those of the archive.

    Source: Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016, arXiv:1511.06452.
    """

    dataset_name = "sop"
    folder = "Stanford_Online_Products"
    url = "https://cvgl.stanford.edu/projects/lifted_struct/"
    licence = "published for research"
    lists = {"train": "Ebay_train.txt", "query": "Ebay_test.txt"}
    header = 1
    pattern = re.compile(r"\d+ +(?P<pid>\d+) +\d+ +(?P<image>.+)")
    example = "1 1 1 bicycle_final/111085122871_0.JPG"
    layouts = (PATHS_AND_LABELS, {})
    # split -> (identities, images)
    statistics = {"train": (11318, 59551), "query": (11316, 60502)}
