from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg, get_config_file
from fastreid.layers.fold_batch_norm import fold_batch_norms
from fastreid.modeling import build_backbone, build_model
from fastreid.modeling.losses import LOSS_REGISTRY, CrossEntropyLoss, cross_entropy_loss, triplet_loss
from fastreid.modeling.meta_arch import MGN
from fastreid.utils.events import EventStorage
from fastreid.utils.weights import load_weights

from ..reference import fill_by_name, model_input, relative_error
from . import narrow

NAMES = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")
TARGETS = torch.arange(8) // 2


def images(n=8, dtype=torch.uint8, height=96):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, height, 32), generator=generator, dtype=torch.uint8).to(dtype)


@pytest.fixture
def cfg(cfg):
    """MGN on a backbone that costs nothing."""
    cfg.MODEL.META_ARCHITECTURE = "MGN"
    cfg.MODEL.BACKBONE.NAME = "build_narrow_backbone"
    cfg.MODEL.BACKBONE.FEAT_DIM = 12
    cfg.MODEL.HEADS.EMBEDDING_DIM = 5
    cfg.MODEL.HEADS.POOL_LAYER = "GeneralizedMeanPoolingP"
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    return cfg


def filled(cfg):
    model = build_model(cfg)
    fill_by_name(model)
    return model


def published_recipe():
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/mgn_R50-ibn.yml"))
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.DEVICE = "cpu"
    return cfg


@pytest.mark.data
def test_names_and_shapes_are_those_of_the_older_library(published_shapes):
    cfg = published_recipe()
    cfg.MODEL.HEADS.NUM_CLASSES = 751
    with torch.device("meta"):
        model = build_model(cfg)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert len(shapes) == 728
    assert list(shapes.items()) == list(published_shapes["model/MGN/mgn_R50-ibn"].items())


@pytest.mark.data
def test_embeddings_are_those_of_the_older_library(reference_outputs):
    cfg = published_recipe()
    cfg.MODEL.HEADS.NUM_CLASSES = 16
    model = filled(cfg).eval()
    with torch.no_grad():
        assert relative_error(model(model_input(height=192)), reference_outputs["model_mgn_R50-ibn"]) <= 1e-4


@pytest.mark.parametrize("depth", ["18x", "34x", "50x", "101x"])
@pytest.mark.parametrize("ibn", [False, True])
def test_any_depth_of_resnet(cfg, depth, ibn):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.WITH_IBN, node.WITH_SE = "build_resnet_backbone", depth, ibn, ibn
    node.FEAT_DIM = 512 if depth in ("18x", "34x") else 2048
    with torch.device("meta"):
        model = build_model(cfg).eval()
    assert model(images().to("meta")).shape == (8, 40)


def test_trunk_and_first_branch_are_the_backbone(cfg, monkeypatch):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM = "build_resnet_backbone", 512
    backbone = build_backbone(cfg).double().eval()
    fill_by_name(backbone)
    monkeypatch.setattr("fastreid.modeling.meta_arch.mgn.build_backbone", lambda _: backbone)
    model = build_model(cfg).eval()
    x = torch.randn(2, 3, 96, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model.b1(model.backbone(x)), backbone(x))


def test_the_other_branches_start_as_copies_whose_last_stage_has_stride_1(cfg):
    cfg.MODEL.BACKBONE.LAST_STRIDE = 2
    model = build_model(cfg).eval()
    for branch in (model.b2, model.b3):
        for key, value in model.b1.state_dict().items():
            assert torch.equal(branch.state_dict()[key], value)
            assert branch.state_dict()[key].data_ptr() != value.data_ptr()
    shared = model.backbone(images(dtype=torch.float32))
    assert [tuple(branch(shared).shape[2:]) for branch in (model.b1, model.b2, model.b3)] == [(3, 1), (6, 2), (6, 2)]


