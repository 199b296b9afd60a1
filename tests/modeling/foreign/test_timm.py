"""Networks of timm take foreign weights, too."""

from __future__ import annotations

import pytest
import torch

from fastreid.config import CfgNode
from fastreid.modeling.foreign import recognise

from .networks import CLASSES, DEPTH, DIM, HEADS, SOLIDERReID, TransReID, ViT, filled, model_for

timm = pytest.importorskip("timm", reason="needs the extra timm")
SWIN = {"embed_dim": 8, "depths": (2, 2, 2), "num_heads": (2, 2, 2), "window_size": 3, "always_partition": True}
TOKENS = {"embed_dim": DIM, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 2.0}


def bridge(cfg, name, feat_dim, size, arguments):
    """Return a config of a small network of timm."""
    node = cfg.MODEL.BACKBONE
    node.NAME, node.DEPTH, node.FEAT_DIM, node.LAST_STRIDE = "build_timm_backbone", name, feat_dim, 2
    node.TIMM_ARGS = CfgNode(arguments, new_allowed=True)
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = list(size)
    cfg.MODEL.HEADS.NUM_CLASSES, cfg.MODEL.HEADS.WITH_BNNECK = CLASSES, False
    return cfg


@torch.no_grad()
@pytest.mark.parametrize("whole", [False, True])
def test_soliders_swin_where_windows_fit_the_maps(cfg, load, tmp_path, caplog, whole):
    net = filled(SOLIDERReID())
    size = (96, 48)  # maps of 24 x 12, 12 x 6 and 6 x 3
    cfg = bridge(cfg, "swin_tiny_patch4_window7_224", 32, size, SWIN)
    if whole:
        model = model_for(cfg)
        load(model, net)
    else:
        path = str(tmp_path / "solider.pth")
        torch.save(net.state_dict(), path)
        with caplog.at_level("INFO"):
            model = model_for(cfg, ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", path])
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(images), net.base(images, 0.2).mean((2, 3)), rtol=1e-4, atol=1e-5)
    assert "the weights of SOLIDER" in caplog.text


@torch.no_grad()
def test_transreids_transformer(cfg, load, images):
    net = filled(TransReID())
    model = model_for(bridge(cfg, "vit_tiny_patch16_224", DIM, (64, 32), TOKENS))
    load(model, net)
    torch.testing.assert_close(model(images), net.before_the_neck(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_registers_are_taken(cfg, load, images, prefix):
    cfg = bridge(cfg, "vit_tiny_patch16_224", DIM, (64, 32), TOKENS | {"reg_tokens": 2, "no_embed_class": True})
    net = filled(model_for(cfg).backbone)
    state = {prefix + key.removeprefix("net."): value for key, value in net.state_dict().items()}
    model = model_for(cfg)
    load(model, state | {"head.mlp.0.weight": torch.ones(1)} if prefix else state)
    assert torch.equal(model.backbone.net.reg_token, net.net.reg_token)
    torch.testing.assert_close(model(images), net(images).flatten(1))


@torch.no_grad()
def test_a_bare_network_of_timm_starts_with_a_neck_that_changes_nothing(cfg, load, images, caplog):
    cfg = bridge(cfg, "vit_tiny_patch16_224", DIM, (64, 32), TOKENS)
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", True])
    net = filled(ViT())
    load(model, net)
    torch.testing.assert_close(model(images) * (1 + 1e-5) ** 0.5, net(images), rtol=1e-4, atol=1e-5)
    assert "The neck starts as the identity." in caplog.text
    assert recognise(model.state_dict()) is None
