"""What the description of transformers and of the timm bridge promises, tested through the public API alone."""

from __future__ import annotations

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.weights import WeightsMismatch, load_weights


def vit_cfg(*extra, cameras=(), size=(64, 32), classes=4):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_vit_backbone"
    cfg.MODEL.BACKBONE.DEPTH = "deit_tiny"
    cfg.MODEL.BACKBONE.FEAT_DIM = 192
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.POOL_LAYER = "Identity"
    cfg.MODEL.HEADS.NUM_CLASSES = classes
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    cfg.INPUT.SIZE_TRAIN = list(size)
    cfg.INPUT.SIZE_TEST = list(size)
    if cameras:
        cfg.MODEL.BACKBONE.WITH_SIE = True
        cfg.MODEL.BACKBONE.SIE_CAMERAS = tuple(cameras)
        cfg.MODEL.BACKBONE.SIE_COE = 3.0
    cfg.merge_from_list(list(extra))
    return cfg


def build(cfg, seed=0):
    torch.manual_seed(seed)
    return build_model(cfg)


def batch(camids, size=(64, 32), names=None):
    torch.manual_seed(1)
    n = len(camids)
    out = {
        "images": torch.randint(0, 256, (1, 3, *size)).float().expand(n, -1, -1, -1).clone(),
        "targets": torch.arange(n) // 2 % 4,
        "camids": torch.as_tensor(camids),
        "img_paths": [f"{i}.jpg" for i in range(n)],
    }
    if names is not None:
        out["camera_names"] = names
    return out


def test_a_vit_trains_a_step_and_every_parameter_gets_a_gradient():
    model = build(vit_cfg("MODEL.BACKBONE.DROP_PATH_RATIO", 0.0)).train()
    sum(model(batch([0] * 8)).values()).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_overlapping_patches_count_as_many_as_the_paper_says():
    model = build(vit_cfg("MODEL.BACKBONE.STRIDE_SIZE", (12, 12), size=(256, 128)))
    assert model.backbone.pos_embed.shape[1] == 1 + 21 * 10


def test_drop_path_is_random_in_training_and_off_in_evaluation():
    model = build(vit_cfg("MODEL.BACKBONE.DROP_PATH_RATIO", 0.5))
    images = torch.rand(4, 3, 64, 32) * 255
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(images), model(images))
        backbone = model.backbone.train()
        assert not torch.equal(backbone(images), backbone(images))


