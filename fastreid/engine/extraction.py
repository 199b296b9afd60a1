"""Embed any number of images, in chunks that survive a kill, and leave a folder of features."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import __version__
from ..config import CfgNode
from ..data.cameras import camera_places
from ..data.image_source import ImageSource, SourceImage
from ..data.numbered_loader import build_numbered_loader
from ..evaluation import inference_context
from ..evaluation.evaluator import go_through, outputs_of
from ..utils import comm
from ..utils.file_io import PathManager
from ..utils.progress import Progress
from ..utils.weights import unwrap_model
from .amp import resolve_amp_dtype
from .checkpoint_state import checkpoint_meta
from .feature_writer import assemble, begin, count_finished, unfinished, write_part
from .inference import inference_model
from .parallel import share_buffers

__all__ = ["DTYPES", "extract_features", "hash_of_file", "require_finite"]

logger = logging.getLogger(__name__)

DTYPES = ("float32", "float16")


def extract_features(
    cfg: CfgNode,
    model: nn.Module,
    source: ImageSource,
    folder: str,
    *,
    dtype: str = "float32",
    chunk: int = 4096,
    skip_broken: bool = False,
) -> dict[str, Any]:
    """Embed images as an evaluation does, and write ``features.npy``, ``index.csv`` and ``meta.json``.

    Work is done chunk by chunk, dealt out to the ranks in turn; a chunk is complete on disk before the next one begins.
    After a kill the same call goes on where it was, on any number of ranks. With one process the batches are those of
    an evaluation, and so is every number.

    Args:
        cfg: ``INPUT``, ``TEST``, ``MODEL.WEIGHTS`` and ``MODEL.WEIGHTS_KEY`` are read.
        model: with its weights.
        source: the images.
        folder: is made if it is not there; on several machines all of them must see it.
        dtype: a name of :data:`DTYPES`.
        chunk: images in a chunk, at least 1; rounded up to whole batches of ``TEST.IMS_PER_BATCH``.
        skip_broken: an image that cannot be read is left out, and listed in ``meta.json``; False: it is an error.

    Returns:
        What is in ``meta.json``.

    Raises:
        ImageReadError: if an image cannot be read; names it.
        ValueError: if a number is out of its range, the folder has features of another model or other images, or a
            feature is NaN or infinite (the message names the image).
        OSError: if the disk is full or not writable.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 image, got {chunk}")
    if cfg.TEST.IMS_PER_BATCH < 1:
        raise ValueError(f"TEST.IMS_PER_BATCH must be >= 1, got {cfg.TEST.IMS_PER_BATCH}")
    batch = max(1, cfg.TEST.IMS_PER_BATCH // comm.get_world_size())
    chunk = -(-chunk // cfg.TEST.IMS_PER_BATCH) * cfg.TEST.IMS_PER_BATCH
    share_buffers(model)
    meta = _describe(cfg, model, source, dtype, chunk)
    todo: list[int] | None = None

    def prepare() -> None:
        nonlocal todo, meta
        meta = begin(folder, meta)
        todo = None if meta["complete"] else unfinished(folder, len(source.images), chunk)

    _on_main(prepare)
    meta, todo = comm.all_gather((meta, todo))[0]
    if todo is None:
        logger.info("%s is complete already: %d images", folder, meta["images"])
        return meta
    own = todo[comm.get_rank() :: comm.get_world_size()]
    _embed_chunks(cfg, model, source.images, folder, own, chunk, batch, dtype, skip_broken)
    comm.synchronize()
    _on_main(lambda: meta.update(assemble(folder, meta, source.images)))
    return comm.all_gather(meta)[0]


def _on_main(work: Any) -> None:
    """Do something on rank 0; every rank raises what it raises."""
    failure = None
    if comm.is_main_process():
        try:
            work()
        except Exception as error:
            failure = error
    comm.raise_on_all(failure)


# -- what the features are ----------------------------------------------------------------------------


def _describe(cfg: CfgNode, model: nn.Module, source: ImageSource, dtype: str, chunk: int) -> dict[str, Any]:
    items = [(image.img_path, image.pid, image.camid) for image in source.images]
    about = checkpoint_meta(cfg, unwrap_model(model), items)
    amp = resolve_amp_dtype(cfg.TEST.AMP.ENABLED, cfg.TEST.AMP.DTYPE, next(model.parameters()).device, key="TEST.AMP")
    stages = {"transforms": list(cfg.INPUT.TRANSFORMS.TEST), "crop": dict(cfg.INPUT.CROP)}
    meta = {
        "complete": False,
        "library": __version__,
        "images": len(items),
        "dtype": dtype,
        "chunk": chunk,
        "model": _hash_of_weights(model),
        "checkpoint": {
            "path": cfg.MODEL.WEIGHTS,
            "sha256": hash_of_file(cfg.MODEL.WEIGHTS),
            "weights": cfg.MODEL.WEIGHTS_KEY,
        },
        "preprocessing": {**about["preprocessing"], **stages},
        "embedding": about["embedding"],
        "inference": {
            "flip": cfg.TEST.FLIP.ENABLED,
            "amp": None if amp is None else str(amp).removeprefix("torch."),
            "fold_bn": cfg.TEST.FOLD_BN,
        },
        "dataset": {
            "name": source.name,
            "label": source.label,
            "splits": list(dict.fromkeys(image.split for image in source.images)),
            "fingerprint": about["dataset"]["fingerprint"],
        },
        "config": about["config"],
    }
    return json.loads(json.dumps(meta))  # as it will be read back


def _hash_of_weights(model: nn.Module) -> str:
    """Return a SHA-256 of names, types, shapes and values of a model's weights and statistics."""
    digest = hashlib.sha256()
    for name, value in sorted(unwrap_model(model).state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_of_file(path: str) -> str | None:
    """Return the SHA-256 of a checkpoint; ``None``: it has no path, or lies behind a URL."""
    if not path or "://" in path:
        return None
    with open(os.path.expanduser(PathManager.get_local_path(path)), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- chunks -------------------------------------------------------------------------------------------


def _embed_chunks(
    cfg: CfgNode,
    model: nn.Module,
    images: Sequence[SourceImage],
    folder: str,
    chunks: Sequence[int],
    chunk: int,
    batch: int,
    dtype: str,
    skip_broken: bool,
) -> None:
    """Embed this rank's chunks, one after the other, and write each."""
    places = [range(number * chunk, min((number + 1) * chunk, len(images))) for number in chunks]
    batches = [[part[at : at + batch] for at in range(0, len(part), batch)] for part in places]
    items = [(image.img_path, _number(image.pid), _number(image.camid)) for image in images]
    cameras = camera_places(cfg, [image.camera_name for image in images])
    loader = build_numbered_loader(
        cfg, items, [one for part in batches for one in part], skip_broken=skip_broken, cameras=cameras
    )
    network = inference_model(cfg, model)
    start, total = time.perf_counter(), sum(map(len, places))

    def steps() -> Iterator[None]:
        arriving = iter(loader)
        done = 0
        for number, part, own in zip(chunks, places, batches, strict=True):
            found, kept, broken = [], [], []
            for _ in own:
                arrived = next(arriving)
                if arrived.inputs is not None:
                    outputs = outputs_of(network, arrived.inputs, cfg.TEST.FLIP.ENABLED)
                    found.append(outputs.detach().to("cpu", torch.float32).numpy().astype(dtype))
                    require_finite(found[-1], [images[place].img_path for place in arrived.numbers], dtype)
                kept += arrived.numbers
                broken += arrived.broken
                bar.update(len(arrived.numbers) + len(arrived.broken))
                yield
            write_part(folder, number, found, kept, broken)
            done += len(part)
            _log_progress(folder, chunk, len(images), done / (time.perf_counter() - start))

    with (
        inference_context(network),
        torch.no_grad(),
        Progress(total=total, desc="Extracting", unit="image", plain_every=None) as bar,
    ):
        go_through(steps())


def _number(label: int | str | None) -> int:
    return label if isinstance(label, int) else -1


def require_finite(features: np.ndarray, paths: Sequence[str], dtype: str) -> None:
    """Raise ``ValueError`` if a feature ``(D,)`` of some ``(N, D)`` is NaN or infinite; the message names the image."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise ValueError(
            f"the feature of {paths[bad[0]]} is NaN or infinite (so are {bad.size - 1} more of its batch) in {dtype}; "
            "check MODEL.WEIGHTS, TEST.AMP, and whether float16 has room for the model's features"
        )


def _log_progress(folder: str, chunk: int, total: int, own_speed: float) -> None:
    """Log how far all ranks together are, as far as chunks are on disk."""
    if not comm.is_main_process():
        return
    done = min(total, chunk * count_finished(folder))
    speed = own_speed * comm.get_world_size()
    minutes = (total - done) / speed / 60
    logger.info("Extracted %d of %d images, %.1f images/s, %.1f minutes to go", done, total, speed, minutes)
