"""Networks of timm as backbones: what timm itself computes, and what a user is told."""

from __future__ import annotations

import logging
import sys

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.engine import DefaultTrainer
from fastreid.engine.checkpoint_state import checkpoint_meta
from fastreid.modeling import build_backbone, build_model
from fastreid.modeling.backbones import FeatureShape
from fastreid.modeling.backbones.build import LayeredBackbone
from fastreid.modeling.backbones.timm_network import layers_of
from fastreid.solver import build_optimizer
from fastreid.utils.weights import WeightsMismatch, load_weights

from ...engine.tiny import tiny_cfg, write_market

timm = pytest.importorskip("timm", reason="needs the extra timm")
from fastreid.modeling.backbones.timm_backbone import TimmBackbone  # noqa: E402

_WINDOWS = {"embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 4)}
_TOKENS = {"embed_dim": 48, "depth": 2, "num_heads": 3}
# family -> network, arguments that make it small, size of the images
FAMILIES = {
    "ConvNeXt": ("test_convnext", {}, (64, 32)),
    "Swin": ("swin_tiny_patch4_window7_224", _WINDOWS, (64, 32)),
    "EVA": ("eva02_tiny_patch14_224", _TOKENS, (56, 28)),
    "DINOv2": ("vit_small_patch14_reg4_dinov2", _TOKENS, (56, 28)),
    "DINOv3": ("vit_small_patch16_dinov3", _TOKENS, (64, 32)),
    "EfficientNetV2": ("tf_efficientnetv2_b0", {}, (64, 32)),
    "MobileNetV4": ("mobilenetv4_conv_small_035", {}, (64, 32)),
    "RegNet": ("regnetx_002", {}, (64, 32)),
    "MambaOut": ("test_mambaout", {}, (64, 32)),
}


def images(height=64, width=32, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def config(depth, *options):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_timm_backbone"])
    cfg.merge_from_list(["MODEL.BACKBONE.DEPTH", depth, "INPUT.SIZE_TRAIN", [64, 32], "INPUT.SIZE_TEST", [64, 32]])
    cfg.merge_from_list(list(options))
    return cfg


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- training ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("datasets"), identities=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_and_evaluates(family, market, tmp_path):
    name, arguments, size = FAMILIES[family]
    cfg = tiny_cfg(market, tmp_path, "INPUT.SIZE_TRAIN", size, "INPUT.SIZE_TEST", size, "MODEL.PIXEL_MEAN", [])
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.BACKBONE.DEPTH", name])
    cfg.merge_from_list(["MODEL.BACKBONE.TIMM_ARGS", arguments, "SOLVER.MAX_EPOCH", 1, "TEST.EVAL_PERIOD", 1])
    with torch.device("meta"):
        cfg.MODEL.BACKBONE.FEAT_DIM = build_backbone(cfg).output_shape().channels
    trainer = DefaultTrainer(cfg)
    before = {key: value.detach().clone() for key, value in trainer.model.backbone.named_parameters()}
    trainer.train()
    after = dict(trainer.model.backbone.named_parameters())
    assert [key for key, value in before.items() if value.requires_grad and torch.equal(value, after[key])] == []
    assert 0 <= trainer._last_eval_results["mAP"] <= 100


# -- what it computes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet", (64, 32)), ("test_efficientnet", (64, 64)), ("test_vit", (160, 160)), ("regnetx_002", (64, 32))],
)
def test_pooled_and_classified_it_is_timms_network(name, size):
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=5).eval()
    net = TimmBackbone(name, image_size=size, last_stride=2).eval()
    load_weights(net, whole.state_dict(), source="timm")
    with torch.no_grad():
        torch.testing.assert_close(whole.get_classifier()(net(images(*size)).mean((2, 3))), whole(images(*size)))


