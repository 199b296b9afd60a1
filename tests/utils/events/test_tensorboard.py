from __future__ import annotations

import builtins
import sys

import pytest
import torch

from fastreid.utils.events import EventStorage, TensorboardXWriter

# -- TensorBoard


def test_tensorboard_gets_scalars_images_and_histograms(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with EventStorage() as storage:
        writer = TensorboardXWriter(str(tmp_path))
        storage.put_scalar("total_loss", 1.5)
        storage.put_image("input", torch.zeros(3, 4, 4, dtype=torch.uint8))
        storage.put_histogram("weights", torch.arange(10.0), bins=5)
        writer.write()
        assert storage.images == [] and storage.histograms == []
        storage.put_scalar("mAP", 30.0, smoothing_hint=False)  # an evaluation at the same iteration
        writer.write()
        storage.step()
        storage.put_scalar("total_loss", 0.5)
        writer.write()
        writer.close()
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("total_loss")] == [(0, 1.5), (1, 1.0)]
    assert [(event.step, event.value) for event in found.Scalars("mAP")] == [(0, 30.0)]
    assert found.Tags()["images"] == ["input"]
    assert found.Histograms("weights")[0].histogram_value.num == 10
    assert any(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())


def test_a_missing_tensorboard_names_the_extra(monkeypatch, tmp_path):
    real_import = builtins.__import__

    def without_tensorboard(name, *args, **kwargs):
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_tensorboard)
    with pytest.raises(ImportError, match=r"pip install 'fastreid\[tensorboard\]'"):
        TensorboardXWriter(str(tmp_path))


def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, last, value in ((0, 6, 0.0), (3, 5, 0.5)):
        with EventStorage(first) as storage:
            # a name of its own: two files of one second and process would have the same
            writer = TensorboardXWriter(str(tmp_path), filename_suffix=f".{first}")
            for _ in range(first, last):
                storage.put_scalar("loss", storage.iter + value, smoothing_hint=False)
                writer.write()
                storage.step()
            writer.close()
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.5), (4, 4.5)]


def test_a_writer_that_wrote_nothing_closes(tmp_path):
    pytest.importorskip("tensorboard")
    TensorboardXWriter(str(tmp_path)).close()
    assert list(tmp_path.iterdir()) == []
