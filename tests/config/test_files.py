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
