from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastreid
from fastreid.benchmark import AREAS, FIGURES, Case, Checkout, benchmark, parse_variant, plan, summarize_runs, tables
from fastreid.benchmark.cases import SAMPLERS
from fastreid.benchmark.report import compare

_PACKAGE = Path(fastreid.__file__).parent
_ROOT = _PACKAGE.parent
_TINY = Case("evaluation", "cosine", {"queries": 9, "gallery": 20, "dimensions": 4, "metric": "cosine"})


def answer(**figures):
    return {"figures": figures, "environment": {"torch": "2", "cpu": "one"}}


@pytest.fixture
def other(tmp_path) -> Path:
    """An older checkout: no benchmark, another version, and no samplers."""
    ignore = shutil.ignore_patterns("__pycache__", "benchmark", "identity_sampler.py")
    shutil.copytree(_PACKAGE, tmp_path / "fastreid", ignore=ignore)
    (tmp_path / "fastreid" / "__init__.py").write_text('__version__ = "1.9"\n')
    return tmp_path


def test_against_another_checkout_measures_that_one_in_turns_and_survives_what_it_lacks(other):
    said = []
    cases = [_TINY, Case("sampler", "TrainingSampler", {"name": "TrainingSampler", "images": 50, "identities": 5})]
    report = benchmark(cases, repeats=2, against=Checkout.at(other), say=said.append)
    assert said[:4] == [f"evaluation: cosine, {side}, round {n} of 2" for n in (1, 2) for side in ("ours", "theirs")]
    assert report["ours"]["environment"]["fastreid"] == fastreid.__version__
    assert report["theirs"]["environment"]["fastreid"] == "1.9"
    assert Path(report["theirs"]["environment"]["path"]) == (other / "fastreid").resolve()
    assert report["ours"]["failures"] == {}
    assert "identity_sampler" in report["theirs"]["failures"]["sampler"]["TrainingSampler"]
    assert said.count("sampler: TrainingSampler, theirs, round 2 of 2") == 0  # not tried again
    ours, theirs = (report[side]["figures"]["evaluation"]["cosine"]["seconds"]["runs"] for side in ("ours", "theirs"))
    assert report["ratios"]["evaluation"]["cosine"]["seconds"]["runs"] == [a / b for a, b in zip(ours, theirs)]
    assert set(report["ratios"]) == {"evaluation"}
    text = tables(report)
    assert "failed: sampler, TrainingSampler: ModuleNotFoundError" in text
    assert "ours divided by theirs" in text


