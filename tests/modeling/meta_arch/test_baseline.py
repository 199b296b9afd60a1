from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg, get_config_file
from fastreid.modeling import build_heads, build_model
from fastreid.modeling.losses import CrossEntropyLoss, TripletLoss
from fastreid.modeling.meta_arch import Baseline
from fastreid.utils.events import EventStorage
from fastreid.utils.weights import load_weights

from ..reference import fill_by_name, model_input, relative_error


class Blocks(nn.Module):
    """A backbone that costs nothing: the mean of each 8 x 8 block of pixels, times a weight per channel."""

    def __init__(self, channels=6):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)

    def forward(self, x):
        return self.conv(x)


def recipe(name):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file(name))
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def tiny(cfg, **arguments):
    """Return a Baseline of a config on the backbone that costs nothing."""
    cfg.MODEL.BACKBONE.FEAT_DIM = 6
    parts = {"backbone": Blocks(), "heads": build_heads(cfg), "pixel_mean": [1, 2, 3], "pixel_std": [4, 5, 6]}
    return Baseline(**parts, **arguments)


def images(n=4, dtype=torch.uint8):
    return torch.randint(0, 256, (n, 3, 32, 16), dtype=torch.uint8).to(dtype)


LOSS_KWARGS = {
    "loss_names": ("CrossEntropyLoss", "TripletLoss"),
    "ce": {"eps": 0.1, "alpha": 0.2, "scale": 1.0},
    "tri": {"margin": 0.3, "norm_feat": False, "hard_mining": True, "scale": 1.0},
}
BATCH = {"images": images(), "targets": torch.tensor([0, 0, 1, 1])}


@pytest.mark.data
@pytest.mark.parametrize("name", ["bagtricks_R50", "sbs_R101-ibn", "sbs_S50"])
def test_names_and_shapes_of_whole_models(published_shapes, name):
    cfg = recipe(f"Market1501/{name}.yml")
    cfg.MODEL.HEADS.NUM_CLASSES = 751
    with torch.device("meta"):
        model = build_model(cfg)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == published_shapes[
        f"model/Baseline/{name}"
    ]


@pytest.mark.data
def test_embeddings_are_those_of_the_older_library(reference_outputs):
    cfg = recipe("Market1501/bagtricks_R50-ibn.yml")
    cfg.MODEL.HEADS.NUM_CLASSES = 16
    model = build_model(cfg).eval()
    fill_by_name(model)
    with torch.no_grad():
        assert relative_error(model(model_input()), reference_outputs["model_bot_R50-ibn"]) <= 1e-4


def test_a_config_trains_every_weight(cfg):
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    model = build_model(cfg).train()
    with EventStorage() as storage:
        losses = model({"images": images(4), "targets": torch.tensor([0, 0, 1, 1])})
    assert list(losses) == ["loss_cls", "loss_triplet"]
    assert "cls_accuracy" in storage.latest()
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["heads.bottleneck.0.bias"]


def test_training_outside_an_event_storage_works(cfg):
    losses = tiny(cfg, loss_kwargs=LOSS_KWARGS)(BATCH)
    assert set(losses) == {"loss_cls", "loss_triplet"}


def test_built_losses_are_the_same_as_their_arguments(cfg):
    by_arguments = tiny(cfg, loss_kwargs=LOSS_KWARGS)
    built = copy.deepcopy(by_arguments)
    built.criteria = nn.ModuleDict(
        {"CrossEntropyLoss": CrossEntropyLoss(eps=0.1), "TripletLoss": TripletLoss(hard_mining=True)}
    )
    torch.testing.assert_close(by_arguments(BATCH), built(BATCH))
    explicit = tiny(cfg, criteria={"TripletLoss": TripletLoss()})
    assert set(explicit(BATCH)) == {"loss_triplet"}
    assert not [key for key in explicit.state_dict() if key.startswith("criteria")]


