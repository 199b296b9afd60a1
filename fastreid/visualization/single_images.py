"""What ``tools/demo.py`` does: embed files, compare two, rank a folder, and draw what the model sees."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..engine.embedder import Embedder
from ..engine.thresholds import Threshold
from ..modeling.backbones import AttentionBackbone
from .maps.activation import activation_maps
from .maps.grad_cam import pair_grad_cam
from .maps.overlay import overlay
from .marks import QUERY, VERDICTS
from .rank_lists.rank_cells import RANKS_IN_A_ROW
from .rank_lists.rank_list import path_end
from .rank_lists.rank_sheet import Sheet, Tile, TileRows, draw_sheet

__all__ = [
    "Found",
    "maps_of_pairs",
    "names_of_outputs",
    "nearest",
    "write_activation_maps",
    "write_embeddings",
    "write_pair",
    "write_ranking",
]

_LEAST_ROWS = 192  # of a picture, in pixels
_BETWEEN = 6  # pixels, white, between an image and its maps


@dataclass(frozen=True)
class Found:
    """An image of a ranking.

    Args:
        path: of the image.
        score: higher is more alike; see ``Embedder.scores``.
    """

    path: str
    score: float


def names_of_outputs(paths: Sequence[str]) -> list[str]:
    """Return the file name without ending of each image, by which what belongs to it is called.

    Raises:
        ValueError: if two images share one, so that one would overwrite the other.
    """
    names = [Path(path).stem for path in paths]
    owners = defaultdict(list)
    for name, path in zip(names, paths, strict=True):
        owners[name].append(path)
    shared = [name for name, own in owners.items() if len(own) > 1]
    if shared:
        one, two = owners[shared[0]][:2]
        raise ValueError(
            f"{one} and {two} would both be written to {shared[0]}.npy ({len(shared)} such name(s)); embed them in two "
            "calls with another --output each, or all into one file with tools/extract_features.py"
        )
    return names


def write_embeddings(embedder: Embedder, paths: Sequence[str], folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``<stem>.npy`` for each image: its embedding ``(1, D)`` float32, of length 1.

    Args:
        embedder: embeds all images before anything is written.
        paths: of the images.
        folder: is made if it is not there; files of the same names are replaced.

    Returns:
        The files, in order.

    Raises:
        ValueError: if two images have the same stem.
    """
    files = [Path(folder, f"{name}.npy") for name in names_of_outputs(paths)]
    embeddings = embedder(paths).numpy()  # (N, D)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, embedding in zip(files, embeddings, strict=True):
        np.save(file, embedding[None])
    return files


def nearest(
    embedder: Embedder, query: str, gallery: Sequence[str], *, metric: str | None = None, top: int = 10
) -> list[Found]:
    """Return the images that are most like a query, best first; the query's own file is left out.

    Args:
        embedder: embeds all images.
        query: path of the query.
        gallery: paths to rank.
        metric: see ``Embedder.scores``.
        top: how many at most, at least 1. Of equal scores, the earlier path comes first.

    Raises:
        ValueError: if ``top`` is less than 1, or no image is left.
    """
    if top < 1:
        raise ValueError(f"--top must be at least 1 image, got {top}")
    others = [path for path in gallery if not os.path.samefile(path, query)]
    if not others:
        raise ValueError(f"there is no image to rank but the query itself, {query}")
    scores = embedder.scores([query], others, metric=metric)[0]  # (G,)
    order = np.argsort(-scores, kind="stable")[:top]
    return [Found(others[place], float(scores[place])) for place in order]


