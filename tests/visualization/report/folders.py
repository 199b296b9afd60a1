"""A small test set, and features of it, written by hand: what is ranked wrong is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fastreid.config import get_cfg
from fastreid.evaluation.feature_folder import IndexRow, write_index
from fastreid.visualization.report import JudgedRun, judge_runs

IDENTITIES, CAMERAS, FRAMES = 12, 3, 2
WIDTH, HEIGHT = 16, 32
ODD_FILE = "<img src=x onerror=alert(1)>.jpg"
ODD_FOLDER = "<"  # with the file name below: </script>.jpg
ODD_IDENTITY = "</script><b>bold & long name of somebody who has no short one"
LONELY = "lonely"  # an identity without an image in the gallery


def write_images(root: Path) -> list[IndexRow]:
    """Write images of 12 people before 3 cameras, one query each, and return their labels.

    One image has a name that a page must not take for markup, and one lies in a folder of such a name. One file is no
    image.
    """
    rng = np.random.default_rng(0)
    rows = []
    for split, frames in (("query", 1), ("gallery", FRAMES)):
        (root / split).mkdir(parents=True)
        for person in range(IDENTITIES):
            name = {0: ODD_IDENTITY, IDENTITIES - 1: LONELY if split == "query" else "somebody"}.get(
                person, str(person)
            )
            for camera in range(CAMERAS):
                for frame in range(frames):
                    path = root / split / f"{person:02d}_c{camera}_{frame}.jpg"
                    if (split, person, camera, frame) == ("query", 1, 0, 0):
                        path = path.with_name(ODD_FILE)
                    if (split, person, camera, frame) == ("gallery", 1, 1, 0):
                        path = path.parent / ODD_FOLDER / "script>.jpg"
                        path.parent.mkdir()
                    colour = np.random.default_rng(person).integers(0, 255, 3) + rng.integers(-9, 9, (HEIGHT, WIDTH, 3))
                    Image.fromarray(colour.clip(0, 255).astype(np.uint8)).save(path)
                    rows.append(IndexRow(str(path), "", "", split, name, f"cam {camera}"))
    (root / "gallery" / "05_c2_1.jpg").write_bytes(b"no image")
    return rows


def write_features(folder: Path, rows: list[IndexRow], seed: int = 0, noise: float = 1.5, **more: object) -> Path:
    """Write features of 16 dimensions: a point for each person, and noise, of which some images have much more."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((IDENTITIES, 16))
    people = [
        int(row.identity) if row.identity.isdigit() else 0 if row.identity == ODD_IDENTITY else 11 for row in rows
    ]
    strength = noise * rng.choice([0.2, 1.0], len(rows))
    features = centres[people] + strength[:, None] * rng.standard_normal((len(rows), 16))
    numbers = {name: str(number) for number, name in enumerate(sorted({row.identity for row in rows}))}
    rows = [row._replace(pid=numbers[row.identity], camid=row.camera.removeprefix("cam ")) for row in rows]
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", features.astype(np.float32))
    with open(folder / "index.csv", "w", newline="", encoding="utf-8") as file:
        write_index(file, rows)
    meta = {
        "complete": True,
        "config": get_cfg().dump(),
        "dataset": {"name": "csv:crops.csv", "label": "crops"},
        "inference": {"flip": False, "amp": None, "fold_bn": False},
        "model": f"{seed:064d}",
        "checkpoint": {"path": f"model_{seed}.pth", "sha256": None, "weights": "model"},
        "preprocessing": {"size": [HEIGHT, WIDTH]},
        **more,
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def judge(*folders: Path, length: int = 10, names: list[str] | None = None, **settings: object) -> list[JudgedRun]:
    """Judge folders of features, with ROC curves."""
    cfg = get_cfg()
    cfg.TEST.ROC.ENABLED = True
    cfg.TEST.BOOTSTRAP.RESAMPLES = 50
    cfg.merge_from_list([part for pair in settings.items() for part in pair])
    names = names or [folder.name for folder in folders]
    return judge_runs([str(folder) for folder in folders], names, [cfg] * len(folders), length=length)
