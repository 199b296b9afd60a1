from __future__ import annotations

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.modeling.backbones import vision_transformer
from fastreid.modeling.backbones.vit_parts import Block, ViTLayout
from fastreid.modeling.heads import EmbeddingHead, JigsawPatchHead
from fastreid.modeling.heads.jigsaw_patch_head import jigsaw
from fastreid.utils.weights import load_weights

D, C = 24, 3
TINY = ViTLayout(dim=D, depth=2, heads=3, mlp_ratio=2.0)


def head(**changes):
    torch.manual_seed(0)
    options = {
        "feat_dim": D,
        "embedding_dim": 0,
        "num_classes": C,
        "neck_feat": "before",
        "pool_type": "Identity",
        "cls_type": "Linear",
        "scale": 1,
        "margin": 0.0,
        "with_bnneck": True,
        "norm_type": "BN",
        "block": Block(TINY, drop_path=0.0, attention_drop=0.0, drop=0.0),
        "norm": nn.LayerNorm(D),
    }
    return JigsawPatchHead(**{**options, **changes})


def shuffled(count, shift, groups):
    """Return the places of the shuffled patches, dealt one by one."""
    row = [*range(shift, count), *range(shift)]
    while len(row) % groups:
        row.append(row[len([*range(count)]) - 2])
    size = len(row) // groups
    return [row[group * size + place] for place in range(size) for group in range(groups)]


@pytest.mark.parametrize(("count", "shift", "groups"), [(8, 4, 2), (9, 4, 2), (12, 0, 3), (7, 3, 1), (10, 2, 4)])
def test_patches_are_dealt_from_the_groups(count, shift, groups):
    patches = torch.arange(2.0 * count).view(2, count, 1)
    dealt = jigsaw(patches, shift, groups)
    assert torch.equal(dealt, patches[:, shuffled(count, shift, groups)])
    assert torch.equal(patches, torch.arange(2.0 * count).view(2, count, 1))


def features(patches=9):
    return torch.randn(4, D, 2 + patches, 1, generator=torch.Generator().manual_seed(1))


def parts_by_hand(net, x):
    """Return the class token of each part: block and norm over it and the patches of one part."""
    tokens = x[:, :, 1:, 0].transpose(1, 2)
    order = shuffled(tokens.shape[1] - 1, net.shift, net.groups)
    size = (tokens.shape[1] - 1) // len(net.parts)
    found = []
    for part in range(len(net.parts)):
        chosen = [0, *(1 + place for place in order[part * size : (part + 1) * size])]
        found.append(net.local_norm(net.local_block(tokens[:, chosen]))[:, 0])
    return found


@torch.no_grad()
def test_the_embedding_is_the_whole_and_its_parts():
    net = head().eval()
    for norm in (net.bottleneck[0], *(part.bottleneck[0] for part in net.parts)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = features()
    views = parts_by_hand(net, x)
    expected = [net.bottleneck(x[:, :, :1]).flatten(1)]
    expected += [part.bottleneck(view[:, :, None, None]).flatten(1) / 4 for part, view in zip(net.parts, views)]
    torch.testing.assert_close(net(x), torch.cat(expected, dim=1))
    torch.testing.assert_close(net.class_logits(x), expected[0] @ net.weight.T)


def test_in_training_each_part_has_what_losses_read():
    net, targets = head().train(), torch.tensor([0, 1, 2, 0])
    x = features()
    outputs = net(x, targets)
    assert sorted(outputs["parts"]) == ["part1", "part2", "part3", "part4"]
    torch.testing.assert_close(outputs["features"], x[:, :, 0, 0])
    for view, part, expected in zip(outputs["parts"].values(), net.parts, parts_by_hand(net, x)):
        torch.testing.assert_close(view["features"], expected)
        normed = nn.functional.batch_norm(expected, None, None, part.bottleneck[0].weight, training=True)
        torch.testing.assert_close(view["pred_class_logits"], normed @ part.weight.T)
        assert set(view) == {"features", "pred_class_logits", "cls_outputs"}


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"JIGSAW.PARTS must be >= 1, got 0"):
        head(parts=0)
    with pytest.raises(ValueError, match=r"JIGSAW.SHIFT must be >= 0, got -1"):
        head(shift=-1)
    with pytest.raises(ValueError, match=r"JIGSAW.PARTS is 4, but there are 3 patches"):
        head()(features(3), torch.zeros(4, dtype=torch.int64))


