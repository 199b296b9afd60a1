"""Public data sets in their published layouts, and one's own images, from a YAML file to the final numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.data_utils import read_image
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultPredictor, DefaultTrainer

from .helpers import RECIPE, main_in_process, options, tiny_cfg, write_image, write_market
from .own_images import write_public, write_table

RUN = {
    "MODEL__BACKBONE__NAME": "build_osnet_backbone",
    "MODEL__BACKBONE__DEPTH": "x0_25",
    "MODEL__BACKBONE__FEAT_DIM": 128,
    "SOLVER__MAX_EPOCH": 2,
    "SOLVER__WARMUP_ITERS": 2,
    "TEST__EVAL_PERIOD": 0,
}


def write_yaml(path, names, tests, **more):
    """Write a config file in which everything is said; return it."""
    tree = {"_BASE_": str(RECIPE), "OUTPUT_DIR": str(path.parent / "logs")}
    settings = options(DATASETS__NAMES=names, DATASETS__TESTS=tests, **(RUN | more))
    for key, value in zip(settings[::2], settings[1::2]):
        *nodes, leaf = key.split(".")
        branch = tree
        for node in nodes:
            branch = branch.setdefault(node, {})
        branch[leaf] = yaml.safe_load(value) if not value.startswith("(") else value
    path.write_text(yaml.safe_dump(tree))
    return path


def run(config):
    """Run the command line with nothing but the file; return the results and what was printed."""
    error, printed = main_in_process("--config-file", config)
    assert error is None, printed[-4000:]
    return json.loads((config.parent / "logs" / "results.json").read_text()), printed


def numbers_by_hand(config, query, gallery, *, cameras):
    """Embed the files `(path, pid, camid)` with the run's final model, and return its numbers by their definition."""
    cfg = get_cfg()
    cfg.merge_from_file(str(config))
    cfg.MODEL.WEIGHTS = str(config.parent / "logs" / "model_final.pth")
    prepare, predictor = build_transforms(cfg, is_train=False), DefaultPredictor(cfg)

    def embed(items):
        out = predictor(torch.stack([prepare(read_image(str(path))) for path, *_ in items])).double()
        return (out / out.norm(dim=1, keepdim=True)).numpy()

    similarity = embed(query) @ embed(gallery).T
    hits, precisions, worst = [], [], []
    for (_, pid, camid), row in zip(query, similarity):
        order = [gallery[j] for j in np.argsort(-row)]
        order = [item for item in order if not (cameras and item[1] == pid and item[2] == camid)]
        ranks = [rank for rank, item in enumerate(order, 1) if item[1] == pid]
        if ranks:
            hits.append(ranks[0])
            precisions.append(np.mean([(n + 1) / rank for n, rank in enumerate(ranks)]))
            worst.append(len(ranks) / ranks[-1])
    wanted = {f"Rank-{k}": 100 * np.mean([hit <= k for hit in hits]) for k in (1, 5, 10)}
    return wanted | {"mAP": 100 * np.mean(precisions), "mINP": 100 * np.mean(worst)}


def own(form, folder):
    """Write images in one of the three forms; return the entry for the config, its queries and its gallery."""
    if form == "market":
        home = write_market(folder) / "Market-1501-v15.09.15"
        parts = []
        for name in ("query", "bounding_box_test"):
            files = sorted(path for path in (home / name).iterdir() if not path.name.startswith("-1"))
            parts.append([(path, int(path.name[:4]), int(path.name[6])) for path in files])
        return f"market:{home}", *parts
    table = write_table(folder / "crops" / "my table.csv", train_ids=5, images=4, test_ids=6, cameras=False)
    query, gallery = [], []
    for person in sorted((table.parent / "test").iterdir()):
        first, *others = sorted(person.iterdir())
        query.append((first, person.name, -1))
        gallery += [(path, person.name, -1) for path in others]
    lonely = table.parent / "test" / "zlonely" / "0.png"  # one image: no query, but in the gallery
    write_image(lonely, 77, 0)
    with table.open("a") as file:
        file.write("test/zlonely/0.png,zlonely,test\n")
    gallery.append((lonely, "zlonely", -1))
    return f"csv:{table}" if form == "csv" else f"folder:{table.parent}", query, gallery