def maps_of_pairs(model: nn.Module, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of a query, one for each pair, and of gallery images: ``(N, h, w)`` each, in [0, 1].

    They are the Grad-CAM of the similarity, with fixed lengths; where the backbone attends, the rollout of each image,
    which does not depend on the other one.

    Args:
        model: any that embeds.
        query: ``(1, 3, H, W)``, as for :func:`~fastreid.visualization.pair_grad_cam`.
        gallery: ``(N, 3, H, W)``.
    """
    if not isinstance(getattr(model, "backbone", None), AttentionBackbone):
        return pair_grad_cam(model, query, gallery, fixed_lengths=True)
    maps = activation_maps(model, torch.cat([query, gallery]), method="rollout")
    return maps[:1].expand(len(gallery), -1, -1), maps[1:]


def write_activation_maps(
    embedder: Embedder, paths: Sequence[str], folder: str | os.PathLike[str], *, method: str = "auto"
) -> list[Path]:
    """Write ``<stem>_actmap.png`` for each image: as the model takes it, and the same below its activation map.

    Args:
        embedder: whose model is looked at.
        paths: of the images.
        folder: is made if it is not there.
        method: see :func:`~fastreid.visualization.activation_maps`.

    Returns:
        The files, in order.

    Raises:
        ValueError: if two images have the same stem.
    """
    files = [Path(folder, f"{name}_actmap.png") for name in names_of_outputs(paths)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    size = embedder.cfg.TEST.IMS_PER_BATCH
    for start in range(0, len(paths), size):
        images = embedder.images(paths[start : start + size])
        maps = activation_maps(embedder.model, images, method=method)
        for file, image, activation in zip(files[start : start + size], images, maps, strict=True):
            picture = _pixels(image)
            Image.fromarray(np.hstack([picture, overlay(picture, activation)])).save(file)
    return files


def write_pair(embedder: Embedder, one: str, two: str, folder: str | os.PathLike[str]) -> Path:
    """Write ``<stem>_<stem>_actmap.png``: both images, each beside its map, see :func:`maps_of_pairs`.

    Args:
        embedder: whose model is looked at.
        one: path of the left image.
        two: path of the right one.
        folder: is made if it is not there.
    """
    images = embedder.images([one, two])
    maps = maps_of_pairs(embedder.model, images[:1], images[1:])
    pictures = [_pixels(image) for image in images]
    parts = [part for picture, own in zip(pictures, maps) for part in (picture, overlay(picture, own[0]))]
    file = Path(folder, f"{Path(one).stem}_{Path(two).stem}_actmap.png")
    Path(folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack(parts)).save(file)
    return file


def write_ranking(
    embedder: Embedder,
    query: str,
    found: Sequence[Found],
    file: str | os.PathLike[str],
    *,
    threshold: Threshold,
    actmap: bool = False,
) -> None:
    """Draw a query and what was found for it, ten images in a row.

    Args:
        embedder: gives the images as the model takes them.
        query: path of the query.
        found: what was found, best first; at least one.
        file: of the picture; its folder is made if it is not there.
        threshold: its metric and where it is from stand above; what it accepts is marked.
        actmap: below each image its map, and below that the query's, see :func:`maps_of_pairs`.
    """
    images = embedder.images([query, *(one.path for one in found)])
    pictures = [_pixels(image) for image in images]
    columns = [[picture] for picture in pictures[1:]]
    if actmap:
        maps = maps_of_pairs(embedder.model, images[:1], images[1:])
        for column, own, theirs in zip(columns, *maps, strict=True):
            column += [overlay(column[0], theirs), overlay(pictures[0], own)]
    tiles = [
        Tile(_stacked(column), VERDICTS[threshold.accepts(one.score)], str(rank), f"{one.score:z.3f}", _name(one.path))
        for rank, (column, one) in enumerate(zip(columns, found, strict=True), start=1)
    ]
    rows = [tiles[start : start + RANKS_IN_A_ROW] for start in range(0, len(tiles), RANKS_IN_A_ROW)]
    sheet = Sheet(
        title=path_end(query),
        result="",
        facts=f"{threshold.metric} score · {threshold.text}",
        legend=[] if threshold.value is None else [VERDICTS[True], VERDICTS[False]],
        query=Tile(_stacked(pictures[:1]), QUERY, QUERY.name, labels=_name(query)),
        sections=[TileRows("Ranking, the closest first", rows)],
    )
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(sheet).save(file)


def _name(path: str) -> tuple[str, str]:
    return Path(path).stem, ""


def _stacked(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Return pictures ``(H, W, 3)`` of one size below each other, white between them."""
    height, width = pictures[0].shape[:2]
    step = height + _BETWEEN
    stack = Image.new("RGB", (width, len(pictures) * step - _BETWEEN), "white")
    for number, picture in enumerate(pictures):
        stack.paste(Image.fromarray(picture), (0, number * step))
    return stack


def _pixels(image: Tensor) -> np.ndarray:
    """Return an image ``(3, H, W)`` uint8 as ``(H', W', 3)``, a small one enlarged to at least 192 rows."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    factor = -(-_LEAST_ROWS // pixels.shape[0])
    large = (pixels.shape[1] * factor, pixels.shape[0] * factor)
    return np.asarray(Image.fromarray(pixels).resize(large, Image.Resampling.BICUBIC))
