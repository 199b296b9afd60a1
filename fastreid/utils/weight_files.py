"""Read weights from files and URLs, without running code from them and without taking more memory than they have bytes.

Source of the layout of safetensors: its README, https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor

from .numpy_scalars import NUMPY_SCALARS
from .pickle_audit import WeightFileError, vouched_names
from .torch_files import TORCH_MAGIC, check_torch_file

__all__ = ["WeightFileError", "check_named_hash", "read_file", "safetensors_bytes"]

logger = logging.getLogger(__name__)

META_KEY = "fastreid.meta"
"""The entry of a safetensors file's metadata that holds the ``meta`` of a checkpoint, as JSON."""

_MAX_HEADER = 2**24  # bytes of a safetensors header; real ones have about 100 KB
_HTML = re.compile(rb"\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_ARCHIVES = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "RAR"}


def read_file(path: str) -> Any:
    """Load what ``torch.save`` or safetensors wrote, tensors and plain values only, onto the CPU.

    What a file is tells its content, not its name. Before a tensor of it is loaded, the file is looked through
    (:func:`~fastreid.utils.torch_files.check_torch_file`).

    Args:
        path: a file (``~`` is expanded), or an http(s) URL: that is downloaded once, into torch's cache
            (``$TORCH_HOME``), and the hash in its name is checked; that a name has none is logged.

    Returns:
        The content; of a safetensors file the tensors by name, or, if this library wrote it with a ``meta``, a dict of
        ``model`` and ``meta``.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightFileError: if it is damaged, or no file of weights, or holds anything that would have to run code or
            would take much more memory than it has bytes.
        RuntimeError: if it cannot be downloaded.
        ImportError: if it is a safetensors file, and the package is not installed.
    """
    if urlparse(path).scheme in ("http", "https"):
        return _download(path)
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        other = " (this is no plain file)" if os.path.exists(path) else ""
        folder = " (this is a folder: name a file in it)" if os.path.isdir(path) else other
        raise FileNotFoundError(f"no weight file {path!r}{folder} (looked for {os.path.abspath(path)})")
    try:
        if _is_safetensors(path):
            return _read_safetensors(path)
        _require_torch_file(path)
        with torch.serialization.safe_globals(_also_safe()):
            check_torch_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ImportError):
        raise
    except Exception as error:  # torch raises a different class for each kind of damage
        reason = _first_reason(error)
        if not isinstance(error, WeightFileError):
            reason = f"it is damaged, or holds more than tensors and plain values ({reason}); get it anew"
        cause = None if isinstance(error, WeightFileError) else error
        raise WeightFileError(f"{path!r} cannot be read as weights: {reason}") from cause


def _also_safe() -> list[Any]:
    """Return what may be in a file beside what torch allows: options of a program, plain attributes; numpy's numbers.

    Sets and complex numbers are such, too, in old releases of torch. What the program itself vouches for is left out:
    torch takes away, at the end, what is there twice.
    """
    vouched = vouched_names()
    known = torch.serialization.get_safe_globals()
    numbers = () if "numpy.dtype" in vouched else NUMPY_SCALARS
    return [*(one for one in (argparse.Namespace, set, complex) if one not in known), *numbers]


def _first_reason(error: Exception) -> str:
    """Return what an error says, in one line; torch puts its reason behind advice to trust the file."""
    text = str(error).strip()
    said = re.search(r"WeightsUnpickler error: *([^\n]+)", text)
    return (said[1] if said else text.split("\n")[0])[:600]


def check_named_hash(path: str) -> None:
    """Check a file that is called as published weights are, ``resnet18-5c106cde.pth``, wherever it lies.

    Raises:
        RuntimeError: if its SHA-256 does not begin as its name says. (Digits alone may be a date: they do not count.)
    """
    path = os.path.expanduser(path)
    named = _named_hash(path)
    if named is not None and not named.isdigit() and os.path.isfile(path):
        _check_hash(path, named)


def safetensors_bytes(tensors: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None) -> bytes:
    """Return the content of a safetensors file.

    Args:
        tensors: by name, dense, any dtype that the format has. Those that share memory are stored once each.
        meta: plain values that :func:`read_file` shall return beside them; ``None``: it returns the tensors alone.
            Tuples come back as lists.

    Raises:
        ImportError: if the package is not installed.
        ValueError: if a tensor has a dtype that the format does not know.
    """
    save = _safetensors("torch").save
    own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    metadata = {"format": "pt"}
    if meta is not None:
        metadata[META_KEY] = json.dumps(meta)
    try:
        return save(own, metadata=metadata)
    except (KeyError, TypeError) as error:
        raise ValueError(f"safetensors cannot store these weights ({error}); write a .pth file") from error


