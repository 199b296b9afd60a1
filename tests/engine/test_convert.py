from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.engine import DefaultPredictor
from fastreid.engine.checkpoint_state import checkpoint_meta
from fastreid.engine.convert import convert_weights, repack_weights
from fastreid.engine.predictor import load_model
from fastreid.modeling import build_backbone, build_model
from fastreid.utils.weight_files import WeightFileError, read_file
from fastreid.utils.weights import WeightsMismatch

from .tiny import HEIGHT, WIDTH, tiny_cfg

pytest.importorskip("safetensors")

_ROOT = Path(__file__).parents[2]
_OWN = {"Market1501": {"kind": "fpr", "value": 1e-3, "threshold": 0.5, "metric": "cosine"}}


@pytest.fixture
def made(tmp_path):
    """A config, and a checkpoint of its model with 6 classes, an average, and thresholds."""
    cfg = tiny_cfg(tmp_path, tmp_path, "MODEL.HEADS.NUM_CLASSES", 6)
    torch.manual_seed(0)
    state = build_model(cfg).state_dict()
    meta = checkpoint_meta(cfg, build_model(cfg), [("a.jpg", 1, 2)]) | {"thresholds": _OWN}
    average = {key: value + 1 for key, value in state.items() if value.is_floating_point()}
    data = {"model": state, "meta": meta, "epoch": 3, "ema": {"average": average, "updates": 1}}
    torch.save(data, tmp_path / "model.pth")
    cfg.MODEL.HEADS.NUM_CLASSES = 0
    return cfg, tmp_path / "model.pth"


