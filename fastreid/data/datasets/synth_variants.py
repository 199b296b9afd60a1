"""The other painted data sets: vehicles, people of whom a part is hidden, cameras at night, and two cities."""

from __future__ import annotations

from ..synthetic.variants import VARIANTS
from ..synthetic.writer import Benchmark
from .build import DATASET_REGISTRY
from .painted import PaintedDataset

__all__ = ["SynthCityA", "SynthCityB", "SynthNight", "SynthOccluded", "SynthPartial", "SynthVehicle"]

_LESS = Benchmark(train_identities=160)


@DATASET_REGISTRY.register()
class SynthOccluded(PaintedDataset):
    """The people and cameras of SynthReID; about half of each query is hidden, and nothing of the gallery.

    Training is SynthReID's, image by image, so that a model of the one can be tested on the other.
    """

    variant = VARIANTS["SynthOccluded"]
    benchmark = Benchmark()


@DATASET_REGISTRY.register()
class SynthPartial(PaintedDataset):
    """The people and cameras of SynthReID; each query is cut to a part of the body, and nothing hides the gallery.

    Training is SynthReID's, image by image, so that a model of the one can be tested on the other.
    """

    variant = VARIANTS["SynthPartial"]
    benchmark = Benchmark()


@DATASET_REGISTRY.register()
class SynthNight(PaintedDataset):
    """The people of SynthReID by three of its cameras, and by three that see at night in infrared.

    Queries come from the night, the gallery from the day; training is by all six.
    """

    variant = VARIANTS["SynthNight"]
    benchmark = Benchmark()


@DATASET_REGISTRY.register()
class SynthCityA(PaintedDataset):
    """People of a city in the south, in summer; with ``SynthCityB`` two domains that share nobody."""

    variant = VARIANTS["SynthCityA"]
    benchmark = _LESS


@DATASET_REGISTRY.register()
class SynthCityB(PaintedDataset):
    """People of a city in the north, in winter, by cameras from above; with ``SynthCityA`` two domains."""

    variant = VARIANTS["SynthCityB"]
    benchmark = _LESS


@DATASET_REGISTRY.register()
class SynthVehicle(PaintedDataset):
    """Vehicles of nine kinds on six roads: two cameras see fronts, two sides, two backs."""

    variant = VARIANTS["SynthVehicle"]
    benchmark = _LESS
