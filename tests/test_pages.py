"""What the pages say can be done as written: their files are written out and run, their links lead somewhere."""

from __future__ import annotations

import json
import math
import re
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.data.datasets import (
    DATASET_REGISTRY,
    MSMT17,
    DukeMTMC,
    Market1501,
    OccludedDuke,
    SynthReID,
    VeRi,
)
from fastreid.data.synthetic import VARIANTS, Benchmark
from fastreid.engine import DefaultTrainer
from fastreid.engine.checkpoint_state import checkpoint_meta
from fastreid.modeling import build_model
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.losses import LOSS_REGISTRY
from fastreid.solver import build_optimizer
from fastreid.utils.custom_imports import import_custom_modules
from fastreid.utils.events import EventStorage

from .engine.tiny import write_market

_ROOT = Path(__file__).parents[1]
_PAGES = (
    sorted(path for path in _ROOT.glob("*.md"))
    + sorted(_ROOT.glob("datasets/*.md"))
    + sorted(_ROOT.glob("docs/*.md"))
    + sorted(_ROOT.glob("projects/*/*.md"))
)
# a block whose first line is the file's name: ```python, # my_loss.py
_FILE = re.compile(r"^```(?:python|yaml)\n# (?P<name>[\w./-]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SIZES = ("Small", "Medium", "Large")
_LINK = re.compile(r"\]\((?P<target>[^)#]+)[^)]*\)")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with the recipes in it, as a clone has them, and every file that the pages tell to write."""
    (tmp_path / "configs").symlink_to(_ROOT / "configs")
    for page in _PAGES:
        for block in _FILE.finditer(page.read_text(encoding="utf-8")):
            (tmp_path / block["name"]).write_text(block["text"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# appended to a command line of a page: seconds instead of minutes
_LESS = [
    "MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", "[32,16]", "INPUT.SIZE_TEST", "[32,16]", "DATALOADER.NUM_WORKERS", "0",
    "TEST.NUM_WORKERS", "0", "SOLVER.MAX_EPOCH", "1", "SOLVER.WARMUP_ITERS", "0", "SOLVER.IMS_PER_BATCH", "32",
]  # fmt: skip


def _fast(cfg, root: Path, output: Path):
    """Cut a recipe down to seconds."""
    settings = {
        "MODEL.DEVICE": "cpu",
        "INPUT.SIZE_TRAIN": [32, 16],
        "INPUT.SIZE_TEST": [32, 16],
        "DATASETS.ROOT": str(root),
        "DATASETS.NAMES": ("Market1501",),
        "DATASETS.TESTS": ("Market1501",),
        "DATALOADER.NUM_INSTANCE": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "SOLVER.MAX_EPOCH": 1,
        "SOLVER.IMS_PER_BATCH": 8,
        "SOLVER.WARMUP_ITERS": 0,
        "SOLVER.DELAY_EPOCHS": 0,
        "TEST.NUM_WORKERS": 0,
        "OUTPUT_DIR": str(output),
    }
    cfg.merge_from_list([part for pair in settings.items() for part in pair])
    return cfg


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_links_lead_somewhere(page):
    targets = [match["target"] for match in _LINK.finditer(page.read_text(encoding="utf-8"))]
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_the_first_experiment(checkout):
    cfg = get_cfg()
    cfg.merge_from_file("my_experiment.yml")
    base = get_cfg()
    base.merge_from_file(get_config_file("SynthReID/quickstart_R18.yml"))
    assert cfg.SOLVER.BASE_LR == 0.0007 != base.SOLVER.BASE_LR
    assert cfg.OUTPUT_DIR == "logs/my_experiment"
    assert cfg.MODEL == base.MODEL


def test_the_first_component_trains(checkout, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    cfg = get_cfg()
    cfg.merge_from_file("my_loss.yml")
    root = write_market(checkout / "datasets")
    try:
        DefaultTrainer(_fast(cfg, root, checkout / "logs")).train()
    finally:
        LOSS_REGISTRY._objects.pop("CompactLoss", None)
        sys.modules.pop("my_loss", None)
    lines = [json.loads(line) for line in (checkout / "logs" / "metrics.json").read_text().splitlines()]
    losses = [line["loss_compact"] for line in lines if "loss_compact" in line]
    assert losses and all(0 <= loss <= 4 for loss in losses)


@pytest.fixture
def own_components(checkout, monkeypatch):
    """The files of docs/extend.md, and registries that forget them afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    registries = (BACKBONE_REGISTRY, REID_HEADS_REGISTRY, LOSS_REGISTRY)
    for registry in registries:
        monkeypatch.setattr(registry, "_objects", dict(registry._objects))
    yield checkout
    for name in ("plain_backbone", "two_pool_head", "contrast_loss"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "width"),
    [("plain_backbone", 128), ("two_pool_head", 1024), ("contrast_loss", 512), ("my_model", 256)],
)
def test_components_of_ones_own_train_and_embed(own_components, name, width):
    text = (_ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    assert f"\n    python tools/train_net.py --config-file {name}.yml\n" in text
    cfg = get_cfg()
    cfg.merge_from_file(f"{name}.yml")
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.HEADS.NUM_CLASSES = 2
    model = build_model(cfg)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer, _ = build_optimizer(cfg, model)
    images = torch.randint(0, 256, (8, 3, 64, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with EventStorage():
        losses = model({"images": images, "targets": torch.arange(8) // 4})
    assert ("loss_contrast" in losses) == ("ContrastLoss" in cfg.MODEL.LOSSES.NAME)
    sum(losses.values()).backward()
    optimizer.step()
    assert all(loss.isfinite() for loss in losses.values())
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    assert [key for key, value in trained.items() if torch.equal(value, before[key])] == []
    with torch.inference_mode():
        assert model.eval()(images).shape == (8, width)
    cfg.MODEL.HEADS.NUM_CLASSES = 0
    assert build_model(cfg).eval()(images).shape == (8, width)


def test_the_loss_of_ones_own_is_its_definition(own_components):
    cfg = get_cfg()
    cfg.merge_from_file("contrast_loss.yml")
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    loss = LOSS_REGISTRY.get("ContrastLoss")(temperature=0.2, scale=3.0)
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 0, 1, 1, 1, 2])  # the last has no other image
    x = torch.nn.functional.normalize(features.double())
    terms = [
        -float(x[i] @ x[j]) / 0.2 + math.log(sum(math.exp(float(x[i] @ x[k]) / 0.2) for k in range(6) if k != i))
        for i in range(6)
        for j in range(6)
        if i != j and targets[i] == targets[j]
    ]
    found = loss({"features": features}, targets)["loss_contrast"]
    assert found.item() == pytest.approx(3 * sum(terms) / len(terms), rel=1e-5)


def test_a_network_of_timm_trains(checkout):
    pytest.importorskip("timm", reason="needs the extra timm")
    cfg = get_cfg()
    cfg.merge_from_file("my_timm.yml")
    assert not cfg.MODEL.BACKBONE.PRETRAIN
    root = write_market(checkout / "datasets")
    trainer = DefaultTrainer(_fast(cfg, root, checkout / "logs"))
    trainer.train()
    assert trainer.model.backbone.net.__class__.__name__ == "MobileNetV3"


def test_the_page_on_backbones_names_every_builder():
    text = (_ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
    own = [name for name in BACKBONE_REGISTRY if BACKBONE_REGISTRY.get(name).__module__.startswith("fastreid.")]
    assert [name for name in own if f"`{name}`" not in text] == []


def test_the_page_on_extending_lists_every_registry():
    text = (_ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    for path in (_ROOT / "fastreid").rglob("*.py"):
        for name in re.findall(r"^(\w+_REGISTRY) = Registry\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in text
            where = re.search(rf"\[`{name}`\]\((?P<target>[^)]+)\)", text)
            assert where is None or (_ROOT / "docs" / where["target"]).resolve() == path


def test_the_dataset_of_ones_own(checkout, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = write_market(checkout / "datasets") / "Market-1501-v15.09.15"
    folder = folder.rename(folder.with_name("my-dataset"))
    for ours, mine in (("bounding_box_train", "train"), ("bounding_box_test", "gallery")):
        (folder / ours).rename(folder / mine)
    cfg = get_cfg()
    cfg.merge_from_file("my_dataset.yml")
    try:
        import_custom_modules(cfg.CUSTOM_IMPORTS)
        dataset = DATASET_REGISTRY.get(cfg.DATASETS.NAMES[0])(root=str(folder.parent))
        assert dataset.get_num_pids(dataset.train) == 6
        assert dataset.train[0][1:] == ("mine_1", "mine_0")
        assert len(dataset.query) == 12 and len(dataset.gallery) == 24
    finally:
        DATASET_REGISTRY._objects.pop("MyDataset", None)
        sys.modules.pop("my_dataset", None)


def test_the_layouts_name_the_right_folders_and_numbers():
    text = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    for dataset in (Market1501, SynthReID, DukeMTMC, OccludedDuke, VeRi):
        assert f"    {dataset.folder}/\n" in text
        for split, folder in dataset.splits.items():
            identities, images = dataset.statistics[split]
            (line,) = [
                line for line in text.split(f"    {dataset.folder}/\n")[1].splitlines()[:3] if f" {folder}/" in line
            ]
            assert f"{images} images" in line
            # where distractors are identity 0, the gallery's count takes them for one more identity
            assert f" {identities - (split == 'gallery' and bool(dataset.distractor_pids))} " in line


def test_the_table_of_all_data_sets_is_that_of_their_declarations():
    text = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8").split("## All of them\n")[1].split("\n## ")[0]
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == set(DATASET_REGISTRY) - set(VARIANTS)
    for name, row in rows.items():
        dataset = DATASET_REGISTRY.get(name)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[4:] == [dataset.licence, f"<{dataset.url}>"]
        counts = dataset.published["labeled"] if name == "CUHK03" else getattr(dataset, "statistics", {})
        for split, cell in zip(("train", "query", "gallery"), cells[1:4]):
            wanted = ["?" if count is None else str(count) for count in counts.get(split, ())]
            assert cell == " / ".join(wanted), (name, split)
    count = str(len(rows))
    for page in ("README.md", "docs/data.md"):
        assert re.search(rf"\b{count} (public ones|with their layouts)", (_ROOT / page).read_text(encoding="utf-8"))


def test_every_data_set_is_described():
    text = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8").split("## Options\n")[1]
    for name in DATASET_REGISTRY:
        dataset = DATASET_REGISTRY.get(name)
        for folder in {
            getattr(dataset, "folder", "wildlife"),
            *(one.get("folder") for one in getattr(dataset, "layouts", ())),
        }:
            assert folder is None or f"{folder}/" in text or f"`{folder}`" in text, (name, folder)


def test_the_table_of_synthetic_sets_names_their_sizes():
    text = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    section = text.split("## The other synthetic sets\n")[1].split("\n## ")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    assert list(rows) == [name for name in VARIANTS if name != "SynthReID"]
    for name, row in rows.items():
        dataset = DATASET_REGISTRY.get(name)
        counts = {split: list(counts) for split, counts in dataset.statistics.items()}
        counts["gallery"][0] -= 1  # the distractors
        assert dataset.benchmark.distractors == 60
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2:] == [" / ".join(map(str, counts[split])) for split in ("train", "query", "gallery")]


def test_the_layout_of_msmt17_names_its_folders_lists_and_numbers():
    text = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8").split("## MSMT17\n")[1].split("\n## ")[0]
    assert MSMT17.url.split()[0] in text
    for layout in MSMT17.layouts:
        for name in (layout.get("folder", MSMT17.folder), *layout.get("splits", MSMT17.splits).values()):
            assert f" {name}/" in text
    for split, name in MSMT17.lists.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"        {name} ")]
        assert f" {MSMT17.statistics.get(split, (0, 2373))[1]} images" in line


@pytest.mark.parametrize(
    "name", [*(f"{size}VehicleID" for size in ("", *_SIZES)), *(f"{size}VeRiWild" for size in _SIZES)]
)
def test_the_layouts_of_vehicleid_and_veriwild_name_their_lists_and_numbers(name):
    dataset = DATASET_REGISTRY.get(name)
    readme = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    text = readme.split(f"\n    {dataset.folder}/\n")[1].split("\n## ")[0]
    assert dataset.url in readme
    images, identities = {}, {}  # by list: VehicleID has one for query and gallery
    for split, path in dataset.lists.items():
        identities[path] = dataset.statistics[split][0]
        images[path] = images.get(path, 0) + dataset.statistics[split][1]
    for path, count in images.items():
        folder, file = path.split("/")
        assert f"    {folder}/\n" in text
        (line,) = [line for line in text.splitlines() if line.startswith(f"            {file} ")]
        assert line.endswith(f" {identities[path]} identities, {count} images")
        assert path == dataset.lists["train"] or f" {name}: " in line or " its gallery: " in line


@pytest.mark.slow
def test_the_crops_of_ones_own_are_trained_and_evaluated(checkout, monkeypatch, capsys):
    """Every command of docs/data.md, in order, in this process; training is cut down to seconds."""
    monkeypatch.setenv("FASTREID_DATASETS", str(checkout / "datasets"))
    monkeypatch.setattr(SynthReID, "benchmark", Benchmark(train_identities=4, test_identities=2, distractors=0))
    text = (_ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    python (\S+)(.*)$", text, re.MULTILINE)
    assert [script for script, _ in commands].count("tools/train_net.py") == 4
    assert [script for script, _ in commands].count("tools/pack_dataset.py") == 3
    at_the_end = signal.getsignal(signal.SIGTERM)
    for script, arguments in commands:
        less = _LESS if script == "tools/train_net.py" else []
        monkeypatch.setattr(sys, "argv", [script, *shlex.split(arguments), *less])
        try:
            runpy.run_path(str(_ROOT / script) if script.startswith("tools/") else script, run_name="__main__")
        except SystemExit as ended:
            assert not ended.code, script
        signal.signal(signal.SIGTERM, at_the_end)
    assert re.search(r"the same person: -?[01]\.\d\d, two people: -?[01]\.\d\d", capsys.readouterr().out)
    assert "folder:crops is read from crops.pack" in (checkout / "logs" / "my_crops" / "log.txt").read_text()
    results = json.loads((checkout / "logs" / "my_crops" / "results.json").read_text())
    assert list(results) == ["crops"]
    assert "Evaluating by the protocol cameraless" in (checkout / "logs" / "my_crops" / "log.txt").read_text()
    assert list(json.loads((checkout / "logs" / "my_mix" / "results.json").read_text())) == [
        "SynthReID", "crops", "crops.csv",
    ]  # fmt: skip


def test_weights_are_converted_as_the_page_says(checkout, monkeypatch, capsys):
    """Every call of the converter in docs/weights.md, in order, and its example; a backbone starts from the last."""
    pytest.importorskip("safetensors")
    cfg = get_cfg()
    cfg.merge_from_file("configs/SynthReID/quickstart_R18.yml")
    cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.HEADS.NUM_CLASSES = "cpu", False, 5
    folder = checkout / "logs" / "synthreid" / "quickstart_R18"
    folder.mkdir(parents=True)
    model = build_model(cfg)
    torch.save({"model": model.state_dict(), "meta": checkpoint_meta(cfg, model, [])}, folder / "model_final.pth")
    text = (_ROOT / "docs" / "weights.md").read_text(encoding="utf-8").replace(" \\\n", " ")
    commands = re.findall(r"^    python tools/convert_weights\.py (.*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for arguments in commands:
        monkeypatch.setattr(sys, "argv", ["convert_weights.py", *shlex.split(arguments)])
        runpy.run_path(str(_ROOT / "tools" / "convert_weights.py"), run_name="__main__")
    assert runpy.run_path("look_at_weights.py")["state"].keys() == model.state_dict().keys()
    assert "Wrote backbone.safetensors: " in capsys.readouterr().out
    (settings,) = re.findall(r"^    python tools/train_net\.py --config-file \S+ +(.*)$", text, re.MULTILINE)
    cfg.merge_from_list(shlex.split(settings))
    started = build_model(cfg).backbone.state_dict()
    assert all(torch.equal(value, started[key]) for key, value in model.backbone.state_dict().items())


def test_the_example_from_python(checkout):
    assert runpy.run_path("embed.py")["embeddings"].shape == (4, 2048)


def test_looking_at_a_model_in_python(checkout):
    found = runpy.run_path("look.py")
    assert found["picture"].shape == (96, 48, 3)
    assert found["maps"].shape == (3, 3, 2) and found["of_query"].shape == found["of_others"].shape == (2, 3, 2)


def test_the_average_in_python(checkout):
    found = runpy.run_path("average.py")
    expected = found["average"].state_dict()["average"]
    assert found["average"].updates == 10
    assert not torch.equal(expected["weight"], found["model"].weight)


def test_the_page_on_training_tells_the_defaults_of_averaging():
    text = (_ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    solver = get_cfg().SOLVER
    for node in ("EMA", "SWA"):
        assert all(f"`{key}`" in text or f"SOLVER.{node}.{key}`" in text for key in solver[node])
    assert f"{solver.EMA.ENABLED}, {solver.EMA.MOMENTUM}, {solver.EMA.WARMUP:g};" in text
    assert f"{solver.SWA.BN_ITERS} training batches" in text


def test_make_help_lists_what_the_pages_name():
    text = subprocess.run(["make", "help"], cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    offered = {line.split()[0] for line in text.splitlines()}
    named = {name for page in _PAGES for name in re.findall(r"^    make (\w+)", page.read_text(), re.MULTILINE)}
    assert {"quickstart", "test"} <= named <= offered
