from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..losses.build import losses_from_arguments

__all__ = ["MetaArch"]

logger = logging.getLogger(__name__)


class MetaArch(nn.Module):
    """What the meta-architectures share: how images and targets come in, and how losses are gathered.

    Args:
        pixel_mean: of each channel, on the scale 0..255; subtracted from the images.
        pixel_std: of each channel, on the scale 0..255; what is left is divided by it.
        loss_kwargs: what losses are built from: ``{"loss_names": (...), "ce": {...}, "tri": {...}}``, as
            :func:`~fastreid.modeling.losses.build.loss_arguments` reads it from a config.
        criteria: losses that are built already, by name; used in place of ``loss_kwargs``. Without either the model
            embeds, and cannot be trained.
    """

    def __init__(
        self,
        *,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        loss_kwargs: Mapping[str, Any] | None = None,
        criteria: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.loss_kwargs = loss_kwargs
        if criteria is None:
            criteria = {} if loss_kwargs is None else losses_from_arguments(loss_kwargs)
        self.criteria = nn.ModuleDict(criteria)
        # They belong to the config, not to the weights: not in the state dict, but they follow .to() and .half().
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            values = torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)  # (1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.pixel_mean.device

    def preprocess_image(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor:
        """Normalise images on the model's device and in its dtype; the caller's tensor is not changed.

        Args:
            batched_inputs: dict with ``images``, or the images alone: ``(N, 3, H, W)``, uint8 or float, RGB, 0..255, on
                any device.

        Returns:
            ``(N, 3, H, W)``, ``(images - pixel_mean) / pixel_std``.

        Raises:
            TypeError: if there are no images.
            ValueError: if they have another shape.
        """
        images = batched_inputs.get("images") if isinstance(batched_inputs, Mapping) else batched_inputs
        if not isinstance(images, Tensor):
            where = "under 'images' " if isinstance(batched_inputs, Mapping) else ""
            raise TypeError(
                "a model takes a tensor (N, 3, H, W), or a batch dict with one under 'images', "
                f"got {where}{type(images).__name__}; collate the images into one tensor"
            )
        channels = self.pixel_mean.shape[1]
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(f"images must be (N, {channels}, H, W), got {tuple(images.shape)}")
        # First the device, then the dtype: uint8 is the smaller thing to send.
        images = images.to(self.device, non_blocking=self.device.type == "cuda").to(self.pixel_mean.dtype)
        return (images - self.pixel_mean) / self.pixel_std

    def side_information(self, batched_inputs: Mapping[str, Any] | Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        """Return what a backbone wants to know beside the images, as keywords.

        Args:
            batched_inputs: dict with perhaps ``cameras`` ``(N,)`` int64, or the images alone.
            backbone: one with ``takes_cameras`` True gets the cameras, where they are known.
        """
        cameras = batched_inputs.get("cameras") if isinstance(batched_inputs, Mapping) else None
        if cameras is None or not getattr(backbone, "takes_cameras", False):
            return {}
        return {"cameras": cameras.to(self.device, non_blocking=self.device.type == "cuda")}

    def training_targets(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor:
        """Return the ``targets`` ``(N,)`` of a batch dict, on the model's device.

        Raises:
            ValueError: if there are none.
        """
        targets = batched_inputs.get("targets") if isinstance(batched_inputs, Mapping) else None
        if targets is None:
            raise ValueError(
                "a model in training mode needs a batch dict with 'targets', the class of each image; "
                "call model.eval() to embed images"
            )
        return targets.to(self.device)

    def losses_at(
        self,
        places_of: Callable[[nn.Module], Mapping[str, dict[str, Tensor]]],
        gt_labels: Tensor,
        *,
        shares: Mapping[str, float] | None = None,
    ) -> dict[str, Tensor]:
        """Compute every loss at each of its places, times the place's share.

        Args:
            places_of: returns, for a loss, the outputs that it is called with, by the name of the place. That name is
                put behind the loss's own (``loss_cls_b1``), unless it is empty.
            gt_labels: ``(N,)`` int64 classes.
            shares: of the places, by name; ``None``: equal ones, which sum to 1.

        Returns:
            Scalars by name, each already times its weight.

        Raises:
            ValueError: if the model has no losses, or two of them have the same name.
        """
        if not self.criteria:
            raise ValueError(
                f"this model was built without losses; give {type(self).__name__} criteria or loss_kwargs to train it"
            )
        losses: dict[str, Tensor] = {}
        for name, criterion in self.criteria.items():
            places = places_of(criterion)
            for place, outputs in places.items():
                for key, value in criterion(outputs, gt_labels).items():
                    key = f"{key}_{place}" if place else key
                    if key in losses:
                        raise ValueError(
                            f"{name} returns {key!r}, as another loss of MODEL.LOSSES.NAME does; rename one"
                        )
                    losses[key] = value / len(places) if shares is None else value * shares[place]
        return losses

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Take out, in place, the pixel statistics that older releases saved; warn if they are not the config's."""
        for name in ("pixel_mean", "pixel_std"):
            stored = state_dict.pop(f"{prefix}{name}", None)
            own = getattr(self, name)
            if stored is None or own.is_meta:
                continue
            values, wanted = stored.flatten().tolist(), own.flatten().tolist()
            if len(values) != len(wanted) or not torch.allclose(torch.tensor(values), torch.tensor(wanted), rtol=1e-3):
                logger.warning(
                    "The weights were trained with MODEL.%s %s, but the config has %s; set it to the former",
                    name.upper(),
                    [round(value, 4) for value in values],
                    [round(value, 4) for value in wanted],
                )
