"""Side information from the data set to the embedding: in training, in evaluation, in features on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.image_source import find_images
from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup
from fastreid.engine.convert import convert_weights
from fastreid.engine.extraction import extract_features
from fastreid.engine.predictor import load_model
from fastreid.engine.side_information import rows_by_camera, take_cameras_of_checkpoint, with_cameras_of
from fastreid.evaluation.feature_folder import read_feature_folder
from fastreid.modeling.backbones import vision_transformer
from fastreid.modeling.backbones.vit_parts import ViTLayout

from .tiny import tiny_cfg

CAMERAS = ["market1501_0", "market1501_1"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(vision_transformer.LAYOUTS, "tiny", ViTLayout(dim=24, depth=2, heads=3, mlp_ratio=2.0))


def config(root, output, *options):
    vit = {
        "MODEL.BACKBONE.NAME": "build_vit_backbone",
        "MODEL.BACKBONE.DEPTH": "tiny",
        "MODEL.BACKBONE.FEAT_DIM": 24,
        "MODEL.BACKBONE.WITH_SIE": True,
        "MODEL.BACKBONE.OUTPUT": "tokens",
        "MODEL.HEADS.NAME": "JigsawPatchHead",
        "MODEL.HEADS.POOL_LAYER": "Identity",
        "MODEL.HEADS.JIGSAW.PARTS": 2,
        "INPUT.SIZE_TRAIN": [32, 16],
        "INPUT.SIZE_TEST": [32, 16],
        "SOLVER.MAX_EPOCH": 2,
        "SOLVER.LAYER_DECAY": 0.8,
    }
    return tiny_cfg(root, output, *(word for pair in vit.items() for word in pair), *options)


@pytest.fixture
def trained(market, tmp_path):
    cfg = config(market, tmp_path / "run")
    trainer = DefaultTrainer(cfg)
    trainer.train()
    assert cfg.MODEL.BACKBONE.SIE_CAMERAS == []
    return trainer


def test_from_training_to_features_on_disk(trained, market, tmp_path):
    backbone = trained.model.backbone
    assert backbone.sie_embed.shape == (3, 1, 24)
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["MODEL"]["BACKBONE"]["SIE_CAMERAS"] == CAMERAS
    rates = {round(group["initial_lr"] / trained.cfg.SOLVER.BASE_LR, 6) for group in trained.optimizer.param_groups}
    assert rates == {1.0, 0.8, 0.64, 0.512}  # behind the blocks, two blocks, embeddings

    weights = str(tmp_path / "run" / "model_final.pth")
    cfg = config(market, tmp_path / "eval", "MODEL.WEIGHTS", weights, "MODEL.HEADS.NUM_CLASSES", 6)
    model, _ = load_model(cfg)  # from the recipe, which names no cameras
    assert cfg.MODEL.BACKBONE.SIE_CAMERAS == CAMERAS
    loader, _ = build_reid_test_loader(cfg, dataset_name="Market1501")
    with torch.no_grad():
        batches = list(loader)
        expected = torch.cat([model(batch) for batch in batches])
        blind = torch.cat([model(batch["images"]) for batch in batches])
    assert not torch.allclose(expected, blind, atol=1e-4)
    cameras = torch.cat([batch["cameras"] for batch in batches])
    assert torch.equal(cameras, torch.cat([batch["camids"] for batch in batches]))  # 0 and 1 in both

    folder = str(tmp_path / "features")
    extract_features(cfg, model, find_images("Market1501", root=str(market)), folder)
    features = np.asarray(read_feature_folder(folder).features)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_evaluation_alone_takes_the_cameras_of_the_checkpoint(trained, market, tmp_path):
    cfg = config(market, tmp_path / "eval", "MODEL.WEIGHTS", str(tmp_path / "run" / "model_final.pth"))
    cfg.freeze()
    default_setup(cfg, default_argument_parser().parse_args(["--eval-only"]))
    assert cfg.is_frozen()
    assert cfg.MODEL.BACKBONE.SIE_CAMERAS == CAMERAS
    given = config(market, tmp_path / "eval", "MODEL.WEIGHTS", "x.pth", "MODEL.BACKBONE.SIE_CAMERAS", ["a"])
    take_cameras_of_checkpoint(given)
    assert given.MODEL.BACKBONE.SIE_CAMERAS == ["a"]


def test_converted_weights_keep_their_cameras(trained, market, tmp_path):
    source, target = str(tmp_path / "run" / "model_final.pth"), str(tmp_path / "out.safetensors")
    convert_weights(config(market, tmp_path), source, target)  # the recipe, which names no cameras
    cfg = config(market, tmp_path / "eval", "MODEL.WEIGHTS", target, "MODEL.HEADS.NUM_CLASSES", 6)
    model, _ = load_model(cfg)
    assert cfg.MODEL.BACKBONE.SIE_CAMERAS == CAMERAS
    assert torch.equal(model.backbone.sie_embed, trained.model.backbone.sie_embed)


def test_a_training_set_that_tells_no_cameras(market, tmp_path):
    with pytest.raises(ValueError, match="a training set of list does not tell its cameras"):
        with_cameras_of(config(market, tmp_path), [])
    cfg = config(market, tmp_path, "MODEL.BACKBONE.WITH_SIE", False)
    assert with_cameras_of(cfg, []) is cfg


def test_own_images_without_cameras(market, tmp_path):
    images = sorted((market / "Market-1501-v15.09.15" / "bounding_box_train").glob("*.jpg"))
    rows = {
        "seen": ["path,pid,camid,split", *(f"{path},{path.name[:4]},{path.name[6]},train" for path in images)],
        "blind": ["path,pid,split", *(f"{path},{path.name[:4]},train" for path in images)],
    }
    names = {}
    for name, lines in rows.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
        names[name] = f"csv:{tmp_path / name}.csv"
    cfg = config(market, tmp_path / "run", "DATASETS.NAMES", [names["blind"], names["seen"]], "DATASETS.TESTS", [])
    data = build_reid_train_loader(cfg).dataset
    places = [data[number]["cameras"] for number in range(len(data))]
    # not known is no camera of its own: a test image without a camera is of one that was never seen, too
    assert places == [-1] * len(images) + [int(path.name[6]) - 1 for path in images]
    assert with_cameras_of(cfg, data).MODEL.BACKBONE.SIE_CAMERAS == ["seen.csv_1", "seen.csv_2"]

    cfg.DATASETS.NAMES = (names["blind"],)
    with pytest.raises(ValueError, match="the camera of no training image is known"):
        with_cameras_of(cfg, build_reid_train_loader(cfg).dataset)


def test_fine_tuning_finds_the_cameras_by_name(trained, market, tmp_path):
    table = trained.model.backbone.sie_embed.detach()
    weights = str(tmp_path / "run" / "model_final.pth")
    other = ["duke_0", "market1501_1", "market1501_0", "duke_1"]
    settings = ("MODEL.WEIGHTS", weights, "MODEL.BACKBONE.SIE_CAMERAS", other, "MODEL.HEADS.NUM_CLASSES", 6)
    model, _ = load_model(config(market, tmp_path / "other", *settings))
    torch.testing.assert_close(model.backbone.sie_embed.detach(), table[[2, 1, 0, 2, 2]])
    tuned = DefaultTrainer(config(market, tmp_path / "tuned", *settings))
    tuned.resume_or_load(resume=False)
    torch.testing.assert_close(tuned.model.backbone.sie_embed.detach(), table[[2, 1, 0, 2, 2]])
    state = {"backbone.sie_embed": table}
    assert rows_by_camera(state, {"model": state}, cameras=other) is state  # weights of others name no cameras
    assert rows_by_camera(state, [], cameras=other) is state


@pytest.mark.parametrize("written", ["model = dict(type='Other', a=[1])\n: {", "model = dict()", "MODEL: 3", ""])
def test_a_config_of_another_library_names_no_cameras(market, tmp_path, written):
    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": {"config": written}}, tmp_path / "other.pth")
    cfg = config(market, tmp_path / "run", "MODEL.WEIGHTS", str(tmp_path / "other.pth"))
    take_cameras_of_checkpoint(cfg)
    assert cfg.MODEL.BACKBONE.SIE_CAMERAS == []
