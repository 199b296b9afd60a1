"""Checkpoints: what loads, what is translated, what is refused and what the refusal says."""

from __future__ import annotations

import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fastreid.engine import DefaultPredictor, DefaultTrainer
from fastreid.modeling import build_model
from fastreid.utils.checkpoint import Checkpointer

from .helpers import tiny_cfg

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared"


def make(num_classes=8, seed=0, **more):
    """Build the tiny network with random weights and statistics, in eval mode."""
    torch.manual_seed(seed)
    model = build_model(tiny_cfg(MODEL__HEADS__NUM_CLASSES=num_classes, **more)).eval()
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return model


def embed(model):
    with torch.no_grad():
        return model(255 * torch.rand(2, 3, 32, 16, generator=torch.Generator().manual_seed(0)))


def save(path, state, **more):
    torch.save({"model": dict(state), **more}, path)
    return str(path)


def load(model, path):
    Checkpointer(model).load(str(path))
    return model.eval()


def messages(caplog):
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_checkpoint_loads_into_an_embedding_model_and_the_classifier_is_said_to_be_left(tmp_path, caplog):
    source = make(num_classes=8)
    with caplog.at_level(logging.INFO):
        target = load(make(num_classes=0, seed=1), save(tmp_path / "m.pth", source.state_dict()))
    assert torch.equal(embed(target), embed(source))
    assert "heads.weight" in messages(caplog)


def test_a_classifier_of_another_class_count_keeps_its_own_weights(tmp_path, caplog):
    source, target = make(num_classes=8), make(num_classes=5, seed=1)
    kept = target.state_dict()["heads.weight"].clone()
    with caplog.at_level(logging.INFO):
        load(target, save(tmp_path / "m.pth", source.state_dict()))
    assert torch.equal(embed(target), embed(source))
    assert torch.equal(target.state_dict()["heads.weight"], kept)
    assert "heads.weight" in messages(caplog)


def test_a_classifier_of_another_embedding_size_is_an_error(tmp_path):
    state = make(num_classes=8).state_dict()
    state["heads.weight"] = torch.zeros(8, 256)
    with pytest.raises(Exception, match=r"heads\.weight"):
        load(make(num_classes=8), save(tmp_path / "m.pth", state))


def old_names(state, *, neck, only_counter=False):
    """Rename to what the files of release v0.1.1 hold."""
    renamed = {"pixel_mean": torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)}
    renamed["pixel_std"] = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    for key, value in state.items():
        if key.startswith(neck) and (not only_counter or key.endswith("num_batches_tracked")):
            key = key.replace(neck, "heads.bnneck.")
        renamed["heads.classifier.weight" if key == "heads.weight" else key] = value
    return renamed


@pytest.mark.parametrize(("size", "neck", "only_counter", "wrapped"), [
    (0, "heads.bottleneck.0.", False, False),
    (0, "heads.bottleneck.0.", True, False),
    (64, "heads.bottleneck.1.", False, True),
])  # fmt: skip
def test_older_key_names_are_translated(tmp_path, caplog, size, neck, only_counter, wrapped):
    source = make(MODEL__HEADS__EMBEDDING_DIM=size)
    source.get_buffer(f"{neck}num_batches_tracked").fill_(77)
    state = old_names(source.state_dict(), neck=neck, only_counter=only_counter)
    assert f"{neck}num_batches_tracked" not in state
    if wrapped:
        state = {f"module.{key}": value for key, value in state.items()}
    target = load(make(seed=1, MODEL__HEADS__EMBEDDING_DIM=size), save(tmp_path / "old.pth", state))
    mine, theirs = target.state_dict(), source.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert torch.equal(embed(target), embed(source))