@pytest.mark.parametrize("height", [96, 80, 128])  # maps of 6, 5 and 8 rows; the last stripe may be lower
def test_the_embedding_is_the_documented_concatenation(cfg, height):
    model = filled(cfg).double().eval()
    x = images(3, torch.float64, height)
    parts = []
    with torch.no_grad():
        for name in NAMES:
            branch = getattr(model, name[:2])
            rows = branch(model.backbone((x - model.pixel_mean) / model.pixel_std))
            if len(name) == 3:
                stripes, index = int(name[1]), int(name[2]) - 1
                each = -(-rows.shape[2] // stripes)
                rows = rows[:, :, index * each : (index + 1) * each]
            head = getattr(model, f"{name}_head")
            p = head.pool_layer.p
            pooled = rows.clamp(min=1e-6).pow(p).mean(dim=(2, 3), keepdim=True).pow(1 / p)
            parts.append(head.bottleneck(pooled)[:, :, 0, 0])
        torch.testing.assert_close(model(x), torch.cat(parts, dim=1), rtol=1e-10, atol=1e-10)


def test_the_losses_are_their_definition(cfg):
    cfg.MODEL.LOSSES.CE.EPSILON, cfg.MODEL.LOSSES.CE.SCALE = 0.1, 2.0
    cfg.MODEL.LOSSES.TRI.SCALE = 3.0
    model = filled(cfg).double().train()
    outputs = {
        name: {
            "cls_outputs": torch.randn(8, 4, dtype=torch.float64),
            "pred_class_logits": torch.randn(8, 4, dtype=torch.float64),
            "features": torch.randn(8, 12, dtype=torch.float64),
        }
        for name in NAMES
    }
    with EventStorage() as storage:
        losses = model.losses(outputs, TARGETS)
    expected = {}
    for name in NAMES:
        expected[f"loss_cls_{name}"] = 2.0 / 8 * cross_entropy_loss(outputs[name]["cls_outputs"], TARGETS, 0.1)
    joined = {name: [name] for name in ("b1", "b2", "b3")} | {"b22": ["b21", "b22"], "b33": ["b31", "b32", "b33"]}
    for place, names in joined.items():
        features = torch.cat([outputs[name]["features"] for name in names], dim=1)
        expected[f"loss_triplet_{place}"] = 3.0 / 5 * triplet_loss(features, TARGETS, 0.3, False, False)
    assert list(losses) == list(expected)
    torch.testing.assert_close(losses, expected)
    right = (outputs["b1"]["pred_class_logits"].argmax(dim=1) == TARGETS).double().mean()
    assert storage.latest()["cls_accuracy"][0] == pytest.approx(right.item())


def test_every_registered_loss_trains_every_weight(cfg):
    cfg.MODEL.LOSSES.NAME = tuple(sorted(LOSS_REGISTRY))
    model = filled(cfg).train()
    losses = model({"images": images(), "targets": TARGETS})
    of_features = {"loss_circle", "loss_cosface", "loss_triplet"}
    names = {key.rsplit("_", 1)[0] for key in losses}
    assert names >= of_features | {"loss_cls", "loss_focal"}
    for name in names:
        places = {"b1", "b2", "b3", "b22", "b33"} if name in of_features else set(NAMES)
        assert {key for key in losses if key.startswith(name)} == {f"{name}_{place}" for place in places}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, name


def test_a_loss_of_the_user_is_computed_for_each_head(cfg):
    class Both(nn.Module):
        def forward(self, outputs, targets):
            return {"loss_both": outputs["features"].mean() + outputs["cls_outputs"].mean()}

    parts = MGN.from_config(cfg) | {"criteria": {"Both": Both()}}
    outputs = {name: {key: torch.full((2, 3), 8.0) for key in ("features", "cls_outputs")} for name in NAMES}
    for output in outputs.values():
        output["pred_class_logits"] = output["cls_outputs"]
    losses = MGN(**parts).losses(outputs, torch.tensor([0, 1]))
    assert {key: value.item() for key, value in losses.items()} == {f"loss_both_{name}": 2.0 for name in NAMES}


def test_training_without_losses_or_targets_is_an_error(cfg):
    parts = MGN.from_config(cfg) | {"loss_kwargs": None}
    with pytest.raises(ValueError, match="built without losses; give MGN criteria"):
        MGN(**parts)({"images": images(), "targets": TARGETS})
    with pytest.raises(ValueError, match="needs a batch dict with 'targets'"):
        build_model(cfg)(images())
    parts["criteria"] = {"a": CrossEntropyLoss(), "b": CrossEntropyLoss()}
    with pytest.raises(ValueError, match="b returns 'loss_cls_b1', as another loss"):
        MGN(**parts)({"images": images(), "targets": TARGETS})


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"images": x}], ids=["tensor", "dict"])
def test_the_input_is_not_changed_and_mirror_images_may_be_averaged(cfg, wrap):
    model = filled(cfg).eval()
    x = images(dtype=torch.float32)
    before = x.clone()
    with torch.no_grad():
        both = model(wrap(x)) + model(wrap(x.flip(3)))
        assert torch.equal(x, before)
        torch.testing.assert_close(model(wrap(before.flip(3))) + model(wrap(before)), both)


