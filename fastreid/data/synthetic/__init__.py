"""The painter of SynthReID and its variants: pedestrians and vehicles drawn from attributes, seen by cameras.

`Identity` or `Vehicle` says who somebody is and `Camera` who looks; `paint` draws the one for the other, and
`write_benchmark` writes a whole data set, of which a `Variant` says what it shows. The data set classes are
`fastreid.data.datasets.SynthReID`, `SynthVehicle` and so on.
"""

from __future__ import annotations

from .camera import CAMERAS, Camera
from .identity import CHOICES, Identity, Wardrobe, sample_identities, sample_identity, sample_wardrobe
from .painter import HEIGHT, PAINTER_VERSION, WIDTH, paint
from .variants import SYNTHREID, VARIANTS, Variant
from .vehicles import Vehicle, sample_vehicle, sample_vehicles
from .writer import Benchmark, ensure_benchmark, write_benchmark

__all__ = [
    "CAMERAS",
    "CHOICES",
    "HEIGHT",
    "PAINTER_VERSION",
    "SYNTHREID",
    "VARIANTS",
    "WIDTH",
    "Benchmark",
    "Camera",
    "Identity",
    "Variant",
    "Vehicle",
    "Wardrobe",
    "ensure_benchmark",
    "paint",
    "sample_identities",
    "sample_identity",
    "sample_vehicle",
    "sample_vehicles",
    "sample_wardrobe",
    "write_benchmark",
]