def spoil(state):
    """Take two keys away, add two, change two shapes; return the new state and the keys to be named."""
    state = dict(state)
    for key in ("backbone.conv1.weight", "heads.bottleneck.0.running_var"):
        del state[key]
    state["backbone.layer9.0.conv1.weight"] = torch.zeros(3)
    state["neck.bias"] = torch.zeros(3)
    state["backbone.layer1.0.conv1.weight"] = torch.zeros(7, 5)
    state["backbone.layer4.1.bn2.weight"] = torch.zeros(9)
    named = ["backbone.conv1.weight", "heads.bottleneck.0.running_var", "backbone.layer9.0.conv1.weight", "neck.bias"]
    return state, [*named, "backbone.layer1.0.conv1.weight", "backbone.layer4.1.bn2.weight"]


def test_weights_that_do_not_fit_are_an_error_that_lists_every_key_and_both_shapes(tmp_path):
    state, keys = spoil(make().state_dict())
    path = save(tmp_path / "odd.pth", state)
    with pytest.raises(Exception) as error:
        load(make(), path)
    text = str(error.value)
    assert [key for key in keys if key not in text] == []
    assert all(size in text for size in ("7, 5", "64, 64, 3, 3", "512"))
    assert path in text
    assert "WEIGHTS_STRICT" in text


def test_an_error_of_many_keys_lists_them_all(tmp_path):
    source = make()
    state = {f"student.{key}": value for key, value in source.state_dict().items()}
    with pytest.raises(Exception) as error:
        load(make(), save(tmp_path / "odd.pth", state))
    text = str(error.value)
    assert [key for key in source.state_dict() if key not in text] == []
    assert [key for key in state if key not in text] == []


def test_a_refused_checkpoint_leaves_the_model_as_it_was(tmp_path):
    state, _ = spoil(make(seed=1).state_dict())
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(Exception, match=r"odd\.pth"):
        load(model, save(tmp_path / "odd.pth", state))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_predictor_refuses_what_does_not_fit_unless_told_otherwise(tmp_path, caplog):
    source = make()
    state, keys = spoil(source.state_dict())
    path = save(tmp_path / "odd.pth", state)
    with pytest.raises(Exception, match=r"neck\.bias"):
        DefaultPredictor(tiny_cfg(MODEL__WEIGHTS=path))
    with caplog.at_level(logging.WARNING):
        predictor = DefaultPredictor(tiny_cfg(MODEL__WEIGHTS=path, MODEL__WEIGHTS_STRICT=False))
    assert [key for key in keys if key not in messages(caplog)] == []
    loaded = predictor.model.state_dict()
    fitting = [key for key in source.state_dict() if key not in keys and key != "heads.weight"]
    assert all(torch.equal(loaded[key], source.state_dict()[key]) for key in fitting)


def test_the_predictor_embeds_as_the_model_does(tmp_path):
    source = make()
    images = 255 * torch.rand(2, 3, 32, 16)
    kept = images.clone()
    out = DefaultPredictor(tiny_cfg(MODEL__WEIGHTS=save(tmp_path / "m.pth", source.state_dict())))(images)
    with torch.no_grad():
        assert torch.allclose(out, source(images), rtol=1e-5, atol=1e-5)
    assert torch.equal(images, kept)
    assert out.device.type == "cpu"


def test_a_trainer_started_from_misfit_weights_refuses_them_unless_told_otherwise(tmp_path, market_root, capsys):
    state, keys = spoil(make().state_dict())
    path = save(tmp_path / "odd.pth", state)
    trainer = DefaultTrainer(tiny_cfg(MODEL__WEIGHTS=path, OUTPUT_DIR=tmp_path / "a", MODEL__HEADS__NUM_CLASSES=8))
    with pytest.raises(Exception, match=r"neck\.bias"):
        trainer.resume_or_load(resume=False)
    trainer = DefaultTrainer(
        tiny_cfg(
            MODEL__WEIGHTS=path, MODEL__WEIGHTS_STRICT=False, OUTPUT_DIR=tmp_path / "b", MODEL__HEADS__NUM_CLASSES=8
        )
    )
    capsys.readouterr()
    trainer.resume_or_load(resume=False)
    text = capsys.readouterr().out
    assert [key for key in keys if key not in text] == []


