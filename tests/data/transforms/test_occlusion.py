from __future__ import annotations

import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data import CommDataset
from fastreid.data.samplers.stream import StreamIndex
from fastreid.data.transforms import PatchOcclusion, build_transforms
from fastreid.utils.env import random_stream

PIDS = ["b", "a", "c", "a", "b", "a", "a", "c", "d"]


@pytest.fixture
def donors(tmp_path):
    """An image of one grey value, its number, for each of PIDS."""
    paths = [str(tmp_path / f"{number}.png") for number in range(len(PIDS))]
    for number, path in enumerate(paths):
        Image.new("L", (10, 20), number).save(path)
    return paths


def occluded(transform, position, size=(40, 20)):
    image = torch.full((3, *size), 255, dtype=torch.uint8)
    with random_stream(0, position):
        output = transform(image)
    assert (image == 255).all()  # the argument stays as it is
    return output


@pytest.mark.parametrize("place", range(len(PIDS)))
def test_patch_is_from_every_image_of_another_identity_equally_often(donors, place):
    transform = PatchOcclusion(1.0).bind(donors, PIDS).at(place)
    counts = dict.fromkeys((number for number, pid in enumerate(PIDS) if pid != PIDS[place]), 0)
    for position in range(100 * len(counts)):
        with random_stream(1, position):
            counts[donors.index(transform._donors.draw(place))] += 1  # KeyError: of its own identity
    assert min(counts.values()) > 60 and max(counts.values()) < 140


def test_patch_is_a_rectangle_of_one_donor(donors):
    transform = PatchOcclusion(1.0, area=(0.1, 0.3)).bind(donors, PIDS).at(3)
    values, areas = set(), []
    for position in range(200):
        output = occluded(transform, position)
        inside = output[0] != 255  # (H, W)
        assert inside.sum() == inside.any(1).sum() * inside.any(0).sum()
        assert len(output[:, inside].unique()) == 1
        values.add(int(output[:, inside].unique()))
        areas.append(inside.float().mean())
    assert values == {0, 2, 4, 7, 8}
    assert 0.08 < min(areas) < 0.13 and 0.27 < max(areas) < 0.32


def test_patch_is_a_piece_of_the_donor_in_the_size_of_the_image(tmp_path):
    ramp = torch.arange(20, dtype=torch.uint8)[:, None].expand(20, 10)  # its value is its row
    Image.fromarray(ramp.numpy()).save(tmp_path / "donor.png")
    transform = PatchOcclusion(1.0).bind(["none.png", str(tmp_path / "donor.png")], [0, 1]).at(0)
    tops = set()
    for position in range(50):
        output = occluded(transform, position, size=(20, 10))
        inside = (output[0] != 255).any(1)  # (H,)
        rows = output[0].min(dim=1).values[inside]
        assert rows.diff().eq(1).all()
        tops.add(int(rows[0]))
    assert len(tops) > 5


def test_result_depends_on_the_stream_alone(donors):
    transform = PatchOcclusion(0.5).bind(donors, PIDS)
    first = [occluded(transform.at(0), position) for position in range(40)]
    again = [occluded(transform.at(0), position) for position in reversed(range(40))][::-1]
    assert all(torch.equal(one, other) for one, other in zip(first, again))
    assert 8 < sum(bool((output == 255).all()) for output in first) < 32


def test_data_set_says_which_image_it_is(donors):
    cfg = get_cfg()
    cfg.INPUT.SIZE_TRAIN = [40, 20]
    cfg.INPUT.OCCLUSION.ENABLED, cfg.INPUT.OCCLUSION.PROB = True, 1.0
    items = [(path, pid, "cam") for path, pid in zip(donors, PIDS)]
    data = CommDataset(items, build_transforms(cfg))
    for place, pid in enumerate(PIDS):
        others = {number for number, other in enumerate(PIDS) if other != pid}
        seen = set()
        for position in range(60):
            seen |= set(data[StreamIndex(place, seed=0, position=position)]["images"].unique().tolist())
        assert seen == {place} | others


def test_one_identity_is_an_error(donors):
    with pytest.raises(
        ValueError, match=r"INPUT.OCCLUSION takes patches from images of other identities, but .* has 1"
    ):
        PatchOcclusion().bind(donors, ["a"] * len(donors))


def test_without_images_it_says_what_to_do(donors):
    for transform in (PatchOcclusion(), PatchOcclusion().bind(donors, PIDS)):
        with pytest.raises(
            RuntimeError, match=r"does not know them; use PatchOcclusion\(...\).bind\(img_paths, pids\)"
        ):
            transform(torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_impossible_area_is_an_error():
    cfg = get_cfg()
    cfg.INPUT.OCCLUSION.ENABLED, cfg.INPUT.OCCLUSION.RATIO = True, 0.0
    with pytest.raises(ValueError, match=r"INPUT.OCCLUSION.RATIO must be in \(0, 1\], got 0.0"):
        build_transforms(cfg)
