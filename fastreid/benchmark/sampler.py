from __future__ import annotations

from itertools import islice

import numpy as np

from ..data.samplers import NaiveIdentitySampler, TrainingSampler
from .meters import PeakMemory, seconds

__all__ = ["measure"]


def measure(*, name: str, images: int, identities: int, batch: int = 64, instances: int = 4) -> dict[str, float]:
    """Measure how long the order of one epoch takes, and the memory for it.

    Args:
        name: ``NaiveIdentitySampler`` or ``TrainingSampler``.
        images: number of training images.
        identities: they are dealt out to so many identities, at random.
        batch: images in a batch.
        instances: images of each identity in it.

    Returns:
        ``seconds`` to make the sampler and draw as many indices as there are images, ``images_per_second`` and
        ``peak_memory_mib`` above the list of items. The sampler, and the order of an epoch, is made once.
    """
    pids = np.random.default_rng(0).integers(0, identities, images).tolist()
    items = [(f"{number}.jpg", pid, 0) for number, pid in enumerate(pids)]
    builders = {
        "NaiveIdentitySampler": lambda: NaiveIdentitySampler(items, batch, instances, seed=0),
        "TrainingSampler": lambda: TrainingSampler(images, seed=0),
    }
    if name not in builders:
        raise ValueError(f"name must be one of {sorted(builders)}, got {name!r}")

    def draw() -> None:
        for _ in islice(builders[name](), images):
            pass

    with PeakMemory() as memory:
        elapsed = seconds(draw)
    return {"seconds": elapsed, "images_per_second": images / elapsed, "peak_memory_mib": memory.mib}