def test_a_subclass_may_change_the_arguments_of_the_losses(cfg):
    class Sharper(Baseline):
        @classmethod
        def from_config(cls, cfg):
            parts = super().from_config(cfg)
            parts["loss_kwargs"]["ce"].update(scale=7.0)
            return parts

    assert Sharper(cfg).criteria["CrossEntropyLoss"].scale == 7.0


def test_two_losses_of_one_name_are_an_error(cfg):
    model = tiny(cfg, criteria={"a": TripletLoss(), "b": TripletLoss()})
    with pytest.raises(ValueError, match="b returns 'loss_triplet', as another loss"):
        model(BATCH)


def test_training_without_losses_or_targets_is_an_error(cfg):
    model = tiny(cfg)
    with pytest.raises(ValueError, match="built without losses"):
        model(BATCH)
    for batch in (BATCH["images"], {"images": BATCH["images"]}):
        with pytest.raises(ValueError, match="needs a batch dict with 'targets'"):
            model(batch)


def test_preprocessing_is_the_formula(cfg):
    model = tiny(cfg)
    x = images()
    expected = torch.empty(x.shape)
    for c, (mean, std) in enumerate(zip((1, 2, 3), (4, 5, 6))):
        expected[:, c] = (x[:, c].float() - mean) / std
    torch.testing.assert_close(model.preprocess_image(x), expected)
    torch.testing.assert_close(model.preprocess_image({"images": x}), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"images": x}], ids=["tensor", "dict"])
def test_the_input_is_not_changed(cfg, dtype, wrap):
    model = tiny(cfg).eval()
    x = images(dtype=dtype)
    before = x.clone()
    first = model(wrap(x))
    assert torch.equal(x, before)
    assert first.dtype == torch.float32
    torch.testing.assert_close(model(wrap(x)), first)


@pytest.mark.parametrize(
    ("wrong", "said"), [(None, "got NoneType"), ([1, 2], "got list"), ({"images": [1, 2]}, "got under 'images' list")]
)
def test_no_images_is_an_error(cfg, wrong, said):
    with pytest.raises(TypeError, match=said):
        tiny(cfg).eval()(wrong)


@pytest.mark.parametrize("shape", [(3, 32, 16), (2, 1, 32, 16), (2, 32, 16, 3)])
def test_images_of_another_shape_are_an_error(cfg, shape):
    with pytest.raises(ValueError, match=r"images must be \(N, 3, H, W\), got"):
        tiny(cfg).eval()(torch.zeros(shape))


def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(cfg):
    cfg.MODEL.BACKBONE.WITH_IBN = True
    cfg.MODEL.HEADS.POOL_LAYER = "GeneralizedMeanPoolingP"
    model = build_model(cfg).eval()
    fill_by_name(model)
    x = images(4, torch.float32)
    with torch.no_grad():
        together = model(x)
        alone = torch.cat([model(image[None]) for image in x])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pool", ["GlobalAvgPool", "GeneralizedMeanPoolingP"])
def test_half_precision_models_embed(cfg, dtype, pool):
    cfg.MODEL.HEADS.POOL_LAYER = pool
    cfg.MODEL.BACKBONE.WITH_IBN = True
    model = build_model(cfg).eval()
    fill_by_name(model)
    x = images(2)
    with torch.no_grad():
        exact = model(x)
        half = model.to(dtype)
        out = half(x)
    assert out.dtype == dtype
    assert half.pixel_mean.dtype == dtype
    assert torch.cosine_similarity(out.float(), exact).min() > 0.99
    assert half(x.float()).dtype == dtype  # as a client sends it


def test_without_classes_it_embeds(cfg):
    cfg.MODEL.HEADS.NUM_CLASSES = 0
    model = build_model(cfg)
    assert model.eval()(images(2)).shape == (2, 512)
    with pytest.raises(ValueError, match="NUM_CLASSES is 0"):
        model.train()(BATCH)


def test_a_wrong_feature_size_is_answered_with_the_right_one(cfg):
    cfg.MODEL.BACKBONE.FEAT_DIM = 2048
    with pytest.raises(ValueError, match=r"FEAT_DIM is 2048.*has 512 channels; set MODEL\.BACKBONE\.FEAT_DIM 512"):
        build_model(cfg)