def config(*options):
    cfg = get_cfg()
    settings = {
        "MODEL.DEVICE": "cpu",
        "MODEL.BACKBONE.NAME": "build_vit_backbone",
        "MODEL.BACKBONE.DEPTH": "tiny",
        "MODEL.BACKBONE.FEAT_DIM": D,
        "MODEL.BACKBONE.OUTPUT": "tokens",
        "MODEL.BACKBONE.DROP_PATH_RATIO": 0.0,
        "MODEL.HEADS.NAME": "JigsawPatchHead",
        "MODEL.HEADS.POOL_LAYER": "Identity",
        "MODEL.HEADS.WITH_BNNECK": True,
        "MODEL.HEADS.NUM_CLASSES": C,
        "MODEL.LOSSES.NAME": ("CrossEntropyLoss", "TripletLoss"),
        "INPUT.SIZE_TRAIN": [48, 48],
    }
    for pair in settings.items():
        cfg.merge_from_list(list(pair))
    cfg.merge_from_list(list(options))
    return cfg


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setitem(vision_transformer.LAYOUTS, "tiny", TINY)


@pytest.mark.usefixtures("_tiny")
def test_a_model_halves_its_losses_between_whole_and_parts():
    torch.manual_seed(0)
    model = build_model(config())
    for key, value in model.backbone.blocks[-1].state_dict().items():
        assert torch.equal(value, model.heads.local_block.state_dict()[key])  # it starts from the backbone's
    batch = {"images": torch.rand(4, 3, 48, 48) * 255, "targets": torch.tensor([0, 0, 1, 1])}
    outputs = model.heads(model.backbone(model.preprocess_image(batch)), batch["targets"])
    losses = model(batch)
    places = {"": outputs, **{f"_{name}": of for name, of in outputs["parts"].items()}}
    assert sorted(losses) == sorted(f"{name}{place}" for name in ("loss_cls", "loss_triplet") for place in places)
    for name, share in (("", 0.5), ("_part1", 0.125), ("_part4", 0.125)):
        alone = model.criteria["CrossEntropyLoss"](places[name], batch["targets"])["loss_cls"]
        torch.testing.assert_close(losses[f"loss_cls{name}"], share * alone)
    sum(losses.values()).backward()
    assert [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ] == []
    assert model.eval()(batch).shape == (4, 5 * D)


@pytest.mark.usefixtures("_tiny")
def test_it_needs_the_tokens_of_a_vision_transformer():
    other = ("MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.BACKBONE.DEPTH", "18x")
    with pytest.raises(ValueError, match=r"BACKBONE.OUTPUT is 'auto'; set it to tokens"):
        build_model(config("MODEL.BACKBONE.OUTPUT", "auto"))
    with pytest.raises(KeyError, match="DEPTH is '18x'"):
        build_model(config(*other, "MODEL.BACKBONE.FEAT_DIM", 512))
    with pytest.raises(ValueError, match=r"goes with MODEL\.BACKBONE\.NAME build_vit_backbone, got a Linear"):
        head().start_from(nn.Linear(1, 1))


@pytest.mark.usefixtures("_tiny")
def test_weights_of_another_number_of_classes():
    one, other = build_model(config()), build_model(config("MODEL.HEADS.NUM_CLASSES", 0)).eval()
    load_weights(other, one.state_dict(), source="one")
    images = torch.rand(2, 3, 48, 48) * 255
    with torch.no_grad():
        torch.testing.assert_close(other(images), one.eval()(images))
    assert isinstance(other.heads.parts[0], EmbeddingHead)
