"""Activation maps of a report: those of the worst queries and of what is found for them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...config import CfgNode, get_cfg
from ...engine.embedder import Embedder
from ...engine.extraction import hash_of_file
from ...evaluation.feature_folder import read_meta
from ..maps.activation import activation_maps
from ..maps.overlay import overlay
from ..sheets import COLUMNS, ROWS, write_sheets
from .data import write_script
from .payload import packed

__all__ = ["images_with_maps", "model_config", "write_maps"]


def model_config(features: str, named: CfgNode | None = None, opts: Sequence[Any] = ()) -> CfgNode:
    """Return the config of the model that features were extracted with, to build it anew.

    Args:
        features: the folder.
        named: a config that the user has named; it is taken if it has ``MODEL.WEIGHTS``. Else the one that is stored
            with the features is, without its ``CUSTOM_IMPORTS``, which only a config that the user names may bring.
        opts: keys and values that override what is stored.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it is not the one of the features.
    """
    stored = read_meta(features)
    if named is not None and named.MODEL.WEIGHTS:
        cfg = named.clone()
    else:
        cfg = get_cfg()
        cfg.merge_from_other_cfg(CfgNode.load_cfg(stored["config"]))
        cfg.CUSTOM_IMPORTS = []
        cfg.MODEL.WEIGHTS = stored["checkpoint"]["path"]
        cfg.MODEL.WEIGHTS_KEY = stored["checkpoint"]["weights"]
        cfg.merge_from_list(list(opts))
    path = os.path.expanduser(cfg.MODEL.WEIGHTS)
    if "://" in path:
        return cfg
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"--actmap needs the model of {features}, but the checkpoint {path or '(none)'} is not there; give "
            "--config-file and MODEL.WEIGHTS, or leave --actmap out"
        )
    found, expected = hash_of_file(path), stored["checkpoint"]["sha256"]
    if found != expected:
        raise ValueError(
            f"{path} is not the checkpoint that the features in {features} are of: its SHA-256 is {found[:12]}, not "
            f"{str(expected)[:12]}; name that one, or extract the features anew"
        )
    return cfg


def images_with_maps(queries: np.ndarray, lists: Sequence[np.ndarray], broken: Collection[int]) -> list[int]:
    """Return the images that maps are made of: each query and what is found for it, once, but for what cannot be read.

    Args:
        queries: ``(Q,)`` int64 numbers of the queries' images.
        lists: of each query ``(L,)`` numbers of images.
        broken: numbers of images that cannot be read.
    """
    seen = dict.fromkeys(number for query, own in zip(queries.tolist(), lists) for number in (query, *own.tolist()))
    return [number for number in seen if number not in broken]


def write_maps(
    cfg: CfgNode,
    images: Sequence[int],
    paths: Sequence[str],
    output: Path,
    run: int,
    *,
    size: tuple[int, int],
    method: str = "auto",
) -> None:
    """Write the images below their activation maps, in sheets like those of the thumbnails.

    Args:
        cfg: of the model, see :func:`model_config`.
        images: numbers of the images.
        paths: of all images of the report.
        output: folder of the report.
        run: number of the run.
        size: width and height of a cell, in pixels.
        method: see ``activation_maps``.

    Raises:
        KeyError, TypeError, ValueError: see ``activation_maps``.
    """
    embedder = Embedder(cfg)
    shown: dict[int, Image.Image] = {}

    def picture(place: int) -> Image.Image:
        if place not in shown:  # the first of a sheet
            shown.clear()
            own = images[place : place + COLUMNS * ROWS]
            shown.update(enumerate(_pictures(embedder, [paths[image] for image in own], size, method), start=place))
        return shown[place]

    sheets = output / "maps" / str(run)
    write_sheets(len(images), picture, sheets, size=size, workers=1, description=f"Activation maps of run {run + 1}")
    write_script(output / "data", f"maps-{run}", {"image": packed(images, "u4")})


def _pictures(embedder: Embedder, paths: Sequence[str], size: tuple[int, int], method: str) -> list[Image.Image]:
    found: list[Image.Image] = []
    batch = embedder.cfg.TEST.IMS_PER_BATCH
    for start in range(0, len(paths), batch):
        images = embedder.images(paths[start : start + batch])  # (N, 3, H, W)
        maps = activation_maps(embedder.model, images, method=method)
        for image, activation in zip(images.permute(0, 2, 3, 1).numpy(), maps, strict=True):
            small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
            found.append(Image.fromarray(overlay(small, activation)))
    return found
