from __future__ import annotations

import os

import pytest
import torch
from torch import nn

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
