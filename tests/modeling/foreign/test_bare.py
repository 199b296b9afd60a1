from __future__ import annotations

import logging

import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.modeling import build_model
from fastreid.utils.weights import WeightsMismatch, load_weights, read_state_dict

from ..reference import fill_by_name


@pytest.fixture
def cfg(cfg):
    cfg.MODEL.BACKBONE.NAME = "build_osnet_backbone"
    cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.FEAT_DIM = "x0_25", 128
    cfg.MODEL.HEADS.NUM_CLASSES = 7
    return cfg


def with_fc(cfg):
    cfg.MODEL.HEADS.FC_DIM = 20
    return cfg


@pytest.fixture
def foreign(cfg):
    """The state dict of a network in torchreid's layout: OSNet, ``fc`` of 20 outputs, a classifier of 9 people."""
    cfg = with_fc(cfg.clone())
    cfg.MODEL.HEADS.WITH_BNNECK = False
    model = build_model(cfg)
    fill_by_name(model)
    state = {key.removeprefix("backbone.").removeprefix("heads."): value for key, value in model.state_dict().items()}
    del state["weight"]
    return state | {"classifier.weight": torch.ones(9, 20), "classifier.bias": torch.ones(9)}


def test_backbone_and_fc_go_to_their_places(cfg, foreign, caplog):
    model = build_model(with_fc(cfg))
    with caplog.at_level(logging.INFO):
        load_weights(model, foreign, source="a file")
    state = model.state_dict()
    assert torch.equal(state["backbone.conv1.conv.weight"], foreign["conv1.conv.weight"])
    assert torch.equal(state["heads.fc.0.weight"], foreign["fc.0.weight"])
    assert torch.equal(state["heads.fc.1.running_var"], foreign["fc.1.running_var"])
    assert "Left out: classifier.bias (9,)" in caplog.text
    assert "heads.weight (9, 20) in the file, (7, 20) in the model" in caplog.text


def test_a_neck_that_it_has_none_of_changes_no_direction(cfg, foreign):
    model = build_model(with_fc(cfg)).eval()
    load_weights(model, foreign, source="a file")
    cfg.MODEL.HEADS.WITH_BNNECK = False
    without = build_model(cfg).eval()
    load_weights(without, foreign, source="a file")
    images = torch.rand(2, 3, 64, 32) * 255
    with torch.no_grad():
        torch.testing.assert_close(model(images), without(images), rtol=1e-4, atol=1e-5)


def test_as_many_classes_load_the_classifier_too(cfg, foreign):
    cfg.MODEL.HEADS.NUM_CLASSES = 9
    model = build_model(with_fc(cfg))
    load_weights(model, foreign, source="a file")
    assert torch.equal(model.heads.weight, torch.ones(9, 20))


def test_a_head_without_fc_leaves_it_out_and_says_how_to_have_it(cfg, foreign, caplog):
    model = build_model(cfg)
    with caplog.at_level(logging.INFO):
        load_weights(model, foreign, source="a file")
    assert "Left out: fc.0.weight (20, 128)" in caplog.text
    assert "MODEL.HEADS.FC_DIM" in caplog.text
    assert torch.equal(model.backbone.conv5.bn.bias, foreign["conv5.bn.bias"])


def test_what_it_should_have_and_has_not_is_an_error(cfg, foreign):
    model = build_model(with_fc(cfg))
    del foreign["conv3.0.conv1.bn.weight"]
    with pytest.raises(WeightsMismatch, match=r"backbone\.conv3\.0\.conv1\.bn\.weight"):
        load_weights(model, foreign, source="a file")
    cfg.MODEL.HEADS.EMBEDDING_DIM = 4
    with pytest.raises(WeightsMismatch, match=r"heads\.bottleneck\.0\.weight"):
        load_weights(build_model(cfg), foreign, source="a file")


def test_another_network_is_an_error(cfg, foreign):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.FEAT_DIM = "build_resnet_backbone", "18x", 512
    with pytest.raises(WeightsMismatch, match=r"conv1\.conv\.weight"):
        load_weights(build_model(cfg), foreign, source="a file")


@pytest.mark.data
def test_real_weights_of_torchreid_load_whole(shared_dir):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/osnet_x0_25_torchreid.yml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.HEADS.NUM_CLASSES = 1041
    path = str(shared_dir / "weights" / "osnet_x0_25_msmt17.pth")
    report = load_weights(build_model(cfg), read_state_dict(path), source=path)
    assert not report.misfits()
    assert report.allowed == []