class Payload:
    """Creates a file when unpickled by a reader that runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_inside_a_checkpoint_is_refused_and_not_run(tmp_path, legacy):
    content = {"model": dict(make().state_dict()), "extra": Payload(tmp_path / "owned")}
    path = tmp_path / "evil.pth"
    if legacy:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(Exception, match=r"evil\.pth"):
        load(make(), path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, kept):
    path = Path(save(tmp_path / "cut.pth", make().state_dict()))
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(Exception, match=r"cut\.pth"):
        load(make(), path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        load(make(), tmp_path / "nowhere.pth")


def test_a_folder_is_not_a_checkpoint(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(Exception, match=r"folder\.pth"):
        load(make(), tmp_path / "folder.pth")


def test_something_else_than_a_checkpoint_is_an_error_that_names_the_file(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(Exception, match=r"list\.pth"):
        load(make(), tmp_path / "list.pth")


def test_what_is_saved_loads_with_weights_only(tmp_path):
    model = make()
    Checkpointer(model, str(tmp_path), save_to_disk=True).save("m", metric=np.float64(12.5), epoch=np.int64(3))
    content = torch.load(tmp_path / "m.pth", weights_only=True)
    assert content["metric"] == 12.5
    assert content["epoch"] == 3
    assert list(content["model"]) == list(model.state_dict())
    assert (tmp_path / "last_checkpoint").read_text() == "m.pth"


def test_loading_returns_what_else_the_file_holds(tmp_path):
    model = make()
    Checkpointer(model, str(tmp_path)).save("m", metric=12.5, epoch=3)
    rest = Checkpointer(make(seed=1), str(tmp_path)).load(str(tmp_path / "m.pth"))
    assert (rest["metric"], rest["epoch"]) == (12.5, 3)


def test_a_save_that_fails_leaves_the_file_of_before_and_no_other(tmp_path):
    checkpointer = Checkpointer(make(), str(tmp_path))
    checkpointer.save("m", epoch=1)
    with pytest.raises(Exception, match=r"generator|m\.pth"):
        checkpointer.save("m", epoch=2, broken=(n for n in range(3)))
    assert torch.load(tmp_path / "m.pth", weights_only=True)["epoch"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last_checkpoint", "m.pth"]


def test_saving_and_loading_keeps_every_bit(tmp_path):
    source = make()
    Checkpointer(source, str(tmp_path)).save("m")
    target = load(make(seed=1), tmp_path / "m.pth")
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def imagenet_like(model):
    """Return the backbone's weights under the names of a classification network, with its `fc`."""
    state = {k.removeprefix("backbone."): v for k, v in model.state_dict().items() if k.startswith("backbone.")}
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def pretrained(path, **more):
    return make(seed=1, MODEL__BACKBONE__PRETRAIN=True, MODEL__BACKBONE__PRETRAIN_PATH=path, **more)


def test_a_pretrained_file_fills_the_backbone_and_its_classifier_is_said_to_be_left(tmp_path, caplog):
    source = make()
    torch.save(imagenet_like(source), tmp_path / "imagenet.pth")
    with caplog.at_level(logging.INFO):
        model = pretrained(tmp_path / "imagenet.pth")
    weights = {key for key in source.state_dict() if key.startswith("backbone.") and key.endswith("weight")}
    assert all(torch.equal(model.state_dict()[key], source.state_dict()[key]) for key in weights)
    assert "fc.weight" in messages(caplog)


def test_blocks_that_the_pretrained_source_never_had_are_allowed_and_said(tmp_path, caplog):
    source = make()
    torch.save(imagenet_like(source), tmp_path / "imagenet.pth")
    with caplog.at_level(logging.INFO):
        model = pretrained(tmp_path / "imagenet.pth", MODEL__BACKBONE__WITH_SE=True)
    assert torch.equal(model.state_dict()["backbone.conv1.weight"], source.state_dict()["backbone.conv1.weight"])
    assert ".se.fc.0.weight" in messages(caplog)


