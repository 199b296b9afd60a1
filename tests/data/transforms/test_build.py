from __future__ import annotations

import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from fastreid.config import get_cfg
from fastreid.data.transforms import TRANSFORM_REGISTRY, OnPil, Pipeline, build_transforms
from fastreid.utils.env import random_stream

CAMERA = ("OCCLUSION", "GRAYSCALE", "LOCAL_GRAYSCALE", "BLUR", "JPEG")
SWITCHES = ("AUTOAUG", "CROP", "PADDING", "FLIP", "CJ", "AFFINE", "AUGMIX", *CAMERA, "REA", "RPT")


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
    """What the stages do, without what decides whether they do it."""
    found = []
    for stage in pipeline.transforms:
        stage = stage.transforms[0] if hasattr(stage, "transforms") else stage
        stage = stage.transform if isinstance(stage, OnPil) else stage
        found.append(stage.func.__name__ if isinstance(stage, partial) else type(stage).__name__)
    return found


def knowing(pipeline, path):
    """The pipeline of the first of a hundred images of two identities, which are all the same file."""
    return pipeline.bind([str(path)] * 100, [number % 2 for number in range(100)]).at(0)


def all_on(cfg):
    for switch in SWITCHES:
        cfg.INPUT[switch].ENABLED = True
    cfg.INPUT.AUTOAUG.PROB = cfg.INPUT.AUGMIX.PROB = 0.5
    return cfg


@pytest.fixture
def mine(monkeypatch):
    """Two stages of a user's own, registered for the time of a test."""
    monkeypatch.setattr(TRANSFORM_REGISTRY, "_objects", dict(TRANSFORM_REGISTRY._objects))

    @TRANSFORM_REGISTRY.register()
    def invert(cfg):
        return lambda image: 255 - image

    @TRANSFORM_REGISTRY.register()
    def posterize(cfg):
        return OnPil(partial(ImageOps.posterize, bits=2))


def test_every_stage_has_its_place():
    order = get_cfg().INPUT.TRANSFORMS
    assert set(TRANSFORM_REGISTRY) == {*order.TRAIN, *order.TEST}


def test_defaults_only_resize(cfg):
    assert names(build_transforms(cfg)) == names(build_transforms(cfg, is_train=False)) == ["resize"]


def test_order_is_the_configs(cfg, image):
    cfg.INPUT.PADDING.ENABLED = cfg.INPUT.FLIP.ENABLED = True
    cfg.INPUT.TRANSFORMS.TRAIN = ("horizontal_flip", "resize_train", "pad_and_crop")
    assert names(build_transforms(cfg)) == ["RandomHorizontalFlip", "resize", "PadAndCrop"]
    cfg.INPUT.TRANSFORMS.TEST = ["resize_test"]
    assert names(build_transforms(cfg, is_train=False)) == ["resize"]


def test_stages_of_ones_own(cfg, image, mine):
    plain = build_transforms(cfg)(image)
    cfg.merge_from_list(["INPUT.TRANSFORMS.TRAIN", "('resize_train', 'posterize', 'invert')"])
    assert torch.equal(build_transforms(cfg)(image), 255 - (plain & 0b11000000))


def test_unknown_stage_is_an_error_with_the_nearest(cfg):
    cfg.INPUT.TRANSFORMS.TRAIN = ("resize_train", "horizontal_flop")
    with pytest.raises(KeyError, match=r"no 'horizontal_flop'\. Did you mean 'horizontal_flip'"):
        build_transforms(cfg)


@pytest.mark.parametrize("is_train", [True, False])
def test_stage_that_is_on_and_has_no_place_is_an_error(cfg, is_train):
    phase, stage = ("TRAIN", "random_resized_crop") if is_train else ("TEST", "center_crop")
    order = tuple(name for name in cfg.INPUT.TRANSFORMS[phase] if name != stage)
    cfg.INPUT.TRANSFORMS[phase] = order
    build_transforms(cfg, is_train)  # it is off
    cfg.INPUT.CROP.ENABLED = True
    with pytest.raises(ValueError, match=rf"INPUT turns '{stage}' on, but INPUT.TRANSFORMS.{phase} .* no place for it"):
        build_transforms(cfg, is_train)


def test_pipeline_takes_what_images_come_as(cfg, image):
    pipeline, array = build_transforms(cfg), np.asarray(image)
    wanted = pipeline(image)
    assert torch.equal(pipeline(array), wanted)
    assert torch.equal(pipeline(torch.from_numpy(array.copy()).permute(2, 0, 1)), wanted)
    grey = image.convert("L")
    assert torch.equal(pipeline(grey), pipeline(grey.convert("RGB")))


def test_pipeline_survives_the_way_to_a_worker(cfg, image, tmp_path):
    image.save(tmp_path / "donor.png")
    pipeline = knowing(build_transforms(all_on(cfg)), tmp_path / "donor.png")
    copied = pickle.loads(pickle.dumps(pipeline))
    outputs = []
    for each in (pipeline, copied):
        with random_stream(0, 0):
            outputs.append(each(image))
    assert torch.equal(*outputs)


def test_order_of_training(cfg):
    assert names(build_transforms(all_on(cfg))) == [
        "AutoAugment",
        "resize",
        "_crop_and_resize",
        "PadAndCrop",
        "RandomHorizontalFlip",
        "ColorJitter",
        "RandomAffine",
        "AugMix",
        "PatchOcclusion",
        "RandomGrayscale",
        "LocalGrayscale",
        "RandomBlur",
        "RandomJpeg",
        "RandomErasing",
        "RandomPatch",
    ]


