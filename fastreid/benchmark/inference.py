from __future__ import annotations

from collections.abc import Sequence

import torch

from ..config import get_cfg, get_config_file
from ..engine import DefaultPredictor
from .meters import PeakMemory, seconds

__all__ = ["measure"]


def measure(*, config_file: str, opts: Sequence[str], batch: int, steps: int) -> dict[str, float]:
    """Measure how fast ``DefaultPredictor`` embeds random images, with untrained weights.

    Args:
        config_file: recipe of the model.
        opts: ``KEY VALUE`` pairs on top of it.
        batch: images at a time.
        steps: batches in the timed part; one more before it is not timed.

    Returns:
        ``seconds`` per batch, ``images_per_second``, and ``peak_memory_mib`` above the model, the first batch included.
    """
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(config_file))
    cfg.merge_from_list([*opts, "MODEL.BACKBONE.PRETRAIN", False])
    predictor = DefaultPredictor(cfg)
    device = next(predictor.model.parameters()).device
    images = torch.randint(256, (batch, 3, *cfg.INPUT.SIZE_TEST), dtype=torch.uint8, device=device)
    with PeakMemory(device) as memory:
        predictor(images)
        elapsed = seconds(lambda: [predictor(images) for _ in range(steps)], device) / steps
    return {"seconds": elapsed, "images_per_second": batch / elapsed, "peak_memory_mib": memory.mib}