@pytest.mark.parametrize("name", ["test_convnext", "test_mambaout", "inception_next_atto"])
def test_so_is_one_with_a_norm_behind_the_pooling_where_the_map_has_one_position(name):
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=5).eval()
    net = TimmBackbone(name, image_size=(32, 32), last_stride=2).eval()
    load_weights(net, whole.state_dict(), source="timm")
    with torch.no_grad():
        embedding = net(images(32, 32)).flatten(1)
        assert embedding.shape == (2, net.output_shape().channels)
        if name == "inception_next_atto":  # its norm comes behind another layer, and goes with it
            embedding = whole.head.norm(whole.head.act(whole.head.fc1(embedding)))
            expected = whole.head.fc2(embedding)
        else:
            expected = whole.head.fc(whole.head.pre_logits(embedding))
        torch.testing.assert_close(expected, whole(images(32, 32)))


def test_class_token_and_map_are_those_of_the_network():
    torch.manual_seed(0)
    kinds = ("class", "map", "auto")
    nets = {kind: TimmBackbone("test_vit", image_size=(64, 32), output=kind).eval() for kind in kinds}
    for net in nets.values():
        net.load_state_dict(nets["map"].state_dict())
    with torch.no_grad():
        tokens = nets["map"].net.forward_features(images())  # (2, 1 + 4 * 2, 64), normed
        assert torch.equal(nets["class"](images())[:, :, 0, 0], tokens[:, 0])
        assert torch.equal(nets["auto"](images()), nets["class"](images()))
        found = nets["map"](images())
        for row in range(4):
            for column in range(2):
                assert torch.equal(found[:, :, row, column], tokens[:, 1 + row * 2 + column])
    assert nets["class"].output_shape() == FeatureShape(64, None)
    assert nets["map"].output_shape() == FeatureShape(64, 16)


def test_registers_are_no_patches_and_the_map_is_normed_by_the_norm_behind_the_pooling():
    net = TimmBackbone("test_vit2", image_size=(64, 32)).eval()  # averages its patches
    nn.init.normal_(net.net.fc_norm.weight)
    with torch.no_grad():
        tokens = net.net.fc_norm(net.net.forward_features(images()))
        torch.testing.assert_close(net(images()).mean((2, 3)), tokens[:, 1:].mean(1))
    name, arguments, size = FAMILIES["DINOv2"]
    net = TimmBackbone(name, image_size=size, output="map", arguments=arguments).eval()
    assert net(images(*size)).shape == (2, 48, 4, 2)
    assert net.net.num_prefix_tokens == 5