def test_order_of_testing(cfg):
    assert names(build_transforms(all_on(cfg), is_train=False)) == ["resize", "CenterCrop"]


@pytest.mark.parametrize("switch", [None, *SWITCHES])
def test_every_stage_gives_uint8_and_is_a_function_of_the_stream(cfg, image, switch, tmp_path):
    if switch:
        cfg.INPUT[switch].ENABLED = True
        if "PROB" in cfg.INPUT[switch]:
            cfg.INPUT[switch].PROB = 1.0
    image.save(tmp_path / "donor.png")
    pipeline = knowing(build_transforms(cfg), tmp_path / "donor.png")
    before = np.asarray(image).copy()
    outputs = []
    for seed, position in ((1, 5), (1, 6), (1, 5)):
        random.random(), np.random.rand(), torch.rand(1)  # what came before does not matter
        with random_stream(seed, position):
            outputs.append(pipeline(image))
    height, width = cfg.INPUT.CROP.SIZE if switch == "CROP" else cfg.INPUT.SIZE_TRAIN
    assert {(tuple(output.shape), output.dtype) for output in outputs} == {((3, height, width), torch.uint8)}
    assert all(output.is_contiguous() for output in outputs)
    assert torch.equal(outputs[0], outputs[2])
    np.testing.assert_array_equal(np.asarray(image), before)


@pytest.mark.parametrize("switch", [switch for switch in SWITCHES if switch != "CROP"])
def test_every_stage_changes_something(cfg, image, switch, tmp_path):
    plain = build_transforms(cfg)(image)
    cfg.INPUT[switch].ENABLED = True
    if "PROB" in cfg.INPUT[switch]:
        cfg.INPUT[switch].PROB = 1.0
    Image.new("RGB", (20, 50)).save(tmp_path / "donor.png")
    pipeline = knowing(build_transforms(cfg), tmp_path / "donor.png")
    changed = []
    for position in range(8):
        with random_stream(0, position):
            changed.append(not torch.equal(pipeline(image), plain))
    assert any(changed)


@pytest.mark.parametrize(
    ("switch", "key"),
    [(switch, "PROB") for switch in ("FLIP", "CJ", "AUTOAUG", "AUGMIX", *CAMERA, "REA", "RPT")],
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

    plain = Pipeline([Knows(), OnPil(ImageOps.invert)])
    bound = plain.bind(["a.jpg"])
    assert isinstance(bound, Pipeline)
    assert bound.transforms[0].paths == ["a.jpg"]
    assert bound.transforms[1] is plain.transforms[1]
    assert plain.transforms[0].paths == ()


def test_stage_that_must_know_who_is_on_the_images_gets_pids_and_place():
    class Knows:
        pids, place = (), None

        def bind(self, img_paths, pids):
            bound = Knows()
            bound.pids = pids
            return bound

        def at(self, place):
            placed = Knows()
            placed.pids, placed.place = self.pids, place
            return placed

    plain = Pipeline([Knows(), OnPil(ImageOps.invert)])
    assert plain.bind(["a.jpg", "b.jpg"]).transforms[0].pids == ()  # nobody said who is on them
    bound = plain.bind(["a.jpg", "b.jpg"], [7, 8])
    placed = bound.at(1)
    assert (placed.transforms[0].pids, placed.transforms[0].place) == ([7, 8], 1)
    assert bound.transforms[0].place is None
    others = Pipeline([OnPil(ImageOps.invert)])
    assert others.at(1) is others


@pytest.mark.parametrize("switch", ["AUTOAUG", "FLIP", "CJ", "AUGMIX", *CAMERA, "REA", "RPT"])
def test_switch_that_changes_nothing_is_a_warning(cfg, switch, caplog):
    cfg.INPUT[switch].PROB = 0.0
    build_transforms(cfg)
    assert not caplog.messages
    cfg.INPUT[switch].ENABLED = True
    build_transforms(cfg)
    assert caplog.messages == [f"INPUT.{switch} is ENABLED, but changes no image: its PROB is 0; raise it"]


def test_stage_that_wants_a_pil_image_is_told_how_to_get_one():
    with pytest.raises(AttributeError) as error:
        Pipeline([lambda image: image.rotate(3)])(Image.new("RGB", (4, 8)))
    assert (
        "of INPUT.TRANSFORMS gets a uint8 tensor (3, H, W); if it takes a PIL image, register OnPil"
        in error.value.__notes__[0]
    )


@pytest.mark.parametrize("switch", SWITCHES)
def test_no_stage_writes_into_its_argument(cfg, switch, tmp_path):
    cfg.INPUT.SIZE_TRAIN = [0]
    cfg.INPUT.CROP.ENABLED = switch in ("CROP", "PADDING")  # padding needs a size to cut
    cfg.INPUT[switch].ENABLED = True
    if "PROB" in cfg.INPUT[switch]:
        cfg.INPUT[switch].PROB = 1.0
    Image.new("RGB", (20, 50)).save(tmp_path / "donor.png")
    tensor = torch.randint(0, 256, (3, 50, 20), dtype=torch.uint8)
    before = tensor.clone()
    pipeline = knowing(build_transforms(cfg), tmp_path / "donor.png")
    for position in range(8):
        with random_stream(0, position):
            assert pipeline(tensor).dtype == torch.uint8
    assert torch.equal(tensor, before)
