"""Training never waits for the device: on the meta device, which has no values, every question for one raises."""

from __future__ import annotations

import itertools

import pytest
import torch

from fastreid.layers.any_softmax import CLS_LAYER_REGISTRY
from fastreid.modeling import build_model
from fastreid.modeling.losses import LOSS_REGISTRY, cross_entropy_loss, triplet_loss
from fastreid.utils.events import EventStorage


def test_the_meta_device_raises_when_asked():
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros((), device="meta").item()


@pytest.mark.parametrize(
    ("margin", "norm_feat", "hard"), list(itertools.product((0.0, 0.3), (False, True), (False, True)))
)
def test_triplet_loss_asks_for_no_value(margin, norm_feat, hard):
    x = torch.empty(8, 4, device="meta", requires_grad=True)
    targets = torch.empty(8, dtype=torch.int64, device="meta")
    loss = triplet_loss(x, targets, margin, norm_feat, hard)
    loss.backward()
    assert loss.shape == ()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("eps", [0.0, 0.1, -1])
def test_cross_entropy_asks_for_no_value(eps):
    logits = torch.empty(8, 4, device="meta", requires_grad=True)
    loss = cross_entropy_loss(logits, torch.empty(8, dtype=torch.int64, device="meta"), eps)
    loss.backward()
    assert loss.shape == ()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("cls_layer", sorted(CLS_LAYER_REGISTRY))
def test_a_training_step_asks_for_no_value(cfg, cls_layer):
    cfg.MODEL.DEVICE = "meta"
    cfg.MODEL.HEADS.CLS_LAYER = cls_layer
    cfg.MODEL.LOSSES.NAME = tuple(sorted(LOSS_REGISTRY))
    model = build_model(cfg).train()
    batch = {
        "images": torch.empty(4, 3, 64, 32, dtype=torch.uint8, device="meta"),
        "targets": torch.empty(4, dtype=torch.int64, device="meta"),
    }
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    assert model.backbone.conv1.weight.grad is not None
