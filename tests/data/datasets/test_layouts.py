"""The public data sets that are declarations: each is read from a tiny tree in its exact layout."""

from __future__ import annotations

import logging
import os
import re

import pytest

from fastreid.config import get_cfg
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import DATASET_REGISTRY, DeclaredDataset
from fastreid.data.synthetic import VARIANTS

from .layouts import LAYOUTS

EACH_LAYOUT = pytest.mark.parametrize(
    "layout", LAYOUTS, ids=[f"{layout.name}-{number}" for number, layout in enumerate(LAYOUTS)]
)
DECLARED = sorted(name for name in DATASET_REGISTRY if issubclass(DATASET_REGISTRY.get(name), DeclaredDataset))
PUBLIC = [name for name in DECLARED if name not in VARIANTS]  # these are painted, so nobody looks for them
# those with a file of tests of their own
ELSEWHERE = {"CUHK03", "DukeMTMC", "MSMT17", "Market1501", "VeRi", "Wildlife", *VARIANTS} | {
    f"{size}{name}" for name in ("VehicleID", "VeRiWild") for size in ("", "Small", "Medium", "Large")
}
FOR_TRAINING = sorted({layout.name for layout in LAYOUTS if not layout.query})


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("FASTREID_DATASETS", raising=False)


@pytest.fixture
def root(tmp_path):
    """A root of two folders that read like the name of an image."""
    root = tmp_path / "0002_c1s1_000451_03.jpg" / "p123_s4"
    root.mkdir(parents=True)
    return root


def first(name):
    return next(layout for layout in LAYOUTS if layout.name == name)


def test_every_data_set_has_its_layout_here():
    assert {layout.name for layout in LAYOUTS} | ELSEWHERE == set(DATASET_REGISTRY)


@EACH_LAYOUT
def test_splits_and_labels(layout, root, monkeypatch):
    place = layout.write(root)
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scan(path), key=lambda entry: entry.name, reverse=True))
    data = DATASET_REGISTRY.get(layout.name)(root=str(root))
    prefix = data.dataset_name
    assert data.train == [
        (str(place / path), f"{prefix}_{pid}", f"{prefix}_{camid}") for path, pid, camid in layout.train
    ]
    assert data.query == [(str(place / path), pid, camid) for path, pid, camid in layout.query]
    assert data.gallery == [(str(place / path), pid, camid) for path, pid, camid in layout.gallery]
    assert all(os.path.isfile(item[0]) for item in [*data.train, *data.query, *data.gallery])


@EACH_LAYOUT
def test_combining_adds_the_test_to_the_training(layout, root):
    layout.write(root)
    data = DATASET_REGISTRY.get(layout.name)(root=str(root), combineall=True)
    assert len(data.train) == len(layout.train) + len(layout.query) + len(layout.gallery)
    assert len({pid for _, pid, _ in data.train if "_test_" in pid}) == len(
        {pid for _, pid, _ in [*layout.query, *layout.gallery]}
    )


@EACH_LAYOUT
def test_what_is_found_is_compared_with_what_was_published(layout, root, caplog):
    layout.write(root)
    data = DATASET_REGISTRY.get(layout.name)(root=str(root))
    with caplog.at_level(logging.INFO):
        data.show_train()
        data.show_test()
    said = " ".join(record.getMessage() for record in caplog.records if "published" in record.getMessage())
    for split, (identities, images) in data.statistics.items():
        found = getattr(data, split)
        assert f"{split} has {data.get_num_pids(found)} identities and {len(found)} images (published: " in said
        assert (identities is None or str(identities) in said) and (images is None or str(images) in said)
    # of PRID's cut no count was published, of SenseReID several
    assert bool(said) == (layout.name not in ("PRID", "SenseReID"))


@pytest.mark.parametrize("name", DECLARED)
def test_example_is_read(name):
    cls = DATASET_REGISTRY.get(name)
    for layout in cls.layouts:
        pattern, example = layout.get("pattern", cls.pattern), layout.get("example", cls.example)
        if example:
            assert pattern.match(example), example


@pytest.mark.parametrize("name", PUBLIC)
def test_every_declaration_is_complete(name):
    cls = DATASET_REGISTRY.get(name)
    assert cls.url.startswith("http") and cls.licence and cls.folder
    assert "withdrawn" in cls.licence if "Duke" in name else "withdrawn" not in cls.licence


@pytest.mark.parametrize("name", PUBLIC)
def test_missing_set_says_where_it_was_looked_for_and_what_is_wanted(name, root):
    cls = DATASET_REGISTRY.get(name)
    with pytest.raises(RuntimeError) as error:
        cls(root=str(root))
    text = str(error.value)
    assert text.startswith(f"The data set {name} is missing. Looked in:\n")
    for layout in cls.layouts:
        folder = layout.get("folder", cls.folder)
        assert f'  "{root / folder}" is not found\n' in text and f"\n    {folder}/" in text
    for part in (f"Home page: {cls.url}\n", f"Terms: {cls.licence}\n", "datasets/README.md", f"{str(root)!r}"):
        assert part in text


