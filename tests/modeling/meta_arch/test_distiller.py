from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from fastreid.modeling import BACKBONE_REGISTRY, build_model
from fastreid.modeling.losses import js_divergence
from fastreid.modeling.meta_arch import Baseline, Distiller
from fastreid.utils.events import EventStorage
from fastreid.utils.weights import WeightsMismatch, load_weights


class Blocks(nn.Module):
    """A backbone that costs nothing, with a batch norm and a dropout."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, width, 8, stride=8), nn.BatchNorm2d(width), nn.Dropout(0.5))

    def forward(self, x):
        return self.net(x)


@pytest.fixture(autouse=True)
def _blocks(monkeypatch):
    monkeypatch.setitem(BACKBONE_REGISTRY._objects, "blocks", lambda cfg: Blocks(cfg.MODEL.BACKBONE.FEAT_DIM))


BATCH = {"images": torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8), "targets": torch.tensor([0, 0, 1, 3])}


@pytest.fixture
def student(cfg):
    cfg.MODEL.META_ARCHITECTURE = "Distiller"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM = "blocks", 6
    return cfg


@pytest.fixture
def teach(student, tmp_path):
    """Write a trained teacher, and name it in the student's config."""

    def write(width=8, classes=4, **options):
        cfg = student.clone()
        cfg.MODEL.META_ARCHITECTURE = "Baseline"
        cfg.MODEL.BACKBONE.FEAT_DIM, cfg.MODEL.HEADS.NUM_CLASSES = width, classes
        cfg.merge_from_list([part for pair in options.items() for part in pair])
        teacher = build_model(cfg)
        with torch.no_grad():
            for value in teacher.state_dict().values():
                value += torch.rand(value.shape).to(value.dtype)
        number = len(student.KD.MODEL_CONFIG)
        config, weights = tmp_path / f"{number}.yml", tmp_path / f"{number}.pth"
        cfg.MODEL.HEADS.NUM_CLASSES = 0  # as in a recipe
        config.write_text(cfg.dump())
        torch.save({"model": teacher.state_dict()}, weights)
        student.KD.MODEL_CONFIG += [str(config)]
        student.KD.MODEL_WEIGHTS += [str(weights)]
        return teacher.eval()

    return write


def logits_of(teacher):
    with torch.no_grad():
        return teacher.heads.class_logits(teacher.backbone(teacher.preprocess_image(BATCH)))


def student_logits(model):
    """What the student says in the next training step."""
    seen = []
    handle = model.heads.register_forward_hook(lambda _, __, out: seen.append(out["pred_class_logits"].detach()))
    losses = model(BATCH)
    handle.remove()
    return losses, seen[0]


def test_it_learns_from_every_teacher_as_it_answers_in_eval_mode(student, teach):
    teachers = [teach(8), teach(10)]
    student.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    model = build_model(student).train()
    with EventStorage() as storage:
        losses, own = student_logits(model)
    assert list(losses) == ["loss_cls", "loss_triplet", "loss_jsdiv"]
    assert "cls_accuracy" in storage.latest()
    expected = sum(js_divergence(own, logits_of(teacher)) for teacher in teachers) / 2
    torch.testing.assert_close(losses["loss_jsdiv"], expected)
    sum(losses.values()).backward()
    assert model.backbone.net[0].weight.grad is not None
    assert all(parameter.grad is None for one in model.model_ts for parameter in one.parameters())


def test_teachers_stand_still_whatever_the_student_does(student, teach):
    teach()
    model = build_model(student)
    before = copy.deepcopy(model.model_ts[0].state_dict())
    for mode in (True, False, True):
        model.train(mode)
        model(BATCH)
        assert not any(module.training for teacher in model.model_ts for module in teacher.modules())
    torch.testing.assert_close(model.model_ts[0].state_dict(), before, rtol=0, atol=0)


def test_teachers_are_no_part_of_the_student(student, teach):
    teach()
    student.KD.EMA.ENABLED = True
    model = build_model(student)
    model(BATCH)
    student.MODEL.META_ARCHITECTURE = "Baseline"
    plain = build_model(student)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert len(model.model_ts) == 2


@pytest.mark.parametrize("loaded", [False, True], ids=["before they are loaded", "after"])
def test_teachers_follow_to_another_dtype_and_device(student, teach, loaded):
    teach()
    student.KD.EMA.ENABLED = True
    model = build_model(student)
    assert not loaded or model.model_ts
    model.double()
    assert {parameter.dtype for teacher in model.model_ts for parameter in teacher.parameters()} == {torch.float64}
    assert model(BATCH)["loss_jsdiv"].dtype == torch.float64
    model.to("meta")
    assert all(value.is_meta for teacher in model.model_ts for value in teacher.state_dict().values())


