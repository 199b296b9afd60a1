from __future__ import annotations

import os
import re
from typing import Any

from ...utils import comm
from ..synthetic.painter import PAINTER_VERSION
from ..synthetic.writer import Benchmark, ensure_benchmark
from .build import DATASET_REGISTRY, dataset_root
from .file_names import FileNameDataset

__all__ = ["SynthReID"]

_BENCHMARK = Benchmark()
_CAMERAS = 6


@DATASET_REGISTRY.register()
class SynthReID(FileNameDataset):
    """The built-in benchmark: painted pedestrians seen by 6 cameras, written below the root when first used.

    Needs no download: trying the library out, or testing it, takes about a minute of painting. Names read
    ``{pid}_c{camera}s1_{index}_00.jpg``, as those of Market-1501; identity 0 marks distractors, which stay in the
    gallery. ``attributes.csv`` in its folder tells what every identity looks like. Of the processes of a machine the
    first paints, while the others wait.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``. It is made if need be.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        OSError: if the images have to be painted and the root cannot be written to.
        RuntimeError: if the folder holds something else than this benchmark.
    """

    dataset_name = "synthreid"
    folder = f"SynthReID-v{PAINTER_VERSION}"
    splits = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    pattern = re.compile(r"(?P<pid>\d+)_c(?P<cam>\d)")
    distractor_pids = frozenset({0})
    # split -> (identities, images); the gallery's identities are the queries' and the distractors
    statistics = {
        "train": (_BENCHMARK.train_identities, _BENCHMARK.train_identities * _CAMERAS * _BENCHMARK.train_images),
        "query": (_BENCHMARK.test_identities, _BENCHMARK.test_identities * _CAMERAS),
        "gallery": (
            _BENCHMARK.test_identities + 1,
            _BENCHMARK.test_identities * _CAMERAS * _BENCHMARK.gallery_images + _BENCHMARK.distractors,
        ),
    }

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        try:
            if comm.get_local_rank() == 0:
                ensure_benchmark(os.path.join(dataset_root(root), self.folder), _BENCHMARK)
        finally:
            comm.synchronize()  # also after a failure: the others shall report it, not wait for ever
        super().__init__(root, **kwargs)