def test_missing_folder_of_a_set_is_named(root):
    layout = first("SYSU_mm")
    place = layout.write(root)
    os.rename(place / "cam4", place / "cam7")
    with pytest.raises(RuntimeError, match='SYSU-MM01" is there, but has no cam4\n'):
        DATASET_REGISTRY.get("SYSU_mm")(root=str(root))


def test_root_is_not_taken_for_a_set_that_a_single_name_tells(root):
    """A folder ``images`` in the root may be anything."""
    (root / "images").mkdir()
    with pytest.raises(RuntimeError, match="The data set PRAI is missing"):
        DATASET_REGISTRY.get("PRAI")(root=str(root))
    with pytest.raises(RuntimeError, match="The data set iLIDS is missing"):
        DATASET_REGISTRY.get("iLIDS")(root=str(root))


def test_lists_of_old_count_before_those_of_the_archive(root, caplog):
    archive, lists = (layout for layout in LAYOUTS if layout.name == "CUB")
    archive.write(root)
    lists.write(root)
    with caplog.at_level(logging.INFO):
        data = DATASET_REGISTRY.get("CUB")(root=str(root))
    assert f"CUB: taking CUB_200_2011, in {root / 'CUB_200_2011'} (train.txt, test.txt)" in caplog.text
    assert [item[1] for item in data.train] == ["cub_4", "cub_7"]


def test_images_in_the_wrong_place_and_hidden_ones_are_left_out(root):
    place = first("Thermalworld").write(root)
    for name in ("loose.jpg", "001/deep/0003.jpg", "001/._0001.jpg", ".cache/0001.jpg", "001/notes.txt"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).touch()
    assert len(DATASET_REGISTRY.get("Thermalworld")(root=str(root)).train) == 3


def test_names_that_do_not_read_are_counted(root, caplog):
    place = first("cuhkSYSU").write(root)
    (place / "cropped_images" / "s16929_p11422.jpg").touch()
    assert len(DATASET_REGISTRY.get("cuhkSYSU")(root=str(root)).train) == 2
    assert "cuhkSYSU: left out 1 of 3 images of train" in caplog.text


@pytest.mark.parametrize("name", ["Thermalworld", "CUB"])
def test_table_says_that_no_camera_is_known(name, root, caplog):
    first(name).write(root)
    data = DATASET_REGISTRY.get(name)(root=str(root))
    with caplog.at_level(logging.INFO):
        data.show_train()
    row = next(line for line in caplog.text.splitlines() if line.startswith("| train"))
    assert row.split("|")[-2].strip() == "0"


def test_text_as_identity_of_a_test_is_an_error(root, monkeypatch):
    first("PartialiLIDS").write(root)
    cls = DATASET_REGISTRY.get("PartialiLIDS")
    monkeypatch.setattr(cls, "pattern", re.compile("(?P<pid>.*)_"))
    os.rename(root / "PartialiLIDS/query/001_1.jpg", root / "PartialiLIDS/query/anna_1.jpg")
    with pytest.raises(ValueError, match=r"anna_1\.jpg: identity 'anna' and camera None .* must be numbers"):
        cls(root=str(root)).query  # noqa: B018


@pytest.fixture
def cfg(root):
    cfg = get_cfg()
    cfg.DATASETS.ROOT = str(root)
    cfg.DATALOADER.NUM_WORKERS = cfg.TEST.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


def test_sets_for_training_are_trained_on_together(root, cfg):
    for name in FOR_TRAINING:
        first(name).write(root)
    cfg.DATASETS.NAMES = tuple(FOR_TRAINING)
    train_set = build_reid_train_loader(cfg).dataset
    assert train_set.num_classes == sum(len({pid for _, pid, _ in first(name).train}) for name in FOR_TRAINING)
    assert train_set.num_cameras == sum(len({camid for *_, camid in first(name).train}) for name in FOR_TRAINING)


@pytest.mark.parametrize("name", FOR_TRAINING)
def test_sets_for_training_cannot_be_tested_on(name, root, cfg):
    first(name).write(root)
    with pytest.raises(
        ValueError, match=rf"{name} has no query images .*for training only.* take it out of DATASETS\.TESTS"
    ):
        build_reid_test_loader(cfg, name)


@pytest.mark.parametrize("name", ["OccludedREID", "PartialREID", "PartialiLIDS"])
def test_sets_for_tests_cannot_be_trained_on(name, root, cfg):
    first(name).write(root)
    cfg.DATASETS.NAMES = (name,)
    with pytest.raises(ValueError, match=f"{name} has no training images, so it cannot be in DATASETS.NAMES"):
        build_reid_train_loader(cfg)


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS if layout.query and layout.query[0][2] < 0], ids=lambda layout: layout.name
)
def test_sets_without_cameras_want_another_protocol(layout, root, cfg):
    """By the default they are an error that names the protocol; by that protocol all images are there."""
    layout.write(root)
    wanted = "cameraless" if layout.gallery else "leave_one_out"
    with pytest.raises(ValueError, match=f"{layout.name}.*TEST.PROTOCOL {wanted}"):
        build_reid_test_loader(cfg, layout.name)
    cfg.TEST.PROTOCOL = wanted
    loader, num_query = build_reid_test_loader(cfg, layout.name)
    assert len(loader.dataset) == len(layout.query) + len(layout.gallery)
    assert num_query == (len(layout.query) if layout.gallery else 0)