def embed(cfg, path):
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS = str(path)
    images = torch.randint(0, 256, (3, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return DefaultPredictor(cfg)(images)


def same(one, other):
    return one.keys() == other.keys() and all(
        value.dtype == other[key].dtype and torch.equal(value, other[key]) for key, value in one.items()
    )


def test_there_and_back_again_the_model_is_the_same(made, tmp_path):
    cfg, source = made
    convert_weights(cfg, str(source), str(tmp_path / "a.safetensors"))
    repack_weights(str(tmp_path / "a.safetensors"), str(tmp_path / "b.pth"))
    said = convert_weights(cfg, str(tmp_path / "b.pth"), str(tmp_path / "c.pth"))
    assert said.startswith(f"Wrote {tmp_path / 'c.pth'}: ") and "float32, int64; meta: version, config, " in said
    given = read_file(str(source))
    for name in ("a.safetensors", "b.pth", "c.pth"):
        found = read_file(str(tmp_path / name))
        assert found.keys() == {"model", "meta"}
        assert same(found["model"], given["model"])  # the classifier, too, although the config has no classes
        assert {key: found["meta"][key] for key in given["meta"] if key != "config"} == {
            key: value for key, value in given["meta"].items() if key != "config"
        }
        stored = get_cfg().load_cfg(found["meta"]["config"])
        assert stored.MODEL.HEADS.NUM_CLASSES == 6 and stored.MODEL.WEIGHTS == ""
        assert torch.equal(embed(cfg, tmp_path / name), embed(cfg, source))
    cfg.MODEL.WEIGHTS = str(tmp_path / "a.safetensors")
    assert load_model(cfg)[1]["thresholds"] == _OWN


def test_weights_of_others_get_our_names_and_a_meta(made, tmp_path, caplog):
    caplog.set_level("INFO")
    cfg, source = made
    old = {f"module.{key}": value.half() if value.is_floating_point() else value
           for key, value in read_file(str(source))["model"].items()}  # fmt: skip
    old["module.heads.classifier.weight"] = old.pop("module.heads.weight")
    old["module.pixel_mean"] = torch.zeros(1, 3, 1, 1).half()
    torch.save({"state_dict": old, "epoch": 3}, tmp_path / "theirs.pth")
    convert_weights(cfg, str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors"))
    found = read_file(str(tmp_path / "ours.safetensors"))
    assert found["model"].keys() == read_file(str(source))["model"].keys()
    assert {value.dtype for value in found["model"].values()} == {torch.float16, torch.int64}
    assert found["model"]["heads.weight"].shape == (6, 16)
    assert found["meta"]["preprocessing"]["size"] == [HEIGHT, WIDTH]
    assert found["meta"]["dataset"] == {"names": [], "fingerprint": ""} and found["meta"]["thresholds"] == {}
    assert f"Loaded {len(found['model'])} of {len(found['model'])} tensors" in caplog.text
    repack_weights(str(tmp_path / "theirs.pth"), str(tmp_path / "bare.safetensors"))
    assert read_file(str(tmp_path / "bare.safetensors")).keys() == {key.removeprefix("module.") for key in old}


def test_an_average_is_written_without_the_thresholds_of_the_plain_weights(made, tmp_path):
    cfg, source = made
    cfg.MODEL.WEIGHTS_KEY = "ema"
    convert_weights(cfg, str(source), str(tmp_path / "ema.pth"))
    given, found = read_file(str(source)), read_file(str(tmp_path / "ema.pth"))
    expected = {key: given["ema"]["average"].get(key, value) for key, value in given["model"].items()}
    assert same(found["model"], expected)
    assert found["meta"]["thresholds"] == {} and found["meta"]["dataset"] == given["meta"]["dataset"]


@pytest.mark.parametrize("name", ["backbone.pth", "backbone.safetensors"])
def test_a_backbone_alone_is_one_to_start_from(tmp_path, name):
    cfg = tiny_cfg(tmp_path, tmp_path, "MODEL.BACKBONE.NAME", "build_osnet_backbone", "MODEL.BACKBONE.DEPTH", "x0_25")
    cfg.MODEL.BACKBONE.FEAT_DIM = 128
    cfg.MODEL.BACKBONE.NORM = "BN"
    cfg.MODEL.BACKBONE.PRETRAIN = False
    model = build_model(cfg)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    convert_weights(cfg, str(tmp_path / "model.pth"), str(tmp_path / name), backbone_only=True)
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = True, str(tmp_path / name)
    assert same(build_backbone(cfg).state_dict(), model.backbone.state_dict())


def test_an_output_that_must_not_be_written_is_refused_and_nothing_is_touched(made, tmp_path, monkeypatch):
    cfg, source = made
    before = source.read_bytes()
    target = tmp_path / "there.pth"
    target.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"there\.pth exists; give --overwrite"):
        repack_weights(str(source), str(target))
    with pytest.raises(ValueError, match=r"--output must end in \.pth or \.safetensors, got .*x\.onnx'"):
        repack_weights(str(source), str(tmp_path / "x.onnx"))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none; make it first"):
        convert_weights(cfg, str(source), str(tmp_path / "none" / "x.pth"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.pth").symlink_to(source)
    for name in ("model.pth", "./model.pth", "link.pth"):
        with pytest.raises(ValueError, match=r"is the source itself; name a new file"):
            convert_weights(cfg, str(source), name, overwrite=True)
    cfg.MODEL.HEADS.EMBEDDING_DIM = 4
    with pytest.raises(WeightsMismatch, match="of another shape"):
        convert_weights(cfg, str(source), str(target), overwrite=True)
    assert target.read_bytes() == b"precious" and source.read_bytes() == before
    repack_weights(str(source), str(target), overwrite=True)
    assert same(read_file(str(target))["model"], read_file(str(source))["model"])
    (tmp_path / "web.pth").write_text("<html></html>")
    with pytest.raises(WeightFileError, match="it is a web page"):
        repack_weights(str(tmp_path / "web.pth"), str(tmp_path / "x.pth"))
    assert not (tmp_path / "x.pth").exists()


def test_views_are_written_without_what_they_are_views_of(tmp_path):
    torch.save({"a": torch.rand(10**5)[:10], "b": (tied := torch.rand(10**5)), "c": tied}, tmp_path / "views.pth")
    repack_weights(str(tmp_path / "views.pth"), str(tmp_path / "small.pth"))
    assert (tmp_path / "small.pth").stat().st_size < 5e5 < (tmp_path / "views.pth").stat().st_size
    assert same(read_file(str(tmp_path / "small.pth")), read_file(str(tmp_path / "views.pth")))


def test_a_model_without_a_single_backbone_is_told(tmp_path, monkeypatch):
    cfg = tiny_cfg(tmp_path, tmp_path)
    model = torch.nn.Linear(2, 2)
    torch.save(model.state_dict(), tmp_path / "linear.pth")
    monkeypatch.setattr("fastreid.engine.convert.build_model", lambda cfg: model)
    with pytest.raises(ValueError, match="Baseline has no backbone of its own; leave --backbone-only out"):
        convert_weights(cfg, str(tmp_path / "linear.pth"), str(tmp_path / "x.pth"), backbone_only=True)


def test_a_url_of_safetensors_is_loaded(made, tmp_path, monkeypatch):
    cfg, source = made
    repack_weights(str(source), str(tmp_path / "a.safetensors"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, path, *_, **__: shutil.copy(tmp_path / "a.safetensors", path)
    )
    assert torch.equal(embed(cfg, "http://127.0.0.1:9/a.safetensors"), embed(cfg, source))


def run_tool(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["convert_weights.py", *map(str, words)])
    runpy.run_path(str(_ROOT / "tools" / "convert_weights.py"), run_name="__main__")


def test_the_command_line(made, tmp_path, monkeypatch, capsys):
    cfg, source = made
    config, target = tmp_path / "config.yaml", tmp_path / "out.safetensors"
    config.write_text(cfg.dump())
    run_tool(monkeypatch, source, "--config-file", config, "--output", target, "INPUT.SIZE_TEST", "[8,8]")
    said = capsys.readouterr().out
    assert "tensors from" in said and f"Wrote {target}: " in said
    assert read_file(str(target))["meta"]["preprocessing"]["size"] == [8, 8]
    run_tool(monkeypatch, "--output", tmp_path / "bare.pth", target)
    assert read_file(str(tmp_path / "bare.pth")).keys() == {"model", "meta"}
    with pytest.raises(SystemExit, match=r"out\.safetensors exists; give --overwrite"):
        run_tool(monkeypatch, source, "--output", target)
    with pytest.raises(SystemExit, match="no weight file"):
        run_tool(monkeypatch, tmp_path / "none.pth", "--output", tmp_path / "x.pth")
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, source, "--output", tmp_path / "x.pth", "--backbone-only")
    assert "give --config-file" in capsys.readouterr().err