@pytest.mark.parametrize("form", ["csv", "folder", "market"])
def test_ones_own_images_train_and_test_from_a_yaml_file_alone(tmp_path, form):
    entry, query, gallery = own(form, tmp_path)
    protocol = "market1501" if form == "market" else "cameraless"
    config = write_yaml(tmp_path / "mine.yml", (entry,), (entry,), TEST__PROTOCOL=protocol)
    results, printed = run(config)
    wanted = numbers_by_hand(config, query, gallery, cameras=form == "market")
    seen = next(iter(results.values())) if "mAP" not in results else results
    assert {key: seen[key] for key in wanted} == pytest.approx(wanted, abs=1e-3)
    assert f"protocol {protocol}" in printed


def test_several_sets_are_trained_and_tested_together(tmp_path, monkeypatch):
    """The public sets of the core, in their layouts, beside two of one's own."""
    monkeypatch.setenv("FASTREID_DATASETS", str(write_public(write_market(tmp_path / "sets", images_per_camera=1))))
    table = write_table(tmp_path / "mine" / "a.csv", train_ids=4, images=4, test_ids=3)
    with_cameras = ("Market1501", "DukeMTMC", "MSMT17", "VeRi", f"csv:{table}")
    names = (*with_cameras, f"folder:{table.parent}")
    config = write_yaml(
        tmp_path / "all.yml", names, names, TEST__PROTOCOL="auto", DATASETS__SHARES="equal", SOLVER__IMS_PER_BATCH=12
    )
    results, printed = run(config)
    assert list(results) == ["Market1501", "DukeMTMC", "MSMT17", "VeRi", "a.csv", "mine"]
    assert all(0 <= one["mAP"] <= 100 and one["metric"] == pytest.approx((one["Rank-1"] + one["mAP"]) / 2)
               for one in results.values())  # fmt: skip
    cfg = get_cfg()
    cfg.merge_from_file(str(config.parent / "logs" / "config.yaml"))
    assert cfg.MODEL.HEADS.NUM_CLASSES == 8 + 4 + 4 + 4 + 4 + 4  # sets share no identities
    assert printed.count("auto means cameraless") == 1 and printed.count("auto means market1501") == 5


def test_both_versions_of_msmt17_are_told_apart_and_their_lists_checked(tmp_path):
    root = write_public(tmp_path)
    old, new = root / "MSMT17_V1", root / "MSMT17_V2"
    cfg = tiny_cfg(DATASETS__ROOT=root, DATASETS__NAMES=("MSMT17",))
    paths = [item[0] for item in DefaultTrainer.build_train_loader(cfg).dataset.img_items]
    assert len(paths) == 15 and all("MSMT17_V1" in path for path in paths)  # `val` is only trained on with COMBINEALL
    old.rename(new)
    (new / "train").rename(new / "mask_train_v2")
    (new / "test").rename(new / "mask_test_v2")
    paths = [item[0] for item in DefaultTrainer.build_train_loader(cfg).dataset.img_items]
    assert len(paths) == 15 and all("mask_train_v2" in path for path in paths)
    (new / "list_gallery.txt").unlink()
    with pytest.raises((RuntimeError, OSError), match=r"list_gallery\.txt"):
        DefaultTrainer.build_train_loader(cfg)