def test_a_process_that_dies_is_a_failure_with_its_last_words(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert Checkout.own().measure("evaluation", {}) == {"failed": "the process ended with code 1: no message"}


def test_a_path_without_the_library():
    with pytest.raises(FileNotFoundError, match=r"--against .*tests: there is no fastreid/__init__\.py in it"):
        Checkout.at(_ROOT / "tests")


def test_medians_spreads_and_ratios():
    base, fast, bad = (Case("train", name, is_baseline=name == "plain") for name in ("plain", "fast", "bad"))
    given = [
        (base, [answer(images_per_second=speed, seconds=1.0) for speed in (10.0, 12.0, 11.0)]),
        (fast, [answer(images_per_second=speed, seconds=0.5) for speed in (20.0, 36.0, 22.0)]),
        (bad, [answer(images_per_second=1.0, seconds=1.0), {"failed": "KeyError: no"}]),
    ]
    report = summarize_runs(given)
    speed = report["figures"]["train"]["fast"]["images_per_second"]
    assert speed == {"median": 22.0, "low": 20.0, "high": 36.0, "runs": [20.0, 36.0, 22.0]}
    assert report["figures"]["train"]["fast"]["times_baseline"]["runs"] == [2.0, 3.0, 2.0]
    assert report["figures"]["train"]["plain"]["times_baseline"]["median"] == 1.0
    assert report["failures"] == {"train": {"bad": "KeyError: no"}}
    assert report["environment"] == {"torch": "2", "cpu": "one"}


def test_a_variant_is_compared_with_its_reference_too():
    bare, files = Case("train", "bare loop"), Case("train", "from files", reference="bare loop")
    given = [
        (files, [answer(images_per_second=speed, seconds=1.0) for speed in (9.0, 8.0)]),
        (bare, [answer(images_per_second=speed, seconds=1.0) for speed in (10.0, 16.0)]),
    ]
    figures = summarize_runs(given)["figures"]["train"]
    assert figures["from files"]["times_reference"]["runs"] == [0.9, 0.5]
    assert "times_reference" not in figures["bare loop"]
    alone = summarize_runs(given[:1])["figures"]["train"]["from files"]
    assert "times_reference" not in alone


def test_with_a_gpu_files_are_compared_with_the_bare_loop_at_the_same_precision():
    for gpu in (False, True):
        cases = {case.variant: case for case in plan(["train"], gpu=gpu)}
        bare, files = cases["bare loop"].values, cases["from files"].values
        assert cases["from files"].reference == "bare loop"
        assert {key: files[key] for key in bare if key != "bare"} == {key: bare[key] for key in bare if key != "bare"}
        assert bare["bare"] and files["from_files"]
        assert files.get("workers") == (16 if gpu else None)


def test_a_peak_of_nothing_is_not_compared():
    def side(peak):
        given = [answer(seconds=2.0, images_per_second=1.0, peak_memory_mib=peak)]
        return summarize_runs([(Case("sampler", "x"), given)])["figures"]

    assert set(compare(side(3.0), side(0.0))["sampler"]["x"]) == {"images_per_second", "seconds"}
    assert compare(side(3.0), side(2.0))["sampler"]["x"]["peak_memory_mib"]["median"] == 1.5


def test_the_table_has_a_row_for_each_variant_and_headings_of_the_figures():
    given = [(Case("loader", "library"), [answer(images_per_second=1234.5, seconds=0.05)])]
    lines = tables({"ours": summarize_runs(given)}).splitlines()
    assert lines[0] == "ours: cpu one, torch 2"
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["area", "variant", "images/s", "s"]
    assert "1234 (1234 to 1234)" in lines[4] or "1235 (1235 to 1235)" in lines[4]


@pytest.mark.parametrize("quick", [False, True])
def test_the_plan_covers_every_area_in_order_and_only_what_is_asked_for(quick):
    cases = plan(quick=quick)
    assert tuple(dict.fromkeys(case.area for case in cases)) == AREAS
    assert len({(case.area, case.variant) for case in cases}) == len(cases)
    assert {case.area for case in plan(["loader", "sampler"], quick=quick)} == {"loader", "sampler"}


def test_the_evaluation_has_the_size_of_market_1501():
    values = plan(["evaluation"])[0].values
    assert (values["queries"], values["gallery"], values["dimensions"]) == (3368, 19732, 2048)


def test_large_galleries_only_where_they_are_asked_for():
    usual, large = ([case.variant for case in plan(["evaluation"], large=large)] for large in (False, True))
    assert set(large) - set(usual) == {"large rerank", "on disk"}
    sizes = {case.variant: case.values for case in plan(["evaluation"], large=True)}
    assert (sizes["large rerank"]["queries"], sizes["large rerank"]["gallery"]) == (11_659, 82_161)  # MSMT17's
    assert (sizes["on disk"]["queries"], sizes["on disk"]["gallery"]) == (10_000, 1_000_000)


def test_a_single_case():
    cases = plan(["evaluation:aqe", "loader", "evaluation:cosine with ROC"])
    assert [(case.area, case.variant) for case in cases] == [
        ("loader", "plain torchvision"),
        ("loader", "library"),
        ("evaluation", "cosine with ROC"),
        ("evaluation", "aqe"),
    ]
    with pytest.raises(ValueError, match="--only evaluation:on disk: there is no such case; evaluation has cosine, "):
        plan(["evaluation:on disk"])
    with pytest.raises(ValueError, match=r"--only must name areas out of train, .*, got speed"):
        plan(["speed:cosine"])


def test_variants_and_settings_reach_training_and_inference():
    cases = plan(["train", "inference"], opts=["A", "1"], variants={"v": ["B", "2"]})
    opts = {(case.area, case.variant): case.values["opts"] for case in cases}
    plain = ["SOLVER.AMP.ENABLED", "False", "A", "1"]  # the recipe has it on
    assert opts["train", "plain float32"] == opts["inference", "plain float32"] == plain
    assert opts["train", "v"] == opts["inference", "v"] == [*plain, "B", "2"]


@pytest.mark.parametrize(("areas", "text"), [(["loader", "speed"], "got speed"), ([], "got nothing")])
def test_areas_that_are_not_there(areas, text):
    with pytest.raises(ValueError, match=f"--only must name areas out of train, loader, .*, {text}"):
        plan(areas)


def test_parse_variant():
    assert parse_variant("two words: A.B True C '[1, 2]'") == ("two words", ["A.B", "True", "C", "[1, 2]"])
    for bad in ("name", "name: KEY", ": KEY VALUE"):
        with pytest.raises(ValueError, match=r"--variant must read 'name: KEY VALUE KEY VALUE \.\.\.'"):
            parse_variant(bad)


def test_no_rounds():
    with pytest.raises(ValueError, match="--repeats must be at least 1, got 0"):
        benchmark([_TINY], repeats=0)


def tool(*args):
    command = [sys.executable, str(_ROOT / "tools" / "benchmark.py"), *args]
    environment = {"PYTHONPATH": str(_ROOT), "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_tool_prints_a_table_and_writes_json_with_sorted_keys(tmp_path):
    path = tmp_path / "figures.json"
    run = tool("--only", "sampler", "--quick", "--repeats", "1", "--json", str(path))
    assert run.returncode == 0, run.stderr
    assert "sampler: NaiveIdentitySampler, ours, round 1 of 1" in run.stdout
    assert FIGURES["peak_memory_mib"] in run.stdout
    text = path.read_text()
    report = json.loads(text)
    assert text == json.dumps(report, indent=2, sort_keys=True) + "\n"
    assert set(report["ours"]) == {"environment", "figures", "failures"}
    assert set(report["ours"]["figures"]["sampler"]) == set(SAMPLERS)


def test_the_tool_says_what_is_wrong(tmp_path):
    run = tool("--against", str(tmp_path))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"--against {tmp_path}: there is no fastreid/__init__.py in it")
    path = tmp_path / "gone" / "figures.json"
    run = tool("--only", "sampler", "--quick", "--repeats", "1", "--json", str(path))
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"--json {path}: there is no such folder")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--variant", "wide: NOPE.KEY 1"), "NOPE"),
        (("--config-file", "nope.yml"), "nope.yml"),
        (("SOLVER.BASE_LR",), "KEY VALUE"),
    ],
)
def test_settings_are_checked_before_anything_is_measured(args, message):
    run = tool("--only", "inference,sampler", *args)
    assert run.returncode == 1
    assert message in run.stderr and "Traceback" not in run.stderr
    assert "round 1" not in run.stdout
