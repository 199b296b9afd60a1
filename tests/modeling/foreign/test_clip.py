from __future__ import annotations

import pytest
import torch

from fastreid.utils.weights import WeightsMismatch

from .networks import DIM, CLIPReID, CLIPTower, filled, model_for

WIDTH = DIM + 16
OPTIONS = ["MODEL.BACKBONE.DEPTH", "clip_tiny", "MODEL.BACKBONE.FEAT_DIM", WIDTH]
SIE = [
    "MODEL.BACKBONE.WITH_SIE",
    True,
    "MODEL.BACKBONE.SIE_CAMERAS",
    ["a_0", "a_1", "a_2"],
    "MODEL.BACKBONE.SIE_COE",
    3.0,
]


def of_openai(tower):
    """Return a state dict of the whole of CLIP, in half precision where it is."""
    state = {f"visual.{key}": value.half() for key, value in tower.state_dict().items()}
    text = {"text_projection": torch.zeros(16, 16), "positional_embedding": torch.zeros(7, 16)}
    text |= {"token_embedding.weight": torch.zeros(9, 16), "ln_final.bias": torch.zeros(16)}
    text |= {"transformer.resblocks.0.ln_1.weight": torch.ones(16), "logit_scale": torch.tensor(4.6)}
    return state | text | {"input_resolution": torch.tensor(64), "context_length": torch.tensor(7)}


@pytest.mark.parametrize("cameras", [0, 3])
def test_clip_reid_embeds_as_the_foreign_model(cfg, load, images, caplog, cameras):
    net = filled(CLIPReID(cameras))
    model = model_for(cfg, [*OPTIONS, *(SIE if cameras else [])])
    report = load(model, net)
    batch = {"images": images, "cameras": torch.tensor([2, 0, 1])}
    expected = net(images, batch["cameras"] if cameras else None)
    assert expected.shape == (3, WIDTH)
    torch.testing.assert_close(model(batch), expected, rtol=1e-4, atol=1e-5)
    assert "heads.weight (not in the file)" in report.allowed
    assert "the weights of CLIP-ReID" in caplog.text
    assert "prompt_learner.cls_ctx: text side" in caplog.text
    assert "text_encoder.* (2 tensors): text side" in caplog.text


def test_clip_starts_with_a_neck_that_changes_nothing(cfg, load, images, caplog):
    net = filled(CLIPTower())
    model = model_for(cfg, OPTIONS)
    load(model, of_openai(net))
    halved = filled(CLIPTower())
    halved.load_state_dict({key: value.half().float() for key, value in net.state_dict().items()})
    expected = torch.cat(halved(images), dim=1) / (1 + model.heads.bottleneck[0].eps) ** 0.5
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    assert "The neck starts as the identity." in caplog.text
    assert "positional_embedding: text side" in caplog.text


def test_pretrain_path_takes_the_tower(cfg, tmp_path, images, caplog):
    net = filled(CLIPTower())
    path = str(tmp_path / "clip.pth")
    torch.save(of_openai(net), path)
    options = [*OPTIONS, "MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", path]
    model = model_for(cfg, options)
    torch.testing.assert_close(model.backbone(images).flatten(1), torch.cat(net(images), 1), rtol=2e-2, atol=5e-3)
    options[3] = DIM
    with caplog.at_level("INFO"):
        model_for(cfg, [*options, "MODEL.BACKBONE.OUTPUT", "map"])
    assert "the projection of the class token: MODEL.BACKBONE.OUTPUT class has it" in caplog.text


def test_a_network_without_clips_ways_refuses_it(cfg, load):
    with pytest.raises(WeightsMismatch, match=r"backbone\.norm_pre\.bias"):
        load(model_for(cfg), filled(CLIPReID()))


def test_the_image_tower_alone(cfg, load, images):
    tower = filled(CLIPTower())
    model = model_for(cfg, [*OPTIONS, "MODEL.HEADS.WITH_BNNECK", False])
    load(model, tower)
    torch.testing.assert_close(model(images), torch.cat(tower(images), dim=1), rtol=1e-4, atol=1e-5)
