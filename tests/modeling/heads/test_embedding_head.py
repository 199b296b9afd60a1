from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F

from fastreid.layers.any_softmax import CLS_LAYER_REGISTRY
from fastreid.layers.pooling import POOLING_REGISTRY
from fastreid.modeling import REID_HEADS_REGISTRY, EmbeddingHead, build_heads

D, C = 6, 3


def head(**changes):
    arguments = {
        "feat_dim": D,
        "embedding_dim": 0,
        "num_classes": C,
        "neck_feat": "before",
        "pool_type": "GlobalAvgPool",
        "cls_type": "Linear",
        "scale": 1,
        "margin": 0.0,
        "with_bnneck": True,
        "norm_type": "BN",
    }
    return EmbeddingHead(**{**arguments, **changes})


def feature_map(n=4):
    return torch.rand(n, D, 4, 2)


TARGETS = torch.tensor([0, 1, 2, 0])


def test_names_and_shapes_of_the_neck():
    shapes = {key: tuple(value.shape) for key, value in head().state_dict().items()}
    norm = {"weight": (D,), "bias": (D,), "running_mean": (D,), "running_var": (D,), "num_batches_tracked": ()}
    assert shapes == {"weight": (C, D), **{f"bottleneck.0.{key}": shape for key, shape in norm.items()}}

    shapes = {key: tuple(value.shape) for key, value in head(embedding_dim=2).state_dict().items()}
    assert shapes["weight"] == (C, 2)
    assert shapes["bottleneck.0.weight"] == (2, D, 1, 1)
    assert shapes["bottleneck.1.running_var"] == (2,)

    assert set(head(with_bnneck=False).state_dict()) == {"weight"}
    assert set(head(with_bnneck=False, embedding_dim=2).state_dict()) == {"weight", "bottleneck.0.weight"}
    assert "pool_layer.p" in head(pool_type="GeneralizedMeanPoolingP").state_dict()


def test_a_fully_connected_layer_comes_before_the_neck():
    net = head(fc_dim=5).eval()
    assert net.weight.shape == (C, 5)
    assert net.bottleneck[0].running_var.shape == (5,)
    maps = feature_map()
    linear, norm = net.fc[0], net.fc[1]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    reduced = maps.mean(dim=(2, 3)) @ linear.weight.T + linear.bias
    expected = F.relu((reduced - norm.running_mean) / (norm.running_var + norm.eps).sqrt())
    neck = (1 + net.bottleneck[0].eps) ** 0.5
    torch.testing.assert_close(net(maps), expected / neck)

    outputs = head(fc_dim=5, neck_feat="before").train()(maps, TARGETS)
    assert outputs["features"].shape == (4, 5)
    assert outputs["features"].min() >= 0


def test_the_neck_has_no_shift_to_learn():
    neck = head().bottleneck[0]
    assert neck.weight.requires_grad
    assert not neck.bias.requires_grad


def test_embedding_equals_its_definition():
    net = head(embedding_dim=5).eval()
    net.bottleneck[1].running_mean.normal_()
    net.bottleneck[1].running_var.uniform_(0.5, 2)
    x = feature_map()
    conv, norm = net.bottleneck[0].weight[:, :, 0, 0], net.bottleneck[1]
    expected = []
    for image in x:
        reduced = conv @ image.mean(dim=(1, 2))
        expected.append((reduced - norm.running_mean) / (norm.running_var + 1e-5).sqrt())
    torch.testing.assert_close(net(x), torch.stack(expected))


@pytest.mark.parametrize("cls_type", sorted(CLS_LAYER_REGISTRY))
def test_training_outputs(cls_type):
    net = head(cls_type=cls_type, scale=8, margin=0.2).train()
    x = feature_map()
    out = net(x, TARGETS)
    pooled = x.mean(dim=(2, 3))
    torch.testing.assert_close(out["features"], pooled)
    embedding = F.batch_norm(pooled, None, None, training=True)
    if cls_type == "Linear":
        logits = embedding @ net.weight.t()
    else:
        logits = F.normalize(embedding) @ F.normalize(net.weight).t()
    torch.testing.assert_close(out["pred_class_logits"], logits * 8, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out["cls_outputs"], net.cls_layer(logits, TARGETS), rtol=1e-4, atol=1e-4)
    assert set(out) == {"cls_outputs", "pred_class_logits", "features"}


def test_metric_losses_may_read_the_feature_behind_the_neck():
    x = feature_map()
    out = head(neck_feat="after").train()(x, TARGETS)
    torch.testing.assert_close(out["features"], F.batch_norm(x.mean(dim=(2, 3)), None, None, training=True))


def test_evaluation_returns_the_neck_s_output_whatever_neck_feat():
    x = feature_map()
    before, after = head().eval(), head(neck_feat="after").eval()
    torch.testing.assert_close(before(x), after(x))


