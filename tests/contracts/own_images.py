"""One's own images, and the layouts of public data sets, painted: what the contract tests of data sets start from."""

from __future__ import annotations

import csv
from pathlib import Path

from .helpers import write_image


def write_table(path: Path, *, train_ids: int = 6, images: int = 4, test_ids: int = 0, cameras: bool = True) -> Path:
    """Write `path`, a table, and its images into folders of one identity each beside it; return `path`.

    Image `k` of an identity is by camera `door` or `yard`, in turns; test identities have the split `test`.
    """
    rows = []
    for number in range(train_ids + test_ids):
        split = "train" if number < train_ids else "test"
        for k in range(images):
            name = f"{split}/who{number}/{k}.png"
            write_image(path.parent / name, 1000 + number, k)
            rows.append([name, f"who{number}", ("door", "yard")[k % 2], split])
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "pid", "camid", "split"][: None if cameras else 2] + ([] if cameras else ["split"]))
        table.writerows(row if cameras else [row[0], row[1], row[3]] for row in rows)
    return path


def write_public(root: Path) -> Path:
    """Write DukeMTMC, MSMT17 and VeRi, in the layouts that they are published in, under `root`; return `root`.

    Each has 4 people or vehicles x 2 cameras x 2 images to train on, and 3 others, each seen by 2 cameras, to test.
    """
    for pid in range(1, 8):
        test = pid > 4
        for camera in (1, 2):
            for k in range(2):
                duke = "query" if test and camera == 1 and k == 0 else "bounding_box_" + ("test" if test else "train")
                write_image(root / "DukeMTMC-reID" / duke / f"{pid:04d}_c{camera}_f{k:07d}.jpg", pid, 10 * camera + k)
                veri = "query" if test and camera == 1 and k == 0 else "test" if test else "train"
                name = f"{pid:04d}_c{camera:03d}_{k:08d}_0.jpg"
                write_image(root / "veri" / f"image_{veri}" / name, 20 + pid, 10 * camera + k)
    msmt = root / "MSMT17_V1"
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for pid in range(7):
        test = pid > 3
        for camera in (1, 2):
            for k in range(2):
                number = pid - 4 if test else pid
                name = f"{number:04d}/{number:04d}_{k:03d}_{camera:02d}_0303morning_{k:04d}_0.jpg"
                write_image(msmt / ("test" if test else "train") / name, 40 + pid, 10 * camera + k)
                split = "query" if test and camera == 1 and k == 0 else "gallery" if test else "train"
                lists[split].append(f"{name} {number}")
    lists["val"] = [lists["train"].pop()]
    for split, lines in lists.items():
        (msmt / f"list_{split}.txt").write_text("\n".join(lines) + "\n")
    return root
