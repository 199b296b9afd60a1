from __future__ import annotations

from ..synthetic.variants import SYNTHREID
from ..synthetic.writer import Benchmark
from .build import DATASET_REGISTRY
from .painted import PaintedDataset

__all__ = ["SynthReID"]


@DATASET_REGISTRY.register()
class SynthReID(PaintedDataset):
    """The built-in benchmark: painted pedestrians seen by 6 cameras.

    Needs no download: trying the library out, or testing it, takes about a minute of painting. See ``PaintedDataset``.
    """

    variant = SYNTHREID
    benchmark = Benchmark()
