"""Run the pickle of a weight file with stand-ins, which only count: nothing that it names is imported or allocated."""

from __future__ import annotations

import io
import math
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

__all__ = ["DeclaredStorage", "PickleAudit", "WeightFileError", "vouched_names"]

_MAX_DIMS = 64
_LAST_PROTOCOL = 3  # of pickle, that weights_only=True reads
_SLACK = 2**24  # bytes that views on shared memory may always take together
_REPEATS = 8  # times the size of the file that they may take beyond it

# What weights_only=True executes; other instructions of pickle are refused.
_OPCODES = (
    pickle.APPEND, pickle.APPENDS, pickle.BINFLOAT, pickle.BINGET, pickle.BININT, pickle.BININT1, pickle.BININT2,
    pickle.BINPERSID, pickle.BINPUT, pickle.BINUNICODE, pickle.BUILD, pickle.EMPTY_DICT, pickle.EMPTY_LIST,
    pickle.EMPTY_SET, pickle.EMPTY_TUPLE, pickle.GLOBAL, pickle.LONG1, pickle.LONG_BINGET, pickle.LONG_BINPUT,
    pickle.MARK, pickle.NEWFALSE, pickle.NEWOBJ, pickle.NEWTRUE, pickle.NONE, pickle.PROTO, pickle.REDUCE,
    pickle.SETITEM, pickle.SETITEMS, pickle.SHORT_BINSTRING, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2,
    pickle.TUPLE3,
)  # fmt: skip

# Kinds of tensors that torch would rebuild, and that are no weights of a model of this library.
_STRANGE = {
    "_rebuild_qtensor": "a quantized tensor",
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without data (of the device meta)",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a class of its own",
    "_rebuild_device_tensor_from_numpy": "a tensor of a device of its own",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of a device of its own",
}


class WeightFileError(RuntimeError):
    """A file cannot be read as weights, or must not; the message is one line."""


class _Kind:
    """The type of a storage: how many bytes an element has."""

    def __init__(self, name: str) -> None:
        untyped = name == "UntypedStorage"
        self.itemsize = 1 if untyped else torch.serialization.StorageType(name).dtype.itemsize


class DeclaredStorage:
    """What a file declares about a storage.

    Args:
        kind: the stand-in of its type.
        numel: elements, of ``itemsize`` bytes each.
    """

    def __init__(self, kind: _Kind, numel: int) -> None:
        if not isinstance(kind, _Kind) or not isinstance(numel, int) or numel < 0:
            raise WeightFileError("it is damaged: one of its storages has no size or no type; get it anew")
        self.numel = numel
        self.itemsize = kind.itemsize
        self.nbytes = numel * kind.itemsize


class _Tensor:
    """Stands in for a tensor, or a parameter, which old files make by its class and its state."""

    def __init__(self, *args: Any) -> None:
        if not all(isinstance(value, _Tensor | bool) for value in args):
            raise WeightFileError("it is damaged: it makes a parameter of something else than a tensor; get it anew")

    def __setstate__(self, state: Any) -> None:
        """Take what a tensor is given: nothing that needs memory."""


