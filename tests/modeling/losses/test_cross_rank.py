"""Losses that compare the images of all ranks: the loss and the gradient of one process on the whole batch."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from fastreid.config import get_cfg
from fastreid.modeling.losses.build import build_losses
from fastreid.modeling.losses.cross_rank import CandidatePool

from ...ranks import run_ranks

WORLD = 3
FORMS = {
    f"triplet {margin} {norm_feat} {hard}": [
        "MODEL.LOSSES.NAME", ("TripletLoss",), "MODEL.LOSSES.TRI.MARGIN", margin, "MODEL.LOSSES.TRI.NORM_FEAT",
        norm_feat, "MODEL.LOSSES.TRI.HARD_MINING", hard,
    ]
    for margin in (0.0, 0.3) for norm_feat in (False, True) for hard in (False, True)
} | {
    "circle": ["MODEL.LOSSES.NAME", ("CircleLoss",), "MODEL.LOSSES.CIRCLE.GAMMA", 8],
    "cosface": ["MODEL.LOSSES.NAME", ("Cosface",), "MODEL.LOSSES.COSFACE.GAMMA", 8],
}  # fmt: skip


def step(form, share, *, cross_rank=True):
    """Return the loss of a share of the global batch, and the gradients of a small model."""
    cfg = get_cfg()
    cfg.merge_from_list([*FORMS[form], "MODEL.LOSSES.CROSS_RANK", cross_rank])
    (loss,) = build_losses(cfg).values()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    # identities lie across the ranks, and one image is alone in its identity
    targets = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 9])
    (value,) = loss({"features": images[share] @ weight}, targets[share]).values()
    value.backward()
    return value.detach(), weight.grad


def error_of(function, *args):
    with pytest.raises(ValueError) as error:
        function(*args)
    return str(error.value)


def work(rank):
    share = slice(4 * rank, 4 * rank + 4)
    found = {}
    for form in FORMS:
        value, gradient = step(form, share)
        for tensor in (value, gradient):  # as the log and a data-parallel model average them
            dist.all_reduce(tensor)
        found[form] = (value / WORLD, gradient / WORLD)
    found["off"] = step("circle", share, cross_rank=False)
    ones = torch.ones(4, 2)
    found["unequal"] = error_of(CandidatePool(cross_rank=True), ones[: rank + 1], torch.zeros(rank + 1))
    pool = CandidatePool(cross_rank=True)
    pool(ones, torch.zeros(4))
    found["changed"] = error_of(pool, ones[:3], torch.zeros(3)) if rank == 1 else ""  # it says so without the others
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_ranks(work, WORLD, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("form", FORMS)
def test_several_ranks_have_the_loss_and_the_gradient_of_one(found, form):
    expected = step(form, slice(None))  # one process: the option changes nothing
    torch.testing.assert_close(step(form, slice(None), cross_rank=False), expected)
    for rank in found:
        torch.testing.assert_close(rank[form], expected)


def test_without_the_option_a_rank_sees_its_own_images_only(found):
    for rank in range(WORLD):
        torch.testing.assert_close(found[rank]["off"], step("circle", slice(4 * rank, 4 * rank + 4)))


def test_batches_of_unequal_size_are_an_error_on_every_rank(found):
    for rank in found:
        assert "needs batches of one size, but the ranks have features [(1, 2), (2, 2), (3, 2)]" in rank["unequal"]
    assert "after features (4, 2) rank 1 has (3, 2)" in found[1]["changed"]


def test_the_option_without_such_a_loss_is_a_warning(cfg, caplog):
    cfg.MODEL.LOSSES.CROSS_RANK = True
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss",)
    build_losses(cfg)
    assert "CROSS_RANK is True, but none of ('CrossEntropyLoss',) compares images" in caplog.text
    caplog.clear()
    cfg.MODEL.LOSSES.NAME = ("CrossEntropyLoss", "TripletLoss")
    assert "cross_rank=True" in repr(build_losses(cfg)["TripletLoss"])
    assert caplog.text == ""
