from __future__ import annotations

import math

import pytest
import torch
import torch.multiprocessing as mp

from fastreid.modeling import build_model
from fastreid.modeling.losses import FeatureMemory
from fastreid.utils.events import EventStorage
from fastreid.utils.weights import load_weights

MARGIN, GAMMA = 0.25, 32


def cosine(a, b):
    return (a @ b / a.norm() / b.norm()).item()


def by_definition(seen, features, targets):
    """``seen``: (feature, class, is it this anchor's own entry) of what is remembered, the batch included."""
    total = 0.0
    for a, (anchor, target) in enumerate(zip(features, targets)):
        pulls = [-GAMMA * cosine(anchor, x) for x, y, i in seen if y == target and i != a]
        pushes = [GAMMA * (cosine(anchor, x) + MARGIN) for x, y, _ in seen if y != target]
        if pulls and pushes:
            log_sums = [math.log(sum(math.exp(value) for value in values)) for values in (pulls, pushes)]
            total += math.log1p(math.exp(sum(log_sums)))
    return total / len(features)


def batches(count, n=4, dim=6):
    torch.manual_seed(3)
    return [(torch.randn(n, dim, dtype=torch.float64), torch.randint(0, 3, (n,))) for _ in range(count)]


@pytest.mark.parametrize("start", [0, 2])
def test_the_loss_is_its_definition_while_the_memory_fills_and_after_it_is_full(start):
    memory = FeatureMemory(6, 12).double()
    memory.queue_ptr += start  # 2: as a checkpoint of another batch size has it; batches wrap round the end
    remembered = []
    for features, targets in batches(8):
        features.requires_grad_()
        loss = memory(features, targets)
        remembered = remembered[-8:]  # of 12 places, 4 are this batch's
        seen = [(x, y, None) for x, y in remembered] + [
            (x.detach(), y, i) for i, (x, y) in enumerate(zip(features, targets))
        ]
        assert loss.item() == pytest.approx(by_definition(seen, features.detach(), targets), rel=1e-9)
        remembered += [(x, y) for x, y, _ in seen[len(remembered) :]]
        loss.backward()
        assert features.grad.isfinite().all()


def test_gradients_are_those_of_the_anchors_alone():
    features, targets = batches(1)[0]
    memory = FeatureMemory(6, 8).double()

    def loss(x):
        fresh = FeatureMemory(6, 8).double()
        fresh(features, targets)
        cosines = torch.nn.functional.normalize(x) @ fresh.queue  # (4, 8), what is remembered stands still
        same = targets[:, None] == fresh.queue_label
        itself = torch.eye(4, 8, dtype=torch.bool)
        filled = fresh.queue_label >= 0
        terms = []
        for a in range(4):
            pulls = -GAMMA * cosines[a][(same & ~itself)[a]]
            pushes = GAMMA * (cosines[a][(~same & filled)[a]] + MARGIN)
            if len(pulls) and len(pushes):
                terms.append(torch.log1p(pulls.exp().sum() * pushes.exp().sum()))
        return sum(terms) / 4

    x, y = features.clone().requires_grad_(), features.clone().requires_grad_()
    memory(x, targets).backward()
    loss(y).backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-12)


def test_empty_places_are_of_no_class():
    memory = FeatureMemory(6, 8)
    assert (memory.queue_label == -1).all()
    alone = memory(torch.randn(2, 6), torch.tensor([0, 0]))  # class 0, and nothing to push away
    assert alone.item() == 0


