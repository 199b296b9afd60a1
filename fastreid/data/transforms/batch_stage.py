"""Stages that can also work on a whole batch, on the device that it is on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["ON_DEVICE", "BatchStage", "finish_batch"]

ON_DEVICE = "on_device"
"""Key of an item, and of a batch, that holds what ``BatchStage.draw`` returned for each stage that is still to come."""


class BatchStage:
    """A stage of ``TRANSFORM_REGISTRY`` that ``INPUT.ON_DEVICE`` may name.

    Called with one image, as every stage, it draws from the global random streams and changes the image. It can do the
    same in two steps: a worker draws for each item, in the item's own random stream, and the images are changed
    together on the device. Both ways draw the same numbers in the same order.
    """

    def draw(self, height: int, width: int) -> Tensor:
        """Draw what happens to one image of ``height`` x ``width`` pixels; return ``(P,)`` float32."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(height, width)")

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Do to a batch what was drawn for it, without making the CPU wait for the device.

        Args:
            images: ``(N, 3, H, W)`` uint8; left as it is.
            parameters: ``(N, P)`` float32, on the same device.

        Returns:
            ``(N, 3, H, W)`` uint8.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(images, parameters)")

    def __call__(self, image: Tensor) -> Tensor:
        """Change one image ``(3, H, W)`` uint8; the argument is left as it is."""
        return self.apply(image[None], self.draw(*image.shape[-2:])[None])[0]


def finish_batch(batch: Mapping[str, Any], stages: Mapping[str, BatchStage]) -> dict[str, Any]:
    """Return a batch whose images have gone through the stages that were left for the device.

    Args:
        batch: with ``images`` and, under ``ON_DEVICE``, the parameters ``(N, P)`` by the names of the stages; not
            changed. A batch without ``ON_DEVICE`` is finished already.
        stages: by name, in their order.
    """
    done = dict(batch)
    parameters = done.pop(ON_DEVICE, None)
    if parameters is not None:
        for name, stage in stages.items():
            done["images"] = stage.apply(done["images"], parameters[name])
    return done
