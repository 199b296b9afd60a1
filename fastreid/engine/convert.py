"""Rewrite weight files: other names, another format."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import CfgNode
from ..modeling import build_model
from ..utils.checkpoint import read_checkpoint, write_atomically
from ..utils.custom_imports import import_custom_modules
from ..utils.weight_files import check_named_hash, safetensors_bytes
from ..utils.weights import averaged_state_dict, class_count, load_weights, meta_of, state_dict_of, upgraded
from .checkpoint_state import checkpoint_meta
from .side_information import camera_fit, take_cameras_of_checkpoint

__all__ = ["convert_weights", "repack_weights"]

logger = logging.getLogger(__name__)

_ENDINGS = (".pth", ".safetensors")


def convert_weights(
    cfg: CfgNode, source: str, target: str, *, backbone_only: bool = False, overwrite: bool = False
) -> str:
    """Write any weights that the model of a config can load as a checkpoint of this library.

    The file holds ``model``, by the model's own names, and ``meta`` with config, preprocessing and embedding; what the
    ``meta`` of a checkpoint of ours says about its data set and thresholds stays. The classifier stays, too, whatever
    number of classes the config has. Where all floating-point tensors of the source are of one dtype, those of the
    file are. Side information without ``MODEL.BACKBONE.SIE_CAMERAS`` gets the cameras of a checkpoint of ours.

    Args:
        cfg: of the model, not changed; ``MODEL.WEIGHTS_KEY`` and ``MODEL.WEIGHTS_STRICT`` count, ``MODEL.WEIGHTS`` and
            ``MODEL.BACKBONE.PRETRAIN`` do not.
        source: file or URL.
        target: a new file; its ending, ``.pth`` or ``.safetensors``, is its format.
        backbone_only: write the backbone alone, by its own names, for ``MODEL.BACKBONE.PRETRAIN_PATH``.
        overwrite: ``target`` may be there.

    Returns:
        What was written, in one line.

    Raises:
        FileExistsError: if ``target`` is there, and may not.
        FileNotFoundError: if ``source`` or the folder of ``target`` is missing.
        WeightFileError: if ``source`` is no file of weights.
        WeightsMismatch: if it does not fit the model.
        ValueError: if ``target`` has another ending or is ``source``, or the model has no single backbone.
    """
    _check_target(source, target, overwrite)
    cfg = cfg.clone()
    cfg.defrost()
    data = _read(source)
    take_cameras_of_checkpoint(cfg, data)
    cfg.MODEL.WEIGHTS, cfg.MODEL.BACKBONE.PRETRAIN = "", False
    key = cfg.MODEL.WEIGHTS_KEY
    state = state_dict_of(data, source) if key == "model" else averaged_state_dict(data, key, source)
    state = camera_fit(cfg)(state, data)
    model = _loaded(cfg, state, source)
    if backbone_only:
        if not isinstance(getattr(model, "backbone", None), nn.Module):
            raise ValueError(f"{cfg.MODEL.META_ARCHITECTURE} has no backbone of its own; leave --backbone-only out")
        model, meta = model.backbone, None
    else:
        meta = _meta_of(cfg, model, data, averaged=key != "model")
    return _write(target, _as_precise(model.state_dict(), state), meta)


def repack_weights(source: str, target: str, *, overwrite: bool = False) -> str:
    """Write the state dict of a file to another one: without what is around it, by the names that it has.

    The ``meta`` of a checkpoint of ours goes with it. Arguments, return value and errors are those of
    :func:`convert_weights`.
    """
    _check_target(source, target, overwrite)
    data = _read(source)
    return _write(target, state_dict_of(data, source), _meta_in(data))


def _check_target(source: str, target: str, overwrite: bool) -> None:
    if not target.endswith(_ENDINGS):
        raise ValueError(f"--output must end in {' or '.join(_ENDINGS)}, got {target!r}")
    folder = os.path.dirname(target)
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"--output {target}: there is no folder {folder}; make it first")
    if os.path.realpath(os.path.expanduser(source)) == os.path.realpath(target):
        raise ValueError(f"--output {target} is the source itself; name a new file")
    if os.path.exists(target) and not overwrite:
        raise FileExistsError(f"--output {target} exists; give --overwrite to replace it, or name another file")


def _read(source: str) -> Any:
    check_named_hash(source)
    return read_checkpoint(source)


def _loaded(cfg: CfgNode, state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build the model, with as many classes as the weights have, and load them."""
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    on_cpu = cfg.clone()
    on_cpu.MODEL.DEVICE = "cpu"
    model = build_model(on_cpu)
    state = upgraded(model, state)
    classes = class_count(model, state)
    if classes not in (None, cfg.MODEL.HEADS.NUM_CLASSES):
        cfg.MODEL.HEADS.NUM_CLASSES = on_cpu.MODEL.HEADS.NUM_CLASSES = classes
        model = build_model(on_cpu)
    load_weights(model, state, source=source, strict=cfg.MODEL.WEIGHTS_STRICT)
    return model.eval()


def _meta_of(cfg: CfgNode, model: nn.Module, data: Any, *, averaged: bool) -> dict[str, Any]:
    meta = checkpoint_meta(cfg, model, [])
    meta["dataset"] = {"names": [], "fingerprint": ""}  # which data the weights were trained on is not known
    known = _meta_in(data) or {}
    kept = {name: known[name] for name in ("dataset", "thresholds") if name in known}
    if averaged or known.get("embedding", {}).get("metric") != meta["embedding"]["metric"]:
        kept.pop("thresholds", None)  # those of other scores
    return {**meta, **kept}


def _meta_in(data: Any) -> dict[str, Any] | None:
    return meta_of(data) or None if isinstance(data, Mapping) and "model" in data else None


def _as_precise(state: Mapping[str, Tensor], as_in: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict in the floating-point dtype of another one, if that has a single one."""
    dtypes = {value.dtype for value in as_in.values() if value.is_floating_point()}
    if len(dtypes) != 1:
        return dict(state)
    (dtype,) = dtypes
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}


def _write(target: str, state: Mapping[str, Tensor], meta: dict[str, Any] | None) -> str:
    state = {key: _whole(value.detach()) for key, value in state.items()}
    size = sum(value.nbytes for value in state.values())
    if target.endswith(".safetensors"):
        content = safetensors_bytes(state, meta)
        write_atomically(target, lambda file: file.write(content), size=size)
    else:
        data = state if meta is None else {"model": state, "meta": meta}
        write_atomically(target, lambda file: torch.save(data, file), size=size)
    dtypes = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in state.values()}))
    return (
        f"Wrote {target}: {len(state)} tensors, {size / 1e6:.1f} MB, {dtypes}; meta: {', '.join(meta or ()) or 'none'}"
    )


def _whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is no view of a larger one, which would be written as a whole."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
