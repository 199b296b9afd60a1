from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from ...config import CfgNode, configurable
from ...layers.any_softmax import CLS_LAYER_REGISTRY
from ...layers.batch_norm import get_norm
from ...layers.pooling import POOLING_REGISTRY, GeneralizedMeanPooling
from ...layers.weight_init import weights_init_kaiming
from .build import REID_HEADS_REGISTRY

__all__ = ["EmbeddingHead"]

logger = logging.getLogger(__name__)


@REID_HEADS_REGISTRY.register()
class EmbeddingHead(nn.Module):
    """Pool, reduce, normalise with a BNNeck, classify.

    ``fc`` is an optional fully connected layer with batch norm and ReLU; with it alone the head is that of torchreid's
    networks, and embeds as their weights were trained to. The neck (``bottleneck``) is an optional 1 x 1 convolution
    and an optional batch norm without shift. The embedding is what leaves it; metric losses read the feature before
    or behind it.

    Source: Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW 2019,
    arXiv:1903.07071, "BNNeck".

    Args:
        feat_dim: channels of the feature map; with ``Flatten`` all its values, C * h * w.
        embedding_dim: D of the embedding; 0: that of the pooled feature, without convolution.
        num_classes: number of classes C; 0 builds a head that embeds, and cannot be trained.
        neck_feat: which feature metric losses read, ``before`` or ``after`` the neck.
        pool_type: name of a pooling layer.
        cls_type: name of a margin.
        scale: of the logits.
        margin: in the unit of ``cls_type``.
        with_bnneck: put the batch norm into the neck.
        norm_type: which norm that is, see :func:`~fastreid.layers.get_norm`.
        fc_dim: width of ``fc``; 0: none. Metric losses then read what leaves it as the feature before the neck.

    Raises:
        KeyError: for an unknown ``neck_feat``, ``pool_type``, ``cls_type`` or ``norm_type``.
        ValueError: if a number is too small.
    """

    # One row per class, so that weights of another number of classes still load, but for this.
    class_parameters = ("weight",)
    # A head whose output are the classes cannot do without any.
    fewest_classes = 0
    # Whether the head knows what MODEL.BACKBONE.OUTPUT tokens are; pooling them would mix tokens of two layers.
    reads_tokens = False

    @configurable
    def __init__(
        self,
        *,
        feat_dim: int,
        embedding_dim: int,
        num_classes: int,
        neck_feat: str,
        pool_type: str,
        cls_type: str,
        scale: float,
        margin: float,
        with_bnneck: bool,
        norm_type: str,
        fc_dim: int = 0,
    ) -> None:
        super().__init__()
        for key, value in (("NUM_CLASSES", num_classes), ("EMBEDDING_DIM", embedding_dim), ("FC_DIM", fc_dim)):
            if value < 0:
                raise ValueError(f"MODEL.HEADS.{key} must be >= 0, got {value}")
        if num_classes < self.fewest_classes:
            raise ValueError(
                f"MODEL.HEADS.NUM_CLASSES of {type(self).__name__} must be >= {self.fewest_classes}, got "
                f"{num_classes}; set it to the number of training classes, which the config.yaml of a training run has"
            )
        if neck_feat not in ("before", "after"):
            raise KeyError(f"MODEL.HEADS.NECK_FEAT is {neck_feat!r}, but must be 'before' or 'after' (the neck)")
        self.feat_dim = feat_dim
        self.neck_feat = neck_feat
        self.num_classes = num_classes
        self.pool_type = pool_type
        self.with_bnneck = with_bnneck
        self.pool_layer = POOLING_REGISTRY.get(pool_type)()
        self.fc: nn.Sequential | None = None
        if fc_dim > 0:
            self.fc = nn.Sequential(nn.Linear(feat_dim, fc_dim), nn.BatchNorm1d(fc_dim), nn.ReLU(inplace=True))
            feat_dim = fc_dim

        neck: list[nn.Module] = []
        if embedding_dim > 0:
            neck.append(nn.Conv2d(feat_dim, embedding_dim, 1, bias=False))
            feat_dim = embedding_dim
        if with_bnneck:
            if norm_type == "":
                raise KeyError("MODEL.HEADS.NORM is '', but WITH_BNNECK is True; name a norm, or set WITH_BNNECK False")
            neck.append(get_norm(norm_type, feat_dim, bias_freeze=True))
        self.bottleneck = nn.Sequential(*neck)

        self.weight = nn.Parameter(torch.empty(num_classes, feat_dim))  # (C, D)
        self.cls_layer = CLS_LAYER_REGISTRY.get(cls_type)(num_classes, scale, margin)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the fully connected layer, the neck and the classifier at random."""
        if self.fc is not None:
            self.fc.apply(weights_init_kaiming)
        self.bottleneck.apply(weights_init_kaiming)
        if self.num_classes > 0:
            nn.init.normal_(self.weight, std=0.01)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.HEADS``, and ``MODEL.BACKBONE.FEAT_DIM``.

        Raises:
            ValueError: if the backbone returns ``tokens``, and the head does not say ``reads_tokens``.
        """
        node = cfg.MODEL.HEADS
        if cfg.MODEL.BACKBONE.OUTPUT == "tokens" and not cls.reads_tokens:
            raise ValueError(
                f"MODEL.BACKBONE.OUTPUT is 'tokens', which are for JigsawPatchHead, but MODEL.HEADS.NAME is {node.NAME}"
                "; set OUTPUT class or map (a head of one's own that takes tokens sets reads_tokens = True)"
            )
        return {
            "feat_dim": cfg.MODEL.BACKBONE.FEAT_DIM,
            "embedding_dim": node.EMBEDDING_DIM,
            "num_classes": node.NUM_CLASSES,
            "neck_feat": node.NECK_FEAT,
            "pool_type": node.POOL_LAYER,
            "cls_type": node.CLS_LAYER,
            "scale": node.SCALE,
            "margin": node.MARGIN,
            "with_bnneck": node.WITH_BNNECK,
            "norm_type": node.NORM,
            "fc_dim": node.FC_DIM,
        }

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Embed a feature map.

        Args:
            features: ``(N, feat_dim, h, w)`` float.
            targets: ``(N,)`` int64 classes, in training mode; -1 means that the class is not one of these.

        Returns:
            In eval mode the embedding ``(N, D)``, not normalised. In training mode a dict: ``features`` ``(N, D)`` for
            metric losses, ``pred_class_logits`` ``(N, C)`` scaled but without margin, ``cls_outputs`` ``(N, C)``
            with it.

        Raises:
            ValueError: if the pooling left more than one position or another number of channels than ``feat_dim``, or,
                in training mode, there are no classes or no targets.
        """
        pooled, embedding = self._embed(features)  # (N, feat_dim or fc_dim), (N, D)
        if not self.training:
            return embedding
        if self.num_classes == 0:
            raise ValueError(
                "MODEL.HEADS.NUM_CLASSES is 0, so that this head can embed but not be trained; set it to the number of "
                "training identities, or call model.eval()"
            )
        if targets is None:
            raise ValueError("a head in training mode needs targets, got None; call model.eval() to embed")
        logits = self.cls_layer.logits(embedding, self.weight)  # (N, C)
        return {
            "cls_outputs": self.cls_layer(logits, targets),
            "pred_class_logits": logits * self.cls_layer.s,
            "features": pooled if self.neck_feat == "before" else embedding,
        }

    def class_logits(self, features: Tensor) -> Tensor:
        """Classify a feature map ``(N, feat_dim, h, w)`` without margin, in either mode and without targets.

        Returns:
            ``(N, C)``, scaled: the ``pred_class_logits`` of :meth:`forward`.
        """
        _, embedding = self._embed(features)
        return self.cls_layer.logits(embedding, self.weight) * self.cls_layer.s

    def _embed(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the feature before the neck, ``(N, feat_dim)`` or ``(N, fc_dim)``, and the embedding ``(N, D)``."""
        pooled = self.pool_layer(features)  # (N, feat_dim, 1, 1)
        if pooled.shape[2:] != (1, 1):
            raise ValueError(
                f"MODEL.HEADS.POOL_LAYER {self.pool_type} leaves a map of {tuple(pooled.shape[2:])}, but the head "
                "needs one vector per image; use GlobalAvgPool or another pooling"
            )
        if pooled.shape[1] != self.feat_dim:
            raise ValueError(
                f"MODEL.BACKBONE.FEAT_DIM is {self.feat_dim}, but MODEL.HEADS.POOL_LAYER {self.pool_type} leaves "
                f"{pooled.shape[1]} numbers of a map of {tuple(features.shape[1:])}; set FEAT_DIM {pooled.shape[1]}"
            )
        if self.fc is not None:
            pooled = self.fc(pooled.flatten(1))[:, :, None, None]  # (N, fc_dim, 1, 1)
        return pooled.flatten(1), self.bottleneck(pooled).flatten(1)

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Rename what older releases called ``classifier`` and ``bnneck``, in place.

        A learned GeM exponent is taken out where this head's exponent is fixed: a published file has one that
        its recipe does not use.
        """
        _rename(state_dict, f"{prefix}classifier.weight", f"{prefix}weight")
        if self.with_bnneck:
            old, new = f"{prefix}bnneck.", f"{prefix}bottleneck.{len(self.bottleneck) - 1}."
            for key in [key for key in state_dict if key.startswith(old)]:
                _rename(state_dict, key, new + key.removeprefix(old))
        exponent = f"{prefix}pool_layer.p"
        if type(self.pool_layer) is GeneralizedMeanPooling and exponent in state_dict:
            logger.warning(
                "%s = %s of the weights is not used: GeneralizedMeanPooling has the fixed exponent %s. "
                "MODEL.HEADS.POOL_LAYER GeneralizedMeanPoolingP would use it.",
                exponent,
                state_dict.pop(exponent).tolist(),
                self.pool_layer.p,
            )


def _rename(state_dict: dict[str, Tensor], old: str, new: str) -> None:
    if old in state_dict and new not in state_dict:
        state_dict[new] = state_dict.pop(old)
