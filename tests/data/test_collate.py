from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fastreid.data.collate import fast_batch_collator, trivial_batch_collator


def test_batch_of_items():
    items = [
        {
            "images": torch.full((3, 2, 2), number, dtype=torch.uint8),
            "targets": number,
            "camids": 0,
            "img_paths": f"{number}",
        }
        for number in range(3)
    ]
    batch = fast_batch_collator(items)
    assert batch["images"].dtype == torch.uint8
    assert batch["images"].shape == (3, 3, 2, 2)
    assert batch["images"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch["targets"].dtype == torch.int64
    assert batch["targets"].tolist() == [0, 1, 2]
    assert batch["img_paths"] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, 2], torch.tensor([1, 2])),
        ([np.int32(1), np.int64(2)], torch.tensor([1, 2])),
        ([2**40, 1], torch.tensor([2**40, 1])),
        ([0.1, 2.0], torch.tensor([0.1, 2.0], dtype=torch.float64)),
        ([np.float32(0.5), np.float32(2)], torch.tensor([0.5, 2.0], dtype=torch.float64)),
        ([True, False], torch.tensor([True, False])),
        ([np.True_, np.False_], torch.tensor([True, False])),
        ([np.arange(3.0), np.arange(3.0)], torch.tensor([[0.0, 1, 2], [0, 1, 2]], dtype=torch.float64)),
        ([torch.tensor(1.0), torch.tensor(2.0)], torch.tensor([1.0, 2.0])),
    ],
)
def test_numbers_keep_their_kind(values, wanted):
    batch = fast_batch_collator(values)
    assert batch.dtype == wanted.dtype
    assert torch.equal(batch, wanted)


def test_batch_is_contiguous_whatever_the_items_are():
    images = [torch.randint(0, 256, (4, 5, 3), dtype=torch.uint8).permute(2, 0, 1) for _ in range(2)]
    batch = fast_batch_collator(images)
    assert batch.is_contiguous()
    assert torch.equal(batch, torch.stack(images))


def test_nested_items():
    batch = fast_batch_collator([({"a": 1}, ["x", 2]), ({"a": 3}, ["y", 4])])
    assert batch[0]["a"].tolist() == [1, 3]
    assert batch[1][0] == ["x", "y"]
    assert batch[1][1].tolist() == [2, 4]


@pytest.mark.parametrize("value", [None, Path("x"), object()])
def test_what_cannot_be_collated_is_an_error(value):
    with pytest.raises(
        TypeError, match=rf"cannot make a batch of .*{re.escape(type(value).__qualname__)}; an item may hold"
    ):
        fast_batch_collator([{"extra": value}])


def test_images_of_different_size_are_an_error():
    with pytest.raises(ValueError, match=r"must have one size, got \(3, 4, 2\), \(3, 5, 2\); give INPUT.SIZE_TRAIN"):
        fast_batch_collator([torch.zeros(3, 5, 2), torch.zeros(3, 4, 2)])


def test_lists_of_different_length_are_an_error():
    with pytest.raises(ValueError, match=r"must have one length, got \[1, 2\]; pad them"):
        fast_batch_collator([[1], [1, 2]])


def test_trivial_collator_returns_the_items():
    items = [{"a": 1}, {"a": 2}]
    assert trivial_batch_collator(items) is items
