from __future__ import annotations

import pytest
import torch

from fastreid.modeling.losses import log_accuracy, utils
from fastreid.modeling.losses.accuracy import classification_accuracy
from fastreid.utils.events import EventStorage


def test_accuracy_equals_its_definition():
    logits, targets = torch.randn(20, 5), torch.randint(5, (20,))
    for k, share in zip((1, 2, 9), classification_accuracy(logits, targets, (1, 2, 9))):
        hits = sum(target in row.argsort(descending=True)[:k] for row, target in zip(logits, targets))
        assert share.item() == pytest.approx(hits / 20)


def test_images_without_class_do_not_count():
    logits = torch.eye(3)
    assert classification_accuracy(logits, torch.tensor([0, 2, -1]))[0].item() == 0.5
    assert classification_accuracy(logits, torch.tensor([-1, -1, -1]))[0].item() == 0.0


def test_accuracy_is_logged_inside_a_storage_and_nowhere_else():
    logits = torch.eye(3, requires_grad=True)
    log_accuracy(logits, torch.tensor([0, 1, 2]))  # no storage: no error
    with EventStorage() as storage:
        log_accuracy(logits, torch.tensor([0, 1, 0]), topk=(1, 3))
    assert storage.latest()["cls_accuracy"][0] == pytest.approx(2 / 3)
    assert storage.latest()["cls_accuracy_top3"][0] == 1.0


def test_cosine_distance_has_the_scale_of_the_losses():
    x, y = torch.randn(3, 4), torch.randn(2, 4)
    unit_x, unit_y = utils.normalize(x), utils.normalize(y)
    torch.testing.assert_close(unit_x.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(utils.cosine_dist(x, y), torch.cdist(unit_x, unit_y).square())
    torch.testing.assert_close(utils.euclidean_dist(x, y), torch.cdist(x, y))


def test_normalize_takes_an_axis():
    torch.testing.assert_close(utils.normalize(torch.randn(3, 4), axis=0).norm(dim=0), torch.ones(4))


def test_gathering_on_one_process_returns_the_values_without_gradient():
    x = torch.randn(3, 4, requires_grad=True)
    gathered = utils.concat_all_gather(x * 2)
    assert torch.equal(gathered, x.detach() * 2)
    assert not gathered.requires_grad
