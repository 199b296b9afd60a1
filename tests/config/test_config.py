from __future__ import annotations

import pickle

import pytest

from fastreid.config import CfgNode, configurable, get_cfg, global_cfg, set_global_cfg


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_call_gives_defaults_of_its_own():
    cfg = get_cfg()
    cfg.SOLVER.STEPS.append(99)
    cfg.MODEL.DEVICE = "cpu"
    assert get_cfg().SOLVER.STEPS == [30, 55]
    assert get_cfg().MODEL.DEVICE == "auto"


def test_base_chain_is_overlaid_from_the_bottom(tmp_path):
    write(tmp_path, "base.yml", "SOLVER: {MAX_EPOCH: 1, BASE_LR: 0.5}\nTEST: {EVAL_PERIOD: 7}")
    write(tmp_path, "sub/middle.yml", "_BASE_: ../base.yml\nSOLVER: {MAX_EPOCH: 2}")
    top = write(tmp_path, "sub/top.yml", "_BASE_: middle.yml\nSEED: 5")
    cfg = get_cfg()
    cfg.merge_from_file(top)
    assert (cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.BASE_LR, cfg.TEST.EVAL_PERIOD, cfg.SEED) == (2, 0.5, 7, 5)


@pytest.mark.parametrize("form", ["absolute", "home"])
def test_base_may_be_absolute_or_in_the_home_folder(tmp_path, monkeypatch, form):
    monkeypatch.setenv("HOME", str(tmp_path))
    base = write(tmp_path, "base.yml", "SEED: 3")
    named = base if form == "absolute" else "~/base.yml"
    top = write(tmp_path, "other/top.yml", f"_BASE_: {named}")
    cfg = get_cfg()
    cfg.merge_from_file(top)
    assert cfg.SEED == 3


def test_a_circle_of_bases_is_named(tmp_path):
    write(tmp_path, "a.yml", "_BASE_: b.yml")
    path = write(tmp_path, "b.yml", "_BASE_: a.yml")
    with pytest.raises(ValueError, match=r"circle: .*b\.yml -> .*a\.yml -> .*b\.yml"):
        get_cfg().merge_from_file(path)


def test_a_missing_base_is_named_with_the_file_that_wants_it(tmp_path):
    path = write(tmp_path, "top.yml", "_BASE_: nowhere.yml")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yml, the _BASE_ of .*top\.yml"):
        get_cfg().merge_from_file(path)


@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_a_tag_that_runs_code_is_refused_always(tmp_path, allow_unsafe):
    path = write(tmp_path, "evil.yml", f"OUTPUT_DIR: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(ValueError, match="not plain YAML"):
        get_cfg().merge_from_file(path, allow_unsafe=allow_unsafe)
    assert not (tmp_path / "made").exists()


def test_a_misspelt_key_is_answered_with_the_nearest():
    with pytest.raises(KeyError, match=r"SOLVER\.BASE_LRR.*did you mean SOLVER\.BASE_LR\?"):
        get_cfg().merge_from_list(["SOLVER.BASE_LRR", "0.1"])


def test_numbers_are_coerced_where_nothing_is_lost():
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.LOSSES.TRI.MARGIN", "0", "MODEL.HEADS.SCALE", "64.0"])
    assert (cfg.MODEL.LOSSES.TRI.MARGIN, type(cfg.MODEL.LOSSES.TRI.MARGIN)) == (0.0, float)
    assert (cfg.MODEL.HEADS.SCALE, type(cfg.MODEL.HEADS.SCALE)) == (64, int)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SOLVER.MAX_EPOCH", "1.5", "SOLVER.MAX_EPOCH .* is 1.5 .*must be int"),
        ("SOLVER.MAX_EPOCH", "True", "must be int"),
        ("MODEL.BACKBONE.PRETRAIN", "1", "must be bool .*write True or False"),
        ("DATASETS.NAMES", "DukeMTMC", r"write it as a list, e.g. '\(\"DukeMTMC\",\)'"),
        ("SOLVER.AMP", "True", "it is a group of keys: ENABLED, DTYPE"),
    ],
)
def test_a_value_of_the_wrong_type_names_key_value_and_remedy(key, value, message):
    with pytest.raises(ValueError, match=message):
        get_cfg().merge_from_list([key, value])


def test_a_key_without_a_value_is_an_error():
    with pytest.raises(ValueError, match="'SEED' has no value"):
        get_cfg().merge_from_list(["SOLVER.MAX_EPOCH", "3", "SEED"])


