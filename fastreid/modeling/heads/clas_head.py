from __future__ import annotations

from torch import Tensor

from .build import REID_HEADS_REGISTRY
from .embedding_head import EmbeddingHead

__all__ = ["ClasHead"]


@REID_HEADS_REGISTRY.register()
class ClasHead(EmbeddingHead):
    """:class:`EmbeddingHead` for classification: what it returns in eval mode are the logits of the classes.

    Arguments as there, but ``num_classes`` must be at least 1.
    """

    fewest_classes = 1

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Classify a feature map.

        Args:
            features: ``(N, feat_dim, h, w)`` float.
            targets: ``(N,)`` int64 classes, in training mode.

        Returns:
            In eval mode logits ``(N, C)``, scaled but without margin; in training mode what :class:`EmbeddingHead`
            returns.

        Raises:
            ValueError: as there.
        """
        out = super().forward(features, targets)
        return out if self.training else self.cls_layer.logits(out, self.weight) * self.cls_layer.s