@pytest.mark.parametrize("pool_type", sorted(set(POOLING_REGISTRY) - {"Flatten", "Identity"}))
def test_every_pooling_makes_one_vector_per_image(pool_type):
    assert head(pool_type=pool_type).eval()(feature_map()).shape == (4, D)


def test_a_map_that_is_left_over_is_an_error():
    net = head(pool_type="Identity").eval()
    assert net(torch.rand(4, D, 1, 1)).shape == (4, D)
    with pytest.raises(ValueError, match=r"POOL_LAYER Identity leaves a map of \(4, 2\)"):
        net(feature_map())


def test_flatten_keeps_every_value_and_says_how_many_there_are():
    assert head(pool_type="Flatten", feat_dim=8 * D).eval()(feature_map()).shape == (4, 8 * D)
    with pytest.raises(ValueError, match=rf"FEAT_DIM is {D}, but .* Flatten leaves {8 * D} .*set FEAT_DIM {8 * D}"):
        head(pool_type="Flatten").eval()(feature_map())


def test_without_classes_it_embeds_and_refuses_to_train():
    net = head(num_classes=0)
    assert net.weight.shape == (0, D)
    assert net.eval()(feature_map()).shape == (4, D)
    with pytest.raises(ValueError, match="NUM_CLASSES is 0"):
        net.train()(feature_map(), TARGETS)


def test_training_without_targets_is_an_error():
    with pytest.raises(ValueError, match="needs targets, got None"):
        head().train()(feature_map())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"neck_feat": "behind"}, KeyError, "NECK_FEAT is 'behind'"),
        ({"pool_type": "GlobalAvgPol"}, KeyError, "Did you mean 'GlobalAvgPool'"),
        ({"cls_type": "Circle"}, KeyError, "no 'Circle'"),
        ({"norm_type": ""}, KeyError, "NORM is '', but WITH_BNNECK is True"),
        ({"num_classes": -1}, ValueError, "must be >= 0, got -1"),
    ],
)
def test_what_cannot_be_built_is_said(change, error, message):
    with pytest.raises(error, match=message):
        head(**change)


def test_random_start():
    net = head(num_classes=400, feat_dim=64, embedding_dim=32)
    assert net.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert net.bottleneck[0].weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.1)


def test_a_config_builds_it(cfg):
    cfg.MODEL.HEADS.EMBEDDING_DIM = 16
    cfg.MODEL.HEADS.CLS_LAYER = "CircleSoftmax"
    cfg.MODEL.HEADS.SCALE = 64
    cfg.MODEL.HEADS.MARGIN = 0.35
    net = build_heads(cfg)
    assert type(net) is EmbeddingHead
    assert net.weight.shape == (4, 16)
    assert (net.cls_layer.s, net.cls_layer.m) == (64, 0.35)
    assert net.bottleneck[0].in_channels == 512
    assert "EmbeddingHead" in REID_HEADS_REGISTRY


class TestOlderNames:
    def test_classifier_and_neck_are_renamed(self):
        net = head(embedding_dim=2)
        state = {f"heads.{key}": value for key, value in net.state_dict().items()}
        old = {
            key.replace("heads.weight", "heads.classifier.weight").replace("bottleneck.1.", "bnneck."): value
            for key, value in state.items()
        }
        assert set(old) != set(state)
        net.upgrade_state_dict(old, "heads.")
        assert set(old) == set(state)

    def test_newer_names_win(self):
        state = {"weight": torch.ones(1), "classifier.weight": torch.zeros(1)}
        head().upgrade_state_dict(state, "")
        assert state["weight"].item() == 1

    def test_only_its_own_head_is_renamed(self):
        state = {"b1_head.classifier.weight": torch.ones(1), "b2_head.classifier.weight": torch.ones(1)}
        head().upgrade_state_dict(state, "b1_head.")
        assert set(state) == {"b1_head.weight", "b2_head.classifier.weight"}

    def test_a_neck_that_this_head_has_not_stays_to_be_reported(self):
        state = {"bnneck.weight": torch.ones(D)}
        head(with_bnneck=False).upgrade_state_dict(state, "")
        assert set(state) == {"bnneck.weight"}

    def test_a_learned_exponent_is_left_out_and_said_where_the_exponent_is_fixed(self, caplog):
        state = {"heads.pool_layer.p": torch.tensor([5.5])}
        with caplog.at_level(logging.WARNING):
            head(pool_type="GeneralizedMeanPooling").upgrade_state_dict(state, "heads.")
        assert not state
        assert "heads.pool_layer.p = [5.5] of the weights is not used" in caplog.text

    @pytest.mark.parametrize("pool_type", ["GlobalAvgPool", "GeneralizedMeanPoolingP"])
    def test_elsewhere_an_exponent_stays(self, pool_type):
        state = {"heads.pool_layer.p": torch.tensor([5.5])}
        head(pool_type=pool_type).upgrade_state_dict(state, "heads.")
        assert set(state) == {"heads.pool_layer.p"}
