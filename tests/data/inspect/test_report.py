from __future__ import annotations

import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market_folder import MarketFolder
from fastreid.data.fingerprint import dataset_fingerprint
from fastreid.data.inspect import (
    CHECK_REGISTRY,
    Finding,
    contact_sheet,
    inspect_dataset,
    known_kinds,
    register_check,
    report_text,
)
from fastreid.engine import checkpoint_state

_ROOT = Path(__file__).parents[3]
_TOOL = _ROOT / "tools" / "check_dataset.py"


@pytest.fixture(scope="module")
def report(painted):
    return inspect_dataset(f"market:{painted}", workers=0)


def with_findings(report, *severities):
    return replace(report, findings=tuple(Finding(severity, "grey", "message") for severity in severities))


@pytest.mark.parametrize(
    ("severities", "verdict", "code", "strict"),
    [
        ((), "ready", 0, 0),
        (("note",), "ready", 0, 0),
        (("warning", "note"), "usable, with 1 warning", 0, 1),
        (("warning", "warning"), "usable, with 2 warnings", 0, 1),
        (("error",), "broken: 1 error", 2, 2),
        (("error", "error", "warning"), "broken: 2 errors, 1 warning", 2, 2),
    ],
)
def test_the_verdict(report, severities, verdict, code, strict):
    judged = with_findings(report, *severities)
    assert judged.verdict == verdict
    assert (judged.exit_code(), judged.exit_code(strict=True)) == (code, strict)
    assert report_text(judged).splitlines()[-1] == f"Verdict: {verdict}"


def test_the_fingerprint_of_training_is_that_in_checkpoints(report, painted):
    data = MarketFolder(str(painted), name="set")
    assert report.fingerprints["train"] == dataset_fingerprint(data.train)
    assert report.fingerprints["test"] == dataset_fingerprint([*data.query, *data.gallery])
    assert checkpoint_state.dataset_fingerprint is dataset_fingerprint


def test_the_fingerprint_of_the_content_is_that_of_bytes_and_labels(report, spoiled):
    folder = spoiled / "bounding_box_train"
    one = folder / "0001_c1s1_000000_00.jpg"
    one.rename(folder / "0001_c1s7_000000_00.jpg")
    renamed = inspect_dataset(f"market:{spoiled}", workers=0).fingerprints
    assert renamed["content"] == report.fingerprints["content"]
    assert renamed["train"] != report.fingerprints["train"]
    (folder / "0001_c1s7_000000_00.jpg").rename(folder / "0002_c1s7_000000_00.jpg")
    relabelled = inspect_dataset(f"market:{spoiled}", workers=0).fingerprints
    assert relabelled["content"] != report.fingerprints["content"]
    shutil.copy(folder / "0001_c1s1_000001_00.jpg", folder / "0002_c1s7_000000_00.jpg")
    assert inspect_dataset(f"market:{spoiled}", workers=0).fingerprints["content"] != relabelled["content"]


def test_the_text_has_counts_findings_and_short_paths(spoiled):
    for number in range(3):
        (spoiled / "bounding_box_train" / f"0001_c1s1_{number:06d}_00.jpg").write_bytes(b"")
    text = report_text(inspect_dataset(f"market:{spoiled}", workers=0, most=2))
    lines = text.splitlines()
    assert lines[:2] == [f"Data set market:{spoiled}", f"Paths are relative to {spoiled}"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert ["train", "4", "49", "0", "6", "12 to 13, median 12"] in cells
    assert ["gallery", "4", "39", "3", "6", "12"] in cells  # distractors count apart
    assert "Queries: 18 of 18 have a true match by the protocol market1501, the median one 10" in lines
    place = lines.index("ERROR empty-file: 3 images without a byte in the file, which stops a run: train 3 (6.1 %)")
    assert lines[place + 1] == f"    {Path('bounding_box_train', '0001_c1s1_000000_00.jpg')}"
    assert lines[place + 3] == "    ... and 1 more"


def test_a_report_of_nothing_is_text_and_a_sheet(tmp_path):
    nothing = inspect_dataset("csv:nowhere.csv", root=str(tmp_path))
    assert "ERROR cannot-build" in report_text(nothing)
    assert contact_sheet(nothing).height > 0


def test_the_report_as_json_has_all_of_it(report):
    found = json.loads(json.dumps(report.as_dict()))
    assert found["verdict"] == "ready"
    assert found["splits"]["train"]["images"] == 48
    assert found["images"]["modes"] == {"RGB": 105}
    assert found["findings"] == []
    assert found["fingerprints"] == dict(report.fingerprints)


def pixels_of(sheet, *colours):
    counts = {colour: count for count, colour in sheet.getcolors(maxcolors=1 << 24)}
    return [counts.get(colour, 0) for colour in colours]


def test_the_sheet_shows_samples_and_frames_what_is_faulty(spoiled, report):
    red, orange, blue, magenta = (208, 0, 0), (208, 112, 0), (48, 112, 192), (255, 0, 255)
    clean = contact_sheet(report)
    assert pixels_of(clean, red, orange, blue, magenta) == [0, 0, 0, 0]
    folder = spoiled / "bounding_box_train"
    (folder / "0003_c2s1_000000_00.jpg").write_bytes(b"")
    Image.open(folder / "0002_c1s1_000000_00.jpg").convert("L").save(folder / "0002_c1s1_000000_00.jpg")
    Image.new("RGB", (64, 128), magenta).save(folder / "0001_c1s1_000000_00.png")
    (folder / "0001_c1s1_000000_00.jpg").unlink()
    sheet = contact_sheet(inspect_dataset(f"market:{spoiled}", workers=0))
    frame = 2 * 3 * (90 + 128 - 2 * 3)  # pixels
    *frames, shown = pixels_of(sheet, red, orange, blue, magenta)
    assert min(frames) >= frame
    once = 61 * 122  # of an image, as large as fits into a frame
    assert shown == pytest.approx(2 * once, rel=0.02)  # as a sample, and as one of a flat colour
    assert sheet.width == clean.width


def test_a_sheet_of_a_set_without_cameras(tmp_path, painted):
    for path in (painted / "bounding_box_train").iterdir():
        (tmp_path / path.name[:4]).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.name[:4])
    report = inspect_dataset(f"folder:{tmp_path}", workers=0, size=(64, 256))
    assert {finding.kind for finding in report.findings} == {"not-split"}
    assert contact_sheet(report).height > 3 * 3 * 128


