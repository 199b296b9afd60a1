from __future__ import annotations

import inspect
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fastreid.data import CommDataset
from fastreid.data.collate import fast_batch_collator
from fastreid.data.data_utils import ImageReadError
from fastreid.data.samplers import StreamIndex
from fastreid.data.transforms import ToTensor

from .conftest import write_image


class Draws:
    """A transform that draws from all three global streams."""

    def __call__(self, image):
        return torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()], dtype=torch.float64)


@pytest.fixture
def items(tmp_path):
    labels = [("m_1002", "m_c1"), ("m_2", "m_c0"), ("m_10", "m_c1"), ("m_2", "m_c2")]
    return [(write_image(tmp_path / f"{n}.png", seed=n), pid, cam) for n, (pid, cam) in enumerate(labels)]


def test_parameters_are_those_of_old():
    parameters = list(inspect.signature(CommDataset).parameters.values())
    assert [p.name for p in parameters[:3]] == ["img_items", "transform", "relabel"]
    assert [p.default for p in parameters[1:3]] == [None, True]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is None for p in parameters[3:])


def test_labels_are_places_in_string_order(items):
    dataset = CommDataset(items, ToTensor())
    assert dataset.pids == ["m_10", "m_1002", "m_2"]
    assert dataset.cams == ["m_c0", "m_c1", "m_c2"]
    assert dataset.pid_dict == {"m_10": 0, "m_1002": 1, "m_2": 2}
    assert dataset.cam_dict == {"m_c0": 0, "m_c1": 1, "m_c2": 2}
    assert (dataset.num_classes, dataset.num_cameras, len(dataset)) == (3, 3, 4)
    assert [(item["targets"], item["camids"]) for item in map(dataset.__getitem__, range(4))] == [
        (1, 1),
        (2, 0),
        (0, 1),
        (2, 2),
    ]


def test_item_without_relabelling(items):
    dataset = CommDataset(
        [(path, number, 3, "extra") for number, (path, _, _) in enumerate(items)], ToTensor(), relabel=False
    )
    item = dataset[2]
    assert set(item) == {"images", "targets", "camids", "img_paths"}
    assert (item["targets"], item["camids"], item["img_paths"]) == (2, 3, items[2][0])
    assert item["images"].dtype == torch.uint8
    assert item["images"].shape == (3, 16, 8)
    assert dataset.img_items[2][3] == "extra"


def test_without_transform_the_image_is_pil(items):
    assert CommDataset(items)[0]["images"].mode == "RGB"


def test_randomness_is_a_function_of_seed_and_position(items):
    dataset = CommDataset(items, Draws())
    first = dataset[StreamIndex(0, seed=1, position=9)]["images"]
    random.random(), np.random.rand(), torch.rand(3)
    assert torch.equal(dataset[StreamIndex(3, seed=1, position=9)]["images"], first)
    for other in (StreamIndex(0, seed=2, position=9), StreamIndex(0, seed=1, position=8)):
        assert (dataset[other]["images"] != first).all()


def test_global_streams_are_put_back(items):
    dataset = CommDataset(items, Draws())
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    dataset[StreamIndex(0, seed=1, position=9)]
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_streams_are_the_same_in_a_worker(items):
    indices = [StreamIndex(0, seed=1, position=position) for position in range(4)]
    dataset = CommDataset(items, Draws())
    batches = DataLoader(dataset, batch_sampler=[indices], num_workers=1, collate_fn=fast_batch_collator)
    assert torch.equal(next(iter(batches))["images"], torch.stack([dataset[index]["images"] for index in indices]))


def test_global_streams_are_put_back_after_an_error(items):
    def fail(image):
        torch.rand(1)
        raise RuntimeError("no")

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no"):
        CommDataset(items, fail)[StreamIndex(0, seed=1, position=9)]
    assert torch.equal(state, torch.get_rng_state())


def test_plain_index_uses_the_global_streams(items):
    dataset = CommDataset(items, Draws())
    torch.manual_seed(3)
    wanted = torch.rand(()).item()
    torch.manual_seed(3)
    assert dataset[0]["images"][2].item() == wanted


def test_transform_gets_to_know_the_images(items):
    class Binds:
        def bind(self, paths):
            bound = Binds()
            bound.paths = paths
            return bound

    assert CommDataset(items, Binds()).transform.paths == [item[0] for item in items]


def test_unreadable_image_is_named(items, tmp_path):
    (tmp_path / "0.png").write_bytes(b"broken")
    with pytest.raises(ImageReadError, match=r"cannot decode the image .*0\.png"):
        CommDataset(items, ToTensor())[0]


def test_names_and_numbers_do_not_mix():
    with pytest.raises(
        ValueError, match=r"the pids of a data set must be all strings or all numbers, got 'm_1' and 1;"
    ):
        CommDataset([("a", "m_1", "c"), ("b", 1, "c")])
    with pytest.raises(
        ValueError, match=r"the camids of a data set must be all strings or all numbers, got 'c' and 0;"
    ):
        CommDataset([("a", "m_1", "c"), ("b", "m_1", 0)])
