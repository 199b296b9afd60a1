from __future__ import annotations

import errno
import os
import shutil
import subprocess

import pytest
import torch
from torch import nn

from fastreid.utils import checkpoint
from fastreid.utils.checkpoint import (
    Checkpointer,
    PeriodicCheckpointer,
    get_missing_parameters_message,
    get_unexpected_parameters_message,
    write_atomically,
)


def filled(value):
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, value)
    return model


def test_save_and_load_model_and_checkpointables(tmp_path):
    model = filled(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    Checkpointer(model, str(tmp_path), optimizer=optimizer).save("a", epoch=3, meta={"x": [1, 2]})
    assert (tmp_path / "last_checkpoint").read_text() == "a.pth"
    assert torch.load(tmp_path / "a.pth", weights_only=True)["epoch"] == 3

    other = filled(2.0)
    other_optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    rest = Checkpointer(other, optimizer=other_optimizer).load(str(tmp_path / "a.pth"))
    assert torch.equal(other.weight, model.weight)
    assert other_optimizer.param_groups[0]["lr"] == 0.5
    assert rest == {"epoch": 3, "meta": {"x": [1, 2]}}


def test_weights_alone_leave_the_optimizer_as_it_is(tmp_path):
    model = filled(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    Checkpointer(model, str(tmp_path), optimizer=optimizer).save("a")
    optimizer.param_groups[0]["lr"] = 0.1
    rest = Checkpointer(model, optimizer=optimizer).resume_or_load(str(tmp_path / "a.pth"), resume=False)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert "optimizer" in rest


def test_a_data_parallel_prefix_is_taken_off(tmp_path):
    state = {f"module.{key}": value for key, value in filled(4.0).state_dict().items()}
    torch.save({"model": state}, tmp_path / "dp.pth")
    model = filled(0.0)
    Checkpointer(model).load(str(tmp_path / "dp.pth"))
    assert model.weight[0, 0] == 4.0
    Checkpointer(nn.DataParallel(model), str(tmp_path)).save("b")
    assert "weight" in torch.load(tmp_path / "b.pth", weights_only=True)["model"]


def test_a_bare_state_dict_is_loaded_and_no_path_is_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    torch.save(filled(5.0).state_dict(), tmp_path / "bare.pth")
    model = filled(0.0)
    assert Checkpointer(model).load(str(tmp_path / "bare.pth")) == {}
    assert model.weight[0, 0] == 5.0
    assert Checkpointer(model).load("") == {}
    assert "No checkpoint found. Training model from scratch" in caplog.text


def test_resume_takes_the_newest_file(tmp_path):
    checkpointer = Checkpointer(filled(1.0), str(tmp_path))
    assert not checkpointer.has_checkpoint()
    assert checkpointer.get_checkpoint_file() == ""
    checkpointer.save("b")
    checkpointer.save("a")
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "a.pth")
    assert checkpointer.get_all_checkpoint_files() == [str(tmp_path / "a.pth"), str(tmp_path / "b.pth")]
    os.remove(tmp_path / "a.pth")
    with pytest.raises(FileNotFoundError, match=r"names .*a\.pth, which is gone.*b\.pth"):
        checkpointer.get_checkpoint_file()


def test_other_ranks_write_nothing(tmp_path):
    Checkpointer(filled(1.0), str(tmp_path), save_to_disk=False).save("a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("No space left on device"), RuntimeError("file write failed")])
def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, error):
    path = tmp_path / "x.pth"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(OSError, match=r"cannot write .*x\.pth.*untouched"):
        write_atomically(str(path), fail)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.pth"]


class Recorder:
    def __init__(self):
        self.saved = []

    def save(self, name, **kwargs):
        self.saved.append((name, kwargs))


def test_periodic_names_are_those_of_v13():
    recorder = Recorder()
    periodic = PeriodicCheckpointer(recorder, 2, max_epoch=6)
    for epoch in range(6):
        periodic.step(epoch, metric=1.0)
    assert [name for name, _ in recorder.saved] == ["model_0001", "model_0003", "model_final"]
    assert recorder.saved[0][1] == {"epoch": 1, "metric": 1.0}
    with pytest.raises(ValueError, match="CHECKPOINT_PERIOD must be at least 1 epoch, got 0"):
        PeriodicCheckpointer(recorder, 0)


def test_messages_group_keys_by_module():
    assert "a.{bias, weight}\n  c" in get_missing_parameters_message(["a.weight", "a.bias", "c"])
    assert "b.w" in get_unexpected_parameters_message(["b.w"])


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, monkeypatch):
    checkpointer = Checkpointer(filled(1.0), str(tmp_path))
    checkpointer.save("a")
    before = (tmp_path / "a.pth").read_bytes()
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=20))
    monkeypatch.setattr(torch, "save", lambda *_: pytest.fail("it was tried all the same"))
    with pytest.raises(OSError, match=r"cannot write .*a\.pth: it takes about .* disk has 0\.0 MiB left") as found:
        checkpointer.save("a")
    assert found.value.errno == errno.ENOSPC
    assert (tmp_path / "a.pth").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "last_checkpoint"]