def test_images_without_a_class_are_neither_compared_nor_counted():
    (known, classes), _ = batches(2)
    memory, other = FeatureMemory(6, 8).double(), FeatureMemory(6, 8).double()
    memory(known, classes), other(known, classes)
    unknown = memory(torch.randn(4, 6, dtype=torch.float64), torch.full((4,), -1))
    assert unknown.item() == 0
    assert (memory.queue_label[0, 4:] == -1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_works_in_half_precision(dtype):
    memory = FeatureMemory(6, 8).to(dtype)
    features = (torch.randn(4, 6) * 100).to(dtype).requires_grad_()
    memory(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad.isfinite().all()


def test_a_batch_that_does_not_divide_the_memory_is_an_error():
    with pytest.raises(ValueError, match=r"QUEUE_SIZE is 10, but must be a multiple of .* 4; set it to 8"):
        FeatureMemory(6, 10)(torch.randn(4, 6), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="width 6, but the head gives 5"):
        FeatureMemory(6, 8)(torch.randn(4, 5), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="QUEUE_SIZE must be at least 1, got 0"):
        FeatureMemory(6, 0)


def _worker(rank, init_file, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    memory = FeatureMemory(6, 12).double()
    losses = [memory(x.chunk(2)[rank], y.chunk(2)[rank]).item() for x, y in batches(5)]
    results[rank] = (losses, memory.state_dict())
    torch.distributed.destroy_process_group()


def test_two_ranks_remember_all_and_their_mean_is_the_loss_of_one(tmp_path):
    memory = FeatureMemory(6, 12).double()
    one = [memory(x, y).item() for x, y in batches(5)]
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_worker, args=(tmp_path / "init", results), nprocs=2)
        (first, first_state), (second, second_state) = results[0], results[1]
    assert [(a + b) / 2 for a, b in zip(first, second)] == pytest.approx(one, rel=1e-12)
    for state in (first_state, second_state):
        torch.testing.assert_close(state, memory.state_dict())


@pytest.fixture
def moco(cfg):
    cfg.MODEL.META_ARCHITECTURE = "MoCo"
    cfg.MODEL.QUEUE_SIZE = 8
    return cfg


BATCH = {"images": torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8), "targets": torch.tensor([0, 0, 1, 1])}


def test_it_trains_with_the_losses_of_the_config_and_its_own(moco):
    model = build_model(moco)
    with EventStorage():
        losses = [model(BATCH) for _ in range(2)]
    assert list(losses[0]) == ["loss_cls", "loss_mb"]
    sum(sum(step.values()) for step in losses).backward()  # the second step did not spoil the graph of the first
    assert model.backbone.conv1.weight.grad is not None
    assert model.eval()(BATCH["images"]).shape == (4, 512)
    assert int(model.memory.queue_ptr) == 0


def test_the_memory_is_in_the_state_dict_under_its_old_names(moco):
    moco.MODEL.QUEUE_SIZE = 8192
    state = build_model(moco).state_dict()
    shapes = {key: tuple(state[key].shape) for key in state if key.startswith("memory.")}
    assert shapes == {"memory.queue": (512, 8192), "memory.queue_label": (1, 8192), "memory.queue_ptr": (1,)}


@pytest.mark.parametrize(("neck_feat", "width"), [("before", 512), ("after", 16)])
def test_it_remembers_what_metric_losses_see(moco, neck_feat, width):
    moco.MODEL.HEADS.EMBEDDING_DIM = 16
    moco.MODEL.HEADS.NECK_FEAT = neck_feat
    model = build_model(moco)
    assert model.memory.queue.shape == (width, 8)
    assert model(BATCH)["loss_mb"].isfinite()


def test_weights_without_a_memory_or_of_other_classes_start_with_an_empty_one(moco):
    trained, model = build_model(moco), build_model(moco)
    trained(BATCH), model(BATCH)
    load_weights(model, trained.state_dict(), source="the same")
    assert torch.equal(model.memory.queue, trained.memory.queue)
    bare = {key: value for key, value in trained.state_dict().items() if not key.startswith("memory.")}
    load_weights(model, bare, source="a Baseline")
    assert (model.memory.queue_label == -1).all() and int(model.memory.queue_ptr) == 0
    moco.MODEL.HEADS.NUM_CLASSES = 9
    other = build_model(moco)
    load_weights(other, trained.state_dict(), source="another data set")
    assert (other.memory.queue_label == -1).all()


def test_a_training_step_asks_for_no_value(moco):
    moco.MODEL.DEVICE = "meta"
    model = build_model(moco)
    losses = model({key: value.to("meta") for key, value in BATCH.items()})
    sum(losses.values()).backward()
    assert model.backbone.conv1.weight.grad is not None