def broken(kind, folder):
    """Return settings that cannot work."""
    table = write_table(folder / "t.csv", train_ids=4, images=4, test_ids=3, cameras=kind != "camera-less")
    entry = (f"csv:{table}",)
    if kind == "column":
        table.write_text(table.read_text().replace("path,pid", "path,person"))
    elif kind == "image":
        (folder / "train" / "who2" / "1.png").unlink()
    elif kind == "split":
        table.write_text(table.read_text().replace("who1,yard,train", "who1,yard,trian", 1))
    elif kind == "empty pid":
        table.write_text(table.read_text().replace("png,who1,", "png,,", 1))
    elif kind == "no such table":
        entry = (f"csv:{folder / 'nowhere.csv'}",)
    elif kind == "no such folder":
        entry = (f"folder:{folder / 'nowhere'}",)
    elif kind == "scheme":
        entry = (f"cvs:{table}",)
    elif kind == "no path":
        entry = ("csv:",)
    elif kind == "no test":
        table.write_text("".join(line for line in table.open() if not line.endswith("test\n")))
    elif kind == "protocol":
        return entry, {"TEST__PROTOCOL": "cameraless2"}
    elif kind == "not an image":
        (folder / "train" / "who2" / "1.png").write_bytes(b"no picture")
    return entry, {}


@pytest.mark.parametrize(("kind", "words"), [
    ("column", ["t.csv", "pid", "person"]),
    ("image", ["t.csv", "who2/1.png"]),
    ("split", ["t.csv", "trian", "train"]),
    ("empty pid", ["t.csv", "pid"]),
    ("no such table", ["nowhere.csv"]),
    ("no such folder", ["nowhere"]),
    ("scheme", ["cvs", "csv"]),
    ("no path", ["csv:"]),
    ("camera-less", ["t.csv", "TEST.PROTOCOL", "market1501", "cameraless"]),
    ("protocol", ["TEST.PROTOCOL", "cameraless2", "auto"]),
    ("no test", ["t.csv", "query"]),
    ("not an image", ["who2/1.png"]),
])  # fmt: skip
def test_what_is_wrong_with_ones_own_images_is_said(tmp_path, kind, words):
    entry, more = broken(kind, tmp_path)
    config = write_yaml(tmp_path / "mine.yml", entry, entry, **more)
    error, _ = main_in_process("--config-file", config)
    assert isinstance(error, Exception), "no error"
    assert [word for word in words if word not in str(error)] == []
    assert not list((tmp_path / "logs").glob("*.pth"))  # said before anything is trained


def test_images_of_one_split_are_never_seen_in_another(tmp_path):
    """`test` is neither trained on nor is `train` tested, unless COMBINEALL says so."""
    table = write_table(tmp_path / "t.csv", train_ids=4, images=4, test_ids=3)
    for combine, wanted in ((False, {"train"}), (True, {"train", "test"})):
        cfg = tiny_cfg(DATASETS__NAMES=(f"csv:{table}",), DATASETS__COMBINEALL=combine)
        items = DefaultTrainer.build_train_loader(cfg).dataset.img_items
        assert {Path(path).relative_to(tmp_path).parts[0] for path, *_ in items} == wanted
        assert len({pid for _, pid, _ in items}) == (7 if combine else 4)


def test_grey_and_transparent_and_turned_images_are_read_as_one_sees_them(tmp_path):
    table = write_table(tmp_path / "t.csv", train_ids=4, images=4)
    path = tmp_path / "train" / "who0" / "0.png"
    turned = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    turned.rotate(90, expand=True).save(path.with_suffix(".jpg"), exif=exif, quality=100, subsampling=0)
    seen = np.asarray(read_image(str(path.with_suffix(".jpg")))).astype(int)
    assert seen.shape == (32, 16, 3)
    assert np.abs(seen - np.asarray(turned).astype(int)).mean() < 8
    Image.open(path).convert("LA").save(path)
    dataset = DefaultTrainer.build_train_loader(tiny_cfg(DATASETS__NAMES=(f"csv:{table}",))).dataset
    assert dataset[0]["images"].shape == (3, 32, 16)
