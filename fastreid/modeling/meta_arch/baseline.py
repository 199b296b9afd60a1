from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ..backbones.build import build_backbone
from ..heads.build import build_heads
from ..losses.accuracy import log_accuracy
from ..losses.build import loss_arguments, losses_from_arguments
from .bare_network import adopt_bare_network
from .build import META_ARCH_REGISTRY, check_feature_dim

__all__ = ["Baseline"]

logger = logging.getLogger(__name__)


@META_ARCH_REGISTRY.register()
class Baseline(nn.Module):
    """One backbone, one head, and any losses on the head's outputs.

    Source: He et al., "FastReID: A Pytorch Toolbox for General Instance Re-identification", arXiv:2006.02631.

    Args:
        backbone: maps ``(N, 3, H, W)`` to ``(N, C, h, w)``.
        heads: see :data:`~fastreid.modeling.heads.REID_HEADS_REGISTRY`.
        pixel_mean: of each channel, on the scale 0..255; subtracted from the images.
        pixel_std: of each channel, on the scale 0..255; what is left is divided by it.
        loss_kwargs: what losses are built from: ``{"loss_names": (...), "ce": {...}, "tri": {...}}``, as
            :func:`~fastreid.modeling.losses.build.loss_arguments` reads it from a config.
        criteria: losses that are built already, by name; used in place of ``loss_kwargs``. Without either the model
            embeds, and cannot be trained.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        heads: nn.Module,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        loss_kwargs: Mapping[str, Any] | None = None,
        criteria: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = heads
        self.loss_kwargs = loss_kwargs
        if criteria is None:
            criteria = {} if loss_kwargs is None else losses_from_arguments(loss_kwargs)
        self.criteria = nn.ModuleDict(criteria)
        # They belong to the config, not to the weights: not in the state dict, but they follow .to() and .half().
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            values = torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)  # (1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the parts that ``MODEL`` names.

        Raises:
            ValueError: if ``MODEL.BACKBONE.FEAT_DIM`` is not what the backbone returns.
        """
        backbone = build_backbone(cfg)
        check_feature_dim(cfg, backbone)
        return {
            "backbone": backbone,
            "heads": build_heads(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "loss_kwargs": loss_arguments(cfg),
        }

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor | dict[str, Tensor]:
        """Embed a batch, or, in training mode, compute its losses.

        Args:
            batched_inputs: dict with ``images`` and, in training mode, ``targets`` ``(N,)`` int64; or the images alone.
                Images are ``(N, 3, H, W)``, uint8 or float, RGB, 0..255, on any device.

        Returns:
            In eval mode the embeddings ``(N, D)``, not normalised, on the model's device and in its dtype; in training
            mode a dict of scalar losses.

        Raises:
            ValueError: in training mode without ``targets``.
        """
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images)  # (N, C, h, w)
        if not self.training:
            return self.heads(features)
        targets = batched_inputs.get("targets") if isinstance(batched_inputs, Mapping) else None
        if targets is None:
            raise ValueError(
                "a model in training mode needs a batch dict with 'targets', the class of each image; "
                "call model.eval() to embed images"
            )
        targets = targets.to(self.device)
        return self.losses(self.heads(features, targets), targets)

    def preprocess_image(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor:
        """Normalise images on the model's device and in its dtype; the caller's tensor is not changed.

        Args:
            batched_inputs: as in :meth:`forward`.

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

    def losses(self, outputs: dict[str, Tensor], gt_labels: Tensor) -> dict[str, Tensor]:
        """Compute every loss, and log the accuracy of the classifier.

        Args:
            outputs: what the head returns in training mode.
            gt_labels: ``(N,)`` int64 classes.

        Returns:
            Scalars by name, each already times its weight.

        Raises:
            ValueError: if the model has no losses, or two of them have the same name.
        """
        if not self.criteria:
            raise ValueError("this model was built without losses; give Baseline criteria or loss_kwargs to train it")
        log_accuracy(outputs["pred_class_logits"], gt_labels)
        losses: dict[str, Tensor] = {}
        for name, criterion in self.criteria.items():
            for key, value in criterion(outputs, gt_labels).items():
                if key in losses:
                    raise ValueError(f"{name} returns {key!r}, as another loss of MODEL.LOSSES.NAME does; rename one")
                losses[key] = value
        return losses

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Make keys of other origin this model's, in place.

        Those of a bare network are renamed, see :func:`~.bare_network.adopt_bare_network`. The pixel statistics that
        older releases saved are taken out, with a warning if they are not the config's.
        """
        adopt_bare_network(state_dict, prefix, self.backbone, self.heads)
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