@pytest.mark.parametrize(
    "output, head, pool",
    [
        ("map", "EmbeddingHead", "GeneralizedMeanPooling"),
        ("class", "EmbeddingHead", "Identity"),
        ("tokens", "JigsawPatchHead", "Identity"),
    ],
)
def test_embeddings_do_not_depend_on_the_batch(output, head, pool):
    extra = ("MODEL.BACKBONE.OUTPUT", output, "MODEL.HEADS.NAME", head, "MODEL.HEADS.POOL_LAYER", pool)
    cfg = vit_cfg(*extra, cameras=("a_0", "a_1"))
    model = build(cfg).eval()
    images = torch.rand(5, 3, 64, 32) * 255
    with torch.no_grad():
        whole = model(images)
        parts = torch.cat([model(images[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)


def test_a_model_of_zero_classes_embeds_like_the_one_with_classes():
    for head, output in [("EmbeddingHead", "class"), ("JigsawPatchHead", "tokens")]:
        extra = ("MODEL.HEADS.NAME", head, "MODEL.BACKBONE.OUTPUT", output)
        with_classes = build(vit_cfg(*extra)).eval()
        without = build(vit_cfg(*extra, classes=0)).eval()
        load_weights(without, with_classes.state_dict(), source="the other model")
        images = torch.rand(2, 3, 64, 32) * 255
        with torch.no_grad():
            torch.testing.assert_close(without(images), with_classes(images))


def test_half_precision_embeds_nearly_the_same():
    cfg = vit_cfg("MODEL.HEADS.NAME", "JigsawPatchHead", "MODEL.BACKBONE.OUTPUT", "tokens", cameras=("a_0", "a_1"))
    model = build(cfg).eval()
    images = torch.rand(2, 3, 64, 32) * 255
    with torch.no_grad():
        full = model(images)
        half = model.bfloat16()(images.bfloat16()).float()
    assert torch.nn.functional.cosine_similarity(full, half).min() > 0.98


def test_layer_decay_multiplies_the_rate_of_each_block():
    factors = ("SOLVER.BIAS_LR_FACTOR", 1.0, "SOLVER.HEADS_LR_FACTOR", 1.0)
    cfg = vit_cfg("SOLVER.LAYER_DECAY", 0.5, "SOLVER.BASE_LR", 1.0, *factors)
    model = build(cfg)
    opt, _ = build_optimizer(cfg, model)
    names = {id(p): n for n, p in model.named_parameters()}
    rate = {names[id(p)]: g["lr"] for g in opt.param_groups for p in g["params"]}
    assert rate["backbone.blocks.11.mlp.fc1.weight"] / rate["backbone.blocks.10.mlp.fc1.weight"] == pytest.approx(2)
    assert rate["backbone.blocks.0.mlp.fc1.weight"] / rate["backbone.pos_embed"] == pytest.approx(2)
    assert rate["heads.weight"] == pytest.approx(1.0)
    assert set(rate) == {n for n, p in model.named_parameters() if p.requires_grad}


def test_layer_decay_of_a_backbone_without_an_order_is_an_error():
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.BACKBONE.NAME = "build_osnet_backbone"
    cfg.MODEL.BACKBONE.DEPTH = "x0_25"
    cfg.MODEL.BACKBONE.FEAT_DIM = 128
    cfg.MODEL.HEADS.NUM_CLASSES = 2
    cfg.SOLVER.LAYER_DECAY = 0.5
    with pytest.raises(ValueError, match="LAYER_DECAY"):
        build_optimizer(cfg, build_model(cfg))


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5])
def test_layer_decay_out_of_range_is_an_error(value):
    cfg = vit_cfg("SOLVER.LAYER_DECAY", value)
    with pytest.raises(ValueError, match="LAYER_DECAY"):
        build_optimizer(cfg, build(cfg))


@pytest.mark.parametrize(
    "key, value",
    [
        ("MODEL.BACKBONE.DEPTH", "huge"),
        ("MODEL.BACKBONE.OUTPUT", "everything"),
        ("MODEL.BACKBONE.STRIDE_SIZE", (0, 0)),
        ("INPUT.SIZE_TRAIN", []),
        ("MODEL.BACKBONE.DROP_PATH_RATIO", 1.5),
        ("MODEL.BACKBONE.DROP_RATIO", -0.1),
        ("MODEL.BACKBONE.ATT_DROP_RATE", 2.0),
        ("MODEL.BACKBONE.SIE_HIDE_RATE", 1.5),
        ("INPUT.SIZE_TRAIN", [8, 8]),
        ("MODEL.BACKBONE.FEAT_DIM", 191),
    ],
)
def test_a_wrong_option_names_its_key(key, value):
    cfg = vit_cfg(key, value, cameras=("a_0", "a_1") if "SIE" in key else ())
    with pytest.raises((ValueError, KeyError), match=key.split(".")[-1]):
        build(cfg)


def test_odd_sizes_of_images_embed():
    model = build(vit_cfg()).eval()
    with torch.no_grad():
        for size in [(64, 32), (65, 33), (70, 47), (128, 64), (16, 16)]:
            assert model(torch.rand(1, 3, *size) * 255).shape == (1, 192)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_jigsaw_head_embeds_whole_and_parts(parts):
    extra = ("MODEL.HEADS.NAME", "JigsawPatchHead", "MODEL.BACKBONE.OUTPUT", "tokens")
    cfg = vit_cfg(*extra, "MODEL.HEADS.JIGSAW.PARTS", parts)
    model = build(cfg)
    with torch.no_grad():
        assert model.eval()(torch.rand(2, 3, 64, 32)).shape == (2, (1 + parts) * 192)
    losses = model.train()(batch([0] * 8))
    assert losses and all(torch.isfinite(v) for v in losses.values())


def test_a_single_patch_is_shuffled_too():
    extra = ("MODEL.HEADS.NAME", "JigsawPatchHead", "MODEL.BACKBONE.OUTPUT", "tokens", "MODEL.HEADS.JIGSAW.PARTS", 1)
    model = build(vit_cfg(*extra, size=(16, 16)))
    with torch.no_grad():
        assert model.eval()(torch.rand(2, 3, 16, 16)).shape == (2, 2 * 192)


def test_tokens_are_not_pooled_by_a_head_that_does_not_know_them():
    cfg = vit_cfg("MODEL.BACKBONE.OUTPUT", "tokens", "MODEL.HEADS.POOL_LAYER", "GlobalAvgPool")
    with pytest.raises(ValueError, match=r"OUTPUT is 'tokens', which are for JigsawPatchHead, but .* EmbeddingHead"):
        build(cfg)


def test_side_information_without_cameras_cannot_be_trained():
    model = build(vit_cfg("MODEL.BACKBONE.WITH_SIE", True)).train()
    known = {**batch([0] * 8), "cameras": torch.zeros(8, dtype=torch.int64)}
    with pytest.raises(ValueError, match="SIE_CAMERAS named no cameras"):
        model(known)
    with torch.no_grad():
        assert model.eval()(known).shape == (8, 192)


def test_weights_with_other_cameras_say_which_names_are_missing(caplog):
    six = build(vit_cfg(cameras=[f"a_{number}" for number in range(6)])).state_dict()
    with pytest.raises(WeightsMismatch, match=r"backbone\.sie_embed"):
        load_weights(build(vit_cfg("MODEL.BACKBONE.WITH_SIE", True)), six, source="six.pth")
    assert "has 7 cameras, or one less" in caplog.text and "SIE_CAMERAS names 0" in caplog.text


def test_a_student_and_its_average_know_the_cameras():
    extra = ("MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True, "MODEL.BACKBONE.SIE_HIDE_RATE", 0.0)
    model = build(vit_cfg(*extra, "MODEL.BACKBONE.DROP_PATH_RATIO", 0.0, cameras=("a_0", "a_1"))).train()
    seen = []
    for backbone in (model.backbone, model.ema.model.backbone):
        backbone.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["cameras"]), with_kwargs=True)
    cameras = torch.tensor([0, 1] * 4)
    losses = model({**batch([0] * 8), "cameras": cameras})
    assert len(seen) == 2 and all(torch.equal(one, cameras) for one in seen)
    assert torch.isfinite(sum(losses.values()))