def test_pixel_statistics_are_not_weights_but_follow_the_model(cfg):
    model = build_model(cfg)
    assert not [key for key in model.state_dict() if "pixel" in key]
    assert model.device == torch.device("cpu")
    assert model.double().pixel_std.dtype == torch.float64
    assert model.pixel_mean.flatten().tolist() == pytest.approx(cfg.MODEL.PIXEL_MEAN)


@pytest.mark.parametrize("how", ["config", "context"])
def test_a_model_without_memory(cfg, how):
    if how == "config":
        cfg.MODEL.DEVICE = "meta"
        model = build_model(cfg)
    else:
        with torch.device("meta"):
            model = build_model(cfg)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert model.eval()(torch.empty(2, 3, 64, 32, device="meta")).shape == (2, 512)


def test_an_unknown_meta_architecture_is_answered_with_the_nearest(cfg):
    cfg.MODEL.META_ARCHITECTURE = "Baselin"
    with pytest.raises(KeyError, match="Did you mean 'Baseline'"):
        build_model(cfg)


def test_the_evaluation_pass_is_one_graph(cfg):
    cfg.MODEL.HEADS.POOL_LAYER = "GeneralizedMeanPoolingP"
    model = build_model(cfg).eval()
    x = images(2, torch.float32)
    with torch.no_grad():
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), model(x))


class TestOlderWeights:
    def old_state(self, model, **pixels):
        """Return the model's weights under the names of the published v0.1.1 files."""
        state = {}
        for key, value in model.state_dict().items():
            if key.endswith("num_batches_tracked") and not key.startswith("heads."):
                continue
            key = key.replace("heads.weight", "heads.classifier.weight").replace("heads.bottleneck.0.", "heads.bnneck.")
            state[key] = value.clone()
        shape = model.pixel_mean.shape
        return state | {name: torch.tensor(values).view(shape) for name, values in pixels.items()}

    def test_they_load_without_a_key_left_over(self, cfg, caplog):
        source = tiny(cfg)
        fill_by_name(source)
        state = self.old_state(source, pixel_mean=[1.0, 2.0, 3.0], pixel_std=[4.0, 5.0, 6.0])
        model = tiny(cfg)
        with caplog.at_level(logging.WARNING):
            load_weights(model, state, source="an old file")
        assert "pixel" not in caplog.text.lower()
        for key, value in source.state_dict().items():
            assert torch.equal(model.state_dict()[key], value), key

    def test_other_pixel_statistics_are_said(self, cfg, caplog):
        model = tiny(cfg)
        state = self.old_state(model, pixel_mean=[0.5, 2.0, 3.0])
        with caplog.at_level(logging.WARNING):
            load_weights(model, state, source="an old file")
        assert "MODEL.PIXEL_MEAN [0.5, 2.0, 3.0], but the config has [1.0, 2.0, 3.0]" in caplog.text

    def test_another_number_of_classes_loads_all_but_the_classifier(self, cfg):
        source = tiny(cfg)
        fill_by_name(source)
        cfg.MODEL.HEADS.NUM_CLASSES = 0
        model = tiny(cfg)
        report = load_weights(model, source.state_dict(), source="another run")
        assert not report.misfits()
        x = images()
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(x), source.eval()(x))


@pytest.mark.parametrize("cls_layer", ["Linear", "CircleSoftmax"])
def test_mixed_precision_training_is_close_to_full(cfg, cls_layer):
    cfg.MODEL.HEADS.CLS_LAYER = cls_layer
    cfg.MODEL.HEADS.POOL_LAYER = "GeneralizedMeanPoolingP"
    cfg.MODEL.HEADS.SCALE = 1 if cls_layer == "Linear" else 64
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    model = build_model(cfg).train()
    batch = {"images": images(8), "targets": torch.arange(8) // 2}
    full = model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(batch)
    assert all(loss.dtype == torch.float32 for loss in mixed.values())
    assert mixed["loss_cls"].item() == pytest.approx(full["loss_cls"].item(), rel=0.1)
    sum(mixed.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