def test_an_option_behind_the_settings_is_an_error_that_says_where_it_belongs():
    with pytest.raises(ValueError, match="put --eval-only before 'SEED'"):
        get_cfg().merge_from_list(["SEED", "3", "--eval-only", "MODEL.WEIGHTS", "x.pth"])


def test_tuples_written_as_strings_are_tuples(tmp_path):
    path = write(tmp_path, "x.yml", 'MODEL:\n  LOSSES:\n    NAME: ("A", "B",)\nINPUT:\n  SIZE_TRAIN: (3, 4)')
    cfg = get_cfg()
    cfg.merge_from_file(path)
    assert cfg.MODEL.LOSSES.NAME == ("A", "B")
    assert cfg.INPUT.SIZE_TRAIN == [3, 4]


def test_dump_and_pickle_give_the_same_tree_again(tmp_path):
    cfg = get_cfg()
    cfg.merge_from_list(["DATASETS.NAMES", "('A', 'B')", "SOLVER.BASE_LR", "1e-5"])
    path = write(tmp_path, "dump.yml", cfg.dump())
    again = get_cfg()
    again.merge_from_file(path)
    assert again == cfg
    assert pickle.loads(pickle.dumps(cfg)) == cfg


def test_options_of_data_sets_are_merged_one_by_one(tmp_path):
    (tmp_path / "mine.yml").write_text("DATASETS: {OPTIONS: {CUHK03: {split_id: 3}}}\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "mine.yml"))
    cfg.merge_from_list(["DATASETS.OPTIONS.CUHK03.cuhk03_labeled", "False", "DATASETS.OPTIONS.Wildlife.folder", "zoo"])
    assert cfg.DATASETS.OPTIONS == {"CUHK03": {"split_id": 3, "cuhk03_labeled": False}, "Wildlife": {"folder": "zoo"}}
    (tmp_path / "dumped.yml").write_text(cfg.dump())
    again = get_cfg()
    again.merge_from_file(str(tmp_path / "dumped.yml"))
    again.merge_from_list(["DATASETS.OPTIONS.CUHK03.split_id", "4"])
    assert again.DATASETS.OPTIONS.CUHK03 == {"split_id": 4, "cuhk03_labeled": False}
    assert get_cfg().DATASETS.OPTIONS == {}


def test_a_frozen_tree_cannot_be_merged_into():
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError, match="frozen"):
        cfg.merge_from_list(["SEED", "1"])


def test_a_computed_key_keeps_its_first_value():
    cfg = CfgNode({"A": 1})
    cfg.COMPUTED_B = 2
    cfg.COMPUTED_B = 2
    with pytest.raises(KeyError, match="COMPUTED_B"):
        cfg.COMPUTED_B = 3


def test_custom_imports_are_relative_to_the_file_that_names_them(tmp_path):
    write(tmp_path, "base/base.yml", 'CUSTOM_IMPORTS: ["my_head.py", "package.module"]')
    path = write(tmp_path, "top.yml", "_BASE_: base/base.yml")
    cfg = get_cfg()
    cfg.merge_from_file(path)
    assert [str(tmp_path / "base" / "my_head.py"), "package.module"] == cfg.CUSTOM_IMPORTS


def test_global_cfg_is_one_object():
    cfg = get_cfg()
    cfg.SEED = 77
    set_global_cfg(cfg)
    assert global_cfg.SEED == 77


class Thing:
    @configurable
    def __init__(self, *, width, depth=2):
        self.width, self.depth = width, depth

    @classmethod
    def from_config(cls, cfg, offset=0):
        return {"width": cfg.SEED + offset}


@configurable(from_config=lambda cfg, name="x": {"a": cfg.SEED, "b": name})
def function(a, b, c=0):
    return a, b, c


def test_configurable_class_from_config_and_from_values():
    cfg = get_cfg()
    cfg.SEED = 4
    assert (Thing(cfg).width, Thing(cfg, offset=1).width, Thing(cfg, depth=9).depth) == (4, 5, 9)
    assert Thing(width=1).width == 1
    assert Thing(cfg=cfg).width == 4


def test_configurable_function_from_config_and_from_values():
    cfg = get_cfg()
    cfg.SEED = 4
    assert function(cfg, name="y", c=3) == (4, "y", 3)
    assert function(1, 2) == (1, 2, 0)


def test_configurable_wants_from_config_with_cfg_first():
    class Without:
        @configurable
        def __init__(self, a):
            pass

    with pytest.raises(TypeError, match="needs a classmethod from_config"):
        Without(get_cfg())
    with pytest.raises(TypeError, match="first parameter of from_config must be called cfg"):
        configurable(from_config=lambda config: {})(function)
