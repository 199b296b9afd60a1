"""Schemes tell each other, and models of this library, apart."""

from __future__ import annotations

import inspect

import pytest
import torch
from torchvision import models

from fastreid.config import get_cfg
from fastreid.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, build_model
from fastreid.modeling.foreign import FOREIGN_WEIGHTS_REGISTRY, ForeignWeights, Translation, recognise
from fastreid.utils.weights import load_weights

from .networks import CLIPReID, CLIPTower, SOLIDERReID, SOLIDERSwin, TransReID, TransReIDJigsaw, ViT, model_for


def below(prefix, net):
    return {prefix + key for key in net.state_dict()}


FOREIGN = {
    "TransReID": [below("", TransReID()), below("", TransReIDJigsaw(cameras=2)), below("", TransReID(reduced=4))],
    "CLIPReID": [below("", CLIPReID()), below("", CLIPReID(cameras=2))],
    "CLIP": [below("visual.", CLIPTower()) | {"text_projection", "positional_embedding"}, below("", CLIPTower())],
    "BackboneAlone": [below("backbone.", ViT()), below("backbone.", models.resnet18())],
    "SOLIDER": [
        below("", SOLIDERReID()),
        below("", SOLIDERSwin()),
        below("backbone.", SOLIDERSwin()),
        below("backbone.", SOLIDERSwin()) | {"head.mlp.0.weight", "head.last_layer.weight_g"},
    ],
    "DINO": [
        below("backbone.", ViT()) | {"head.mlp.0.weight", "head.last_layer.weight_g"},
        below("backbone.", models.resnet18()) | {"head.mlp.0.weight"},
        below("", ViT()) | {"masked_embed"},
    ],
    "TorchvisionViT": [below("", models.VisionTransformer(32, 16, 1, 1, 8, 8))],
    "TorchvisionSwin": [below("", models.SwinTransformer([4, 4], 8, [2], [1], [2, 2]))],
}
_CASES = [(name, keys) for name, cases in FOREIGN.items() for keys in cases]


def test_every_scheme_has_a_case():
    assert set(FOREIGN) == set(FOREIGN_WEIGHTS_REGISTRY)


@pytest.mark.parametrize(("name", "keys"), _CASES, ids=[name for name, _ in _CASES])
def test_exactly_one_scheme_recognises_it(name, keys):
    schemes = [FOREIGN_WEIGHTS_REGISTRY.get(other)() for other in FOREIGN_WEIGHTS_REGISTRY]
    assert [type(scheme).__name__ for scheme in schemes if scheme.recognises(keys)] == [name]
    assert recognise(keys).whose


@pytest.mark.parametrize("keys", [below("", ViT()), below("", models.resnet18()), {"fc.weight"}, set()])
def test_bare_networks_of_our_names_are_nobodys(keys):
    assert recognise(keys) is None


def keys_of(name, architecture):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.META_ARCHITECTURE = name, architecture
    cfg.MODEL.HEADS.NUM_CLASSES = 2
    module = inspect.getmodule(BACKBONE_REGISTRY.get(name))
    tables = [getattr(module, table) for table in ("LAYOUTS", "WIDTHS", "SCALES") if hasattr(module, table)]
    for depth in list(tables[0]) if tables else []:
        cfg.MODEL.BACKBONE.DEPTH = depth
        with torch.device("meta"):
            try:
                yield set(build_model(cfg).state_dict())
            except ValueError as error:  # it has the right number
                if "set MODEL.BACKBONE.FEAT_DIM" not in str(error):
                    continue  # this architecture takes no such backbone
                cfg.MODEL.BACKBONE.FEAT_DIM = int(str(error).rsplit(" ", 1)[1])
                yield set(build_model(cfg).state_dict())


_OURS = sorted(name for name in BACKBONE_REGISTRY if BACKBONE_REGISTRY.get(name).__module__.startswith("fastreid."))


@pytest.mark.parametrize("name", _OURS)
def test_models_of_this_library_are_nobodys(name):
    found = list(keys_of(name, "Baseline"))
    assert found or name == "build_timm_backbone"
    for keys in found:
        assert recognise(keys) is None
        assert recognise({key.removeprefix("backbone.") for key in keys}) is None  # and their backbones


@pytest.mark.parametrize("architecture", ["MGN", "MoCo"])
def test_other_architectures_are_nobodys(architecture):
    assert architecture in META_ARCH_REGISTRY
    found = list(keys_of("build_resnet_backbone", architecture))
    assert found
    assert all(recognise(keys) is None for keys in found)


@pytest.fixture
def own_scheme(monkeypatch):
    """A scheme of a user, as ``CUSTOM_IMPORTS`` would bring it."""

    class Mine(ForeignWeights):
        whose = "mine"

        def recognises(self, keys):
            return "trunk.cls_token" in keys

        def translate(self, state_dict):
            return Translation(backbone={key.removeprefix("trunk."): value for key, value in state_dict.items()})

    monkeypatch.setattr(FOREIGN_WEIGHTS_REGISTRY, "_objects", FOREIGN_WEIGHTS_REGISTRY._objects | {"Mine": Mine})
    return Mine


def test_a_scheme_of_ones_own(cfg, own_scheme):
    net = ViT()
    model = model_for(cfg)
    load_weights(model, {f"trunk.{key}": value for key, value in net.state_dict().items()}, source="a file")
    assert torch.equal(model.backbone.cls_token, net.cls_token)


def test_two_schemes_for_one_state_dict_are_an_error(own_scheme):
    keys = {"trunk.cls_token"} | below("", TransReID())
    with pytest.raises(RuntimeError, match="Mine, TransReID of FOREIGN_WEIGHTS all recognise"):
        recognise(keys)
