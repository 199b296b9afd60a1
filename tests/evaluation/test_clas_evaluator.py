from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from fastreid.config import get_cfg
from fastreid.evaluation import ClasEvaluator, accuracy
from fastreid.evaluation.clas_evaluator import class_ranks
from fastreid.utils import comm


def data(n=50, c=8):
    return torch.randn(n, c), torch.randint(c, (n,))


def share_by_definition(logits, targets, k):
    hits = sum(y in sorted(range(len(row)), key=lambda c: -row[c])[:k] for row, y in zip(logits.tolist(), targets))
    return 100 * hits / len(targets)


def filled(evaluator, logits, targets):
    for start in range(0, len(targets), 7):
        part = slice(start, start + 7)
        evaluator.process({"targets": targets[part]}, logits[part])
    return evaluator


def test_accuracy_equals_its_definition():
    logits, targets = data()
    shares = accuracy(logits, targets, topk=(1, 3, 5, 99))
    assert [share.shape for share in shares] == [(1,)] * 4
    expected = [share_by_definition(logits, targets.tolist(), k) for k in (1, 3, 5, 99)]
    assert [share.item() for share in shares] == pytest.approx(expected)
    assert accuracy(logits, targets)[0].item() == pytest.approx(expected[0])


@pytest.mark.parametrize("classes", [4, 5, 8])
def test_results_are_those_of_all_images_together(classes):
    logits, targets = data(c=classes)
    results = filled(ClasEvaluator(get_cfg()), logits, targets).evaluate()
    assert isinstance(results, OrderedDict)
    assert list(results) == ["Acc@1", "metric", "Acc@5"][: 3 if classes >= 5 else 2]
    assert all(type(value) is float for value in results.values())
    assert results["Acc@1"] == results["metric"] == pytest.approx(share_by_definition(logits, targets.tolist(), 1))
    if classes >= 5:
        assert results["Acc@5"] == pytest.approx(share_by_definition(logits, targets.tolist(), 5))


def test_a_constant_answer_is_never_right():
    assert class_ranks(torch.zeros(3, 4), torch.tensor([0, 1, 3])).tolist() == [4, 4, 4]
    assert class_ranks(torch.eye(3), torch.tensor([0, 1, 2])).tolist() == [1, 1, 1]


def test_reset_forgets_and_no_image_is_an_error():
    evaluator = filled(ClasEvaluator(get_cfg(), output_dir="somewhere"), *data())
    evaluator.reset()
    with pytest.raises(ValueError, match="got no images"):
        evaluator.evaluate()
    with pytest.raises(ValueError, match="accuracy of no images"):
        accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("target", [-1, 8, 1501])
def test_a_label_that_is_no_class_of_the_model_is_an_error(target):
    logits, targets = data()
    targets[3] = target
    with pytest.raises(ValueError, match=rf"1 targets are none of the 8 classes .* \(0\.\.7\), e\.g\. {target}"):
        filled(ClasEvaluator(), logits, targets)


def test_what_is_no_logits_is_an_error():
    logits, targets = data()
    with pytest.raises(ValueError, match=r"logits \(N, C\) and targets \(N,\), got \(50,\) and \(50,\)"):
        accuracy(logits[:, 0], targets)
    logits[2, 2] = torch.nan
    with pytest.raises(ValueError, match="logits are NaN"):
        filled(ClasEvaluator(), logits, targets)


def test_several_ranks_give_the_results_of_one(monkeypatch):
    logits, targets = data()
    parts = [slice(0, 35), slice(35, 50), slice(50, 50)]  # the last rank has no share
    ranks = [filled(ClasEvaluator(), logits[part], targets[part]) for part in parts]
    expected = filled(ClasEvaluator(), logits, targets).evaluate()
    sent = []
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(comm, "all_gather", lambda own: sent.append(own) or [(1, 0, 0, 8)])
    assert [evaluator.evaluate() for evaluator in ranks] == [{}, {}, {}]
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    monkeypatch.setattr(comm, "all_gather", lambda own: sent)
    assert ranks[0].evaluate() == expected
