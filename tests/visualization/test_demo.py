"""The command line of tools/demo.py, on a model that was never trained and tiny images."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from fastreid.config import get_cfg, get_config_file
from fastreid.engine import Embedder
from fastreid.engine.thresholds import Threshold
from fastreid.modeling import build_backbone
from fastreid.visualization import activation_maps, single_images
from fastreid.visualization.lettering import shortened_to
from fastreid.visualization.marks import QUERY, VERDICTS
from fastreid.visualization.rank_lists import rank_sheet

from ..engine.test_embedder import OWN, config, paths_of
from ..engine.tiny import write_market
from . import attending
from .maps.test_activation import images, model_of

_TOOL = Path(__file__).parents[2] / "tools" / "demo.py"


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def recipe(market, tmp_path):
    """A config file, and its model."""
    cfg = config(market, tmp_path)
    weights, cfg.MODEL.WEIGHTS = cfg.MODEL.WEIGHTS, ""
    (tmp_path / "tiny.yml").write_text(cfg.dump())
    cfg.MODEL.WEIGHTS = weights
    return cfg, ["--config-file", str(tmp_path / "tiny.yml")], ["MODEL.WEIGHTS", weights]


def demo(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, words)])
    runpy.run_path(str(_TOOL), run_name="__main__")


def put_threshold(weights, **thresholds):
    data = torch.load(weights, weights_only=True)
    data["meta"]["thresholds"] = thresholds
    torch.save(data, weights)


def test_the_command_line_of_v13_as_a_process(market, tmp_path, recipe):
    cfg, given, weights = recipe
    paths = paths_of(market)
    folder = str(Path(paths[0]).parent)
    words = [*given, "--parallel", "--input", f"{folder}/010[12]_c1*.jpg", paths[5], "--opts", *weights]
    environment = {**os.environ, "PYTHONPATH": str(_TOOL.parents[1])}
    run = subprocess.run(
        [sys.executable, str(_TOOL), *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "Wrote 3 embedding(s) to demo_output\n"
    named = [paths[0], paths[2], paths[5]]
    assert sorted(os.listdir(tmp_path / "demo_output")) == sorted(f"{Path(path).stem}.npy" for path in named)
    for path, expected in zip(named, Embedder(cfg)(named).numpy(), strict=True):
        found = np.load(tmp_path / "demo_output" / f"{Path(path).stem}.npy")
        assert found.shape == (1, 16) and found.dtype == np.float32
        assert np.linalg.norm(found) == pytest.approx(1)
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_a_folder_and_pictures_of_where_the_model_looks(market, tmp_path, recipe, monkeypatch, capsys):
    cfg, given, weights = recipe
    folder = Path(paths_of(market)[0]).parent
    demo(monkeypatch, *given, "--input", folder, "--output", tmp_path / "out", "--actmap", *weights)
    assert capsys.readouterr().out.splitlines() == [
        f"Wrote 12 embedding(s) to {tmp_path / 'out'}",
        f"Wrote 12 picture(s) to {tmp_path / 'out'}",
    ]
    stems = [Path(path).stem for path in paths_of(market)]
    names = [f"{stem}{ending}" for stem in stems for ending in (".npy", "_actmap.png")]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    picture = np.asarray(Image.open(tmp_path / "out" / f"{stems[0]}_actmap.png"))
    assert picture.shape == (192, 2 * 96, 3)  # 16 x 8, enlarged twelve times
    left = Embedder(cfg).images(paths_of(market)[:1])[0].permute(1, 2, 0).numpy()
    large = Image.fromarray(left).resize((96, 192), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(picture[:, :96], large)
    assert np.abs(picture[:, 96:].astype(int) - picture[:, :96]).mean() > 10


def test_two_images_by_the_stored_threshold_and_another(market, tmp_path, recipe, monkeypatch, capsys):
    cfg, given, weights = recipe
    one, two = paths_of(market)[:2]
    score = float(Embedder(cfg).scores([one], [two])[0, 0])
    line = f"{one} and {two}: cosine score {score:.4f}\n"
    monkeypatch.chdir(tmp_path)

    put_threshold(weights[1], A={**OWN, "threshold": score - 0.01}, B={**OWN, "threshold": score + 0.01})
    demo(monkeypatch, *given, "--compare", one, two, "--label", "A", *weights)
    assert capsys.readouterr().out == f"{line}same: the threshold is {score - 0.01:.4f} (FPR 0.001 on A)\n"
    demo(monkeypatch, *given, "--compare", one, two, "--label", "B", "--opts", *weights)
    assert capsys.readouterr().out == f"{line}different: the threshold is {score + 0.01:.4f} (FPR 0.001 on B)\n"
    with pytest.raises(SystemExit, match="thresholds of A, B; name one by --label"):
        demo(monkeypatch, *given, "--compare", one, two, *weights)
    demo(monkeypatch, *given, "--input", one, *weights)  # needs none
    assert capsys.readouterr().out == "Wrote 1 embedding(s) to demo_output\n"
    demo(monkeypatch, *given, "--compare", one, two, "--threshold", "-1.0", *weights)
    assert capsys.readouterr().out == f"{line}same: the threshold is -1.0000 (given)\n"

    put_threshold(weights[1])
    demo(monkeypatch, *given, "--compare", one, two, *weights)
    said = capsys.readouterr().out
    assert said.startswith(f"{line}no threshold: MODEL.WEIGHTS carries none; see docs/evaluation.md")
    assert "same" not in said and "different" not in said


def test_a_threshold_of_distances_judges_distances(market, tmp_path, recipe, monkeypatch, capsys):
    cfg, given, weights = recipe
    one, two = paths_of(market)[:2]
    features = Embedder(cfg).features([one, two])
    distance = float((features[0] - features[1]).norm())
    put_threshold(weights[1], A={**OWN, "metric": "euclidean", "threshold": -distance - 0.01})
    demo(monkeypatch, *given, "--compare", one, two, "--actmap", "--output", tmp_path / "out", *weights)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{one} and {two}: euclidean score {-distance:.4f}"
    assert lines[1].startswith("same: ")
    file = tmp_path / "out" / f"{Path(one).stem}_{Path(two).stem}_actmap.png"
    assert lines[2] == f"Wrote {file}"
    assert np.asarray(Image.open(file)).shape == (192, 4 * 96, 3)


@pytest.mark.parametrize("actmap", [False, True])
def test_a_folder_is_ranked(market, tmp_path, recipe, monkeypatch, capsys, actmap):
    cfg, given, weights = recipe
    query, *others = paths_of(market)
    scores = Embedder(cfg).scores([query], others)[0]
    expected = sorted(zip(-scores, others))[:4]
    limit = -(expected[1][0] + expected[2][0]) / 2
    words = ["--input", query, "--rank", Path(query).parent, "--top", 4, "--threshold", limit]
    more = ["--actmap"] if actmap else []
    demo(monkeypatch, *given, *words, *more, "--output", tmp_path, *weights)
    lines = capsys.readouterr().out.splitlines()
    assert f"{query} among 12 images, cosine score, threshold {limit:.4f} (given)" in lines
    rows = [line.split() for line in lines if re.match(r"\d", line)]
    verdicts = ["same", "same", "different", "different"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row[1]) for row in rows] == pytest.approx([-score for score, _ in expected], abs=1e-4)
    assert [row[2:] for row in rows] == [[verdict, path] for verdict, (_, path) in zip(verdicts, expected)]
    assert lines[-1] == f"Wrote {tmp_path / 'rank.png'}"
    picture = np.asarray(Image.open(tmp_path / "rank.png"))
    shown = [_enlarged(image) for image in Embedder(cfg).images([query, *(path for _, path in expected)])]
    found = [_place_of(one, picture) for one in shown]
    assert len({y for _, y in found}) == 1 and sorted(found) == found  # a row, the query first
    marks = [QUERY, VERDICTS[True], VERDICTS[True], VERDICTS[False], VERDICTS[False]]
    assert [tuple(picture[y - 3, x - 3]) for x, y in found] == [ImageColor.getrgb(mark.colour) for mark in marks]
    if actmap:  # below each image its map and the query's; the query has none
        x, y = found[1]
        for row, image in ((1, shown[1]), (2, shown[0])):
            part = picture[y + 198 * row :, x:][:192, :96].astype(int)
            assert 10 < np.abs(part - image).mean() < 100
        x, y = found[0]
        assert tuple(picture[y + 192 + 3, x - 3]) == ImageColor.getrgb(QUERY.colour)


def test_pairs_of_a_backbone_that_attends_are_seen_by_rollout():
    model, batch = model_of("build_attending_backbone", attending.WIDTH).eval(), images(4)
    of_query, of_gallery = single_images.maps_of_pairs(model, batch[:1], batch[1:])
    expected = activation_maps(model, batch, method="rollout")
    torch.testing.assert_close(of_gallery, expected[1:])
    torch.testing.assert_close(of_query, expected[:1].expand(3, -1, -1))


def test_equal_scores_keep_the_order_and_the_query_is_left_out(market, tmp_path, recipe):
    embedder, (query, other, *_) = Embedder(recipe[0]), paths_of(market)
    copies = [str(tmp_path / f"{name}.jpg") for name in "zya"]
    for copy in copies:
        Path(copy).write_bytes(Path(other).read_bytes())
    link = tmp_path / "link.jpg"
    link.symlink_to(query)
    found = single_images.nearest(embedder, query, [str(link), *copies])
    assert [one.path for one in found] == copies and len({one.score for one in found}) == 1
    with pytest.raises(ValueError, match="there is no image to rank but the query itself"):
        single_images.nearest(embedder, query, [str(link)])


def test_under_each_image_are_rank_score_and_name_ten_in_a_row(market, tmp_path, recipe, monkeypatch):
    texts, write = [], rank_sheet.write

    def record(pen, place, text, **how):
        texts.append(text)
        write(pen, place, text, **how)

    monkeypatch.setattr(rank_sheet, "write", record)
    embedder, (query, *others) = Embedder(recipe[0]), paths_of(market)
    threshold = Threshold("cosine", None, "nobody gave one")

    def drawn(found):
        single_images.write_ranking(embedder, query, found, tmp_path / "rank.png", threshold=threshold)
        return np.asarray(Image.open(tmp_path / "rank.png"))

    picture = drawn([single_images.Found(path, score) for path, score in zip(others, (0.5, -1e-9))])
    stems = [shortened_to(96 + 2 * 5, Path(path).stem, 12) for path in (query, *others[:2])]
    assert texts == [
        *("", "/".join(Path(query).parts[-2:]), "cosine score · no threshold (nobody gave one)"),
        *("query", stems[0], "Ranking, the closest first", "1", "0.500", stems[1], "2", "0.000", stems[2]),
    ]
    x, y = _place_of(_enlarged(embedder.images(others[:1])[0]), picture)
    assert tuple(picture[y - 3, x - 3]) == ImageColor.getrgb(VERDICTS[None].colour)
    heights = [drawn([single_images.Found(others[0], 0.5)] * count).shape[0] for count in (10, 11)]
    assert heights[0] == picture.shape[0] and heights[1] > heights[0] + 192


def _enlarged(image):
    return np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).resize((96, 192), Image.Resampling.BICUBIC))


def _place_of(part, picture):
    """Return x and y of the first place where a picture has another one."""
    height, width = part.shape[:2]
    for y, x in np.argwhere((picture == part[0, 0]).all(axis=2)).tolist():
        if np.array_equal(picture[y : y + height, x : x + width], part):
            return x, y
    raise AssertionError("the picture does not have the other one")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "gone.jpg"], "FileNotFoundError: there is no image or folder 'gone.jpg'"),
        (["--input", "a.jpg", "other/a.jpg"], "a.jpg and other/a.jpg would both be written to a.npy"),
        (["--input", "broken.jpg"], "ImageReadError: cannot decode the image broken.jpg"),
        (["--input", "a.jpg", "--output", "b.jpg"], "--output 'b.jpg' cannot be made: [Errno 17] File exists"),
        (["--compare", "a.jpg", "b.jpg", "--threshold", "nan"], "--threshold must be a finite score, got nan"),
        (["--input", "a.jpg", "b.jpg", "--rank", "other"], "--rank takes one image as --input, got 2"),
        (["--input", "a.jpg", "--rank", "other", "--top", "0"], "--top must be at least 1 image, got 0"),
        (["--input", "a.jpg", "--actmap", "--actmap-method", "rollout"], "needs a backbone with attention_maps"),
        (["--compare", "a.jpg", "b.jpg", "--label", "VeRi"], "no threshold of 'VeRi', only of Market1501"),
        (["--input", "a.jpg", "MODEL.WEIGHTS", "gone.pth"], "gone.pth"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(market, tmp_path, recipe, monkeypatch, words, message):
    _, given, weights = recipe
    monkeypatch.chdir(tmp_path)
    for name, path in (("a.jpg", 0), ("b.jpg", 1), ("other/a.jpg", 2)):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(Path(paths_of(market)[path]).read_bytes())
    Path("broken.jpg").write_bytes(b"no image")
    with pytest.raises(SystemExit) as stop:
        demo(monkeypatch, *given, *words, *([] if "MODEL.WEIGHTS" in words else weights))
    assert message in stop.value.code and "\n" not in stop.value.code


def test_a_command_line_without_images(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        demo(monkeypatch, "--rank", "folder")
    assert "name images by --input, or two by --compare" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        demo(monkeypatch, "--compare", "a", "b", "--threshold", "1", "--label", "A")
    assert "not allowed with argument" in capsys.readouterr().err


def test_without_a_config_file_the_checkpoint_says_what_it_is(market, tmp_path, recipe, monkeypatch):
    cfg, _, weights = recipe
    path = paths_of(market)[0]
    where = ["--input", path, "--output", str(tmp_path / "out"), *weights]
    demo(monkeypatch, *where, "CUSTOM_IMPORTS", cfg.CUSTOM_IMPORTS, "MODEL.DEVICE", "cpu")
    (file,) = (tmp_path / "out").glob("*.npy")
    np.testing.assert_allclose(np.load(file).ravel(), Embedder(cfg)([path]).numpy().ravel(), rtol=1e-5, atol=1e-6)


def test_whose_weights_they_are_is_said(market, tmp_path, monkeypatch, capfd):
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/bagtricks_vit.yml"))
    settings = {"MODEL.BACKBONE.DEPTH": "deit_tiny", "MODEL.BACKBONE.FEAT_DIM": 192, "INPUT.SIZE_TRAIN": [32, 16]}
    settings |= {"INPUT.SIZE_TEST": [32, 16], "MODEL.DEVICE": "cpu", "MODEL.BACKBONE.PRETRAIN": False}
    words = [str(word) for pair in settings.items() for word in pair]
    cfg.merge_from_list(words)
    backbone = build_backbone(cfg).state_dict()
    torch.save({f"base.{key}": value for key, value in backbone.items()}, tmp_path / "theirs.pth")
    where = ["--input", paths_of(market)[0], "--output", tmp_path / "out"]
    given = ["--config-file", "Market1501/bagtricks_vit.yml", *where, "MODEL.WEIGHTS", tmp_path / "theirs.pth"]
    demo(monkeypatch, *given, *words, "MODEL.HEADS.WITH_BNNECK", False)
    assert "These are the weights of TransReID" in capfd.readouterr().err
