"""The multiple granularity network: one trunk, three branches, eight heads."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ..backbones.build import build_backbone
from ..heads.build import build_heads
from ..losses.accuracy import log_accuracy
from ..losses.build import loss_arguments
from .base import MetaArch
from .build import META_ARCH_REGISTRY, check_feature_dim
from .pixel_statistics import pixel_arguments

__all__ = ["HEADS", "MGN", "STRIPES"]

logger = logging.getLogger(__name__)

STRIPES = {"b1": (), "b2": ("b21", "b22"), "b3": ("b31", "b32", "b33")}
"""The horizontal stripes of each branch's map, from top to bottom."""

HEADS = (*STRIPES, *itertools.chain(*STRIPES.values()))
"""What has a head, each branch and each stripe, in the order of the embedding."""


@META_ARCH_REGISTRY.register()
class MGN(MetaArch):
    """Three branches on one trunk, which see the whole image, two stripes of it and three, with a head for each view.

    The branches start at the second block of the backbone's third stage. A head reads the map of each branch and of
    each stripe; the embedding is what the heads of b1, b2, b3, b21, b22, b31, b32 and b33 return, one behind the other.

    Every loss works. One that says ``reads = "features"`` is computed on the features of b1, b2 and b3, and on those of
    the stripes of one branch, joined: b22 for b21 and b22, b33 for b31 to b33; each counts 1/5. Any other one, such
    as a classification loss, is computed on the outputs of each head; each counts 1/8. The place is behind the name in
    the log: ``loss_triplet_b22``, ``loss_cls_b31``.

    Source: Wang et al., "Learning Discriminative Features with Multiple Granularities for Person Re-Identification",
    ACM MM 2018, arXiv:1804.01438.

    Args:
        backbone: the trunk, maps ``(N, 3, H, W)`` to what the necks take.
        neck1: branch b1, maps that to ``(N, C, h, w)``.
        neck2: branch b2.
        neck3: branch b3.
        b1_head: see :data:`~fastreid.modeling.heads.REID_HEADS_REGISTRY`; so are the others.
        b2_head: of the whole map of branch b2.
        b21_head: of its upper stripe.
        b22_head: of its lower stripe.
        b3_head: of the whole map of branch b3.
        b31_head: of its upper stripe.
        b32_head: of its middle stripe.
        b33_head: of its lower stripe.
        pixel_mean: of each channel, on the scale 0..255; subtracted from the images.
        pixel_std: of each channel, on the scale 0..255; what is left is divided by it.
        loss_kwargs: what losses are built from, see :class:`~.base.MetaArch`.
        criteria: losses that are built already, by name; used in place of ``loss_kwargs``. Without either the model
            embeds, and cannot be trained.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck1: nn.Module,
        neck2: nn.Module,
        neck3: nn.Module,
        b1_head: nn.Module,
        b2_head: nn.Module,
        b21_head: nn.Module,
        b22_head: nn.Module,
        b3_head: nn.Module,
        b31_head: nn.Module,
        b32_head: nn.Module,
        b33_head: nn.Module,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        loss_kwargs: Mapping[str, Any] | None = None,
        criteria: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__(pixel_mean=pixel_mean, pixel_std=pixel_std, loss_kwargs=loss_kwargs, criteria=criteria)
        self.backbone = backbone
        self.b1, self.b1_head = neck1, b1_head
        self.b2, self.b2_head, self.b21_head, self.b22_head = neck2, b2_head, b21_head, b22_head
        self.b3, self.b3_head, self.b31_head, self.b32_head, self.b33_head = (
            neck3,
            b3_head,
            b31_head,
            b32_head,
            b33_head,
        )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the backbone that ``MODEL`` names, take it apart, and build the heads.

        Branch b1 has the backbone's own last stages; those of b2 and b3 start as copies, whose last stage has stride 1.

        Raises:
            ValueError: if ``MODEL.BACKBONE.FEAT_DIM`` is not what the backbone returns, or the backbone cannot be taken
                apart.
        """
        backbone = build_backbone(cfg)
        check_feature_dim(cfg, backbone)
        trunk, neck = _take_apart(backbone, cfg.MODEL.BACKBONE.NAME)
        return {
            "backbone": trunk,
            "neck1": neck,
            "neck2": _copy_with_stride_one(neck),
            "neck3": _copy_with_stride_one(neck),
            **{f"{name}_head": build_heads(cfg) for name in HEADS},
            **pixel_arguments(cfg, backbone),
            "loss_kwargs": loss_arguments(cfg),
        }

    def forward(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor | dict[str, Tensor]:
        """Embed a batch, or, in training mode, compute its losses.

        Args:
            batched_inputs: dict with ``images`` and, in training mode, ``targets`` ``(N,)`` int64; or the images alone.
                Images are ``(N, 3, H, W)``, uint8 or float, RGB, 0..255, on any device.

        Returns:
            In eval mode the embeddings ``(N, 8 D)``, not normalised, on the model's device and in its dtype; in
            training mode a dict of scalar losses.

        Raises:
            ValueError: in training mode without ``targets``; or if a map is too low for its stripes.
        """
        maps = self._maps(self.preprocess_image(batched_inputs))
        if not self.training:
            return torch.cat([self._head(name)(maps[name]) for name in HEADS], dim=1)
        targets = self.training_targets(batched_inputs)
        return self.losses({name: self._head(name)(maps[name], targets) for name in HEADS}, targets)

    def losses(self, outputs: Mapping[str, dict[str, Tensor]], gt_labels: Tensor) -> dict[str, Tensor]:
        """Compute every loss, and log the accuracy of the classifier of b1.

        Args:
            outputs: what the heads return in training mode, by the names of :data:`HEADS`.
            gt_labels: ``(N,)`` int64 classes.

        Returns:
            Scalars by name, each already times its weight.

        Raises:
            ValueError: if the model has no losses, or two of them have the same name.
        """
        log_accuracy(outputs["b1"]["pred_class_logits"], gt_labels)
        features = {name: [outputs[name]["features"]] for name in STRIPES}
        features |= {
            stripes[-1]: [outputs[name]["features"] for name in stripes] for stripes in STRIPES.values() if stripes
        }
        joined = {place: {"features": torch.cat(parts, dim=1)} for place, parts in features.items()}
        return self.losses_at(
            lambda criterion: joined if getattr(criterion, "reads", None) == "features" else outputs, gt_labels
        )

    def map_modules(self) -> tuple[nn.Module, ...]:
        """Return the branches b1, b2 and b3, whose maps are the last ones."""
        return tuple(getattr(self, branch) for branch in STRIPES)

    def _head(self, name: str) -> nn.Module:
        return getattr(self, f"{name}_head")

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the feature map of each branch and of each stripe."""
        shared = self.backbone(images)
        maps = {}
        for branch, stripes in STRIPES.items():
            maps[branch] = getattr(self, branch)(shared)  # (N, C, h, w)
            parts = maps[branch].chunk(len(stripes), dim=2) if stripes else ()  # (N, C, ceil(h / 2 or 3), w)
            if len(parts) != len(stripes):
                raise ValueError(
                    f"the feature map of branch {branch} is {maps[branch].shape[2]} high, which does not give "
                    f"{len(stripes)} stripes; make the images higher (INPUT.SIZE_TRAIN, INPUT.SIZE_TEST)"
                )
            maps.update(zip(stripes, parts))
        return maps


def _take_apart(backbone: nn.Module, name: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Split a ResNet, or a network built like one, behind the first block of its third stage."""
    children = dict(backbone.named_children())
    pool = "maxpool1" if "maxpool1" in children else "maxpool"
    wanted = ("conv1", "bn1", "relu", pool, "layer1", "layer2", "layer3", "layer4")
    missing = [part for part in wanted if part not in children]
    more = [part for part, child in children.items() if part not in wanted and any(True for _ in child.parameters())]
    strange = [part for part in more if not part.startswith("NL_")]
    if missing or strange:
        found = f"has no {', '.join(missing)}" if missing else f"also has {', '.join(strange)}"
        raise ValueError(
            f"MODEL.META_ARCHITECTURE MGN takes a ResNet apart, {', '.join(wanted)}, but MODEL.BACKBONE.NAME {name} "
            f"{found}; use build_resnet_backbone or another one with these parts"
        )
    if more:
        logger.warning(
            "MODEL.BACKBONE.WITH_NL has no effect: MGN leaves out the non-local blocks of its backbone (%s)",
            ", ".join(more),
        )
    *before, third, fourth = (children[part] for part in wanted)
    first, *others = third
    return nn.Sequential(*before, first), nn.Sequential(nn.Sequential(*others), fourth)  # numbered from 0 again


def _copy_with_stride_one(neck: nn.Sequential) -> nn.Sequential:
    """Copy a branch; its last stage keeps the height and the width of its input."""
    neck = copy.deepcopy(neck)
    for module in neck[-1].modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d | nn.MaxPool2d) and module.stride not in (1, (1, 1)):
            raise ValueError(
                "MODEL.META_ARCHITECTURE MGN needs a last stage of stride 1 in two branches, and cannot take the "
                f"stride from its {module}; set MODEL.BACKBONE.LAST_STRIDE 1"
            )
    return neck
