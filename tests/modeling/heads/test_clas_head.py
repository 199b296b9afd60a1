from __future__ import annotations

import pytest
import torch

from fastreid.layers.any_softmax import CLS_LAYER_REGISTRY
from fastreid.modeling import build_heads, build_model
from fastreid.modeling.heads import ClasHead, EmbeddingHead

TARGETS = torch.tensor([0, 1, 2, 3])


def configured(cfg, cls_layer="Linear"):
    cfg.MODEL.HEADS.merge_from_list(["NAME", "ClasHead", "CLS_LAYER", cls_layer, "SCALE", 8, "MARGIN", 0.3])
    return cfg


@pytest.mark.parametrize("cls_layer", sorted(CLS_LAYER_REGISTRY))
def test_evaluation_returns_scaled_logits_without_margin(cfg, cls_layer):
    clas = build_heads(configured(cfg, cls_layer)).eval()
    cfg.MODEL.HEADS.NAME = "EmbeddingHead"
    embed = build_heads(cfg).eval()
    embed.load_state_dict(clas.state_dict())
    x = torch.rand(4, 512, 4, 2)
    embedding, weight = embed(x), clas.weight
    if cls_layer != "Linear":
        embedding, weight = (t / t.norm(dim=1, keepdim=True) for t in (embedding, weight))
    torch.testing.assert_close(clas(x), 8 * embedding @ weight.t())


def test_training_is_that_of_the_embedding_head(cfg):
    clas = build_heads(configured(cfg, "ArcSoftmax")).train()
    cfg.MODEL.HEADS.NAME = "EmbeddingHead"
    embed = build_heads(cfg).train()
    embed.load_state_dict(clas.state_dict())
    x = torch.rand(4, 512, 4, 2)
    ours, theirs = clas(x, TARGETS), embed(x, TARGETS)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    with pytest.raises(ValueError, match="needs targets, got None"):
        clas(x)


def test_without_classes_it_is_not_built(cfg):
    configured(cfg).MODEL.HEADS.NUM_CLASSES = 0
    with pytest.raises(ValueError, match=r"NUM_CLASSES of ClasHead must be >= 1, got 0; set it to the number of"):
        build_heads(cfg)
    cfg.MODEL.HEADS.NAME = "EmbeddingHead"
    assert type(build_heads(cfg)) is EmbeddingHead


def test_a_model_with_it_classifies(cfg):
    model = build_model(configured(cfg)).eval()
    assert isinstance(model.heads, ClasHead)
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 32) * 255).shape == (2, 4)
