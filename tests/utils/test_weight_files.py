from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from collections import Counter, OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fastreid.utils.torch_files import check_torch_file
from fastreid.utils.weight_files import WeightFileError, read_file, safetensors_bytes
from fastreid.utils.weights import read_state_dict

from .hostile import Call, Storage, legacy, memory_bombs, pickled, safetensors, tensor, zipped

resource = pytest.importorskip("resource", reason="measures memory as POSIX systems tell it")

_READ = """
import json, resource, sys
from fastreid.utils.weights import read_state_dict
import safetensors.torch
def mib(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith(name))
virtual = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (virtual + 2**28, virtual + 2**28))
for path in json.loads(sys.argv[1]):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted anew
    before = mib("VmRSS")
    try:
        said = f"was read: {type(read_state_dict(path))}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps([said, mib("VmHWM") - before]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process, and reads /proc")
def test_small_files_that_would_take_all_memory_are_refused_with_little_of_it(tmp_path):
    pytest.importorskip("safetensors")
    files = memory_bombs(tmp_path)
    paths = json.dumps([str(path) for path in files.values()])
    run = subprocess.run([sys.executable, "-c", _READ, paths], capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(lines) == len(files), (list(files)[len(lines)], run.returncode, run.stderr[-500:])
    for (name, path), (said, mib) in zip(files.items(), lines):
        assert path.stat().st_size < 20e6
        assert mib < 100, (name, mib)
        assert "\n" not in said and str(path) in said, (name, said)
        assert "or holds more than tensors" not in said, (name, said)  # torch found it, after it had taken memory
        if name != "a memo that is large":  # nothing is wrong with an empty dictionary, but that it is no state dict
            assert said.startswith("WeightFileError") and "cannot be read as weights: " in said, (name, said)


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("kind", ["torch", "legacy", "pickle", "in a parameter", "in an ordered dict"])
def test_code_does_not_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    elif kind == "in a parameter":
        zipped(path, {"a": Call(torch._utils._rebuild_parameter_with_state, Evil(), True, OrderedDict(), {})})
    elif kind == "in an ordered dict":
        zipped(path, Call(OrderedDict, state={"a": Evil()}))
    else:
        torch.save({"a": Evil()}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(WeightFileError, match=r"evil\.pth' cannot be read as weights: .*(posix|nt)\.system"):
        read_file(str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n",
            r"a pointer of Git LFS.*git lfs pull",
        ),
        (
            b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>",
            "it is a web page, as a failed download leaves it",
        ),
        (b'{"error": "not found"}', r"""it is a text that begins with '\{"error": "not found"\}'"""),
        (b"\x1f\x8b\x08\0\0\0", "it is a gzip archive; unpack it"),
        (b"PK half", "it is damaged: it begins as half a zip archive"),
        (b"\x93NUMPY\x01\0", r"neither of torch\.save nor of safetensors: it begins with b'.x93NUMPY"),
        (pickle.dumps({"a": 1}, protocol=4), r"it is a pickle, but not one of torch\.save"),
        (pickle.dumps({"a": 1}, protocol=2), r"it is a pickle, but not one of torch\.save"),
        (pickle.dumps("x", protocol=2)[:-1], "its pickle makes no sense"),
    ],
)
def test_what_is_no_weight_file_is_called_by_its_name(tmp_path, content, said):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightFileError, match=rf"w\.pth' cannot be read as weights: .*{said}") as caught:
        read_file(str(tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_archives_of_other_things_are_told(tmp_path):
    with tarfile.open(tmp_path / "w.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    with pytest.raises(WeightFileError, match="it is a tar archive"):
        read_file(str(tmp_path / "w.pth"))
    torch.jit.trace(nn.Linear(2, 2), torch.ones(2)).save(str(tmp_path / "w.pt"))
    with pytest.raises(WeightFileError, match=r"a TorchScript archive.*torch\.jit\.load"):
        read_file(str(tmp_path / "w.pt"))
    import zipfile

    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("weights.pth", b"x")
    with pytest.raises(WeightFileError, match=r"a zip archive, but not one of torch\.save"):
        read_file(str(tmp_path / "w.zip"))
    with pytest.raises(FileNotFoundError, match=r"this is a folder: name a file in it"):
        read_file(str(tmp_path))
    (tmp_path / "w.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(WeightFileError, match="does not begin as safetensors do"):
        read_file(str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_was_cut_off_anywhere_is_refused_in_one_line(tmp_path, old):
    path = tmp_path / "cut.pth"
    torch.save({"a": torch.rand(100), "b": torch.rand(3)}, path, _use_new_zipfile_serialization=not old)
    data = path.read_bytes()
    for length in range(1, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(WeightFileError, match=r"cut\.pth' cannot be read as weights: ") as caught:
            read_file(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("old", [False, True])
def test_a_file_with_flipped_bits_is_read_or_refused_but_nothing_else(tmp_path, old):
    path = tmp_path / "flipped.pth"
    torch.save(OrderedDict(a=torch.rand(8), b=torch.rand(3)), path, _use_new_zipfile_serialization=not old)
    data = path.read_bytes()
    drawn = torch.randint(0, len(data) * 8, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    refused = 0
    for bit in drawn:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            read_file(str(path))
        except WeightFileError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 0 < refused < 300


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (torch.eye(3).to_sparse(), "a sparse tensor"),
        (
            Call(torch._utils._rebuild_qtensor, Storage(), 0, (4,), (1,), None, False, OrderedDict()),
            "a quantized tensor",
        ),
        (torch.rand(3, device="meta"), r"a tensor without data \(of the device meta\)"),
    ],
)
def test_tensors_that_are_no_weights_are_called_by_their_name(tmp_path, thing, said):
    zipped(tmp_path / "w.pth", {"a": thing}) if isinstance(thing, Call) else torch.save(
        {"a": thing}, tmp_path / "w.pth"
    )
    with pytest.raises(WeightFileError, match=f"it holds {said}"):
        read_file(str(tmp_path / "w.pth"))


class WithAttribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2))
        self.weight.mark = "x"
        self.tied = self.weight
        self.register_buffer("expanded", torch.rand(3, 1).expand(3, 500))


_DTYPES = (torch.float16, torch.bfloat16, torch.bool, torch.int64, torch.uint8, torch.uint16, torch.float8_e4m3fn)


def everything():
    """What checkpoints of this library and of others hold."""
    net = WithAttribute()
    optimizer = torch.optim.Adam(net.parameters())
    net.weight.sum().backward()
    optimizer.step()
    return {
        "model": net.state_dict(),
        "parameter": net.weight,
        "optimizer": optimizer.state_dict(),
        "counter": Counter([3, 3, 5]),
        "plain": {"t": (1, 2.5, None, True, "text", b"bytes"), 1: [2**70], "set": {1, "a"}, ("key", 1): complex(1, 2)},
        "size": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.bfloat16, "array": bytearray(b"xy"),
        "dtypes": [torch.ones(3).to(dtype) for dtype in _DTYPES],
        "view": torch.arange(12.0).view(3, 4).t()[1:], "empty": torch.empty(0, 4), "scalar": torch.tensor(2),
    }  # fmt: skip


def torch_keeps(value, old):
    """Whether torch itself can store and load a tensor: not all dtypes in old files, nor by old releases."""
    file = io.BytesIO()
    try:
        torch.save(value, file, _use_new_zipfile_serialization=not old)
        file.seek(0)
        return torch.load(file, weights_only=True).dtype == value.dtype
    except (KeyError, AttributeError, RuntimeError, TypeError):
        return False


@pytest.mark.parametrize("old", [False, True])
def test_all_that_checkpoints_hold_passes_and_comes_back(tmp_path, old):
    path = tmp_path / "all.pth"
    thing = everything()
    thing["dtypes"] = [value for value in thing["dtypes"] if torch_keeps(value, old)]
    assert len(thing["dtypes"]) > 4
    torch.save(thing, path, _use_new_zipfile_serialization=not old)
    found = read_file(str(path))
    assert found.keys() == thing.keys() and found["plain"] == thing["plain"] and found["counter"] == thing["counter"]
    for one, other in zip(found["dtypes"], thing["dtypes"], strict=True):
        assert one.dtype == other.dtype and torch.equal(one.float(), other.float())
    for name in ("view", "empty", "scalar", "parameter"):
        assert torch.equal(found[name], thing[name])
    torch.testing.assert_close(found["model"], thing["model"], rtol=0, atol=0)


def test_files_by_hand_are_read_if_nothing_is_wrong_with_them(tmp_path):
    """So that the refusals of the others are for what was changed in them."""
    data = torch.arange(4.0).numpy().tobytes()
    view = Storage(view=("v", 1, 2))
    zip_path = zipped(tmp_path / "zip.pth", {"a": tensor(Storage(), (2, 2), (2, 1))}, {"0": data})
    old_path = legacy(
        tmp_path / "old.pth", {"a": tensor(view, (2,), (1,)), "b": tensor(Storage(), (4,), (1,))}, {"0": (4, data)}
    )
    assert read_file(str(zip_path))["a"].tolist() == [[0, 1], [2, 3]]
    assert read_file(str(old_path))["a"].tolist() == [1, 2]
    parameter = Call(torch.nn.Parameter, tensor(Storage(), (4,), (1,)), True)
    assert read_file(str(zipped(tmp_path / "p.pth", {"a": parameter}, {"0": data})))["a"].tolist() == [0, 1, 2, 3]


def test_what_the_program_vouches_for_is_left_to_torch(tmp_path):
    torch.save({"a": torch.ones(2), "date": SimpleNamespace(day=1)}, tmp_path / "w.pth")
    with pytest.raises(WeightFileError, match=r"it would have to run 'types\.SimpleNamespace'"):
        read_file(str(tmp_path / "w.pth"))
    with torch.serialization.safe_globals([SimpleNamespace]):
        assert read_file(str(tmp_path / "w.pth"))["date"].day == 1


@pytest.mark.parametrize("zipped_file", [True, False])
def test_the_options_of_the_program_that_trained_are_read(tmp_path, zipped_file):
    """Checkpoints of DINO and what grew from it hold an argparse.Namespace, which is nothing but attributes."""
    content = {"teacher": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1, arch="vit_small")}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped_file)
    found = read_file(str(tmp_path / "w.pth"))
    assert found["args"] == content["args"]
    assert found["teacher"]["a"].tolist() == [1, 1]
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([argparse.Namespace]):
        read_file(str(tmp_path / "w.pth"))
        assert argparse.Namespace in torch.serialization.get_safe_globals()


def test_a_long_pickle_is_refused_with_its_size(tmp_path):
    with pytest.raises(WeightFileError, match=r"beside tensors takes 17\d{6} bytes, and 8388608 are allowed"):
        read_file(str(zipped(tmp_path / "w.pth", {"text": "a" * 17 * 2**20})))
    with pytest.raises(WeightFileError, match="and 8388608 are allowed"):
        read_file(str(legacy(tmp_path / "old.pth", {"text": ["a" * 5 * 2**20, "b" * 5 * 2**20]}, {})))


def test_checking_reads_no_storage(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(2**22)}, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_torch_file(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**13  # KiB; the file has 2**14


def test_safetensors_are_known_by_their_content_and_keep_dtypes_and_meta(tmp_path):
    pytest.importorskip("safetensors")
    shared = torch.rand(2, 3)
    tensors = {
        "a": shared,
        "tied": shared,
        "t": shared.t(),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "n": torch.tensor(3),
    }
    (tmp_path / "w.pth").write_bytes(safetensors_bytes(tensors))
    found = read_file(str(tmp_path / "w.pth"))
    assert {key: value.dtype for key, value in found.items()} == {key: value.dtype for key, value in tensors.items()}
    torch.testing.assert_close(found, tensors, rtol=0, atol=0)
    (tmp_path / "m.safetensors").write_bytes(safetensors_bytes(tensors, {"config": "A: 1", "size": [2, 3]}))
    found = read_file(str(tmp_path / "m.safetensors"))
    assert found.keys() == {"model", "meta"} and found["meta"] == {"config": "A: 1", "size": [2, 3]}
    assert read_state_dict(str(tmp_path / "m.safetensors")).keys() == tensors.keys()
    with pytest.raises(ValueError, match=r"safetensors cannot store these weights .*write a \.pth file"):
        safetensors_bytes({"a": torch.ones(2, dtype=torch.complex128)})


def test_a_meta_that_is_none_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    info = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"fastreid.meta": "[1]"}}
    with pytest.raises(WeightFileError, match=r"its 'fastreid\.meta' is no dictionary"):
        read_file(str(safetensors(tmp_path / "w.safetensors", info, bytes(4))))


def test_without_the_package_safetensors_say_what_to_install(tmp_path, monkeypatch):
    path = safetensors(
        tmp_path / "w.safetensors", {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)
    )
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r'pip install "fastreid\[safetensors\]"'):
        read_file(str(path))


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    assert read_state_dict("~/w.pth").keys() == {"a"}


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(FileNotFoundError, match="this is no plain file"):
        read_file(str(tmp_path / "pipe.pth"))


def test_two_directories_of_an_archive_are_refused(tmp_path):
    """Readers that take different ones would check one file and load another."""
    path = zipped(tmp_path / "w.pth", {"a": tensor(Storage(), (4,), (1,))})
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    with pytest.raises(WeightFileError, match="the directory at its end is missing"):
        read_file(str(path))
    path.write_bytes(data[:-22] + b"PK\6\7" + bytes(16) + data[-22:])
    with pytest.raises(WeightFileError, match="has two directories"):
        read_file(str(path))
    path.write_bytes(b"PK\3\4" + data)
    with pytest.raises(WeightFileError, match="does not begin where another one ends"):
        read_file(str(path))


def test_names_that_torch_does_not_distinguish_are_refused(tmp_path):
    one = {"a": tensor(Storage("x"), (4,), (1,))}
    with pytest.raises(WeightFileError, match="share a name"):
        read_file(str(zipped(tmp_path / "w.pth", one, {"x": bytes(16), "X": bytes(16)})))


def test_an_instruction_that_no_weights_need_is_refused(tmp_path):
    with pytest.raises(WeightFileError, match=r"has the instruction b'\\x94', which no weights need"):
        read_file(str(zipped(tmp_path / "w.pth", b"\x80\x02}\x94.")))
    assert pickled({"a": 1})[:2] == b"\x80\x02"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 3")
@pytest.mark.parametrize("zipped_file", [True, False])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_of_newer_protocols_of_pickle_it_is_said_how_to_save(tmp_path, protocol, zipped_file):
    path, state = tmp_path / "w.pth", {"a": torch.ones(2)}
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped_file)
    if protocol == 3:
        assert torch.equal(read_file(str(path))["a"], state["a"])
        return
    with pytest.raises(WeightFileError, match=rf"saved with pickle_protocol={protocol}, .*default of torch\.save"):
        read_file(str(path))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_numpy_become_those_of_python(tmp_path, module):
    numbers = {"f": np.float64(0.5), "h": np.float32(2), "i": np.int64(-3), "b": np.bool_(True), "c": np.complex64(1j)}
    data = pickle.dumps({**numbers, "big": np.frombuffer(b"\0\5", ">i2")[0]}, protocol=2)
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(
        b"numpy.core.multiarray", module.encode()
    )
    found = read_file(str(zipped(tmp_path / "w.pth", data)))
    assert found == {**{name: value.item() for name, value in numbers.items()}, "big": 5}
    assert all(type(value) in (float, int, bool, complex) for value in found.values())
    assert not any("numpy" in str(one) for one in torch.serialization.get_safe_globals())


def test_things_of_numpy_that_are_no_plain_numbers_are_refused(tmp_path):
    for kind in (np.dtype(object), np.dtype("V1000000000"), np.dtype("f8, i4"), np.dtype("M8[s]")):
        with pytest.raises(WeightFileError, match=r"numbers of numpy of the type '.*', which are no plain ones"):
            read_file(str(zipped(tmp_path / "w.pth", pickle.dumps({"a": kind}, protocol=2))))
    wrong = pickle.dumps(np.float64(1), protocol=2).replace(b"f8", b"f4")
    with pytest.raises(WeightFileError, match="a number of numpy of 4 bytes has 8"):
        read_file(str(zipped(tmp_path / "w.pth", wrong)))
    with pytest.raises(WeightFileError, match="_reconstruct"):
        read_file(str(zipped(tmp_path / "w.pth", pickle.dumps(np.ones(3), protocol=2))))


@pytest.mark.parametrize("name", ["items", "__class__"])
def test_a_mapping_that_hides_its_methods_is_refused(tmp_path, name):
    state = Call(OrderedDict, state={name: 1})
    with pytest.raises(WeightFileError, match=f"replaces '{name}' of OrderedDict"):
        read_file(str(zipped(tmp_path / "w.pth", {"model": state})))
    known = OrderedDict(a=torch.ones(1))
    known._metadata = OrderedDict({"": {"version": 1}})
    torch.save(known, tmp_path / "w.pth")
    assert read_file(str(tmp_path / "w.pth"))._metadata == known._metadata
