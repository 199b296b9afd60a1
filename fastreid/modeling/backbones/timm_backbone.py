"""Any network of timm as a backbone: ConvNeXt, Swin, EVA, DINOv2, DINOv3, EfficientNetV2, MobileNetV4 and others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...config import CfgNode
from ...utils.weights import WeightsMismatch, load_weights, read_state_dict
from ..foreign import adopt_into_backbone
from .build import BACKBONE_REGISTRY, Backbone, FeatureShape
from .common import warn_of_unread
from .feature_map import Features, cut_what_is_unused, features_of, map_of_tokens, use_last_stride_of_one
from .timm_network import create_network, filter_of, layers_of, resize_positions

__all__ = ["TimmBackbone", "build_timm_backbone"]

logger = logging.getLogger(__name__)

OUTPUTS = ("auto", "class", "map")
# Names that timm gives to a norm behind the pooling; here it comes before the pooling, which is the head's.
_NORMS_BEHIND_POOLING = ("fc_norm", "head.norm")
_FINAL_NORMS = ("norm", *_NORMS_BEHIND_POOLING)
_DEFAULT_DROP_PATH = 0.1  # of MODEL.BACKBONE.DROP_PATH_RATIO


class TimmBackbone(Backbone):
    """A network of the package timm, up to its feature map.

    What timm has behind the map, poolings and classifiers, is taken out; a norm that it has there is applied to each
    position. Parameter names are timm's behind ``net.``.

    Source: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models.

    Args:
        name: of the network, with or without the tag of weights behind a dot: ``convnext_tiny.fb_in22k``.
        image_size: H and W of the images, in pixels. A network whose weights do not depend on it takes other sizes too.
        last_stride: 1 or 2; 1 doubles height and width of the map of a network that reduces images by 32. timm does so
            with dilated convolutions where it can; otherwise strides are changed where that misaligns nothing.
        output: ``class`` (the class token, a map of one position), ``map`` (of the patches), or ``auto``: the class
            token if the network itself embeds by it, and the map otherwise.
        drop_path: rate of stochastic depth, in [0, 1), where the network has it.
        drop: share of activations that are dropped behind attention and in small networks, likewise.
        attention_drop: share of the attention weights that are dropped, likewise.
        arguments: further ones of ``timm.create_model``; they go before the library's.
        pretrained: start from the weights that timm downloads.

    Attributes:
        pixel_mean: of each channel in 0..255, as the published weights expect it; ``None`` if timm does not say.
        pixel_std: likewise.
        num_layers: layers by depth, as :meth:`layer_of` counts them.
        refused: which of the arguments above the network does not take.

    Raises:
        ImportError: without timm.
        KeyError, RuntimeError: see :func:`~.timm_network.create_network`.
        ValueError: likewise; or if a value is none of those above, or the network does not fit the images, or returns
            no feature map, or has no class token.
    """

    def __init__(
        self,
        name: str,
        *,
        image_size: Sequence[int] = (256, 128),
        last_stride: int = 1,
        output: str = "auto",
        drop_path: float = 0.0,
        drop: float = 0.0,
        attention_drop: float = 0.0,
        arguments: Mapping[str, Any] | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if last_stride not in (1, 2):
            raise ValueError(f"MODEL.BACKBONE.LAST_STRIDE must be 1 or 2, got {last_stride}")
        if output not in OUTPUTS:
            raise ValueError(f"MODEL.BACKBONE.OUTPUT must be one of {', '.join(OUTPUTS)} for timm, got {output!r}")
        size = (int(image_size[0]), int(image_size[1]))
        rates = {"drop_path_rate": drop_path, "proj_drop_rate": drop, "attn_drop_rate": attention_drop}
        tried = {"img_size": size, "dynamic_img_size": True} | {key: rate for key, rate in rates.items() if rate}
        if last_stride == 1:
            tried["output_stride"] = 16
        self.name = name
        self.net, self.refused = create_network(name, tried=tried, arguments=arguments or {}, pretrained=pretrained)
        self.pixel_mean, self.pixel_std = _statistics_of(self.net)
        self._norms = _norms_behind_pooling(self.net)
        self._takes_class = self._choose(output)
        stride = self._settle(size, last_stride)
        self._shape = FeatureShape(channels=self._channels, stride=stride)
        layers = layers_of(self.net)
        self.num_layers = 1 + max(layer for key, layer in layers.items() if not _is_final_norm(key))
        self._layers = {key: self.num_layers if _is_final_norm(key) else layer for key, layer in layers.items()}

    def _choose(self, output: str) -> bool:
        """Return whether the class token is the output."""
        by_class = getattr(self.net, "global_pool", None) == "token"
        has_class = by_class or getattr(self.net, "cls_token", None) is not None
        if output == "class" and not has_class:
            raise ValueError(f"MODEL.BACKBONE.OUTPUT is 'class', but timm's {self.name} has no class token; take map")
        self._prefix = getattr(self.net, "num_prefix_tokens", int(by_class))
        return by_class if output == "auto" else output == "class"

    def _settle(self, size: tuple[int, int], last_stride: int) -> int | None:
        """Look at the feature map, take out what is behind it, and return its stride."""
        found = self.look_at(size)
        self._channels = found.shape[0]
        unused = [key.removeprefix("net.") for key in found.unused]
        self._cut = cut_what_is_unused(self.net, unused)
        if self._takes_class:
            return None
        stride = self._stride_at(size, found.shape)
        if last_stride == 1 and stride > 16:
            if use_last_stride_of_one(self, size):
                return stride // 2
            logger.warning(
                "MODEL.BACKBONE.LAST_STRIDE 1 has no effect: the stride of timm's %s is %d, whatever it says",
                self.name,
                stride,
            )
        return stride

    def _stride_at(self, size: tuple[int, int], shape: tuple[int, int, int]) -> int:
        """Return the input pixels per step of the map."""
        height = shape[1]
        if size[0] == height * (size[0] // height) and size[1] * height == size[0] * shape[2]:
            return size[0] // height
        try:  # borders that are cut off say nothing about the steps: look at how many there are more in a larger image
            taller = features_of(self, (2 * size[0], 2 * size[1])).shape[1]
        except Exception as error:  # the network takes images of one size
            logger.debug("timm's %s does not take larger images: %s", self.name, error)
            taller = 2 * height
        return round(size[0] / (taller - height)) if taller > height else size[0] // height  # a map of one size

    def look_at(self, size: tuple[int, int]) -> Features:
        """Return what the network makes of images of ``size``, H and W, without computing it.

        Raises:
            ValueError: if it does not take them.
        """
        try:
            return features_of(self, size)
        except Exception as error:  # of any class: whatever the network says of such images
            height, width = size
            raise ValueError(
                f"timm's {self.name} makes no feature map of images of {height} x {width} pixels "
                f"({str(error) or repr(error)}); {self._remedy(size)}"
            ) from error

    def _remedy(self, size: tuple[int, int]) -> str:
        patch = getattr(getattr(self.net, "patch_embed", None), "patch_size", None)
        patch = (patch, patch) if isinstance(patch, int) else patch
        if not isinstance(patch, tuple) or not any(side % step for side, step in zip(size, patch)):
            return "give the size of its weights in INPUT.SIZE_TRAIN and SIZE_TEST, or take another network"
        near = [max(step, side // step * step) for side, step in zip(size, patch)]
        return (
            f"its patches are {patch[0]} x {patch[1]} pixels: set INPUT.SIZE_TRAIN and SIZE_TEST to {near}, or "
            "MODEL.BACKBONE.TIMM_ARGS.dynamic_img_pad True, where it knows that"
        )

    def output_shape(self) -> FeatureShape:
        """Return the channels and the stride of the feature map, as they were found when the network was built."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` to ``(N, C, h, w)``, or to ``(N, C, 1, 1)`` by the class token."""
        features = self.net.forward_features(x)
        if not isinstance(features, Tensor) or features.ndim not in (3, 4):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"it returns {found}, which is no feature map")
        for name in self._norms:
            features = self.net.get_submodule(name)(features)
        if features.ndim == 4:  # (N, C, h, w) or (N, h, w, C)
            return features.permute(0, 3, 1, 2) if getattr(self.net, "output_fmt", "") == "NHWC" else features
        if self._takes_class:
            return features[:, 0, :, None, None]  # (N, C, 1, 1)
        return map_of_tokens(features[:, self._prefix :], self.net, (x.shape[2], x.shape[3]))

    def layer_of(self, name: str) -> int:
        """Return the layer of a parameter, for learning rates that fall with the depth.

        Args:
            name: of a parameter of this backbone.

        Returns:
            0 for the stem or patch embedding, up to ``num_layers - 1``; ``num_layers`` for the final norm.

        Raises:
            KeyError: if there is no such parameter.
        """
        return self._layers[name.removeprefix("net.")]

    def upgrade_state_dict(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Make weights of timm this backbone's, in place: names, classifier, sizes of position embeddings.

        Of weights with the names of this backbone, only a position embedding for images of another size changes.
        """
        own = {key: value.shape for key, value in self.net.state_dict().items()}
        inside = f"{prefix}net."
        bare = not any(key.startswith(inside) for key in state_dict)
        start = prefix if bare else inside
        found = {key.removeprefix(start): state_dict[key] for key in state_dict if key.startswith(start)}
        if not found or any(key.startswith(("backbone.", "heads.")) for key in found):
            return  # nothing of this backbone, or a model around another one
        made = resize_positions(found, self.net)
        if bare and not all(key in made and made[key].shape == shape for key, shape in own.items()):
            made = self._translated(made)
        for key in found:
            del state_dict[start + key]
        left_out = [key for key in made if key not in own and bare and self._is_behind_the_map(key)]
        state_dict.update((inside + key, value) for key, value in made.items() if key not in left_out)
        if left_out:
            logger.info("Left out, since it is behind the feature map: %s", ", ".join(left_out))

    def _translated(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        translate = filter_of(self.net, self.name)
        if translate is None:
            return found
        try:
            return translate(dict(found))
        except Exception as error:  # timm expects one of the files that it knows
            raise WeightsMismatch(
                f"these are no weights of timm's {self.name}: translating them fails with {error!r}"
            ) from error

    def _is_behind_the_map(self, key: str) -> bool:
        classifiers = self.net.pretrained_cfg.get("classifier") or ()
        classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
        return key.startswith(tuple(f"{part}." for part in (*classifiers, *self._cut)))


def _norms_behind_pooling(net: nn.Module) -> list[str]:
    """Return the names of the norms that timm has behind its pooling, but before anything that changes the width."""
    modules = dict(net.named_modules())
    widths = {name: getattr(modules.get(name), "weight", None) for name in _NORMS_BEHIND_POOLING}
    return [name for name, weight in widths.items() if weight is not None and weight.numel() == net.num_features]


def _is_final_norm(name: str) -> bool:
    return name.startswith(tuple(f"{norm}." for norm in _FINAL_NORMS))


def _statistics_of(net: nn.Module) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return mean and standard deviation of the pixels in 0..255 that timm states for a network."""
    stated = (net.pretrained_cfg.get(key) for key in ("mean", "std"))
    mean, std = (values and tuple(round(255 * value, 4) for value in values) for values in stated)
    return mean, std


def _plain(node: Any) -> Any:
    """Return the content of a config node as dicts, also inside of it."""
    return {key: _plain(value) for key, value in node.items()} if isinstance(node, dict) else node


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode) -> TimmBackbone:
    """Build the network of timm that ``MODEL.BACKBONE.DEPTH`` names.

    It reads DEPTH, LAST_STRIDE, OUTPUT, TIMM_ARGS, PRETRAIN (timm's download), PRETRAIN_PATH (a file), and
    ``INPUT.SIZE_TRAIN``; DROP_PATH_RATIO, DROP_RATIO and ATT_DROP_RATE where the network takes such a rate.

    Raises:
        ImportError, KeyError, RuntimeError, ValueError: see :class:`TimmBackbone`; also if the network does not fit
            images of ``INPUT.SIZE_TEST``.
        WeightsMismatch: if the file of ``PRETRAIN_PATH`` belongs to another network.
    """
    node = cfg.MODEL.BACKBONE
    warn_of_unread(node, "WITH_IBN", "WITH_SE", "WITH_NL", "ZERO_INIT_RESIDUAL", "WITH_SIE", "CONV_STEM")
    if node.NORM != "BN":
        logger.warning("MODEL.BACKBONE.NORM %s has no effect: a network of timm has its own norms", node.NORM)
    size, test_size = _size(cfg.INPUT.SIZE_TRAIN), _size(cfg.INPUT.SIZE_TEST)
    net = TimmBackbone(
        node.DEPTH,
        image_size=size,
        last_stride=node.LAST_STRIDE,
        output=node.OUTPUT,
        drop_path=node.DROP_PATH_RATIO,
        drop=node.DROP_RATIO,
        attention_drop=node.ATT_DROP_RATE,
        arguments=_plain(node.TIMM_ARGS),
        pretrained=node.PRETRAIN and not node.PRETRAIN_PATH,
    )
    for key, argument, default in (
        ("DROP_PATH_RATIO", "drop_path_rate", _DEFAULT_DROP_PATH),
        ("DROP_RATIO", "proj_drop_rate", 0.0),
        ("ATT_DROP_RATE", "attn_drop_rate", 0.0),
    ):
        if argument in net.refused and node[key] != default:
            logger.warning("MODEL.BACKBONE.%s has no effect: timm's %s does not take it", key, node.DEPTH)
    if test_size != size:
        net.look_at(test_size)
    if node.PRETRAIN and node.PRETRAIN_PATH:
        state = read_state_dict(node.PRETRAIN_PATH)
        adopt_into_backbone(state, net)
        load_weights(net, state, source=node.PRETRAIN_PATH)
    return net


def _size(sides: Sequence[int]) -> tuple[int, int]:
    """Return height and width; 256 x 128 where images keep their size."""
    height, width = (*sides, *sides)[:2] if sides else (0, 0)
    return (height, width) if height > 0 else (256, 128)