@pytest.mark.parametrize("key", ["conv1.weight", "layer4.1.bn2.weight"])
def test_a_pretrained_file_that_lacks_a_layer_is_an_error_that_names_it(tmp_path, key):
    state = imagenet_like(make())
    del state[key]
    torch.save(state, tmp_path / "imagenet.pth")
    with pytest.raises(Exception, match=key.replace(".", r"\.")):
        pretrained(tmp_path / "imagenet.pth")


def test_a_pretrained_file_of_another_depth_is_an_error(tmp_path):
    torch.save(imagenet_like(make()), tmp_path / "imagenet.pth")
    with pytest.raises(Exception, match=r"layer"):
        pretrained(tmp_path / "imagenet.pth", MODEL__BACKBONE__DEPTH="34x")


def test_a_pretrained_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        pretrained(tmp_path / "nowhere.pth")


def test_a_pretrained_file_whose_hash_is_not_that_of_its_name_is_an_error(tmp_path):
    torch.save(imagenet_like(make()), tmp_path / "resnet18-5c106cde.pth")
    with pytest.raises(Exception, match=r"5c106cde"):
        pretrained(tmp_path / "resnet18-5c106cde.pth")


def old_run(folder, source):
    """Write what a run of v1.3 leaves: no iteration, and an optimizer state of flattened buffers."""
    folder.mkdir()
    flat = {"step": 12, "exp_avg": torch.zeros(1000), "exp_avg_sq": torch.zeros(1000)}
    group = {"lr": 3e-4, "weight_decay": 5e-4, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "params": [0]}
    optimizer = {"state": {0: flat}, "param_groups": [group, group | {"params": [1]}]}
    save(
        folder / "model_0001.pth",
        source.state_dict(),
        optimizer=optimizer,
        epoch=1,
        metric=41.5,
        lr_sched={},
        warmup_sched={},
    )
    (folder / "last_checkpoint").write_text("model_0001.pth")


def test_a_run_of_v13_resumes_with_its_weights_and_a_new_optimizer(tmp_path, market_root, capsys):
    source = make()
    old_run(tmp_path / "run", source)
    trainer = DefaultTrainer(
        tiny_cfg(OUTPUT_DIR=tmp_path / "run", SOLVER__MAX_EPOCH=4, MODEL__HEADS__NUM_CLASSES=8, SOLVER__WARMUP_ITERS=0)
    )
    capsys.readouterr()
    trainer.resume_or_load(resume=True)
    said = capsys.readouterr().out
    state = trainer.model.state_dict()
    assert all(torch.equal(state[key].cpu(), value) for key, value in source.state_dict().items())
    assert trainer.start_epoch == 2
    assert not trainer.optimizer.state_dict()["state"]
    assert re.search(r"(?i)warn.*optimizer", said)


def test_a_last_checkpoint_that_is_gone_is_an_error_that_names_it(tmp_path, market_root):
    old_run(tmp_path / "run", make())
    (tmp_path / "run" / "model_0001.pth").unlink()
    trainer = DefaultTrainer(tiny_cfg(OUTPUT_DIR=tmp_path / "run", MODEL__HEADS__NUM_CLASSES=8))
    with pytest.raises(Exception, match=r"model_0001\.pth"):
        trainer.resume_or_load(resume=True)


@pytest.mark.data
@pytest.mark.parametrize("strict", [True, False])
def test_weights_of_another_library_do_not_pass_for_ours(strict, caplog):
    path = SHARED / "weights" / "osnet_x0_25_msmt17.pth"
    if not path.is_file():
        pytest.skip(f"needs real weights, which are not part of the project: no file {path}")
    cfg = tiny_cfg(MODEL__WEIGHTS=path, MODEL__WEIGHTS_STRICT=strict)
    if strict:
        with pytest.raises(Exception) as error:
            DefaultPredictor(cfg)
        text = str(error.value)
        assert "osnet_x0_25_msmt17.pth" in text
        assert "backbone.layer4.1.conv2.weight" in text and "classifier.weight" in text
    else:
        with caplog.at_level(logging.WARNING):
            DefaultPredictor(cfg)
        assert "backbone.layer4.1.conv2.weight" in messages(caplog)
