from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...config import CfgNode, configurable
from ..backbones.build import build_backbone
from ..foreign import adopt_into_model
from ..heads.build import build_heads
from ..losses.accuracy import log_accuracy
from ..losses.build import loss_arguments
from .base import MetaArch
from .build import META_ARCH_REGISTRY, check_feature_dim
from .pixel_statistics import pixel_arguments

__all__ = ["Baseline"]

logger = logging.getLogger(__name__)

# What MoCo and Distiller have beside a backbone and a head; the latter two are v1.3's names of a feature loss.
_TRAINED_BESIDE = re.compile(r"memory\.|feature_loss\.|connectors_\d+\.|margin\d+_\d+$")


@META_ARCH_REGISTRY.register()
class Baseline(MetaArch):
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
        super().__init__(pixel_mean=pixel_mean, pixel_std=pixel_std, loss_kwargs=loss_kwargs, criteria=criteria)
        self.backbone = backbone
        self.heads = heads

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the parts that ``MODEL`` names.

        Raises:
            ValueError: if ``MODEL.BACKBONE.FEAT_DIM`` is not what the backbone returns, or ``MODEL.PIXEL_MEAN`` or
                ``PIXEL_STD`` leaves a backbone to say what it does not know.
        """
        backbone = build_backbone(cfg)
        check_feature_dim(cfg, backbone)
        heads = build_heads(cfg)
        if hasattr(heads, "start_from"):
            heads.start_from(backbone)
        return {
            "backbone": backbone,
            "heads": heads,
            **pixel_arguments(cfg, backbone),
            "loss_kwargs": loss_arguments(cfg),
        }

    def forward(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor | dict[str, Tensor]:
        """Embed a batch, or, in training mode, compute its losses.

        Args:
            batched_inputs: dict with ``images`` and, in training mode, ``targets`` ``(N,)`` int64; or the images alone.
                A backbone with side information also reads ``cameras`` ``(N,)`` int64, -1 for one never seen.
                Images are ``(N, 3, H, W)``, uint8 or float, RGB, 0..255, on any device.

        Returns:
            In eval mode the embeddings ``(N, D)``, not normalised, on the model's device and in its dtype; in training
            mode a dict of scalar losses.

        Raises:
            ValueError: in training mode without ``targets``.
        """
        side = self.side_information(batched_inputs, self.backbone)
        features = self.backbone(self.preprocess_image(batched_inputs), **side)  # (N, C, h, w)
        if not self.training:
            return self.heads(features)
        targets = self.training_targets(batched_inputs)
        return self.losses(self.heads(features, targets), targets)

    def losses(self, outputs: dict[str, Tensor], gt_labels: Tensor) -> dict[str, Tensor]:
        """Compute every loss, and log the accuracy of the classifier.

        Of a head with parts, the whole counts one half, and its parts the other in equal shares.

        Args:
            outputs: what the head returns in training mode.
            gt_labels: ``(N,)`` int64 classes.

        Returns:
            Scalars by name, each already times its weight.

        Raises:
            ValueError: if the model has no losses, or two of them have the same name.
        """
        log_accuracy(outputs["pred_class_logits"], gt_labels)
        parts = outputs.get("parts")
        if not parts:
            return self.losses_at(lambda _: {"": outputs}, gt_labels)
        shares = {"": 0.5, **dict.fromkeys(parts, 0.5 / len(parts))}
        return self.losses_at(lambda _: {"": outputs, **parts}, gt_labels, shares=shares)

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Make keys of other origin this model's, in place: those of foreign networks, and old pixel statistics.

        What :class:`.MoCo` and :class:`.Distiller` train beside a backbone and a head is left out, unless this model
        has such a part. See :func:`~fastreid.modeling.foreign.adopt_into_model` and
        :meth:`.MetaArch.upgrade_state_dict`.
        """
        adopt_into_model(state_dict, prefix, self.backbone, self.heads)
        if not any(map(_TRAINED_BESIDE.match, self.state_dict())):
            beside = [key for key in state_dict if key.startswith(prefix) and _TRAINED_BESIDE.match(key, len(prefix))]
            for key in beside:
                del state_dict[key]
            if beside:
                logger.info("Left out, since it only serves training: %s (%d tensors)", beside[0], len(beside))
        super().upgrade_state_dict(state_dict, prefix)