@pytest.mark.parametrize("family", ["Swin", "DINOv3", "ConvNeXt", "MobileNetV4"])
def test_images_of_another_size(family):
    name, arguments, _ = FAMILIES[family]
    net = TimmBackbone(name, image_size=(64, 32), output="map", arguments=arguments).eval()
    stride = net.output_shape().stride
    assert net(images(128, 96)).shape[2:] == (128 // stride, 96 // stride)


def test_stride_is_that_of_the_steps_where_the_borders_are_cut_off():
    with torch.device("meta"):
        net = TimmBackbone("inception_v3", image_size=(256, 128), last_stride=2)
        assert net(torch.empty(1, 3, 256, 128)).shape == (1, 2048, 6, 2)
    assert net.output_shape() == FeatureShape(2048, 32)


def test_what_is_behind_the_map_is_taken_out():
    whole = timm.create_model("mobilenetv4_conv_small_035", num_classes=0)
    net = TimmBackbone("mobilenetv4_conv_small_035", image_size=(64, 32))
    own = {f"net.{key}" for key, _ in whole.named_parameters() if not key.startswith(("conv_head.", "norm_head."))}
    assert {key for key, _ in net.named_parameters()} == own
    net(images()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


# -- the last stride -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "mobilenetv4_conv_small_035", "fastvit_t8"])
def test_a_last_stride_of_one_doubles_the_map_and_keeps_the_weights(name, caplog):
    with torch.device("meta"):
        one, two = (TimmBackbone(name, image_size=(64, 32), last_stride=stride) for stride in (1, 2))
    assert (one.output_shape().stride, two.output_shape().stride) == (16, 32)
    assert one(images().to("meta")).shape[2:] == (4, 2)
    shapes = [{key: value.shape for key, value in net.state_dict().items()} for net in (one, two)]
    assert shapes[0] == shapes[1]
    assert said(caplog) == []


def test_a_last_stride_that_stays_is_said(caplog):
    with torch.device("meta"):
        name, arguments, size = FAMILIES["Swin"]
        TimmBackbone(name, image_size=size, arguments=arguments)
        TimmBackbone("test_vit", image_size=size)  # it has no last stage
    assert said(caplog) == [
        f"MODEL.BACKBONE.LAST_STRIDE 1 has no effect: the stride of timm's {name} is 32, whatever it says"
    ]


# -- pixels --------------------------------------------------------------------------------------------


def test_pixel_statistics_left_to_the_backbone_are_timms_and_travel(caplog):
    stated = timm.get_pretrained_cfg("vit_base_patch16_clip_224")
    cfg = config("vit_base_patch16_clip_224", "MODEL.BACKBONE.TIMM_ARGS", {"embed_dim": 48, "depth": 1, "num_heads": 3})
    cfg.merge_from_list(["MODEL.PIXEL_MEAN", [], "MODEL.PIXEL_STD", [], "MODEL.BACKBONE.FEAT_DIM", 48])
    model = build_model(cfg)
    expected = {"pixel_mean": [255 * x for x in stated.mean], "pixel_std": [255 * x for x in stated.std]}
    meta = checkpoint_meta(cfg, model, [])["preprocessing"]
    for key, values in expected.items():
        assert getattr(model, key).flatten().tolist() == pytest.approx(values, abs=1e-3)
        assert meta[key] == pytest.approx(values, abs=1e-3)
    cfg.MODEL.PIXEL_STD = [1.0, 2.0, 3.0]
    assert build_model(cfg).pixel_std.flatten().tolist() == [1, 2, 3]
    assert said(caplog) == []  # no published weights, so no numbers are wrong


def test_a_backbone_without_pixel_statistics_needs_numbers():
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.PIXEL_STD", []])
    with torch.device("meta"), pytest.raises(ValueError, match=r"PIXEL_STD is \[\], the backbone's own, but build_res"):
        build_model(cfg)


# -- weights -------------------------------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch):
    """What timm would download, by name."""
    files = {}

    def load(where, **_):
        return dict(files[where])  # a KeyError otherwise, as a network that is not there

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", load)
    return files


def test_pretrained_weights_are_timms_download(published, caplog):
    torch.manual_seed(0)
    whole = timm.create_model("test_vit")
    published["timm/test_vit.r160_in1k"] = whole.state_dict()
    net = build_backbone(config("test_vit", "MODEL.BACKBONE.PRETRAIN", True))
    for key, value in net.net.state_dict().items():
        if key != "pos_embed":
            assert torch.equal(value, whole.state_dict()[key])
    resized = timm.layers.resample_abs_pos_embed(whole.pos_embed, new_size=[4, 2])
    torch.testing.assert_close(net.net.pos_embed.detach(), resized.detach())
    cfg = config("test_vit", "MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.FEAT_DIM", 64)
    cfg.MODEL.PIXEL_MEAN = [1.0, 2.0, 3.0]
    caplog.clear()
    build_model(cfg)
    assert any(line.startswith("MODEL.PIXEL_MEAN is [1.0, 2.0, 3.0], but published weights") for line in said(caplog))


def test_weights_that_cannot_be_had_are_said(published):
    with pytest.raises(RuntimeError, match=r"timm cannot get its weights of test_resnet.*PRETRAIN_PATH"):
        build_backbone(config("test_resnet", "MODEL.BACKBONE.PRETRAIN", True))
    with pytest.raises(KeyError, match=r"timm has no weights of vit_small_patch16_18x2_224.*PRETRAIN_PATH"):
        build_backbone(config("vit_small_patch16_18x2_224", "MODEL.BACKBONE.PRETRAIN", True))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_of_timm_is_read(tmp_path, suffix):
    torch.manual_seed(0)
    whole = timm.create_model("test_vit")  # with a classifier, for images of 160 x 160 pixels
    path = str(tmp_path / f"weights.{suffix}")
    if suffix == "pth":
        torch.save(whole.state_dict(), path)
    else:
        pytest.importorskip("safetensors.torch").save_file(whole.state_dict(), path)
    net = build_backbone(config("test_vit", "MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", path))
    assert torch.equal(net.net.blocks[0].attn.qkv.weight, whole.blocks[0].attn.qkv.weight)
    resized = timm.layers.resample_abs_pos_embed(whole.pos_embed, new_size=[4, 2])
    torch.testing.assert_close(net.net.pos_embed.detach(), resized.detach())


def test_ones_own_weights_fit_another_size_of_images():
    small = TimmBackbone("test_vit", image_size=(64, 32))
    large = TimmBackbone("test_vit", image_size=(96, 32))
    load_weights(large, small.state_dict(), source="small")
    resized = timm.layers.resample_abs_pos_embed(small.net.pos_embed, new_size=[6, 2], old_size=[4, 2])
    assert torch.equal(large.net.cls_token, small.net.cls_token)
    assert torch.equal(large.net.pos_embed, resized)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_mambaout"])
def test_weights_of_another_network_are_refused(name, tmp_path):
    torch.save(timm.create_model("test_byobnet").state_dict(), tmp_path / "weights.pth")
    cfg = config(name, "MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "weights.pth"))
    with pytest.raises(WeightsMismatch, match=r"weights"):
        build_backbone(cfg)


# -- what a user is told -------------------------------------------------------------------------------


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"pip install 'fastreid\[timm\]'"):
        build_backbone(config("test_resnet"))


@pytest.mark.parametrize(
    ("depth", "options", "error", "message"),
    [
        ("convnext_tinny", (), KeyError, r"'convnext_tinny', but timm .* has no such .*near ones: .*convnext_tiny"),
        ("50x", (), KeyError, r"'50x', but timm"),
        ("test_resnet.in22k", (), KeyError, r"knows no weights 'in22k' of test_resnet; it knows test_resnet.r160_in1k"),
        ("test_resnet", ("OUTPUT", "class"), ValueError, "test_resnet has no class token; take map"),
        ("test_resnet", ("OUTPUT", "tokens"), ValueError, "OUTPUT must be one of auto, class, map for timm, got 'tok"),
        ("test_resnet", ("LAST_STRIDE", 4), ValueError, "LAST_STRIDE must be 1 or 2, got 4"),
        ("test_resnet", ("TIMM_ARGS", {"widht": 3}), ValueError, r"TIMM_ARGS \{'widht': 3\}.*unexpected.*'widht'"),
        ("test_resnet", ("TIMM_ARGS", {"in_chans": 1}), ValueError, "TIMM_ARGS has 'in_chans', but the library gives"),
        ("eva02_tiny_patch14_224", (), ValueError, r"64 x 32 pixels .*patches are 14 x 14 .*SIZE_TEST to \[56, 28\]"),
        ("crossvit_9_240", (), ValueError, "crossvit_9_240 makes no feature map of images of 64 x 32 pixels"),
    ],
)
def test_errors_name_the_key_the_value_and_the_remedy(depth, options, error, message):
    keys = [f"MODEL.BACKBONE.{options[0]}", options[1]] if options else []
    with torch.device("meta"), pytest.raises(error, match=message):
        build_backbone(config(depth, *keys))


def test_a_size_for_testing_that_does_not_fit_is_found_when_the_model_is_built():
    with torch.device("meta"), pytest.raises(ValueError, match=r"images of 96 x 32 pixels .*SIZE_TEST"):
        build_backbone(config("test_vit_relpos", "INPUT.SIZE_TEST", [96, 32]))


def test_rates_go_where_they_are_taken_and_are_said_elsewhere(caplog):
    rates = [f"MODEL.BACKBONE.{key}" for key in ("DROP_PATH_RATIO", "DROP_RATIO", "ATT_DROP_RATE")]
    options = [part for rate, value in zip(rates, (0.3, 0.2, 0.25)) for part in (rate, value)]
    with torch.device("meta"):
        vit = build_backbone(config("test_vit", *options)).net
        assert (vit.blocks[-1].drop_path1.drop_prob, vit.blocks[0].attn.proj_drop.p) == (pytest.approx(0.3), 0.2)
        assert vit.blocks[0].attn.attn_drop.p == 0.25
        assert said(caplog) == []
        build_backbone(config("test_resnet"))
        assert said(caplog) == []  # nobody asked for anything
        build_backbone(config("vgg11", *options))
    refused = [line.split(" has no effect")[0] for line in said(caplog) if "does not take it" in line]
    assert refused == rates


def test_parts_of_other_backbones_are_not_read(caplog):
    options = [f"MODEL.BACKBONE.{key}" for key in ("WITH_IBN", "WITH_SIE", "CONV_STEM")]
    with torch.device("meta"):
        build_backbone(
            config("test_resnet", *(part for key in options for part in (key, True)), "MODEL.BACKBONE.NORM", "GN")
        )
    reasons = ["build_timm_backbone does not read it"] * 3 + ["a network of timm has its own norms"]
    lines = [f"{key} has no effect: {why}" for key, why in zip([*options, "MODEL.BACKBONE.NORM GN"], reasons)]
    assert said(caplog) == lines


def test_arguments_of_the_user_go_before_the_librarys():
    net = TimmBackbone("test_resnet", image_size=(64, 32), arguments={"output_stride": 8})
    assert net.output_shape().stride == 8


# -- layers --------------------------------------------------------------------------------------------


def test_layers_of_a_transformer():
    net = TimmBackbone("test_vit", image_size=(64, 32))
    blocks = len(net.net.blocks)
    assert net.num_layers == blocks + 1
    assert net.layer_of("net.patch_embed.proj.weight") == net.layer_of("net.cls_token") == 0
    assert [net.layer_of(f"net.blocks.{i}.mlp.fc1.bias") for i in range(blocks)] == list(range(1, blocks + 1))
    assert net.layer_of("net.norm.weight") == net.num_layers
    with pytest.raises(KeyError):
        net.layer_of("net.head.weight")


def test_learning_rates_decay_towards_the_stem():
    cfg = config("test_vit", "SOLVER.LAYER_DECAY", 0.5, "SOLVER.BASE_LR", 1.0, "MODEL.BACKBONE.FEAT_DIM", 64)
    model = build_model(cfg)
    rates = {
        id(parameter): group["lr"]
        for group in build_optimizer(cfg, model)[0].param_groups
        for parameter in group["params"]
    }
    assert isinstance(model.backbone, LayeredBackbone)
    count = model.backbone.num_layers
    for name, parameter in model.backbone.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.5 ** (count - model.backbone.layer_of(name)))
    assert rates[id(model.backbone.net.norm.weight)] == 1
    assert rates[id(model.backbone.net.cls_token)] == 0.5**count


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_a_layer(family):
    name, arguments, size = FAMILIES[family]
    with torch.device("meta"):
        net = TimmBackbone(name, image_size=size, arguments=arguments)
    layers = [net.layer_of(key) for key, _ in net.named_parameters()]
    assert set(range(net.num_layers)) <= set(layers) <= set(range(net.num_layers + 1))


def test_a_network_that_timm_does_not_group_has_its_modules_for_layers():
    with torch.device("meta"):
        net = timm.create_model("poolformer_s12", num_classes=0)
    layers = layers_of(net)
    assert not hasattr(net, "group_matcher")
    assert layers["stem.conv.weight"] == 0
    assert [layers[f"stages.{i}.blocks.0.norm1.weight"] for i in range(4)] == [1, 2, 3, 4]