def test_the_size_of_a_file_is_known_before_it_is_written(tmp_path):
    shared = torch.zeros(100_000)
    model = nn.ParameterDict({"all": nn.Parameter(shared), "part": nn.Parameter(shared[:50_000])})
    extra = {"list": [torch.zeros(1000, dtype=torch.int64)], "text": "x" * 5000}
    Checkpointer(model, str(tmp_path)).save("a", **extra)
    size = (tmp_path / "a.pth").stat().st_size
    guess = checkpoint._bytes_of({"model": model.state_dict(), **extra})
    assert size * 0.95 < guess < size * 1.05


def test_a_disk_that_is_full_after_all_leaves_the_old_file(tmp_path):
    """A real one: a small file system, where the rights to mount it are there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        model = nn.Linear(100, 100)
        checkpointer = Checkpointer(model, str(disk))
        checkpointer.save("a")
        before = (disk / "a.pth").read_bytes()
        (disk / "filler").write_bytes(b"x" * 500_000)
        with pytest.raises(OSError, match=r"it takes about 1\.0 MiB, and the disk has"):
            checkpointer.save("a", more=torch.zeros(250_000))
        with pytest.raises(OSError, match=r"cannot write .*a\.pth: No space left on device"):
            write_atomically(str(disk / "a.pth"), lambda file: torch.save(torch.zeros(250_000), file))
        assert (disk / "a.pth").read_bytes() == before
        assert checkpointer.get_checkpoint_file() == str(disk / "a.pth")
        assert not list(disk.glob("*.tmp"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_rest_of_a_killed_write_is_removed_and_nothing_else(tmp_path):
    for name in ("a.pth", "b.pth.tmp", "last_checkpoint.tmp", "results.json.tmp", "notes.tmp"):
        (tmp_path / name).write_bytes(b"x")
    assert Checkpointer(filled(1.0), str(tmp_path), save_to_disk=False).remove_unfinished() == []
    names = ["b.pth.tmp", "last_checkpoint.tmp", "results.json.tmp"]
    assert Checkpointer(filled(1.0), str(tmp_path)).remove_unfinished() == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "notes.tmp"]
    assert Checkpointer(filled(1.0), str(tmp_path / "none")).remove_unfinished() == []


def test_old_files_go_but_for_the_one_to_resume_from(tmp_path):
    checkpointer = Checkpointer(filled(1.0), str(tmp_path))
    periodic = PeriodicCheckpointer(checkpointer, 1, max_epoch=9, keep=2)
    (tmp_path / "model_0007.pth").write_bytes(b"of another run")
    for epoch in range(4):
        periodic.step(epoch)
    assert sorted(path.stem for path in tmp_path.glob("*.pth")) == ["model_0002", "model_0003", "model_0007"]
    checkpointer.tag_last_checkpoint("model_0002.pth")
    periodic.delete_old()
    periodic.note("model_0004")
    periodic.delete_old()
    assert (tmp_path / "model_0002.pth").exists()
    with pytest.raises(ValueError, match="CHECKPOINT_KEEP must be >= 0 files"):
        PeriodicCheckpointer(checkpointer, 1, keep=-1)


def test_a_worker_that_dies_during_a_write_is_not_blamed_on_the_disk(tmp_path):
    def write(file):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid 7\) is killed"):
        write_atomically(str(tmp_path / "metrics.csv"), write)
    assert list(tmp_path.iterdir()) == []