def _safetensors(module: str) -> Any:
    """Import the optional package."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            'weights in the format safetensors need its package: pip install "fastreid[safetensors]"'
        ) from error
    return safetensors if module == "" else getattr(safetensors, module)


def _is_safetensors(path: str) -> bool:
    """Tell by the beginning: the length of the header in 8 bytes, little-endian, and its opening brace."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**40


def _read_safetensors(path: str) -> Any:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        (header,) = struct.unpack("<Q", file.read(8))
    if header > min(size - 8, _MAX_HEADER):
        raise WeightFileError(
            f"its safetensors header declares {header} bytes, and the file has {size}; it is damaged or cut off, so "
            "get it anew"
        )
    package = _safetensors("")
    try:
        with package.safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            meta = (file.metadata() or {}).get(META_KEY)
    except package.SafetensorError as error:
        raise WeightFileError(f"it is a damaged safetensors file ({error}); get it anew") from error
    if meta is None:
        return tensors
    if not isinstance(meta := json.loads(meta), dict):
        raise WeightFileError(f"its {META_KEY!r} is no dictionary; get it anew")
    return {"model": tensors, "meta": meta}


def _require_torch_file(path: str) -> None:
    """Raise, with what the file looks like, unless it begins as torch writes."""
    with open(path, "rb") as file:
        head = file.read(512)
    torchs = head.startswith((b"PK\3\4", b"\x80\2")) or (head[:1] == b"\x80" and TORCH_MAGIC in head[:32])
    if torchs and head[257:262] != b"ustar":
        return
    if path.endswith(".safetensors"):
        raise WeightFileError(f"it does not begin as safetensors do, but with {head[:16]!r}; get it anew")
    raise WeightFileError(_looks_like(head))


def _looks_like(head: bytes) -> str:
    """Say what a file is that holds no weights, by its first bytes."""
    if not head:
        return "it is empty; get it anew"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself; run 'git lfs pull' where it comes from"
    if _HTML.match(head):
        return "it is a web page, as a failed download leaves it; get the file anew, with a browser if need be"
    for start, name in _ARCHIVES.items():
        if head.startswith(start):
            return f"it is a {name} archive; unpack it, and name a file in it"
    if head[257:262] == b"ustar":
        return (
            "it is a tar archive, as torch before 0.2 wrote and others pack; unpack it, or save it anew with torch.save"
        )
    if head.startswith(b"\x80"):
        return "it is a pickle, but not one of torch.save; save a state dict with torch.save"
    if head.startswith(b"PK"):
        return "it is damaged: it begins as half a zip archive; get it anew"
    if all(31 < byte < 127 or byte in b"\t\n\r" for byte in head):
        return f"it is a text that begins with {head[:40].decode().strip()!r}; get the file anew"
    return f"it is neither of torch.save nor of safetensors: it begins with {head[:16]!r}; get it anew"


def _named_hash(path: str) -> str | None:
    """Return the start of the SHA-256 that the name of a file or URL tells, if it does."""
    named = re.search(r"-([0-9a-f]{8,64})\.\w+$", path)
    return named and named[1]


def _check_hash(path: str, named: str) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(named):
        raise RuntimeError(
            f"{path!r} should have a SHA-256 that begins with {named}, as its name says, but has {digest[:8]}...: "
            "it is damaged, or another file; get it anew, or give it a name without a hash if it is meant to be used"
        )


def _download(url: str) -> Any:
    address = urlparse(url).path
    named = _named_hash(address)
    if named is None:
        logger.warning("The name of %s tells no hash, so that its content cannot be verified", url)
    cache = os.path.join(torch.hub.get_dir(), "checkpoints")
    there = os.path.join(cache, os.path.basename(address))
    fresh = not os.path.isfile(there)
    if fresh:
        _fetch(url, there, named)
    try:
        if named is not None and not fresh:  # torch checks only what it downloads itself
            _check_hash(there, named)
        return read_file(there)
    except RuntimeError as error:
        raise WeightFileError(f"{error}. It was taken for the download of {url}: delete it to get that anew") from error


def _fetch(url: str, target: str, named: str | None) -> None:
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        torch.hub.download_url_to_file(url, target, named, progress=False)
    except Exception as error:  # network, hash and disk all end here
        raise RuntimeError(
            f"cannot get {url}: {error}. Without a network, put the file into {os.path.dirname(target)}, or give its "
            "path in MODEL.BACKBONE.PRETRAIN_PATH (or MODEL.WEIGHTS), or set MODEL.BACKBONE.PRETRAIN False to start "
            "from random weights"
        ) from error
