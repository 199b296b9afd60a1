from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data import CommDataset
from fastreid.data.data_utils import read_image
from fastreid.data.transforms import ToTensor, augmentation_sheet, build_transforms

from ..conftest import write_image

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def dataset(tmp_path):
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = [16, 8]
    cfg.INPUT.REA.ENABLED = True
    cfg.INPUT.REA.PROB = 1.0
    paths = [write_image(tmp_path / f"{number}.png", size=(8, 16), seed=number) for number in range(6)]
    return CommDataset([(path, "a", "c") for path in paths], build_transforms(cfg))


def cell(sheet, row, column):
    return sheet[:, 4 + 20 * row : 20 + 20 * row, 4 + 12 * column : 12 + 12 * column]


def test_rows_start_with_the_original(dataset):
    sheet = augmentation_sheet(dataset, num_images=3, num_samples=2)
    assert (sheet.shape, sheet.dtype) == ((3, 3 * 20 + 4, 3 * 12 + 4), torch.uint8)
    for row, index in enumerate((0, 2, 4)):
        original = ToTensor()(read_image(dataset.img_items[index][0]))
        assert torch.equal(cell(sheet, row, 0), original)
        samples = [cell(sheet, row, column) for column in (1, 2)]
        for sample in samples:
            assert 0 < (sample != original).any(0).float().mean() < 0.5  # a rectangle is gone
        assert not torch.equal(*samples)


def test_sheet_is_a_function_of_the_seed(dataset):
    one, same, other = (augmentation_sheet(dataset, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape[1] == 6 * 20 + 4  # no more rows than images


@pytest.mark.parametrize(("name", "value"), [("num_images", 0), ("num_samples", 0), ("seed", -1)])
def test_impossible_numbers_are_an_error(dataset, name, value):
    with pytest.raises(ValueError, match=f"{name} must be >= ., got {value}"):
        augmentation_sheet(dataset, **{name: value})


def test_the_tool_saves_a_sheet(market_root, tmp_path):
    command = [sys.executable, str(_ROOT / "tools" / "show_augmentations.py"), "--config-file"]
    command += ["Market1501/bagtricks_R50.yml", "--output", "sheet.png", "--num-images", "2", "--num-samples", "3"]
    command += ["DATASETS.ROOT", str(market_root), "INPUT.SIZE_TRAIN", "[16, 8]", "SOLVER.IMS_PER_BATCH", "8"]
    command += ["DATALOADER.NUM_INSTANCE", "2"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(_ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert "sheet.png: 2 images, 3 samples of each" in done.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 12 + 4, 2 * 20 + 4)


def test_stages_on_the_device_are_drawn_too(tmp_path):
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = [16, 8]
    cfg.INPUT.FLIP.ENABLED = cfg.INPUT.REA.ENABLED = True
    items = [(write_image(tmp_path / f"{n}.png", seed=n), n, 0) for n in range(2)]
    wanted = augmentation_sheet(CommDataset(items, build_transforms(cfg)))
    cfg.INPUT.ON_DEVICE = ("horizontal_flip", "random_erasing")
    assert torch.equal(augmentation_sheet(CommDataset(items, build_transforms(cfg))), wanted)
