from __future__ import annotations

import os
import re
from typing import Any, ClassVar

from ...utils import comm
from ..synthetic.variants import Variant
from ..synthetic.writer import Benchmark, ensure_benchmark
from .build import dataset_root
from .file_names import FileNameDataset

__all__ = ["PaintedDataset"]


class PaintedDataset(FileNameDataset):
    """A data set that the library paints below the root when it is first used; a subclass only says which.

    Names read ``{pid}_c{camera}s1_{index}_00.jpg``, as those of Market-1501; identity 0 marks distractors, which stay
    in the gallery. ``attributes.csv`` in its folder tells what every identity looks like. Of the processes of a
    machine the first paints, while the others wait.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``. It is made if need be.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        variant: what it shows.
        benchmark: its size.

    Raises:
        OSError: if the images have to be painted and the root cannot be written to.
        RuntimeError: if the folder holds something else than this data set.
    """

    variant: ClassVar[Variant]
    benchmark: ClassVar[Benchmark]
    splits = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    pattern = re.compile(r"(?P<pid>\d+)_c(?P<cam>\d)")
    distractor_pids = frozenset({0})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Name folder and labels after the variant, and count its images."""
        super().__init_subclass__(**kwargs)
        cls.dataset_name = cls.variant.name.lower()
        cls.folder = f"{cls.variant.name}-v{cls.variant.version}"
        cls.statistics = cls.benchmark.statistics(cls.variant)

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        try:
            if comm.get_local_rank() == 0:
                ensure_benchmark(os.path.join(dataset_root(root), self.folder), self.benchmark, self.variant)
        finally:
            comm.synchronize()  # also after a failure: the others shall report it, not wait for ever
        super().__init__(root, **kwargs)
