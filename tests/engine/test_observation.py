"""What a run leaves behind to be looked at, from one stream of events: files that agree, also after a resume."""

from __future__ import annotations

import csv
import json
import re

import pytest

from fastreid.engine import DefaultTrainer, HookBase, defaults
from fastreid.engine.checkpoint_state import dataset_fingerprint
from fastreid.engine.manifest import read_manifest
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import read_metrics

from .tiny import tiny_cfg


class StopAt(HookBase):
    def __init__(self, iteration):
        self.iteration = iteration

    def before_step(self):
        if self.trainer.iter == self.iteration:
            raise RuntimeError("stopped")


def train(cfg, *, resume=False, stop_at=None):
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    if stop_at is None:
        return trainer, trainer.train()
    trainer.register_hooks([StopAt(stop_at)])
    with pytest.raises(RuntimeError, match="stopped"):
        trainer.train()
    return trainer, None


def table(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return {
            int(row.pop("iteration")): {name: float(cell) for name, cell in row.items() if cell}
            for row in csv.DictReader(file)
        }


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


@pytest.fixture(scope="module")
def finished(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    trainer, results = train(tiny_cfg(market, folder))
    return folder, trainer, results


@pytest.fixture(scope="module")
def resumed(market, tmp_path_factory):
    """Stopped in iteration 8 of 12, rows of 6 and 7 written; resumed from the checkpoint after 5."""
    folder = tmp_path_factory.mktemp("resumed")
    cfg = tiny_cfg(market, folder)
    train(cfg, stop_at=8)
    before = (folder / "metrics.json").read_text()
    _, results = train(cfg, resume=True)
    return folder, before, results


def test_csv_and_json_agree_and_hold_what_is_observed(finished):
    rows = read_metrics(finished[0] / "metrics.json")
    assert table(finished[0]) == rows
    assert list(rows) == [1, 2, 3, 5, 7, 8, 9, 11]  # LOG_PERIOD 2, 3 iterations an epoch
    wanted = {"total_loss", "loss_cls", "loss_triplet", "cls_accuracy", "lr", "data_time", "images_per_second"}
    assert all(wanted | {"data_wait", "rss_mib"} <= row.keys() for row in rows.values())
    assert all(0 <= row["data_wait"] <= 1 and row["images_per_second"] > 0 for row in rows.values())
    assert [iteration for iteration, row in rows.items() if "mAP" in row] == [5, 11]


def test_tensorboard_agrees_too(finished):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished[0])).Reload()
    for name in ("total_loss", "lr", "mAP", "images_per_second"):
        expected = {i: row[name] for i, row in read_metrics(finished[0] / "metrics.json").items() if name in row}
        assert {event.step: event.value for event in events.Scalars(name)} == pytest.approx(expected, rel=1e-6)


def test_a_resumed_run_has_every_row_once_and_the_same_numbers(finished, resumed):
    folder, before, results = resumed
    rows = read_metrics(folder / "metrics.json")
    assert table(folder) == rows
    text = (folder / "metrics.json").read_text()
    assert text.startswith(before)  # what the stopped run wrote is still there
    assert [json.loads(line).get("restarted_at") for line in text.splitlines()].count(6) == 1
    whole = read_metrics(finished[0] / "metrics.json")
    assert list(rows) == list(whole)
    assert [row.get("mAP") for row in rows.values()] == [row.get("mAP") for row in whole.values()]
    assert results == finished[2]


def test_the_manifest_of_a_run(finished, market):
    folder, trainer, results = finished
    found = read_manifest(folder / "run.json")
    assert found["status"] == "finished"
    assert found["config"]["MODEL"]["BACKBONE"]["NAME"] == "build_tiny_backbone"
    assert found["config"]["MODEL"]["HEADS"]["NUM_CLASSES"] == trainer.data_loader.dataset.num_classes
    items = trainer.data_loader.dataset.img_items
    assert found["dataset"] == {"names": ["Market1501"], "fingerprint": dataset_fingerprint(items)}
    assert (found["iters_per_epoch"], found["max_epoch"]) == (3, 4)
    assert found["results"]["last"] == {"epoch": 3, "iteration": 11, "values": pytest.approx(dict(results))}
    rows = read_metrics(folder / "metrics.json")
    assert found["results"]["best"]["values"]["metric"] == max(row["metric"] for row in rows.values() if "mAP" in row)
    assert found["sessions"][0]["seed"] == {"torch": 1, "config": 1, "sampler": 1}


def test_the_manifest_of_a_resumed_run_has_two_sessions(finished, resumed):
    found = read_manifest(resumed[0] / "run.json")
    first, second = found["sessions"]
    assert (first["status"], first["error"], first["last_iteration"]) == ("failed", "RuntimeError: stopped", 7)
    assert (second["status"], second["start_iteration"], second["last_iteration"]) == ("finished", 6, 11)
    assert found["results"] == read_manifest(finished[0] / "run.json")["results"]


def test_rows_are_written_before_the_checkpoint_that_goes_on_behind_them(market, tmp_path):
    trainer = DefaultTrainer(tiny_cfg(market, tmp_path))
    written = []
    save = trainer.checkpointer.save

    def look(name, **state):
        written.append((name, trainer.iter, max(read_metrics(tmp_path / "metrics.json"))))
        assert max(table(tmp_path)) == trainer.iter
        save(name, **state)

    trainer.checkpointer.save = look
    trainer.train()
    assert len(written) >= 5 and all(iteration == last for _, iteration, last in written)


def test_the_log_line_has_the_fields_of_v13_in_their_order(market, tmp_path, caplog):
    caplog.set_level("INFO", logger="fastreid.utils.events")
    train(tiny_cfg(market, tmp_path, "SOLVER.MAX_EPOCH", 2))
    lines = [record.getMessage() for record in caplog.records if record.name == "fastreid.utils.events"]
    fields = re.findall(r"(\S+): ", lines[-1])
    if fields[-1] == "max_mem":  # on a machine with CUDA
        fields.pop()
    assert fields == ["eta", "epoch/iter", "total_loss", "loss_cls", "loss_triplet", "time", "data_time", "lr"]


def test_without_a_folder_nothing_is_left(market, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = DefaultTrainer(tiny_cfg(market, ""))
    assert not any(type(hook).__name__ == "RunManifest" for hook in trainer._hooks)
    assert list(tmp_path.iterdir()) == []