@pytest.mark.parametrize(
    "name, size",
    [
        ("convnext_atto", (64, 32)),
        ("swin_tiny_patch4_window7_224", (64, 32)),
        ("vit_tiny_patch16_224", (64, 32)),
        ("tf_efficientnetv2_b0", (64, 32)),
        ("mobilenetv4_conv_small", (64, 32)),
        ("resnet10t", (64, 32)),
        ("eva02_tiny_patch14_224", (56, 28)),
        ("vit_small_patch14_dinov2", (56, 28)),
    ],
)
def test_a_timm_model_trains_and_embeds(name, size):
    pytest.importorskip("timm")
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_timm_backbone"
    cfg.MODEL.BACKBONE.DEPTH = name
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    cfg.MODEL.HEADS.POOL_LAYER = "GlobalAvgPool"
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = list(size)
    with pytest.raises(ValueError, match="FEAT_DIM") as error:
        cfg.MODEL.BACKBONE.FEAT_DIM = 1
        build(cfg)
    numbers = [int(s) for s in "".join(c if c.isdigit() else " " for c in str(error.value)).split()]
    for width in sorted(set(numbers) - {1}):
        cfg.MODEL.BACKBONE.FEAT_DIM = width
        try:
            model = build(cfg)
            break
        except ValueError:
            continue
    else:
        pytest.fail(f"the error names no width that works: {error.value}")
    sum(model.train()(batch([0] * 8, size)).values()).backward()
    with torch.no_grad():
        assert model.eval()(torch.rand(2, 3, *size) * 255).shape == (2, width)
