from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.transforms import TEST_STAGES, TRAIN_STAGES, TRANSFORM_REGISTRY, Pipeline, ToTensor, build_transforms
from fastreid.utils.env import random_stream

SWITCHES = ("AUTOAUG", "CROP", "PADDING", "FLIP", "CJ", "AFFINE", "AUGMIX", "REA", "RPT")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = [32, 16]
    cfg.INPUT.CROP.SIZE = [24, 12]
    return cfg


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 20, 3), dtype=np.uint8))


def names(pipeline):
    inner = [stage.transforms[0] if hasattr(stage, "transforms") else stage for stage in pipeline.transforms]
    return [type(stage).__name__ for stage in inner]


def all_on(cfg):
    for switch in SWITCHES:
        cfg.INPUT[switch].ENABLED = True
    cfg.INPUT.AUTOAUG.PROB = cfg.INPUT.AUGMIX.PROB = 0.5
    return cfg


def test_every_stage_has_its_place():
    assert set(TRANSFORM_REGISTRY) == {*TRAIN_STAGES, *TEST_STAGES}


def test_defaults_only_resize(cfg):
    assert names(build_transforms(cfg)) == names(build_transforms(cfg, is_train=False)) == ["Resize", "ToTensor"]


def test_order_of_training(cfg):
    assert names(build_transforms(all_on(cfg))) == [
        "AutoAugment",
        "Resize",
        "RandomResizedCrop",
        "RandomCrop",
        "RandomHorizontalFlip",
        "ColorJitter",
        "RandomAffine",
        "AugMix",
        "ToTensor",
        "RandomErasing",
        "RandomPatch",
    ]


def test_order_of_testing(cfg):
    assert names(build_transforms(all_on(cfg), is_train=False)) == ["Resize", "CenterCrop", "ToTensor"]


@pytest.mark.parametrize("switch", [None, *SWITCHES])
def test_every_stage_gives_uint8_and_is_a_function_of_the_stream(cfg, image, switch, tmp_path):
    if switch:
        cfg.INPUT[switch].ENABLED = True
        if "PROB" in cfg.INPUT[switch]:
            cfg.INPUT[switch].PROB = 1.0
    image.save(tmp_path / "donor.png")
    pipeline = build_transforms(cfg).bind([str(tmp_path / "donor.png")] * 100)
    before = np.asarray(image).copy()
    outputs = []
    for seed, position in ((1, 5), (1, 6), (1, 5)):
        random.random(), np.random.rand(), torch.rand(1)  # what came before does not matter
        with random_stream(seed, position):
            outputs.append(pipeline(image))
    height, width = cfg.INPUT.CROP.SIZE if switch == "CROP" else cfg.INPUT.SIZE_TRAIN
    assert {(tuple(output.shape), output.dtype) for output in outputs} == {((3, height, width), torch.uint8)}
    assert torch.equal(outputs[0], outputs[2])
    np.testing.assert_array_equal(np.asarray(image), before)


@pytest.mark.parametrize("switch", [switch for switch in SWITCHES if switch != "CROP"])
def test_every_stage_changes_something(cfg, image, switch, tmp_path):
    plain = build_transforms(cfg)(image)
    cfg.INPUT[switch].ENABLED = True
    if "PROB" in cfg.INPUT[switch]:
        cfg.INPUT[switch].PROB = 1.0
    Image.new("RGB", (20, 50)).save(tmp_path / "donor.png")
    pipeline = build_transforms(cfg).bind([str(tmp_path / "donor.png")] * 100)
    changed = []
    for position in range(8):
        with random_stream(0, position):
            changed.append(not torch.equal(pipeline(image), plain))
    assert any(changed)


@pytest.mark.parametrize(
    ("switch", "key"),
    [("FLIP", "PROB"), ("CJ", "PROB"), ("AUTOAUG", "PROB"), ("AUGMIX", "PROB"), ("REA", "PROB"), ("RPT", "PROB")],
)
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_probability_is_checked(cfg, switch, key, value):
    cfg.INPUT[switch].ENABLED = True
    cfg.INPUT[switch][key] = value
    with pytest.raises(ValueError, match=rf"INPUT.{switch}.{key} must be a probability in \[0, 1\], got {value}"):
        build_transforms(cfg)


def test_bind_gives_a_copy_that_knows_the_images():
    class Knows:
        paths = ()

        def bind(self, img_paths):
            bound = Knows()
            bound.paths = img_paths
            return bound

    plain = Pipeline([Knows(), ToTensor()])
    bound = plain.bind(["a.jpg"])
    assert isinstance(bound, Pipeline)
    assert bound.transforms[0].paths == ["a.jpg"]
    assert bound.transforms[1] is plain.transforms[1]
    assert plain.transforms[0].paths == ()
