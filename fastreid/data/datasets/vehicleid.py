from __future__ import annotations

import functools
import os
import re

from ...utils.random_gallery import draw_gallery
from .build import DATASET_REGISTRY
from .declared import Label
from .listed import ListedDataset

__all__ = ["LargeVehicleID", "MediumVehicleID", "SmallVehicleID", "VehicleID"]


def _lists(vehicles: int) -> dict[str, str]:
    test = f"train_test_split/test_list_{vehicles}.txt"
    return {"train": "train_test_split/train_list.txt", "query": test, "gallery": test}


@DATASET_REGISTRY.register()
class VehicleID(ListedDataset):
    """26328 vehicles seen from the front or from behind; tested on all 13164 that are not trained on.

    Text files list the images of training and of each test, a line each: ``0000001 14038``, the image and its vehicle.
    One image of each vehicle of a test is the gallery, drawn by ``draw_gallery`` with seed 0; all others are queries.
    ``RandomGalleryEvaluator`` takes the mean over ten such draws, as published numbers do. Cameras are not told: each
    image counts as seen by a camera of its own, so that none is left out of a ranking.

    Source: Liu et al., "Deep Relative Distance Learning: Tell the Difference Between Similar Vehicles", CVPR 2016.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Raises:
        RuntimeError, ValueError, FileNotFoundError: see ``ListedDataset``.
    """

    dataset_name = "vehicleid"
    folder = "vehicleid"
    url = "https://www.pkuml.org/resources/pku-vehicleid.html"
    licence = "research only, on request"
    splits = {"train": "image", "query": "image", "gallery": "image"}
    pattern = re.compile(r"(?P<image>\d+)\s+(?P<pid>\d+)")
    example = "0000001 14038"
    first_camera = 0
    lists = _lists(13164)
    # split -> (identities, images)
    statistics = {"train": (13164, 113346), "query": (13164, 95057), "gallery": (13164, 13164)}

    def _item(self, line: re.Match[str], split: str) -> tuple[str, Label, Label]:
        return os.path.join(self._images(split), f"{line['image']}.jpg"), int(line["pid"]), int(line["image"])

    def _parse(self, split: str) -> list[tuple[str, Label, Label]]:
        return super()._parse(split) if split == "train" else self._drawn[split]

    @functools.cached_property
    def _drawn(self) -> dict[str, list[tuple[str, Label, Label]]]:
        items = super()._parse("gallery")
        drawn = draw_gallery([pid for _, pid, _ in items], [number for _, _, number in items], seed=0)
        queries = sorted({*range(len(items))}.difference(drawn))
        return {"query": [items[place] for place in queries], "gallery": [items[place] for place in drawn]}


@DATASET_REGISTRY.register()
class SmallVehicleID(VehicleID):
    """VehicleID, tested on 800 vehicles."""

    lists = _lists(800)
    statistics = {**VehicleID.statistics, "query": (800, 5693), "gallery": (800, 800)}


@DATASET_REGISTRY.register()
class MediumVehicleID(VehicleID):
    """VehicleID, tested on 1600 vehicles."""

    lists = _lists(1600)
    statistics = {**VehicleID.statistics, "query": (1600, 11777), "gallery": (1600, 1600)}


@DATASET_REGISTRY.register()
class LargeVehicleID(VehicleID):
    """VehicleID, tested on 2400 vehicles."""

    lists = _lists(2400)
    statistics = {**VehicleID.statistics, "query": (2400, 17377), "gallery": (2400, 2400)}
