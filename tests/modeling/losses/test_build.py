from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.modeling.losses import LOSS_REGISTRY, CrossEntropyLoss, TripletLoss, build_losses
from fastreid.modeling.losses.build import loss_arguments, losses_from_arguments


@pytest.fixture
def registered(monkeypatch):
    """Register a class for the length of one test."""
    monkeypatch.setattr(LOSS_REGISTRY, "_objects", dict(LOSS_REGISTRY._objects))
    return LOSS_REGISTRY.register


@pytest.mark.parametrize("name", sorted(LOSS_REGISTRY))
def test_every_loss_returns_scalars_with_finite_gradients(cfg, name):
    cfg.MODEL.LOSSES.NAME = (name,)
    features = torch.randn(6, 8, requires_grad=True)
    logits = features @ torch.randn(8, 3)
    outputs = {"features": features, "cls_outputs": logits, "pred_class_logits": logits}
    losses = build_losses(cfg)[name](outputs, torch.arange(6) // 2)
    assert losses
    assert all(key.startswith("loss_") and value.shape == () for key, value in losses.items())
    sum(losses.values()).backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(LOSS_REGISTRY))
def test_a_loss_reads_features_alone_if_it_says_so(cfg, name):
    cfg.MODEL.LOSSES.NAME = (name,)
    loss = build_losses(cfg)[name]
    outputs = {"features": torch.randn(6, 8)}
    if getattr(loss, "reads", None) == "features":
        assert loss(outputs, torch.arange(6) // 2)
    else:
        with pytest.raises(KeyError):
            loss(outputs, torch.arange(6) // 2)


def test_the_order_is_that_of_the_config(cfg):
    for names in (("TripletLoss", "CrossEntropyLoss"), ("CrossEntropyLoss", "TripletLoss")):
        cfg.MODEL.LOSSES.NAME = names
        assert tuple(build_losses(cfg)) == names


def test_an_unknown_name_is_answered_with_the_nearest(cfg):
    cfg.MODEL.LOSSES.NAME = ("TripletLos",)
    with pytest.raises(KeyError, match="Did you mean 'TripletLoss'"):
        build_losses(cfg)


def test_no_loss_is_an_error(cfg):
    cfg.MODEL.LOSSES.NAME = ()
    with pytest.raises(ValueError, match=r"MODEL\.LOSSES\.NAME is empty"):
        build_losses(cfg)


def test_a_loss_named_twice_is_an_error(cfg):
    cfg.MODEL.LOSSES.NAME = ("TripletLoss", "TripletLoss")
    with pytest.raises(ValueError, match="names a loss twice"):
        build_losses(cfg)


def test_arguments_have_the_form_that_callers_know(cfg):
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    assert loss_arguments(cfg) == {
        "loss_names": ("CrossEntropyLoss", "TripletLoss"),
        "ce": {"eps": 0.0, "alpha": 0.2, "scale": 1.0},
        "tri": {"margin": 0.3, "norm_feat": False, "hard_mining": False, "scale": 1.0, "cross_rank": False},
    }


def test_a_caller_may_write_the_arguments():
    losses = losses_from_arguments(
        {
            "loss_names": ["TripletLoss", "CrossEntropyLoss"],
            "ce": {"eps": 0.1, "alpha": 0.2, "scale": 3.0},
            "tri": {"margin": 0.5, "norm_feat": True, "hard_mining": True, "scale": 2.0},
            "circle": {"margin": 0.25, "gamma": 128, "scale": 1.0},  # not selected
        }
    )
    triplet, cross_entropy = losses["TripletLoss"], losses["CrossEntropyLoss"]
    assert isinstance(triplet, TripletLoss)
    assert isinstance(cross_entropy, CrossEntropyLoss)
    assert (triplet.margin, triplet.norm_feat, triplet.hard_mining, triplet.scale) == (0.5, True, True, 2.0)
    assert (cross_entropy.eps, cross_entropy.scale) == (0.1, 3.0)
    with pytest.raises(KeyError, match="TripletLoss needs its arguments under 'tri'"):
        losses_from_arguments({"loss_names": ("TripletLoss",)})


def test_a_loss_of_the_user_takes_the_config(cfg, registered):
    @registered()
    class NormLoss(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.scale = cfg.MODEL.LOSSES.TRI.SCALE

        def forward(self, outputs, targets):
            return {"loss_norm": outputs["features"].norm() * self.scale}

    cfg.MODEL.LOSSES.NAME = ("NormLoss",)
    assert build_losses(cfg)["NormLoss"]({"features": torch.ones(4, 1)}, None)["loss_norm"].item() == 2.0


def test_a_loss_must_be_a_module(cfg, registered):
    @registered()
    class NoModule:
        def __init__(self, cfg):
            pass

    cfg.MODEL.LOSSES.NAME = ("NoModule",)
    with pytest.raises(TypeError, match=r"loss NoModule must be an nn\.Module"):
        build_losses(cfg)
