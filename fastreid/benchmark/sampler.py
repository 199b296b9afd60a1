from __future__ import annotations

import time
from collections import deque
from itertools import islice

import numpy as np

from ..data.samplers import SAMPLER_REGISTRY
from .cases import SAMPLERS
from .meters import PeakMemory

__all__ = ["measure"]

_CAMERAS = 8


def measure(*, name: str, images: int, identities: int, batch: int = 64, instances: int = 4) -> dict[str, float]:
    """Measure how long the order of one epoch takes, and the memory for it.

    Args:
        name: one of ``SAMPLERS``.
        images: number of training images.
        identities: they are dealt out to so many identities, and to 8 cameras, at random.
        batch: images in a batch.
        instances: images of each identity in it.

    Returns:
        ``setup_seconds`` to make the sampler, which a training does once; ``seconds`` to draw from it as many indices
        as there are images, ``images_per_second`` and ``peak_memory_mib`` of both, above the list of items.
    """
    if name not in SAMPLERS:
        raise ValueError(f"name must be one of {list(SAMPLERS)}, got {name!r}")
    rng = np.random.default_rng(0)
    labels = zip(rng.integers(identities, size=images).tolist(), rng.integers(_CAMERAS, size=images).tolist())
    # named as training sets name them
    items = [(f"{number}.jpg", f"set_{pid}", f"set_{camid}") for number, (pid, camid) in enumerate(labels)]
    if name == "TrainingSampler":
        arguments = {"size": images}
    elif name == "ImbalancedDatasetSampler":
        arguments = {"data_source": items}
    else:
        arguments = {"data_source": items, "mini_batch_size": batch, "num_instances": instances}
    if name == "SetReWeightSampler":
        arguments["set_weight"] = [1, 1, *[0] * (_CAMERAS - 2)]
    with PeakMemory() as memory:
        start = time.perf_counter()
        sampler = SAMPLER_REGISTRY.get(name)(**arguments, seed=0)
        made = time.perf_counter()
        deque(islice(sampler, images), maxlen=0)
        drawn = time.perf_counter()
    return {
        "seconds": drawn - made,
        "setup_seconds": made - start,
        "images_per_second": images / (drawn - made),
        "peak_memory_mib": memory.mib,
    }