def test_a_check_of_ones_own(painted, monkeypatch):
    monkeypatch.setattr(CHECK_REGISTRY, "_objects", dict(CHECK_REGISTRY._objects))

    @register_check("few-images")
    def check_size(subject):
        yield Finding("warning", "few-images", f"there are only {len(subject.paths)} images", len(subject.paths))

    @register_check("nothing")
    def check_nothing(subject):
        return []

    report = inspect_dataset(f"market:{painted}", read_images=False, ignore=["nothing"])
    assert [finding.message for finding in report.findings] == ["there are only 105 images"]
    check_size.kinds = ("many-images",)
    with pytest.raises(
        ValueError, match="check_size made a finding of the kind 'few-images', which is not in its kinds"
    ):
        inspect_dataset(f"market:{painted}", read_images=False)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["check_dataset.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(_TOOL), run_name="__main__")
    return ended.value.code


def test_the_tool_prints_writes_and_exits(spoiled, tmp_path, monkeypatch, capsys):
    name = f"market:{spoiled}"
    assert run(monkeypatch, name, "--strict", "--workers", 0) == 0
    assert capsys.readouterr().out.endswith("Verdict: ready\n")
    shutil.copy(spoiled / "query" / "0005_c1s1_000000_00.jpg", spoiled / "query" / "0005_c1s1_000007_00.jpg")
    assert run(monkeypatch, name, "--workers", 0) == 0
    assert run(monkeypatch, name, "--workers", 0, "--strict") == 1
    assert run(monkeypatch, name, "--workers", 0, "--strict", "--ignore", "repeated-image") == 0
    (spoiled / "query" / "0005_c1s1_000007_00.jpg").write_bytes(b"")
    files = {"--json": tmp_path / "report.json", "--sheet": tmp_path / "sheet.png"}
    arguments = [part for pair in files.items() for part in pair]
    assert run(monkeypatch, name, "--workers", 0, *arguments, "--size", 128, 64) == 2
    found = json.loads(files["--json"].read_text())
    assert (found["verdict"], found["input_size"]) == ("broken: 1 error", [128, 64])
    assert found["findings"][0]["cases"][0]["paths"] == [str(spoiled / "query" / "0005_c1s1_000007_00.jpg")]
    with Image.open(files["--sheet"]) as sheet:
        assert sheet.height > 128
    assert run(monkeypatch, name, "--labels-only") == 0


def test_the_tool_says_what_it_cannot_do(painted, tmp_path, monkeypatch, capsys):
    name = f"market:{painted}"
    assert run(monkeypatch, name, "--ignore", "grye") == 2
    assert "no findings of the kind 'grye'" in capsys.readouterr().err
    assert run(monkeypatch, name, "--sheet", "sheet.gif") == 2
    assert "--sheet must end in .jpg, .jpeg, .png, got 'sheet.gif'" in capsys.readouterr().err
    assert run(monkeypatch, name, "--labels-only", "--json", tmp_path / "no" / "report.json") == 2
    assert "No such file" in capsys.readouterr().err
    assert run(monkeypatch, name, "--custom-imports", "nowhere.py") == 2
    assert "nowhere.py" in capsys.readouterr().err


def test_the_tool_knows_data_sets_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(DATASET_REGISTRY, "_objects", dict(DATASET_REGISTRY._objects))
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "shop_set.py").write_text(
        "from fastreid.data.datasets import DATASET_REGISTRY, ImageDataset\n"
        "@DATASET_REGISTRY.register()\n"
        "class ShopSet(ImageDataset):\n"
        "    def __init__(self, root='', **options):\n"
        "        super().__init__([], [('a', 1, 0)], [('b', 1, 1)], **options)\n"
    )
    try:
        code = run(monkeypatch, "ShopSet", "--labels-only", "--custom-imports", tmp_path / "shop_set.py")
    finally:
        sys.modules.pop("shop_set", None)
    assert code == 0
    assert "NOTE no-train" in capsys.readouterr().out


def test_the_page_on_data_names_every_kind():
    text = (_ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert len(known_kinds()) == len(set(known_kinds()))
    assert [kind for kind in known_kinds() if f"`{kind}`" not in text] == []


@pytest.mark.data
def test_the_report_on_the_page_on_data_is_that_of_the_part_of_market1501(market_mini):
    folder = market_mini / "Market-1501-v15.09.15"
    text = report_text(inspect_dataset("Market1501", root=str(market_mini)))
    page = (_ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert f"```text\n{text.replace(str(folder), '/data/Market-1501-v15.09.15')}\n```" in page
