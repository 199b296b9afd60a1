from __future__ import annotations

import pytest
import torch
from torchvision.models import VisionTransformer

from fastreid.utils.weights import WeightsMismatch

from .networks import DEPTH, DIM, HEADS, filled, model_for


@pytest.fixture
def net():
    """torchvision's network, for images of 32 x 32."""
    return filled(VisionTransformer(32, 16, DEPTH, HEADS, DIM, 2 * DIM, num_classes=6))


def features(net, images):
    """Return what torchvision classifies."""
    tokens = net._process_input(images)
    return net.encoder(torch.cat([net.class_token.expand(len(images), -1, -1), tokens], dim=1))[:, 0]


@pytest.mark.parametrize("older", [False, True])
def test_embeds_as_torchvision(cfg, load, images, caplog, net, older):
    cfg.INPUT.SIZE_TRAIN = [32, 32]
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False])
    state = net.state_dict()
    if older:
        names = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}
        for new, old in names.items():
            state = {key.replace(new, old): value for key, value in state.items()}
    load(model, state)
    torch.testing.assert_close(model(images[:, :, :32]), features(net, images[:, :, :32]), rtol=1e-4, atol=1e-5)
    assert "the weights of torchvision's vision transformer" in caplog.text
    assert "heads.* (2 tensors): classifier" in caplog.text


def test_another_width_is_refused(cfg, load):
    other = VisionTransformer(32, 16, DEPTH, HEADS, 2 * DIM, 2 * DIM, num_classes=6)
    with pytest.raises(
        WeightsMismatch, match=r"backbone\.cls_token \(1, 1, 48\) in the file, \(1, 1, 24\) in the model"
    ):
        load(model_for(cfg), other)
