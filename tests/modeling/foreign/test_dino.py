from __future__ import annotations

import pytest
import torch

from fastreid.utils.weights import WeightsMismatch

from .networks import DIM, ViT, filled, model_for


def pretraining(net, prefix="backbone."):
    """Return what DINO keeps of a network: the backbone, and its head of pretraining."""
    state = {prefix + key: value for key, value in net.state_dict().items()}
    head = {"head.mlp.0.weight": torch.ones(4, DIM), "head.last_layer.weight_g": torch.ones(4, 1)}
    return state | head


def test_the_teacher_is_taken_and_said(cfg, load, images, caplog):
    teacher, student = filled(ViT()), ViT()
    model = model_for(cfg)
    behind = {f"module.{key}": value for key, value in pretraining(student).items()}
    load(model, {"student": behind, "teacher": pretraining(teacher), "epoch": 3})
    neck = (1 + model.heads.bottleneck[0].eps) ** 0.5
    torch.testing.assert_close(model(images) * neck, teacher(images), rtol=1e-4, atol=1e-5)
    assert "holds a teacher and a student; the teacher is taken" in caplog.text
    assert "the weights of DINO" in caplog.text
    assert "head.* (2 tensors): of pretraining" in caplog.text
    assert "The neck starts as the identity." in caplog.text


def test_a_student_alone(cfg, load, images):
    student = filled(ViT())
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False])
    load(model, {"student": {f"module.{key}": value for key, value in pretraining(student).items()}})
    torch.testing.assert_close(model(images), student(images), rtol=1e-4, atol=1e-5)


def test_a_teacher_without_the_head_of_pretraining(cfg, load, images, tmp_path, caplog):
    net = filled(ViT())
    state = {"teacher": {f"module.backbone.{key}": value for key, value in net.state_dict().items()}}
    model = model_for(cfg)
    load(model, state)
    neck = (1 + model.heads.bottleneck[0].eps) ** 0.5
    torch.testing.assert_close(model(images) * neck, net(images), rtol=1e-4, atol=1e-5)
    assert "the weights of a network in 'backbone.' without a head" in caplog.text
    torch.save(state, tmp_path / "w.pth")
    options = ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "w.pth")]
    torch.testing.assert_close(model_for(cfg, options).backbone(images).flatten(1), net(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_the_bare_network_with_and_without_what_stands_for_masked_patches(cfg, load, images, masked):
    net = filled(ViT())
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False])
    load(model, net.state_dict() | ({"masked_embed": torch.zeros(1, DIM)} if masked else {}))
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)


def test_pretrain_path(cfg, tmp_path, images):
    net = filled(ViT())
    state = pretraining(net) | {
        "backbone.masked_embed": torch.zeros(1, DIM),
        "head.last_layer2.weight_g": torch.ones(1),
    }
    torch.save({"teacher": state}, tmp_path / "person.pth")
    options = ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "person.pth")]
    model = model_for(cfg, options)
    torch.testing.assert_close(model.backbone(images).flatten(1), net(images), rtol=1e-4, atol=1e-5)


def test_a_convolutional_network_too(cfg, load):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.FEAT_DIM = "build_resnet_backbone", "18x", 512
    net = filled(model_for(cfg).backbone)
    model = model_for(cfg)
    load(model, pretraining(net))
    assert torch.equal(model.backbone.layer4[1].conv2.weight, net.layer4[1].conv2.weight)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_registers_are_refused_with_the_remedy(cfg, load, prefix):
    state = pretraining(ViT(), prefix) if prefix else ViT().state_dict()
    state |= {f"{prefix}register_tokens": torch.zeros(1, 4, DIM)}
    with pytest.raises(WeightsMismatch, match=r"register_tokens: tokens beside class and patches.*build_timm_backbone"):
        load(model_for(cfg), state)
