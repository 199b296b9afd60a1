"""A folded model is the model; where it would not be, that is found out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fastreid.layers.batch_norm import IBN, get_norm
from fastreid.layers.fold_batch_norm import FoldingError, fold_batch_norms


def shake(model):
    """Give every norm statistics and an affine map of its own."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return model


def batch_norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("norm", ["BN", "syncBN", "GhostBN", "FrozenBN"])
@pytest.mark.parametrize("conv", [{"bias": True}, {"bias": False}, {"groups": 2, "stride": 2}])
def test_a_folded_convolution_is_convolution_and_norm(norm, conv):
    model = shake(nn.Sequential(nn.Conv2d(4, 6, 3, **conv), get_norm(norm, 6), nn.ReLU())).double()
    images = torch.randn(2, 4, 8, 6, dtype=torch.float64)
    folded, count = fold_batch_norms(model, images)
    assert count == 1
    assert isinstance(folded[1], nn.Identity)
    other = torch.randn(3, 4, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(folded(other), model.eval()(other))


class NormAndAct(nn.BatchNorm2d):
    """A norm with an activation, as timm has it."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


def test_the_activation_of_a_norm_stays():
    model = shake(nn.Sequential(nn.Conv2d(3, 5, 3), NormAndAct(5))).double()
    images = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    folded, count = fold_batch_norms(model, images)
    assert (count, batch_norms(folded)) == (1, [])
    torch.testing.assert_close(folded(images), model.eval()(images))
    assert (folded[0](images) < 0).any()  # so that the activation matters


def test_of_ibn_the_batch_half_is_folded():
    model = shake(nn.Sequential(nn.Conv2d(3, 5, 3), IBN(5, "BN"))).double()
    images = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    folded, count = fold_batch_norms(model, images)
    assert count == 1
    assert batch_norms(folded) == []
    torch.testing.assert_close(folded(images), model.eval()(images))


def test_the_model_stays_as_it_is():
    model = shake(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        folded, _ = fold_batch_norms(model, torch.randn(2, 3, 4, 4))
    assert model.training
    assert not folded.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in folded.modules())


class Net(nn.Module):
    """A convolution and a norm, used as ``forward`` of the test says."""

    def __init__(self, forward):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.bn(F.relu(net.conv(x))),
        lambda net, x: net.bn(F.relu_(net.conv(x))),  # the same tensor, but no longer what the convolution wrote
        lambda net, x: net.bn(net.conv(net.conv(x))),
        lambda net, x: net.bn(net.bn(net.conv(x))),
        lambda net, x: net.bn(x),
    ],
    ids=["between", "in-place between", "convolution twice", "norm twice", "no convolution"],
)
def test_what_is_no_pair_is_left_alone(forward):
    model = shake(Net(forward))
    images = torch.randn(2, 4, 5, 5)
    folded, count = fold_batch_norms(model, images)
    assert count == 0
    assert torch.equal(folded(images), model.eval()(images))


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: (lambda y: net.bn(y) + y)(net.conv(x)),
        lambda net, x: net.bn(net.conv(x)) + net.conv.weight.sum(),
    ],
    ids=["output read twice", "weight read"],
)
def test_a_wrong_fold_is_found_out(forward):
    with pytest.raises(FoldingError, match=r"with 1 batch norms folded the output differs by .*, more than 0\.0001"):
        fold_batch_norms(shake(Net(forward)), torch.randn(2, 4, 5, 5))


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda net, x: net.bn(net.conv(x)) * net.bn.eps, "AttributeError: .*'eps'"),
        (lambda net, x: net.bn(net.conv(x.images)), "AttributeError: .*'images'"),
    ],
    ids=["norm read", "other inputs"],
)
def test_a_model_that_fails_says_why(forward, reason):
    with pytest.raises(FoldingError, match=rf"its copy fails with {reason}"):
        fold_batch_norms(Net(forward), torch.randn(2, 4, 5, 5))


def test_a_model_that_cannot_be_copied_is_an_error():
    def keep(net, x):
        net.kept = net.conv(x)
        return net.bn(net.kept)

    model = Net(keep)
    model(torch.randn(2, 4, 5, 5))  # a training step leaves a tensor with a graph behind it
    with pytest.raises(FoldingError, match=r"its copy fails with RuntimeError: .*deepcopy"):
        fold_batch_norms(model, torch.randn(2, 4, 5, 5))


def test_an_output_that_cannot_be_compared_is_an_error():
    with pytest.raises(FoldingError, match="returns dict, not a tensor"):
        fold_batch_norms(Net(lambda net, x: {"x": net.bn(net.conv(x))}), torch.randn(2, 4, 5, 5))


def test_a_norm_without_running_statistics_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert fold_batch_norms(model, torch.randn(2, 3, 4, 4))[1] == 0
