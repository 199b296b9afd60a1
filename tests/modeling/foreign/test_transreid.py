from __future__ import annotations

import pytest
import torch

from fastreid.utils.weights import WeightsMismatch

from .networks import DIM, TransReID, TransReIDJigsaw, filled, model_for

SIE = [
    "MODEL.BACKBONE.WITH_SIE",
    True,
    "MODEL.BACKBONE.SIE_CAMERAS",
    ["a_0", "a_1", "a_2"],
    "MODEL.BACKBONE.SIE_COE",
    3.0,
]
JIGSAW = [
    *("MODEL.HEADS.NAME", "JigsawPatchHead", "MODEL.BACKBONE.OUTPUT", "tokens"),
    *("MODEL.HEADS.POOL_LAYER", "Identity"),
]
CAMERAS = torch.tensor([2, 0, 1])


def parallel(net):
    return {f"module.{key}": value for key, value in net.state_dict().items()}


def test_embeds_as_the_foreign_model(cfg, load, images, caplog):
    net = filled(TransReID())
    model = model_for(cfg)
    report = load(model, parallel(net))
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)
    assert torch.equal(model.heads.weight, net.classifier.weight)
    assert report.allowed == []
    assert "the weights of TransReID" in caplog.text
    assert "base.fc.* (2 tensors): not used" in caplog.text


def test_without_a_neck_it_embeds_as_before_the_neck(cfg, load, images, caplog):
    net = filled(TransReID())
    model = model_for(cfg, ["MODEL.HEADS.WITH_BNNECK", False])
    load(model, net)
    torch.testing.assert_close(model(images), net.before_the_neck(images), rtol=1e-4, atol=1e-5)
    assert "bottleneck (5 tensors): MODEL.HEADS.WITH_BNNECK is False" in caplog.text


def test_a_reduced_feature_is_the_convolution_of_the_neck(cfg, load, images):
    net = filled(TransReID(reduced=7))
    model = model_for(cfg, ["MODEL.HEADS.EMBEDDING_DIM", 7])
    load(model, net)
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)


def test_a_reduced_feature_before_the_neck(cfg, load, images, caplog):
    net = filled(TransReID(reduced=7))
    model = model_for(cfg, ["MODEL.HEADS.EMBEDDING_DIM", 7, "MODEL.HEADS.WITH_BNNECK", False])
    load(model, net)
    torch.testing.assert_close(model(images), net.before_the_neck(images), rtol=1e-4, atol=1e-5)
    assert "bottleneck (5 tensors): MODEL.HEADS.WITH_BNNECK is False" in caplog.text


def test_side_information(cfg, load, images):
    net = filled(TransReID(cameras=3))
    model = model_for(cfg, SIE)
    load(model, net)
    batch = {"images": images, "cameras": CAMERAS}
    torch.testing.assert_close(model(batch), net(images, CAMERAS), rtol=1e-4, atol=1e-5)
    seen = net.base.sie_embed
    torch.testing.assert_close(model.backbone.sie_embed, torch.cat([seen, seen.mean(0, keepdim=True)]))


def test_cameras_that_the_model_has_no_place_for_are_an_error(cfg, load, caplog):
    with pytest.raises(WeightsMismatch, match=r"backbone\.sie_embed"):
        load(model_for(cfg), filled(TransReID(cameras=3)))
    assert "They know 3 cameras: set MODEL.BACKBONE.WITH_SIE True" in caplog.text


@pytest.mark.parametrize("named", [0, 2, 4])  # 2: as many rows as the file has, with one for cameras never seen
def test_another_number_of_cameras_is_an_error(cfg, load, tmp_path, named):
    options = [*SIE[:3], [f"a_{number}" for number in range(named)], *SIE[4:]]
    net = filled(TransReID(cameras=3))
    said = f"know 3 cameras, and MODEL.BACKBONE.SIE_CAMERAS names {named}; give the names of all 3"
    with pytest.raises(WeightsMismatch, match=said):
        load(model_for(cfg, options), net)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    options += ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(tmp_path / "w.pth")]
    with pytest.raises(WeightsMismatch, match=said):
        model_for(cfg, options)


@pytest.mark.parametrize("cameras", [0, 3])
def test_jigsaw_patches(cfg, load, images, cameras):
    net = filled(TransReIDJigsaw(cameras=cameras))
    model = model_for(cfg, [*JIGSAW, *(SIE if cameras else [])])
    report = load(model, parallel(net))
    seen = CAMERAS if cameras else None
    batch = {"images": images, "cameras": CAMERAS}
    torch.testing.assert_close(model(batch), net(images, seen), rtol=1e-4, atol=1e-5)
    assert model(batch).shape == (3, 5 * DIM)
    assert torch.equal(model.heads.parts[3].weight, net.classifier_4.weight)
    assert report.allowed == []