def test_a_student_embeds_without_its_teachers(student):
    student.KD.MODEL_CONFIG, student.KD.MODEL_WEIGHTS = ["gone.yml"], ["gone.pth"]
    model = build_model(student).eval()
    assert model(BATCH["images"]).shape == (4, 6)
    with pytest.raises(FileNotFoundError, match=r"no config file 'gone\.yml'"):
        model.train()(BATCH)


def test_a_teacher_may_be_made_of_its_users_own_parts(student, teach, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(BACKBONE_REGISTRY, "_objects", dict(BACKBONE_REGISTRY._objects))
    own = tmp_path / "own_teacher_backbone.py"
    own.write_text(
        "from fastreid.modeling import BACKBONE_REGISTRY\n"
        "@BACKBONE_REGISTRY.register()\n"
        "def own_blocks(cfg):\n"
        "    return BACKBONE_REGISTRY.get('blocks')(cfg)\n"
    )
    teacher = teach()
    (tmp_path / "own.yml").write_text(
        "_BASE_: 0.yml\nCUSTOM_IMPORTS: ['own_teacher_backbone.py']\nMODEL: {BACKBONE: {NAME: own_blocks}}\n"
    )
    student.KD.MODEL_CONFIG = [str(tmp_path / "own.yml")]
    losses, own_logits = student_logits(build_model(student))
    torch.testing.assert_close(losses["loss_jsdiv"], js_divergence(own_logits, logits_of(teacher)))
    sys.modules.pop("own_teacher_backbone")


def test_weights_that_are_gone_are_named_with_what_to_do(student, teach):
    teach()
    student.KD.MODEL_WEIGHTS = ["gone.pth"]
    with pytest.raises(FileNotFoundError, match=r"KD\.MODEL_WEIGHTS: .*gone\.pth.*train this teacher first"):
        build_model(student)(BATCH)


def test_a_shipped_config_is_found_by_its_name(student):
    student.KD.MODEL_CONFIG, student.KD.MODEL_WEIGHTS = ["SynthReID/quickstart_R18.yml"], ["none.pth"]
    student.MODEL.DEVICE = "meta"
    assert build_model(student).model_ts[0].backbone.output_shape().channels == 512


def test_a_config_without_weights_is_an_error(student, teach):
    teach()
    student.KD.MODEL_WEIGHTS = []
    with pytest.raises(ValueError, match=r"KD\.MODEL_CONFIG names 1 teachers, but KD\.MODEL_WEIGHTS 0"):
        build_model(student)


def test_no_teacher_at_all_is_an_error_in_training(student):
    with pytest.raises(ValueError, match=r"without a teacher: name one in KD\.MODEL_CONFIG"):
        build_model(student)(BATCH)


def test_a_teacher_of_other_classes_is_an_error(student, teach, tmp_path):
    teach(classes=5)
    with pytest.raises(WeightsMismatch, match=r"cannot teach these classes: heads\.weight \(5, 8\)"):
        build_model(student)(BATCH)
    path = tmp_path / "0.yml"
    path.write_text(path.read_text().replace("NUM_CLASSES: 0", "NUM_CLASSES: 5"))
    with pytest.raises(ValueError, match="is 5, but the student has 4; train both on the same set"):
        build_model(student)(BATCH)


def test_a_head_that_cannot_teach_is_an_error(student):
    class Bare(nn.Module):
        def forward(self, features, targets=None):
            return features

    parts = {"backbone": Blocks(6), "heads": Bare(), "pixel_mean": [0, 0, 0], "pixel_std": [1, 1, 1]}
    with pytest.raises(TypeError, match=r"class_logits\(features\), which Bare has not"):
        Distiller(**parts, load_teachers=lambda _: [], ema_momentum=0.9)


def test_loading_teachers_leaves_the_random_stream_of_the_student(student, teach):
    teach()
    model = build_model(student)
    before = torch.get_rng_state()
    assert model.model_ts
    assert torch.equal(torch.get_rng_state(), before)


class TestMovingAverage:
    @pytest.fixture
    def model(self, student):
        student.KD.EMA.ENABLED, student.KD.EMA.MOMENTUM = True, 0.5
        return build_model(student)

    def test_it_starts_at_the_weights_of_the_first_step_and_comes_first(self, model, student, teach):
        teach()
        with torch.no_grad():
            model.heads.weight += 1  # weights that were loaded after the model was built
        model(BATCH)
        assert len(build_model(student).model_ts) == 2
        ema = model.model_ts[0]
        assert isinstance(ema, Baseline)
        torch.testing.assert_close(ema.state_dict(), model.state_dict(), rtol=0, atol=0)

    def test_it_moves_in_each_training_step_and_not_otherwise(self, model):
        model(BATCH)
        expected = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            model.heads.weight += 1
        losses, own = student_logits(model)
        for key, value in model.state_dict().items():  # after the student's forward pass, its statistics included
            expected[key] = (expected[key] + value) / 2 if value.is_floating_point() else value
        ema = model.model_ts[0]
        torch.testing.assert_close(ema.state_dict(), expected)
        torch.testing.assert_close(losses["loss_jsdiv"], js_divergence(own, logits_of(ema)))  # moved before it taught
        model.eval()(BATCH)
        torch.testing.assert_close(ema.state_dict(), expected)

    def test_a_copy_of_the_model_has_an_average_of_its_own(self, model):
        model(BATCH)
        twin = copy.deepcopy(model)
        assert twin.model_ts[0] is twin.ema.model is not model.ema.model
        twin(BATCH)
        assert not torch.equal(
            twin.ema.model.backbone.net[1].running_mean, model.ema.model.backbone.net[1].running_mean
        )


class TestFeatureLoss:
    @pytest.fixture
    def student(self, cfg):
        cfg.MODEL.META_ARCHITECTURE, cfg.KD.FEATURE_LOSS = "Distiller", "Overhaul"
        return cfg

    def test_the_stages_of_a_resnet_learn_from_those_of_another(self, student, teach):
        teach(512, **{"MODEL.BACKBONE.WITH_IBN": True})
        student.KD.EMA.ENABLED = True
        model = build_model(student)
        losses = model(BATCH)
        assert list(losses) == ["loss_cls", "loss_jsdiv", "loss_overhaul"]
        sum(losses.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None or not parameter.requires_grad, name
        assert {len(model.feature_loss.connectors_0), len(model.feature_loss.connectors_1)} == {4}
        assert (model.feature_loss.margin1_3 < 0).all()

    def test_weights_of_a_student_without_it_start_it_anew(self, student, teach):
        teach(512)
        model = build_model(student)
        connectors = copy.deepcopy(model.feature_loss.state_dict())
        bare = {key: value for key, value in model.state_dict().items() if not key.startswith("feature_loss.")}
        load_weights(model, bare, source="a Baseline")
        torch.testing.assert_close(model.feature_loss.state_dict(), connectors, rtol=0, atol=0)
        del bare["heads.weight"]
        bare["backbone.conv1.weight"] = torch.zeros(1)
        with pytest.raises(WeightsMismatch, match=r"backbone\.conv1\.weight"):
            load_weights(model, bare, source="another")

    def test_where_the_teachers_are_gone_a_baseline_takes_the_students_weights(self, student, teach, caplog):
        caplog.set_level("INFO")
        teach(512)
        model = build_model(student).eval()
        state = model.state_dict()
        student.KD.MODEL_CONFIG = ["gone.yml"]
        with pytest.raises(FileNotFoundError, match=r"KD\.MODEL_CONFIG: .*gone\.yml.*META_ARCHITECTURE Baseline"):
            build_model(student)
        student.MODEL.META_ARCHITECTURE = "Baseline"
        alone = build_model(student).eval()
        load_weights(alone, state, source="the student")
        assert torch.equal(alone(BATCH), model(BATCH))
        assert "Left out, since it only serves training: feature_loss." in caplog.text
        old = {key.removeprefix("feature_loss."): value for key, value in state.items()}  # v1.3's names
        load_weights(alone, old, source="the student")
        old["margins"] = torch.zeros(1)
        with pytest.raises(WeightsMismatch, match="1 in the weights but not in the model: margins"):
            load_weights(alone, old, source="the student")


def test_a_training_step_asks_for_no_value(cfg, student):
    student.MODEL.DEVICE = "meta"
    student.KD.EMA.ENABLED = True
    student.KD.MODEL_CONFIG, student.KD.MODEL_WEIGHTS = ["SynthReID/quickstart_R18.yml"], ["none.pth"]
    model = build_model(student)
    for _ in range(2):
        losses = model({key: value.to("meta") for key, value in BATCH.items()})
    sum(losses.values()).backward()
    assert model.heads.weight.grad is not None
