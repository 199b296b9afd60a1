from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fastreid.visualization.maps.grad_cam import pair_grad_cam

from .test_activation import Odd, images, model_of


class TinyModel(nn.Module):
    """A convolution, a mean with weights of its own for each place, and a linear layer; in float64."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.places = nn.Parameter(torch.rand(3, 2))
        self.linear = nn.Linear(4, 5)
        self.double()

    def head(self, maps):
        return self.linear((maps * self.places).sum(dim=(2, 3)))

    def forward(self, images):
        return self.head(self.backbone(images.double() / 255))


def cam_by_hand(model, mine, other, fixed_lengths):
    """One map of a pair, channel by channel, from numbers of the chain rule written out."""
    with torch.no_grad():
        maps = model.backbone(mine.double()[None] / 255)[0]  # (4, 3, 2)
        x, y = model.head(maps[None])[0], model(other[None])[0]
        cosine = (x @ y) / (x.norm() * y.norm())
        outer = y / (x.norm() * y.norm())  # d cos / d x
        if not fixed_lengths:
            outer = outer - cosine * x / x.norm() ** 2
        cam = torch.zeros(3, 2, dtype=torch.float64)
        for channel in range(4):
            # d x / d maps[channel, i, j] = linear.weight[:, channel] * places[i, j]
            weight = sum(
                float(outer @ model.linear.weight[:, channel]) * float(model.places[i, j])
                for i in range(3)
                for j in range(2)
            )
            cam += weight * maps[channel]
        cam = cam.clamp_min(0)
    return cam / cam.max() if cam.max() > 0 else cam


@pytest.mark.parametrize("fixed_lengths", [False, True])
def test_it_is_the_chain_rule_written_out(fixed_lengths):
    model = TinyModel()
    model(images(8, 7, 5))  # statistics of the norm that are not the initial ones
    model.eval()
    query, gallery = images(1, 7, 5), images(6, 7, 5)
    of_query, of_gallery = pair_grad_cam(model, query, gallery, fixed_lengths=fixed_lengths)
    assert of_query.shape == of_gallery.shape == (6, 3, 2)
    for n in range(6):
        expected = cam_by_hand(model, query[0], gallery[n], fixed_lengths)
        torch.testing.assert_close(of_query[n].double(), expected, atol=1e-5, rtol=1e-4)
        expected = cam_by_hand(model, gallery[n], query[0], fixed_lengths)
        torch.testing.assert_close(of_gallery[n].double(), expected, atol=1e-5, rtol=1e-4)
    assert of_query.max() == 1 and of_query.min() == 0


def test_with_fixed_lengths_an_image_explains_itself():
    model = TinyModel().eval()
    nn.init.zeros_(model.linear.bias)  # then all places together are the embedding, and the map's sum is above 0
    image = images(1, 7, 5)
    (of_query,), (of_gallery,) = pair_grad_cam(model, image, image, fixed_lengths=True)
    torch.testing.assert_close(of_query, of_gallery)
    assert of_query.max() == 1
    # the cosine of an image with itself is at its maximum: nothing raises it
    query = images(1, 7, 5).double().requires_grad_()
    cosine = F.cosine_similarity(model(query), model(query).detach())
    assert torch.autograd.grad(cosine, query)[0].abs().max() < 1e-12


@pytest.mark.parametrize("training", [False, True])
def test_the_model_stays_as_it_is(training):
    model = model_of("build_tiny_backbone", 16).train(training)
    model.backbone.conv[0].weight.requires_grad_(False)
    model.backbone.conv[1].train(not training)
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, number) if number % 2 else None
    before = {key: value.clone() for key, value in model.state_dict().items()}
    grads = [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    query, gallery = images(1), images(2)
    copies = query.clone(), gallery.clone()
    pair_grad_cam(model, query, gallery)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for parameter, grad in zip(model.parameters(), grads):
        assert (parameter.grad is None) if grad is None else torch.equal(parameter.grad, grad)
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(query, copies[0]) and torch.equal(gallery, copies[1])


def test_in_inference_mode_with_a_frozen_model_and_on_floats_it_is_the_same():
    model, query, gallery = model_of("build_tiny_backbone", 16).eval(), images(1), images(3)
    expected = pair_grad_cam(model, query, gallery)
    model.requires_grad_(False)
    with torch.inference_mode():
        found = pair_grad_cam(model, query.float(), gallery.float())
    for one, two in zip(found, expected):
        torch.testing.assert_close(one, two)
        assert not one.requires_grad


def test_pairs_do_not_see_each_other():
    model, query, gallery = model_of("build_tiny_backbone", 16).eval(), images(1), images(3)
    together = pair_grad_cam(model, query, gallery)
    for n in range(3):
        for alone, all_three in zip(pair_grad_cam(model, query, gallery[n : n + 1]), together):
            torch.testing.assert_close(alone[0], all_three[n], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_mgn_adds_its_branches(stride):
    options = ("MODEL.META_ARCHITECTURE", "MGN", "MODEL.BACKBONE.LAST_STRIDE", stride)
    model = model_of("build_narrow_backbone", 12, *options).eval()
    batch = images(2, 128, 64)
    of_query, of_gallery = pair_grad_cam(model, batch[:1], batch[1:])
    maps, hooks = [], []
    for branch in (model.b1, model.b2, model.b3):
        hooks.append(branch.register_forward_hook(lambda module, inputs, output: maps.append(output)))
    one, two = model(batch)
    gradients = torch.autograd.grad(F.cosine_similarity(one, two, dim=0), maps)
    for hook in hooks:
        hook.remove()
    total = torch.zeros(2, 8, 4)
    for values, gradient in zip(maps, gradients):
        weighted = (gradient.sum(dim=(2, 3), keepdim=True) * values).sum(dim=1, keepdim=True).detach()
        total += F.interpolate(weighted, (8, 4), mode="bilinear")[:, 0]
    expected = total.clamp_min(0) / total.clamp_min(0).amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(torch.cat([of_query, of_gallery]), expected, atol=1e-4, rtol=1e-4)


def test_half_precision_and_a_head_that_works_in_place():
    model = model_of("build_tiny_backbone", 16, "MODEL.HEADS.FC_DIM", 8).eval()
    model.heads.pool_layer = nn.Sequential(nn.ReLU(inplace=True), model.heads.pool_layer)
    query, gallery = images(1), images(2)
    full = pair_grad_cam(model, query, gallery, fixed_lengths=True)
    half = pair_grad_cam(model.bfloat16(), query, gallery, fixed_lengths=True)
    assert all(one.dtype == torch.float32 for one in half)
    assert (torch.cat(half) - torch.cat(full)).abs().max() < 0.1


@pytest.mark.parametrize(
    ("query", "gallery"), [((2, 3, 8, 4), (1, 3, 8, 4)), ((1, 3, 8, 4), (0, 3, 8, 4)), ((1, 3, 8, 4), (1, 3, 8, 8))]
)
def test_shapes_that_do_not_fit(query, gallery):
    with pytest.raises(ValueError, match=r"query must be \(1, 3, H, W\) and gallery \(N, 3, H, W\)"):
        pair_grad_cam(TinyModel(), torch.zeros(query), torch.zeros(gallery))


class Blind(Odd):
    """Its embedding has nothing to do with its backbone."""

    def forward(self, images):
        super().forward(images)
        return images.float().flatten(1)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Flatten(), TypeError, "Flatten has no backbone"),
        (Odd(nn.AdaptiveAvgPool2d(1)), ValueError, "vectors of the whole image"),
        (Blind(nn.Identity()), ValueError, "embedding of Blind does not depend on its last feature maps"),
    ],
)
def test_models_without_a_grad_cam(model, error, message):
    with pytest.raises(error, match=message):
        pair_grad_cam(model, images(1), images(1))