@pytest.mark.parametrize(("height", "branch", "rows", "stripes"), [(16, "b2", 1, 2), (64, "b3", 4, 3)])
def test_a_map_that_is_too_low_is_an_error(cfg, height, branch, rows, stripes):
    said = f"map of branch {branch} is {rows} high, which does not give {stripes} stripes; make the images higher"
    with pytest.raises(ValueError, match=said):
        build_model(cfg).eval()(images(height=height))


def test_a_backbone_without_the_stages_is_an_error(cfg):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_osnet_backbone", "x0_25"
    cfg.MODEL.BACKBONE.FEAT_DIM = 128
    with pytest.raises(ValueError, match="build_osnet_backbone has no bn1, relu, layer1, layer2, layer3, layer4; use"):
        build_model(cfg)


@pytest.mark.parametrize(
    ("part", "layer", "said"),
    [
        ("bn2", nn.BatchNorm2d(12), r"build_narrow_backbone also has bn2; use build_resnet_backbone"),
        ("layer4", nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(10, 12, 1)), r"its AvgPool2d.*set .*LAST_STRIDE 1"),
    ],
)
def test_a_backbone_that_cannot_be_taken_apart_is_an_error(cfg, monkeypatch, part, layer, said):
    def changed(cfg):
        net = narrow.NarrowNet()
        setattr(net, part, layer)
        return net

    monkeypatch.setattr("fastreid.modeling.meta_arch.mgn.build_backbone", changed)
    with pytest.raises(ValueError, match=said):
        build_model(cfg)


def test_non_local_blocks_are_left_out_with_a_warning(cfg, caplog):
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.FEAT_DIM, node.WITH_NL = "build_resnet_backbone", "50x", 2048, True
    with torch.device("meta"), caplog.at_level(logging.WARNING):
        model = build_model(cfg)
    assert "WITH_NL has no effect: MGN leaves out the non-local blocks of its backbone (NL_2, NL_3)" in caplog.text
    assert not [key for key in model.state_dict() if "NL_" in key]


def test_a_wrong_feature_size_is_answered_with_the_right_one(cfg):
    cfg.MODEL.BACKBONE.FEAT_DIM = 2048
    with pytest.raises(ValueError, match=r"set MODEL\.BACKBONE\.FEAT_DIM 12"):
        build_model(cfg)


def test_without_classes_it_embeds(cfg):
    cfg.MODEL.HEADS.NUM_CLASSES = 0
    model = build_model(cfg)
    assert model.eval()(images()).shape == (8, 40)
    with pytest.raises(ValueError, match="NUM_CLASSES is 0"):
        model.train()({"images": images(), "targets": TARGETS})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_embed(cfg, dtype):
    model = filled(cfg).eval()
    with torch.no_grad():
        exact = model(images())
        half = model.to(dtype)(images())
    assert half.dtype == dtype
    assert torch.cosine_similarity(half.float(), exact).min() > 0.99


def test_the_evaluation_pass_is_one_graph_and_can_be_folded(cfg):
    model = filled(cfg).eval()
    x = images(dtype=torch.float32)
    with torch.no_grad():
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), model(x))
        folded, count = fold_batch_norms(model, x)
        assert count > 20
        torch.testing.assert_close(folded(x), model(x), rtol=1e-3, atol=1e-4)
        cfg.MODEL.CHANNELS_LAST = True
        torch.testing.assert_close(filled(cfg).eval()(x), model(x), rtol=1e-3, atol=1e-4)


def test_a_training_step_asks_for_no_value(cfg):
    cfg.MODEL.DEVICE = "meta"
    model = build_model(cfg).train()
    with EventStorage():
        losses = model({"images": images().to("meta"), "targets": TARGETS.to("meta")})
    sum(losses.values()).backward()
    assert model.backbone[0].weight.grad is not None


def test_weights_with_older_names_load_without_a_key_left_over(cfg, caplog):
    source = filled(cfg)
    state = {}
    for key, value in source.state_dict().items():
        key = key.replace("_head.weight", "_head.classifier.weight").replace("_head.bottleneck.1.", "_head.bnneck.")
        state[key] = value
    assert sum("bnneck" in key or "classifier" in key for key in state) == 8 * 6
    state["pixel_mean"] = source.pixel_mean
    state["pixel_std"] = torch.ones(1, 3, 1, 1)
    model = build_model(cfg)
    with caplog.at_level(logging.WARNING):
        load_weights(model, state, source="an old file")
    assert "MODEL.PIXEL_STD [1.0, 1.0, 1.0], but the config has" in caplog.text
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
