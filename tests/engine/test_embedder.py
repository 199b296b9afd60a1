from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastreid.data.data_utils import ImageReadError
from fastreid.data.image_source import find_images
from fastreid.engine import DefaultPredictor, DefaultTrainer, Embedder
from fastreid.engine.checkpoint_state import checkpoint_meta
from fastreid.engine.extraction import extract_features
from fastreid.engine.predictor import load_model
from fastreid.engine.setup import split_settings
from fastreid.modeling import build_model

from .tiny import tiny_cfg

OWN = {"kind": "fpr", "value": 1e-3, "threshold": 0.5, "metric": "cosine"}


def config(market, folder, *options, meta=None):
    """Return a config whose ``MODEL.WEIGHTS`` are those of an untrained model."""
    cfg = tiny_cfg(market, folder, "MODEL.HEADS.NUM_CLASSES", 6, *options)
    torch.manual_seed(0)
    model = build_model(cfg)
    own = checkpoint_meta(cfg, model, []) | {"thresholds": {"Market1501": OWN}} if meta is None else meta
    averaged = {"average": model.state_dict(), "updates": 1}
    torch.save({"model": model.state_dict(), "meta": own, "ema": averaged}, folder / "model.pth")
    cfg.MODEL.WEIGHTS = str(folder / "model.pth")
    return cfg


def paths_of(market, split="query"):
    return sorted(str(path) for path in (market / "Market-1501-v15.09.15" / split).glob("*.jpg"))


@pytest.mark.parametrize(
    "options",
    [
        ("TEST.FLIP.ENABLED", True, "TEST.NUM_WORKERS", 1, "INPUT.SIZE_TEST", [12, 8]),
        ("TEST.FOLD_BN", True, "TEST.AMP.ENABLED", True, "TEST.IMS_PER_BATCH", 5),
    ],
)
def test_it_embeds_as_an_extraction_and_so_as_an_evaluation_does(market, tmp_path, options):
    cfg = config(market, tmp_path, *options)
    embedder = Embedder(cfg)
    source = find_images("Market1501", root=str(market))
    extract_features(cfg, DefaultTrainer.build_model(cfg).eval(), source, str(tmp_path / "one"))  # other weights
    extract_features(cfg, load_model(cfg)[0], source, str(tmp_path / "two"))
    paths = [image.img_path for image in source.images]
    found = embedder.features(paths)
    np.testing.assert_array_equal(found.numpy(), np.load(tmp_path / "two" / "features.npy"))
    assert not np.array_equal(found.numpy(), np.load(tmp_path / "one" / "features.npy"))
    torch.testing.assert_close(embedder(paths), F.normalize(found))
    assert embedder(paths[:1]).norm().item() == pytest.approx(1)


def test_images_are_what_the_predictor_takes(market, tmp_path):
    cfg = config(market, tmp_path)
    embedder, paths = Embedder(cfg), paths_of(market)
    images = embedder.images(paths)
    assert images.shape == (12, 3, 16, 8) and images.dtype == torch.uint8
    torch.testing.assert_close(DefaultPredictor(cfg)(images), embedder.features(paths))
    assert not embedder.model.training and embedder.meta["thresholds"] == {"Market1501": OWN}
    assert cfg.TEST.NUM_WORKERS == 0 and cfg.MODEL.BACKBONE.PRETRAIN == tiny_cfg(market, "").MODEL.BACKBONE.PRETRAIN


def test_scores_are_cosines_or_distances(market, tmp_path):
    embedder, paths = Embedder(config(market, tmp_path)), paths_of(market)
    features = embedder.features(paths[:5]).double()
    unit = F.normalize(features)
    found = embedder.scores(paths[:2], paths[2:5])
    np.testing.assert_allclose(found, (unit[:2] @ unit[2:].t()).numpy(), atol=1e-6)
    found = embedder.scores(paths[:2], paths[2:5], metric="euclidean")
    np.testing.assert_allclose(found, -torch.cdist(features[:2], features[2:]).numpy(), atol=1e-4)


def test_a_broken_image_is_named(market, tmp_path):
    embedder = Embedder(config(market, tmp_path, "TEST.IMS_PER_BATCH", 2))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ImageReadError, match=r"cannot decode the image .*broken\.jpg"):
        embedder([*paths_of(market)[:3], str(tmp_path / "broken.jpg")])
    with pytest.raises(ImageReadError, match=r"no image file .*gone\.jpg"):
        embedder.images([str(tmp_path / "gone.jpg")])


def test_an_embedding_that_is_no_number_is_named(market, tmp_path):
    embedder, paths = Embedder(config(market, tmp_path)), paths_of(market)
    with torch.no_grad():
        embedder.model.backbone.conv[0].bias.fill_(torch.inf)
    with pytest.raises(ValueError, match=rf"the feature of {paths[0]} is NaN or infinite"):
        embedder(paths[:2])


def test_an_average_has_no_threshold_and_old_checkpoints_no_meta(market, tmp_path):
    cfg = config(market, tmp_path, "MODEL.WEIGHTS_KEY", "ema")
    model, meta = load_model(cfg)
    assert meta["thresholds"] == {} and meta["embedding"]["metric"] == "cosine" and not model.training
    torch.save(torch.load(cfg.MODEL.WEIGHTS)["model"], tmp_path / "bare.pth")
    cfg.merge_from_list(["MODEL.WEIGHTS_KEY", "model", "MODEL.WEIGHTS", str(tmp_path / "bare.pth")])
    assert load_model(cfg)[1] == {}


def test_other_preprocessing_than_the_checkpoints_is_said(market, tmp_path, caplog):
    cfg = config(market, tmp_path)
    Embedder(cfg)
    assert not caplog.records
    cfg.INPUT.SIZE_TEST = [32, 8]
    Embedder(cfg)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "was made for images with size [16, 8], but the config says [32, 8]" in said


def test_settings_behind_the_values_of_an_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["a.jpg", "b.jpg", "MODEL.WEIGHTS", "model.pth", "SEED", "1"]
    assert split_settings(words) == (words[:2], words[2:])
    assert split_settings(["a.jpg"]) == (["a.jpg"], []) and split_settings([]) == ([], [])
    assert split_settings(["MODELS.jpg", "SEED", "1"]) == (["MODELS.jpg"], ["SEED", "1"])
    (tmp_path / "TEST.jpg").write_bytes(b"")
    assert split_settings(["TEST.jpg", "TEST.FOLD_BN", "True"]) == (["TEST.jpg"], ["TEST.FOLD_BN", "True"])
