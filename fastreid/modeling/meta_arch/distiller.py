from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ...layers.moving_average import MovingAverage
from ...utils.events import get_event_storage, has_event_storage
from ..losses.feature_distillation import FEATURE_DISTILLATION_REGISTRY
from ..losses.js_divergence import js_divergence
from .baseline import Baseline
from .build import META_ARCH_REGISTRY
from .teachers import check_teachers, load_teachers

__all__ = ["Distiller"]

logger = logging.getLogger(__name__)


@META_ARCH_REGISTRY.register()
class Distiller(Baseline):
    """:class:`Baseline` that also learns from teachers: from their class logits as ``loss_jsdiv``, or more.

    With side information (``MODEL.BACKBONE.WITH_SIE``) the student and its moving average know the cameras; to other
    teachers each image is of a camera that was never seen.

    Teachers embed: they are in eval mode whatever the student's, have no gradient, follow it to other devices and
    dtypes, and belong neither to its parameters nor to its state dict. They are loaded when they are first asked for,
    in the first training step, so that a student can be evaluated and shipped without them.

    With ``ema_momentum`` the first teacher is a moving average of the student itself, batch-norm statistics included.
    It moves in each iteration (of several micro-batches, in the first one), after the student's forward pass and before
    its own; a checkpoint of a run holds it
    apart from the weights, see :meth:`checkpointables`.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.

    Args:
        load_teachers: returns the teachers on a device; models with ``backbone``, ``heads`` and ``preprocess_image``.
        ema_momentum: in [0, 1); ``None``: the student does not teach itself.
        feature_loss: one of :data:`~fastreid.modeling.losses.feature_distillation.FEATURE_DISTILLATION_REGISTRY`.
        parts: see :class:`Baseline`.
    """

    @configurable
    def __init__(
        self,
        *,
        load_teachers: Callable[[torch.device], list[nn.Module]],
        ema_momentum: float | None = None,
        feature_loss: nn.Module | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        self.load_teachers = load_teachers
        self.feature_loss = feature_loss
        self.ema: MovingAverage | None = None
        if ema_momentum is not None:
            own = {name: copy.deepcopy(parts[name]) for name in ("backbone", "heads", "pixel_mean", "pixel_std")}
            self.ema = MovingAverage(_teaching(Baseline(**own)), ema_momentum)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL`` and ``KD``.

        Raises:
            ValueError: if the numbers of configs and of weights differ.
        """
        check_teachers(cfg)
        parts = super().from_config(cfg)
        ema, feature_loss = cfg.KD.EMA.ENABLED, None
        if cfg.KD.FEATURE_LOSS:
            teachers = [parts["backbone"]] * ema
            teachers += [teacher.backbone for teacher in load_teachers(cfg, torch.device("meta"))]
            feature_loss = FEATURE_DISTILLATION_REGISTRY.get(cfg.KD.FEATURE_LOSS)(parts["backbone"], teachers)
        return {
            **parts,
            "load_teachers": partial(load_teachers, cfg.clone()),
            "ema_momentum": cfg.KD.EMA.MOMENTUM if ema else None,
            "feature_loss": feature_loss,
        }

    @cached_property
    def model_ts(self) -> list[nn.Module]:
        """The teachers, the moving average first.

        Raises:
            ValueError: if there are none.
        """
        loaded = [_teaching(teacher.to(self.pixel_mean)) for teacher in self.load_teachers(self.device)]
        teachers = [*self._built_teachers(), *loaded]
        if not teachers:
            raise ValueError(
                "a Distiller cannot be trained without a teacher: name one in KD.MODEL_CONFIG and KD.MODEL_WEIGHTS, or "
                "set KD.EMA.ENABLED True"
            )
        return teachers

    def checkpointables(self) -> dict[str, Any]:
        """Return what a run must store beside the weights to be resumed: the moving average, as ``ema_teacher``."""
        return {} if self.ema is None else {"ema_teacher": self.ema}

    def forward(self, batched_inputs: Mapping[str, Any] | Tensor) -> Tensor | dict[str, Tensor]:
        """Embed a batch as :class:`Baseline` does, or, in training mode, compute its losses."""
        if not self.training:
            return super().forward(batched_inputs)
        teachers = self.model_ts
        targets = self.training_targets(batched_inputs)
        side = self.side_information(batched_inputs, self.backbone)
        maps, features = self._look(self.backbone, self.preprocess_image(batched_inputs), side)
        s_outputs = {**self.heads(features, targets), "maps": maps}
        t_outputs = []
        with torch.no_grad():
            if self.ema is not None and self._is_new_iteration():
                self.ema.update(self)
            for teacher in teachers:
                own = side if self.ema is not None and teacher is self.ema.model else {}  # others list other cameras
                maps, features = self._look(teacher.backbone, teacher.preprocess_image(batched_inputs), own)
                t_outputs.append({"pred_class_logits": teacher.heads.class_logits(features), "maps": maps})
        return self.losses(s_outputs, t_outputs, targets)

    def losses(
        self, s_outputs: dict[str, Any], t_outputs: list[dict[str, Any]], gt_labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of :class:`Baseline`, ``loss_jsdiv``, and those of the feature loss.

        Args:
            s_outputs: of the student's head; with a feature loss also ``maps``, what that compares.
            t_outputs: for each teacher ``pred_class_logits`` ``(N, C)`` and likewise ``maps``.
            gt_labels: ``(N,)`` int64 classes.
        """
        losses = super().losses(s_outputs, gt_labels)
        apart = [
            self.jsdiv_loss(s_outputs["pred_class_logits"], out["pred_class_logits"].detach()) for out in t_outputs
        ]
        losses["loss_jsdiv"] = sum(apart) / len(apart)
        if self.feature_loss is not None:
            backbones = [teacher.backbone for teacher in self.model_ts]
            losses |= self.feature_loss(s_outputs["maps"], [out["maps"] for out in t_outputs], backbones)
        return losses

    @staticmethod
    def jsdiv_loss(y_s: Tensor, y_t: Tensor, t: float = 16) -> Tensor:
        """Return :func:`~fastreid.modeling.losses.js_divergence.js_divergence` at temperature ``t``."""
        return js_divergence(y_s, y_t, t)

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Do as :class:`Baseline`; a feature loss of which the weights have nothing keeps its start."""
        super().upgrade_state_dict(state_dict, prefix)
        student = ("backbone.", "heads.", "criteria.")
        fresh = {f"{prefix}{key}": value for key, value in self.state_dict().items() if not key.startswith(student)}
        if fresh and not fresh.keys() & state_dict.keys():
            logger.info("The feature loss of the distillation starts anew: the weights have none")
            state_dict.update(fresh)

    @staticmethod
    def _is_new_iteration() -> bool:
        """Tell whether this is the first forward pass of an iteration; without a trainer each one is."""
        return not has_event_storage() or get_event_storage().micro_batch == 0

    def _look(self, backbone: nn.Module, images: Tensor, side: dict[str, Tensor]) -> tuple[Any, Tensor]:
        """Return what the feature loss compares, if there is one, and the feature map."""
        if self.feature_loss is None:
            return None, backbone(images, **side)
        return self.feature_loss.features(backbone, images)

    def _built_teachers(self) -> list[nn.Module]:
        """Return the teachers that are there, without loading any."""
        return self.__dict__.get("model_ts", [] if self.ema is None else [self.ema.model])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distiller:
        """Do what ``.to()``, ``.half()`` and their kin do, to the teachers too."""
        for teacher in self._built_teachers():
            teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)


def _teaching(model: nn.Module) -> nn.Module:
    if not hasattr(model.heads, "class_logits"):
        raise TypeError(
            f"the head of a teacher needs class_logits(features), which {type(model.heads).__name__} has not; "
            "derive it from EmbeddingHead, or give it this method"
        )
    return model.eval().requires_grad_(False)