class _Vouched:
    """Stands in for what ``torch.serialization.add_safe_globals`` has allowed."""

    def __init__(self, *args: Any) -> None:
        """Take anything, since the caller vouches for it."""

    __setstate__ = append = extend = __init__

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take it, too."""


class PickleAudit(pickle._Unpickler):  # the one in Python, since the one in C takes memory for a large number in a PUT
    """Run a pickle with stand-ins: nothing that it names is imported, called or allocated.

    It understands what ``weights_only=True`` does, and less: what could take memory that the file does not have, or
    end the program, is a :class:`WeightFileError`. A pickle that makes no sense raises whatever it meets.

    Args:
        file: where the pickle begins; it is left where the pickle ends.
        size: bytes of the whole weight file.
        storage: returns the :class:`DeclaredStorage` of a persistent id.
    """

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES}

    def __init__(self, file: io.BytesIO, size: int, storage: Callable[[Any], Any]) -> None:
        super().__init__(file, encoding="utf-8")
        self.read, self.readline = file.read, file.readline
        self.persistent_load = storage
        self._left = _SLACK + _REPEATS * size
        self._stand_ins = self._known()

    def load(self) -> Any:
        """Return what the pickle holds, with stand-ins; an unknown instruction is refused."""
        self.stack: list[Any] = []
        self.metastack: list[Any] = []
        self.append = self.stack.append
        dispatch, read = self.dispatch, self.read
        while code := read(1):
            if code == pickle.STOP:
                return self.stack.pop()
            if code[0] not in dispatch:
                if getattr(self, "proto", 0) > _LAST_PROTOCOL:
                    raise WeightFileError(
                        f"it was saved with pickle_protocol={self.proto}, and without running code only protocols up "
                        f"to {_LAST_PROTOCOL} can be read; save it anew with the default of torch.save"
                    )
                raise WeightFileError(f"its pickle has the instruction {code!r}, which no weights need; get it anew")
            dispatch[code[0]](self)
        raise EOFError("no end")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name of the file."""
        module = {"__builtin__": "builtins"}.get(module, module)
        full = f"{module}.{name}"
        if full in self._stand_ins:
            return self._stand_ins[full]
        if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage"):
            return _Kind(name)
        if module == "torch" and isinstance(vars(torch).get(name), torch.dtype):
            return vars(torch)[name]
        if module == "torch._utils" and name in _STRANGE:
            raise WeightFileError(f"it holds {_STRANGE[name]}; weights are dense tensors, so convert it before saving")
        if full in vouched_names():
            return _Vouched
        raise WeightFileError(
            f"it holds more than tensors and plain values: it would have to run {full!r}; where you trust it, save its "
            "state dict alone with torch.save, in the program that made it"
        )

    def _known(self) -> dict[str, Any]:
        return {
            "collections.OrderedDict": self._mapping,
            "collections.Counter": partial(self._collection, Counter),
            "builtins.set": partial(self._collection, set),
            "builtins.bytearray": self._bytes,
            "builtins.complex": complex,
            "_codecs.encode": self._bytes,
            "torch.Size": partial(self._collection, tuple),
            "torch.device": lambda *_: None,
            "torch.Tensor": _make_tensor,
            "torch.nn.parameter.Parameter": _Tensor,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_dtype,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "torch._tensor._rebuild_from_type_v2": self._with_attributes,
        }

    def _take(self, size: int, of: str, shape: tuple[int, ...] = ()) -> None:
        """Count bytes that loading would take; a file can name a thing once and copy it a million times."""
        self._left -= size
        if self._left < 0:
            shown = f", one of shape {_short(shape)}" if shape else ""
            raise WeightFileError(
                f"it would take far more memory than it has bytes ({of}{shown}); save copies, as .clone() makes them"
            )

    def _collection(self, kind: type, items: Any = ()) -> Any:
        self._take(512 + 64 * len(items), "its containers are made of each other")
        _require_plain(items)
        return kind(items)

    def _mapping(self, items: Any = ()) -> OrderedDict[Any, Any]:
        self._take(512 + 64 * len(items), "its containers are made of each other")
        _require_plain([pair[0] for pair in items])
        return OrderedDict(items)

    def _bytes(self, text: str | bytes = b"", encoding: str = "latin1") -> bytes:
        """Make bytes as pickles of protocol 2 do; other encodings can double what they are given, again and again."""
        if not isinstance(text, str | bytes):
            raise WeightFileError(f"it makes bytes of {type(text).__name__}, which can take any memory; get it anew")
        self._take(64 + 2 * len(text), "it repeats its texts")
        if encoding not in ("latin1", "latin-1"):
            raise WeightFileError(f"it holds bytes in the encoding {encoding!r}, which torch does not use; get it anew")
        return text if isinstance(text, bytes) else text.encode("latin1")

    def _parameter(self, tensor: _Tensor, _grad: Any = True, _hooks: Any = None, state: Any = ()) -> _Tensor:
        self._take(1024 + 64 * _length(state), "its parameters are made of each other")
        for part in state if isinstance(state, tuple) else (state,):
            _require_no_method(part, torch.nn.Parameter)
        return _Tensor(tensor)

    def _with_attributes(self, rebuild: Callable[..., Any], kind: Any, args: tuple[Any, ...], state: Any) -> _Tensor:
        if kind not in (_make_tensor, _Tensor):
            raise WeightFileError("it holds a tensor of a class of its own; save plain tensors")
        return self._parameter(rebuild(*args), state=state)

    def _tensor(
        self, storage: DeclaredStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> Any:
        return self._view(storage, storage.itemsize, offset, size, stride)

    def _tensor_of_dtype(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
        return self._view(storage, rest[2].itemsize, offset, size, stride)

    def _view(self, storage: Any, itemsize: int, offset: int, size: Any, stride: Any) -> _Tensor:
        """Check that a tensor lies inside its storage, and count what it would take as a copy."""
        if len(size) > _MAX_DIMS or len(size) != len(stride):
            raise WeightFileError(f"a tensor has {len(size)} sizes and {len(stride)} strides; get the file anew")
        if not all(isinstance(number, int) and number >= 0 for number in (offset, *size, *stride)):
            raise WeightFileError("it is damaged: a tensor has no proper shape; get it anew")
        numel = math.prod(size)
        last = offset + sum((count - 1) * step for count, step in zip(size, stride)) if numel else offset - 1
        if (last + 1) * itemsize > storage.nbytes:
            raise WeightFileError(
                f"a tensor of shape {_short(size)} needs {(last + 1) * itemsize} bytes, but its storage has "
                f"{storage.nbytes}; it is damaged or made to take memory, so get it anew"
            )
        self._take(1024 + numel * itemsize, "its tensors are views of little memory", size)
        return _Tensor()

    def load_setitem(self) -> None:
        """Set one item, if its key is plain."""
        _require_plain(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Set items, if their keys are plain."""
        _require_plain(self.stack[::2])
        super().load_setitems()

    def load_build(self) -> None:
        """Give a thing its state, if it is one that torch would give it to."""
        state, thing = self.stack[-1], self.stack[-2]
        if not isinstance(thing, _Tensor | _Vouched | OrderedDict):
            raise WeightFileError(f"it is damaged: it sets the state of {type(thing).__name__}; get it anew")
        if isinstance(thing, OrderedDict):
            _require_no_method(state, OrderedDict)
        self._take(64 * _length(state), "its containers are made of each other")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def _short(size: tuple[int, ...]) -> str:
    return str(size) if len(size) <= 8 else f"({', '.join(map(str, size[:8]))}, ...)"


def _require_plain(keys: Any) -> None:
    """Refuse keys that are dear to hash: deeply nested ones end the program, and large numbers can collide."""
    for key in keys:
        if type(key) is str:
            continue
        parts = key if isinstance(key, tuple) and len(key) < 16 else (key,)
        if not all(isinstance(part, str | int | float | bytes | None) for part in parts) or any(
            isinstance(part, int) and abs(part) > 2**59 for part in parts
        ):
            raise WeightFileError("it is damaged: a key of a dictionary is no plain value; get it anew")


def _require_no_method(state: Any, kind: type) -> None:
    """Refuse attributes that would hide a method, such as ``items``, from whoever uses the thing."""
    for name in state if isinstance(state, dict) else ():
        if hasattr(kind, str(name)):
            raise WeightFileError(
                f"it replaces {name!r:.40} of {kind.__name__}; weights need no such thing, so get it anew"
            )


def _length(state: Any) -> int:
    parts = state if isinstance(state, tuple) else (state,)
    return sum(len(part) if isinstance(part, dict | list | str | bytes) else 1 for part in parts)


def _make_tensor(*_: Any) -> Any:
    raise WeightFileError("it makes tensors that are not in it, which can take any memory; get it anew")


def vouched_names() -> set[str]:
    """Return the full names of what ``torch.serialization.add_safe_globals`` has allowed."""
    safe = torch.serialization.get_safe_globals()
    return {one[1] if isinstance(one, tuple) else f"{one.__module__}.{one.__qualname__}" for one in safe}
