from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastreid.config import get_cfg, get_config_file

SHIPPED = sorted(
    path.relative_to(Path(get_config_file("Base-bagtricks.yml")).parent).as_posix()
    for path in Path(get_config_file("Base-bagtricks.yml")).parent.rglob("*.yml")
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_found_by_name_and_merges(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert get_config_file(name) == get_config_file(f"configs/{name}")
    get_cfg().merge_from_file(get_config_file(name))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_first_line_of_a_config_says_what_it_is(name):
    first = Path(get_config_file(name)).read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"# \w", first)


def test_a_recipe_says_the_published_number_that_the_model_zoo_has():
    zoo = (Path(get_config_file("Base-bagtricks.yml")).parents[1] / "MODEL_ZOO.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[\S+\]\(configs/(\S+)\) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", zoo, re.MULTILINE)
    sets, methods, depths = (
        ("Market1501", "DukeMTMC", "MSMT17"),
        ("bagtricks", "AGW", "sbs"),
        ("R50", "R50-ibn", "R101-ibn"),
    )
    wanted = {f"{a}/{b}_{c}.yml" for a in sets for b in methods for c in depths} | {"VeRi/sbs_R50-ibn.yml"}
    assert {name for name, *_ in rows} >= wanted
    for name, rank1, mean_ap, mean_inp in rows:
        first = Path(get_config_file(name)).read_text(encoding="utf-8").splitlines()[0]
        assert f"Rank-1 {rank1}, mAP {mean_ap}, mINP {mean_inp} (published: FastReID v1.3's model zoo" in first, name
        cfg = get_cfg()
        cfg.merge_from_file(get_config_file(name))
        folder, _, stem = name.removesuffix(".yml").partition("/")
        node, output = cfg.MODEL.BACKBONE, cfg.OUTPUT_DIR
        depth = "101x" if "R101" in stem else "50x"
        assert cfg.DATASETS.NAMES == cfg.DATASETS.TESTS == (folder,)
        assert output == f"logs/{folder.lower()}/{stem.replace('AGW', 'agw')}"
        assert (depth, "ibn" in stem) == (node.DEPTH, node.WITH_IBN)


def test_a_path_is_taken_as_it_is(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("SEED: 1", encoding="utf-8")
    assert get_config_file(str(path)) == str(path)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'Market1501/bagtricks_R50\.yml'"):
        get_config_file("Market1501/bagtrick_R50.yml")


def test_the_recipes_have_the_values_of_their_papers():
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/bagtricks_R50-ibn.yml"))
    assert cfg.MODEL.BACKBONE.PRETRAIN is True
    assert cfg.MODEL.BACKBONE.WITH_IBN is True
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.STEPS) == (3.5e-4, 120, [40, 90])
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/sbs_R101-ibn.yml"))
    assert (cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.HEADS.CLS_LAYER, cfg.MODEL.HEADS.SCALE) == ("101x", "CircleSoftmax", 64)
    assert (cfg.SOLVER.FREEZE_ITERS, cfg.MODEL.FREEZE_LAYERS) == (1000, ["backbone"])
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("DukeMTMC/AGW_R50.yml"))
    assert (cfg.MODEL.BACKBONE.WITH_NL, cfg.MODEL.HEADS.POOL_LAYER) == (True, "GeneralizedMeanPooling")
    assert (cfg.MODEL.LOSSES.TRI.MARGIN, cfg.MODEL.LOSSES.TRI.HARD_MINING) == (0.0, False)
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("VeRi/sbs_R50-ibn.yml"))
    assert (cfg.SOLVER.OPT, cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.FREEZE_ITERS) == (
        "SGD",
        0.01,
        3000,
        3000,
    )
    assert (cfg.INPUT.SIZE_TRAIN, cfg.DATALOADER.SAMPLER_TRAIN) == ([256, 256], "BalancedIdentitySampler")
