from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from fastreid.config import CfgNode, configurable
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Distiller

__all__ = ["DistillerOverhaul"]

_PREFIX = "feature_loss."


@META_ARCH_REGISTRY.register()
class DistillerOverhaul(Distiller):
    """:class:`Distiller` with ``KD.FEATURE_LOSS Overhaul``, whose state dict has v1.3's names.

    ``connectors_{i}.{j}.{0,1}.*`` and ``margin{i}_{j}``, for teacher i and stage j, stand beside ``backbone`` and
    ``heads``.

    Args:
        parts: see :class:`Distiller`.
    """

    @configurable
    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.register_state_dict_post_hook(_to_v13)
        self.register_load_state_dict_pre_hook(_from_v13)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL`` and ``KD``; the feature loss is given."""
        cfg = cfg.clone()
        cfg.defrost()
        cfg.KD.FEATURE_LOSS = "Overhaul"
        return super().from_config(cfg)


def _to_v13(module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    for key in [key for key in state if key.startswith(prefix + _PREFIX)]:
        state[prefix + key.removeprefix(prefix + _PREFIX)] = state.pop(key)


def _from_v13(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.removeprefix(prefix).startswith(("connectors_", "margin"))]:
        state[prefix + _PREFIX + key.removeprefix(prefix)] = state.pop(key)
