"""Every registered backbone: half precision, memory formats, export, compilation; and that it keeps to itself."""

from __future__ import annotations

import functools
import inspect
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

from fastreid.config import get_cfg
from fastreid.modeling import BACKBONE_REGISTRY, build_backbone

_TABLES = ("LAYOUTS", "WIDTHS", "SCALES")  # what a builder's module may call the table with its DEPTHs
# timm knows too many for a table: convolutions, a transformer with a class token, and maps (N, h, w, C)
_OF_TIMM = ("test_resnet", "test_vit", "test_mambaout")
_NAMES = sorted(
    name
    for name in BACKBONE_REGISTRY
    if BACKBONE_REGISTRY.get(name).__module__.startswith("fastreid.")
    and (name != "build_timm_backbone" or find_spec("timm"))
)


def depths_of(name: str) -> list[str]:
    if name == "build_timm_backbone":
        return list(_OF_TIMM)
    module = inspect.getmodule(BACKBONE_REGISTRY.get(name))
    tables = [getattr(module, table) for table in _TABLES if hasattr(module, table)]
    assert len(tables) == 1, f"{module.__name__} must have one of {_TABLES}, a table by DEPTH; or put its name here"
    return list(tables[0])


_VARIANTS = [(name, depth) for name in _NAMES for depth in depths_of(name)]


def build(name: str, depth: str) -> nn.Module:
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = name, depth
    before = cfg.clone()
    net = build_backbone(cfg)
    assert cfg == before
    return net


def build_empty(name: str, depth: str) -> nn.Module:
    """Build without memory for the weights."""
    with torch.device("meta"):
        return build(name, depth)


@functools.cache
def smallest_depth(name: str) -> str:
    """Return the depth with the fewest parameters."""
    return min(depths_of(name), key=lambda depth: sum(p.numel() for p in build_empty(name, depth).parameters()))


def smallest(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(name, smallest_depth(name))


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@functools.cache
def _calibrated(name: str) -> nn.Module:
    """Build the smallest network, with statistics as training leaves them: activations neither vanish nor explode."""
    net = smallest(name).train()
    for module in net.modules():
        if getattr(module, "running_mean", None) is not None:
            module.momentum = 1.0
    with torch.no_grad():
        net(images(8))
    return net.eval().requires_grad_(False)


def calibrated(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network in eval mode, of the caller's own, and what it makes of ``images()``."""
    net = smallest(name).eval()
    net.load_state_dict(_calibrated(name).state_dict())
    with torch.no_grad():
        return net, net(images())


@functools.cache
def half_dtype() -> torch.dtype:
    """Return float16, or bfloat16 where PyTorch has no float16 convolution for this processor."""
    try:
        nn.functional.conv2d(torch.ones(1, 1, 3, 3).half(), torch.ones(1, 1, 3, 3).half())
    except RuntimeError:
        return torch.bfloat16
    return torch.float16


@pytest.mark.parametrize(("name", "depth"), _VARIANTS)
def test_every_depth_has_its_declared_shape(name, depth):
    net = build_empty(name, depth).eval()
    shape = net.output_shape()
    out = net(images().to("meta"))
    size = (1, 1) if shape.stride is None else (64 // shape.stride, 32 // shape.stride)
    assert out.shape == (2, shape.channels, *size)


@pytest.mark.parametrize("name", _NAMES)
def test_half_precision(name):
    net, expected = calibrated(name)
    with torch.no_grad():
        out = net.to(half_dtype())(images().to(half_dtype()))
    assert out.dtype == half_dtype()
    similarity = nn.functional.cosine_similarity(out.float().flatten(), expected.flatten(), dim=0)
    assert similarity > (0.9 if half_dtype() == torch.float16 else 0.5)


@pytest.mark.parametrize("name", _NAMES)
def test_channels_last(name):
    net, x = calibrated(name)[0].double(), images().double()  # random networks magnify rounding
    with torch.no_grad():
        expected = net(x)
        out = net.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", _NAMES)
def test_exported_program_is_the_network_for_batches_of_any_size(name):
    net, _ = calibrated(name)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (images(),), dynamic_shapes=(batch,), strict=False).module()
    with torch.no_grad():
        torch.testing.assert_close(program(images(3)), net(images(3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_compiled_network_is_one_graph(name):
    net, expected = calibrated(name)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images()), expected)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", _NAMES)
def test_every_parameter_has_a_gradient(name):
    net = smallest(name).train()
    net(images()).square().sum().backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.slow
def test_building_one_changes_no_other():
    nets = {name: calibrated(name) for name in _NAMES}
    first = {variant: list(build_empty(*variant).state_dict()) for variant in _VARIANTS}
    second = {variant: list(build_empty(*variant).state_dict()) for variant in reversed(_VARIANTS)}
    assert first == second
    for name, (net, expected) in nets.items():
        with torch.no_grad():
            assert torch.equal(net(images()), expected)  # one that was there before
        assert torch.equal(calibrated(name)[1], expected)  # and one built anew


@pytest.mark.parametrize("name", _NAMES)
def test_no_file_is_read_or_written_in_the_working_directory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_empty(name, smallest_depth(name))
    assert list(tmp_path.iterdir()) == []
