"""Writes weight files that are damaged, or made to run code or to take all memory, and such that are only old."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

GIB = 2**30
_TYPES = {4: torch.FloatStorage, 8: torch.DoubleStorage, 1: torch.ByteStorage}


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


class Storage:
    """Pickles as a reference to a storage of a file."""

    def __init__(self, key="0", numel=4, kind=torch.FloatStorage, view=None):
        self.pid = ("storage", kind, key, "cpu", numel)
        self.view = view


class _Pickler(pickle.Pickler):
    legacy = False

    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return (*thing.pid, thing.view) if self.legacy else thing.pid
        return None


class _LegacyPickler(_Pickler):
    legacy = True


def pickled(thing, pickler=_Pickler) -> bytes:
    buffer = io.BytesIO()
    pickler(buffer, protocol=2).dump(thing)
    return buffer.getvalue()


def tensor(storage, size, stride, offset=0) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def zipped(path: Path, thing, storages: dict[str, bytes] | None = None, *, compress=zipfile.ZIP_STORED) -> Path:
    """Write what ``torch.save`` would, if it could be told to write anything."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", thing if isinstance(thing, bytes) else pickled(thing))
        archive.writestr("w/byteorder", "little")
        for key, data in ({"0": bytes(16)} if storages is None else storages).items():
            archive.writestr(f"w/data/{key}", data, compress)
        archive.writestr("w/version", "3\n")
    return path


def legacy(path: Path, thing, storages: dict[str, tuple[int, bytes]]) -> Path:
    """Write what torch before 1.6 did: the number of elements and the bytes of each storage."""
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    parts += [pickled(thing, _LegacyPickler), pickle.dumps(sorted(storages), protocol=2)]
    parts += [struct.pack("<q", numel) + data for _, (numel, data) in sorted(storages.items())]
    path.write_bytes(b"".join(parts))
    return path


def safetensors(path: Path, header: dict | bytes, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def doubling_text(times: int) -> Call:
    """A text whose bytes are encoded by ``hex``, which doubles them, again and again."""
    import _codecs

    call = Call(_codecs.encode, "a" * 1024, "latin1")
    for _ in range(times):
        call = Call(_codecs.encode, call, "hex")
    return call


def nested(depth: int) -> bytes:
    """A dictionary whose key is a tuple in a tuple in a tuple ...: to hash it takes as many nested calls."""
    return b"\x80\x02})" + b"\x85" * depth + b"K\x01s."


def memory_bombs(folder: Path) -> dict[str, Path]:
    """Files below 20 MB; each takes 256 MiB and more, most of them 4 GiB, or ends the program, if taken at its word."""
    numel = GIB  # elements of 4 bytes
    one = {"a": tensor(Storage(), (4,), (1,))}
    big = {"a": tensor(Storage(numel=numel), (numel,), (1,))}
    float_info = {"dtype": "F32", "shape": [numel], "data_offsets": [0, 4 * numel]}
    text = "a" * 10**6
    legacy_view = Storage(numel=4, view=("v", 0, numel))
    with zipfile.ZipFile(folder / "forged.pth", "w") as archive:
        archive.writestr("w/data.pkl", pickled(big))
        archive.writestr("w/version", "3\n")
        archive.writestr("w/data/0", bytes(16))
    data = bytearray((folder / "forged.pth").read_bytes())
    entry = data.rfind(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2**20)  # the size, in the directory only
    (folder / "forged.pth").write_bytes(data)
    return {
        "a compressed entry": zipped(
            folder / "deflated.pth", {"a": tensor(Storage(numel=2**26), (2**26,), (1,))}, {"0": bytes(2**28)},
            compress=zipfile.ZIP_DEFLATED,
        ),
        "a directory that declares more": folder / "forged.pth",
        "a storage that declares more": zipped(folder / "storage.pth", big),
        "a tensor that goes beyond its storage": zipped(
            folder / "beyond.pth", {"a": tensor(Storage(), (numel,), (1,))}
        ),
        "an offset beyond the storage": zipped(folder / "offset.pth", {"a": tensor(Storage(), (4,), (1,), numel)}),
        "an expanded tensor": zipped(folder / "stride.pth", {"a": tensor(Storage(), (2**16, 2**14), (0, 0))}),
        "a storage of two types": zipped(
            folder / "types.pth",
            {"a": tensor(Storage(numel=2, kind=torch.DoubleStorage), (2,), (1,)),
             "b": tensor(Storage(numel=16, kind=torch.ByteStorage), (16,), (1,))},
        ),
        "a legacy storage that declares more": legacy(folder / "old.pth", big, {"0": (numel, bytes(16))}),
        "a legacy storage without data": legacy(folder / "old_none.pth", big, {}),
        "a legacy view beyond its storage": legacy(
            folder / "old_view.pth", {"a": tensor(legacy_view, (numel,), (1,))}, {"0": (4, bytes(16))}
        ),
        "an array of bytes that is made": zipped(folder / "bytearray.pth", {"b": Call(bytearray, 4 * numel), **one}),
        "a tensor that is made": zipped(folder / "made.pth", {"a": Call(torch.Tensor, numel)}),
        "a text that is doubled": zipped(folder / "hex.pth", {"b": doubling_text(23), **one}),
        "a text that is copied": zipped(
            folder / "copies.pth", {"a": [Call(bytearray, text, "latin1") for _ in range(500)]}
        ),
        "a key that is nested": zipped(folder / "nested.pth", nested(10**6)),
        "a storage whose name is nested": zipped(
            folder / "name.pth",
            b"\x80\x02}U\1a(U\7storagectorch\nFloatStorage\n)" + b"\x85" * 10**6 + b"U\3cpuK\4tQs.",
        ),
        "a memo that is large": zipped(folder / "memo.pth", b"\x80\x02}r\xff\xff\xff\x7f."),
        "a safetensors header that declares more": safetensors(folder / "header.safetensors", b"{}", length=4 * GIB),
        "a safetensors tensor that declares more": safetensors(
            folder / "tensor.safetensors", {"a": float_info}, bytes(16)
        ),
        "safetensors that lie upon each other": safetensors(
            folder / "overlap.safetensors",
            {str(i): {"dtype": "F32", "shape": [2**22], "data_offsets": [0, 2**24]} for i in range(300)}, bytes(2**24),
        ),
        "an array of numpy": zipped(folder / "numpy.pth", {"a": Call(__import__("numpy").zeros, (numel,))}),
    }  # fmt: skip