def test_jigsaw_patches_before_the_neck_as_their_authors_test(cfg, load, images):
    net = filled(TransReIDJigsaw())
    model = model_for(cfg, [*JIGSAW, "MODEL.HEADS.WITH_BNNECK", False])
    load(model, net)
    for name in ("bottleneck", "bottleneck_1", "bottleneck_2", "bottleneck_3", "bottleneck_4"):
        setattr(net, name, torch.nn.Identity())
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)


def test_of_jigsaw_patches_another_head_takes_the_global_branch(cfg, load, images, caplog):
    net = filled(TransReIDJigsaw())
    model = model_for(cfg)
    load(model, net)
    torch.testing.assert_close(model(images), net(images)[:, :DIM], rtol=1e-4, atol=1e-5)
    assert f"base.blocks.{len(net.base.blocks) - 1}.* (12 tensors): not used beside b1 and b2" in caplog.text
    assert "parts (24 tensors): MODEL.HEADS.NAME JigsawPatchHead has them" in caplog.text


def test_another_number_of_classes_is_said(cfg, load, images, caplog):
    net = filled(TransReID())
    model = model_for(cfg, ["MODEL.HEADS.NUM_CLASSES", 2])
    load(model, net)
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)
    assert "heads.weight (5, 24) in the file, (2, 24) in the model" in caplog.text


def test_weights_for_another_image_size_have_their_positions_resized(cfg, load, images):
    net = filled(TransReID(grid=(8, 4)))
    model = model_for(cfg)
    load(model, net)
    assert model.backbone.pos_embed.shape == (1, 9, DIM)
    taken = net.base.pos_embed[0, 1:].view(4, 2, 2, 2, DIM).mean((1, 3)).flatten(0, 1)  # bilinear to half the size
    torch.testing.assert_close(model.backbone.pos_embed[0, 1:], taken)


def test_half_precision(cfg, load, images):
    net = filled(TransReID())
    model = model_for(cfg)
    load(model, {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()})
    torch.testing.assert_close(model(images), net(images), rtol=2e-2, atol=2e-3)
    assert model.backbone.cls_token.dtype == torch.float32


def test_another_depth_is_refused_with_the_list(cfg, load):
    net = TransReID()
    net.base.blocks.append(net.base.blocks[0])
    with pytest.raises(WeightsMismatch, match=r"12 in the weights but not in the model: .*backbone\.blocks\.3\.mlp"):
        load(model_for(cfg), net)


def test_what_nobody_knows_is_refused(cfg, load):
    net = TransReID()
    state = net.state_dict() | {"base.gate.weight": torch.ones(2), "distance.scale": torch.ones(1)}
    with pytest.raises(
        WeightsMismatch, match=r"2 in the weights but not in the model: backbone\.gate\.weight, distance"
    ):
        load(model_for(cfg), state)


def test_tokens_that_our_transformer_has_not_are_refused_with_the_reason(cfg, load):
    state = TransReID().state_dict() | {"base.dist_token": torch.ones(1, 1, DIM)}
    with pytest.raises(WeightsMismatch, match="have dist_token: tokens beside class and patches"):
        load(model_for(cfg), state)


def test_a_stem_of_convolutions(cfg, load, images, caplog):
    net = filled(TransReID(stem=True))
    model = model_for(cfg, ["MODEL.BACKBONE.CONV_STEM", True])
    load(model, net)
    torch.testing.assert_close(model(images), net(images), rtol=1e-4, atol=1e-5)
    with pytest.raises(WeightsMismatch, match=r"backbone\.patch_embed\.conv\.0\.weight"):
        load(model_for(cfg), net)
    assert "They have a stem of convolutions: set MODEL.BACKBONE.CONV_STEM True." in caplog.text


def test_pretrain_path_takes_the_network_alone(cfg, load, tmp_path, images, caplog):
    net = filled(TransReID(cameras=3))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    path = str(tmp_path / "net.pth")
    with caplog.at_level("INFO"):
        model = model_for(cfg, ["MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", path])
    torch.testing.assert_close(model.backbone(images).flatten(1), net.base(images), rtol=1e-4, atol=1e-5)
    assert "the head (6 tensors)" in caplog.text
    assert "the embeddings of cameras: MODEL.BACKBONE.WITH_SIE is False" in caplog.text
