from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from fastreid.evaluation import DatasetEvaluator, inference_context, inference_on_dataset


class OddModel(nn.Module):
    """Sees left and right differently, has modes, and can change what it is given."""

    def __init__(self, *, in_place: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.arange(1.0, 5.0))
        self.dropout = nn.Dropout(0.5)
        self.in_place = in_place
        self.modes = []

    def forward(self, inputs):
        self.modes.append((self.training, torch.is_grad_enabled()))
        images = inputs["images"]
        if self.in_place:
            images = images.sub_(100.0)
        return self.dropout((images.float() * self.weights).sum(dim=(2, 3)))  # (N, 3)


class Collect(DatasetEvaluator):
    def __init__(self):
        self.calls = []

    def reset(self):
        self.calls.append("reset")
        self.outputs = []

    def process(self, inputs, outputs):
        self.calls.append("process")
        self.outputs.append(outputs.clone())

    def evaluate(self):
        self.calls.append("evaluate")
        return {"outputs": torch.cat(self.outputs)}


def loader(dtype=torch.float32, count=5):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 2, 4), generator=generator).to(dtype)
    return DataLoader([{"images": image, "targets": i} for i, image in enumerate(images)], batch_size=2), images


def test_every_batch_goes_through_the_evaluator_once_and_in_order():
    batches, images = loader()
    model, evaluator = OddModel(), Collect()
    results = inference_on_dataset(model, batches, evaluator)
    assert evaluator.calls == ["reset", "process", "process", "process", "evaluate"]
    assert model.modes == [(False, False)] * 3
    assert model.training
    torch.testing.assert_close(results["outputs"], (images * torch.arange(1.0, 5.0)).sum(dim=(2, 3)))


@pytest.mark.parametrize(("dtype", "in_place"), [(torch.uint8, False), (torch.float32, False), (torch.float32, True)])
def test_flip_test_averages_an_image_and_its_mirror_image(dtype, in_place):
    batches, images = loader(dtype)
    results = inference_on_dataset(OddModel(in_place=in_place), batches, Collect(), flip_test=True)
    images = images.float() - 100.0 * in_place
    expected = torch.zeros(5, 3)
    for n in range(5):
        for c in range(3):
            for h in range(2):
                for w in range(4):
                    expected[n, c] += (images[n, c, h, w] + images[n, c, h, 3 - w]) / 2 * (w + 1)
    torch.testing.assert_close(results["outputs"], expected)


def test_flip_test_does_not_change_the_batch():
    batch = {"images": torch.rand(2, 3, 2, 4), "targets": torch.zeros(2)}
    before = batch["images"].clone()

    class OneBatch(list):
        dataset = range(2)

    seen = []
    evaluator = Collect()
    evaluator.process = lambda inputs, outputs: (seen.append(inputs), evaluator.outputs.append(outputs))
    inference_on_dataset(OddModel(), OneBatch([batch]), evaluator, flip_test=True)
    assert seen == [batch]
    assert torch.equal(batch["images"], before)


def test_flip_test_needs_a_tensor():
    model = OddModel()
    model.forward = lambda inputs: {"features": inputs["images"]}
    with pytest.raises(TypeError, match=r"TEST\.FLIP\.ENABLED .* returns dict, not a tensor"):
        inference_on_dataset(model, loader()[0], Collect(), flip_test=True)


def test_preprocess_inputs_may_replace_the_batch():
    class Doubled(Collect):
        def preprocess_inputs(self, inputs):
            return {**inputs, "images": inputs["images"] * 2}

    class Older(Collect):
        def preprocess_inputs(self, inputs):
            pass

    plain, doubled, older = (
        inference_on_dataset(OddModel(), loader()[0], kind())["outputs"] for kind in (Collect, Doubled, Older)
    )
    torch.testing.assert_close(doubled, 2 * plain)
    torch.testing.assert_close(older, plain)


def test_an_evaluator_without_results_gives_an_empty_dict():
    assert inference_on_dataset(OddModel(), loader()[0], DatasetEvaluator()) == {}


def test_log_lines(caplog):
    with caplog.at_level(logging.INFO):
        inference_on_dataset(OddModel(), loader()[0], Collect())
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == "Start inference on 5 images"
    assert messages[1].startswith("Inference done 3/3. ")
    assert messages[2].startswith("Total inference time: 0:00:0")
    assert "s / batch per device, on 1 devices; " in messages[2]
    assert "images/s per device)" in messages[2]
    assert messages[3].startswith("Total inference pure compute time: 0:00:0")


def test_an_empty_loader_goes_through():
    assert inference_on_dataset(OddModel(), DataLoader([]), DatasetEvaluator()) == {}


def nested():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.1)))
    model.train()
    model[1][0].eval()  # held still while the rest trains
    return model


def test_context_restores_the_mode_of_every_module():
    model = nested()
    before = [module.training for module in model.modules()]
    assert True in before
    assert False in before
    with inference_context(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before


def test_context_restores_the_modes_after_an_error():
    model = nested()
    before = [module.training for module in model.modules()]
    with pytest.raises(RuntimeError, match="in between"), inference_context(model):
        raise RuntimeError("in between")
    assert [module.training for module in model.modules()] == before


def test_an_error_in_the_model_leaves_it_in_training_mode():
    class Breaks(OddModel):
        def forward(self, inputs):
            raise RuntimeError("broken model")

    model = Breaks()
    with pytest.raises(RuntimeError, match="broken model"):
        inference_on_dataset(model, loader()[0], Collect())
    assert model.training
    assert model.dropout.training


def test_context_leaves_a_model_in_eval_mode_there():
    model = nested().eval()
    with inference_context(model):
        assert not model.training
    assert not any(module.training for module in model.modules())


def test_context_calls_train_of_modules_that_do_more_there():
    class Merges(nn.Module):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    model = Merges()
    with inference_context(model):
        assert model.merged
    assert not model.merged
