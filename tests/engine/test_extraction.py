"""Features on disk: extraction, resuming, and the evaluation of what is there, against that of the model."""

from __future__ import annotations

import json
import logging
import runpy
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from fastreid.data.data_utils import ImageReadError
from fastreid.data.image_source import find_images
from fastreid.engine import DefaultTrainer, extraction, feature_evaluation, feature_writer
from fastreid.engine.extraction import extract_features
from fastreid.engine.feature_evaluation import (
    config_of_features,
    evaluate_features,
    open_feature_test,
    rank_feature_test,
)
from fastreid.evaluation import DatasetEvaluator
from fastreid.evaluation.feature_folder import read_feature_folder
from fastreid.evaluation.rank_lists import MATCH
from fastreid.modeling import build_model

from ..ranks import run_ranks
from .tiny import tiny_cfg, write_market

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("market"), contrast=0.1)


def config(root, output, *options):
    return tiny_cfg(root, output, "MODEL.HEADS.NUM_CLASSES", 6, "MODEL.WEIGHTS", "", *options)


def model_of(cfg, seed=0):
    torch.manual_seed(seed)
    return build_model(cfg)


def extract(root, folder, source="Market1501", *options, seed=0, splits=("query", "gallery"), **more):
    cfg = config(root, folder, *options)
    images = find_images(source, root=str(root), splits=splits)
    return extract_features(cfg, model_of(cfg, seed), images, str(folder), **more)


def without_times(details):
    """Return details without what test-time options took."""
    if isinstance(details, dict):
        return {key: without_times(value) for key, value in details.items() if key != "postprocess"}
    return [without_times(value) for value in details] if isinstance(details, list) else details


def without_config(folder):
    """Return all bytes of a folder of features, but for the config, which has the name of the folder."""
    meta = json.loads((folder / "meta.json").read_text())
    del meta["config"]
    return meta, (folder / "features.npy").read_bytes(), (folder / "index.csv").read_bytes()


def same_files(one, two, label="Market1501"):
    assert json.loads((one / "results.json").read_text()) == json.loads((two / "results.json").read_text())
    with np.load(one / f"queries_{label}.npz") as first, np.load(two / f"queries_{label}.npz") as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


def rankings_are_those_of_the_numbers(cfg, folder):
    """Check that what is there to be looked at has been ranked as the numbers say."""
    test = open_feature_test(cfg, str(folder))
    ranked = rank_feature_test(cfg, test, length=3)
    with np.load(folder / "evaluation" / "queries_Market1501.npz") as queries:
        judged = queries["split"] == 0 if "split" in queries.files else np.ones(len(queries["mAP"]), dtype=bool)
        np.testing.assert_array_equal(ranked.numbers["mAP"], queries["mAP"][judged])
        np.testing.assert_array_equal(ranked.query_places, queries["place"][judged])
        hits = queries["Rank-1"][judged]
    lists = ranked.lists(range(len(ranked)))
    for found, hit in zip(lists, hits, strict=True):
        assert test.identities[found.query] == str(int(test.pids[found.query]))
        assert np.isnan(hit) or hit == (found.kinds[found.ranks == 1][0] == MATCH)
        assert {test.identities[place] for place in found.match_places} <= {test.identities[found.query]}


@pytest.mark.parametrize(
    "options",
    [
        ("TEST.ROC.ENABLED", True, "TEST.FLIP.ENABLED", True),
        ("TEST.ROC.ENABLED", True, "TEST.RERANK.ENABLED", True, "TEST.METRIC", "euclidean", "TEST.FOLD_BN", True),
        ("TEST.EVALUATOR", "RandomGalleryEvaluator", "TEST.AQE.ENABLED", True, "TEST.AMP.ENABLED", True),
    ],
)
def test_numbers_and_files_are_those_of_an_evaluation_of_the_model(root, tmp_path, options):
    cfg = config(root, tmp_path / "model", *options)
    expected = DefaultTrainer.test(cfg, model_of(cfg))
    meta = extract(root, tmp_path / "features", "Market1501", *options, chunk=8)
    judged = config_of_features(str(tmp_path / "features"))
    assert str(tmp_path / "features" / "evaluation") == judged.OUTPUT_DIR
    judged.MODEL.DEVICE = "cpu"
    found = evaluate_features(judged, str(tmp_path / "features"))
    assert dict(found) == dict(expected)
    assert 0 < found["mAP"] < 100
    assert without_times(found.details) == without_times(expected.details)
    if "TEST.FLIP.ENABLED" in options:
        same_files(tmp_path / "model", tmp_path / "features" / "evaluation")
    rankings_are_those_of_the_numbers(judged, tmp_path / "features")
    assert meta["inference"]["flip"] == ("TEST.FLIP.ENABLED" in options)
    assert meta["inference"]["fold_bn"] == ("TEST.FOLD_BN" in options)


def test_the_command_lines_give_the_same_files(root, tmp_path):
    cfg = config(root, tmp_path / "model", "TEST.ROC.ENABLED", True)
    torch.save({"model": model_of(cfg).state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    (tmp_path / "tiny.yml").write_text(cfg.dump())
    recipe = ["--config-file", str(tmp_path / "tiny.yml")]

    def run(tool, *words):
        with mock.patch.object(sys, "argv", [tool, *map(str, words)]), mock.patch.object(sys, "path", list(sys.path)):
            runpy.run_path(str(TOOLS / tool), run_name="__main__")

    run("train_net.py", *recipe, "--eval-only")
    features = tmp_path / "features"
    run("extract_features.py", "Market1501", features, *recipe, "--chunk", 8, "TEST.ROC.ENABLED", False)
    run(
        "evaluate_features.py",
        features,
        "TEST.ROC.ENABLED",
        True,
        "OUTPUT_DIR",
        tmp_path / "one",
        "MODEL.DEVICE",
        "cpu",
    )
    same_files(tmp_path / "model", tmp_path / "one")
    run("evaluate_features.py", "--query", features, "--gallery", features, *recipe, "OUTPUT_DIR", tmp_path / "two")
    same_files(tmp_path / "model", tmp_path / "two")
    expected = ["TEST.EXPECTED_RESULTS", '[["Market1501", "mAP", 200.0, 1.0]]']
    with pytest.raises(SystemExit, match=r"Market1501/mAP is .*, expected 200\.0 within 1\.0"):
        run("evaluate_features.py", features, *recipe, "OUTPUT_DIR", tmp_path / "two", *expected)
    with pytest.raises(SystemExit, match="2"):
        run("evaluate_features.py", features, "--query", features)
    with pytest.raises(SystemExit, match=r"FileNotFoundError: TSET\.ROC has no meta\.json"):
        run("evaluate_features.py", features, "TSET.ROC", "MODEL.DEVICE", "cpu")


def test_what_is_written(root, tmp_path):
    meta = extract(root, tmp_path / "f", chunk=8, splits=("query", "gallery", "train"))
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["features.npy", "index.csv", "meta.json"]
    assert meta == json.loads((tmp_path / "f" / "meta.json").read_text())
    assert meta["complete"]
    assert (meta["images"], meta["images_kept"], meta["skipped"]) == (60, 60, [])
    assert meta["embedding"] == {"dim": 16, "metric": "cosine", "normalized": False}
    assert meta["preprocessing"]["size"] == [16, 8]
    assert meta["dataset"]["splits"] == ["query", "gallery", "train"]
    folder = read_feature_folder(str(tmp_path / "f"))
    assert folder.features.dtype == np.float32
    source = find_images("Market1501", root=str(root), splits=("query", "gallery", "train"))
    assert list(folder.img_paths) == [image.img_path for image in source.images]
    own = folder.of_split("train")
    assert len(own) == 24
    assert own.labels["pid"].used() == {f"market1501_{pid}" for pid in range(1, 7)}
    half = extract(root, tmp_path / "half", dtype="float16", splits=("query", "gallery", "train"))
    assert half["dtype"] == "float16"
    features = np.load(tmp_path / "half" / "features.npy")
    assert features.dtype == np.float16
    np.testing.assert_allclose(features, folder.features, rtol=1e-3, atol=1e-3)


def test_a_killed_extraction_goes_on(root, tmp_path, monkeypatch, caplog):
    extract(root, tmp_path / "whole", chunk=8)
    write, written = extraction.write_part, []

    def killed(folder, number, *rest):
        if len(written) == 2:
            (Path(folder) / "parts" / f"{number:08d}.npz.tmp").write_bytes(b"half a")  # what a kill leaves
            raise KeyboardInterrupt
        written.append(number)
        write(folder, number, *rest)

    monkeypatch.setattr(extraction, "write_part", killed)
    with pytest.raises(KeyboardInterrupt):
        extract(root, tmp_path / "f", chunk=8)
    assert not json.loads((tmp_path / "f" / "meta.json").read_text())["complete"]
    with pytest.raises(ValueError, match="are not complete; run the command that extracts them once more"):
        read_feature_folder(str(tmp_path / "f"))
    again = []
    monkeypatch.setattr(extraction, "write_part", lambda *all_of: again.append(all_of[1]) or write(*all_of))
    with caplog.at_level(logging.INFO):
        extract(root, tmp_path / "f", chunk=8)
    assert (written, again) == ([0, 1], [2, 3, 4])
    assert "Extracted 24 of 36 images" in caplog.text
    assert "minutes to go" in caplog.text
    assert without_config(tmp_path / "f") == without_config(tmp_path / "whole")
    again.clear()
    assert extract(root, tmp_path / "f", chunk=8)["complete"]  # nothing is left to do
    assert again == []


def test_a_kill_while_the_chunks_are_put_together_costs_nothing(root, tmp_path, monkeypatch):
    extract(root, tmp_path / "whole", chunk=8)
    monkeypatch.setattr(feature_writer, "write_index", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        extract(root, tmp_path / "f", chunk=8)
    monkeypatch.undo()
    monkeypatch.setattr(extraction, "write_part", mock.Mock(side_effect=AssertionError))
    extract(root, tmp_path / "f", chunk=8)
    assert without_config(tmp_path / "f") == without_config(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 1}, "model was"),
        ({"splits": ("query",)}, "dataset was"),
        ({"dtype": "float16"}, "dtype was"),
        ({"chunk": 16}, "chunk was"),
        ({"options": ("TEST.FLIP.ENABLED", True)}, "inference was"),
        ({"options": ("INPUT.SIZE_TEST", [24, 8])}, "preprocessing was"),
    ],
)
def test_another_model_or_list_in_the_same_folder_is_an_error(root, tmp_path, change, key):
    extract(root, tmp_path, chunk=8)
    options = {"chunk": 8, **change}
    with pytest.raises(ValueError, match=f"features of another model, of other images, or made otherwise: .*{key}"):
        extract(root, tmp_path, "Market1501", *options.pop("options", ()), **options)


def folder_of_images(root, place, *, broken):
    images = sorted((root / "Market-1501-v15.09.15" / "query").iterdir())
    (place / "deep").mkdir(parents=True)
    for image in images[:6]:
        shutil.copy(image, place)
    for image in images[6:]:
        shutil.copy(image, place / "deep")
    for name in broken:
        (place / name).write_bytes(b"no image")
    return place


def test_a_broken_image_is_an_error_or_is_counted(root, tmp_path, caplog):
    images = folder_of_images(root, tmp_path / "images", broken=["a.jpg", "deep/b.jpg", "deep/c.jpg"])
    with pytest.raises(ImageReadError, match=r"cannot decode the image .*a\.jpg"):
        extract(root, tmp_path / "f", str(images))
    with caplog.at_level(logging.WARNING):
        meta = extract(root, tmp_path / "f", str(images), skip_broken=True)
    assert "3 of 15 images are broken and left out" in caplog.text
    assert [Path(one["img_path"]).name for one in meta["skipped"]] == ["a.jpg", "b.jpg", "c.jpg"]
    assert "cannot decode" in meta["skipped"][0]["reason"]
    folder = read_feature_folder(str(tmp_path / "f"))
    assert len(folder) == meta["images_kept"] == 12
    shutil.copytree(images, tmp_path / "good", ignore=shutil.ignore_patterns("?.jpg"))
    extract(root, tmp_path / "g", str(tmp_path / "good"))
    np.testing.assert_allclose(folder.features, np.load(tmp_path / "g" / "features.npy"), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"12 of 12 images in .* have no identity"):
        evaluate_features(config_of_features(str(tmp_path / "f")), str(tmp_path / "f"))
    only_broken = tmp_path / "broken"
    only_broken.mkdir()
    (only_broken / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of 1 images could be read"):
        extract(root, tmp_path / "h", str(only_broken), skip_broken=True)


def test_a_feature_that_is_no_number_names_its_image(root, tmp_path, monkeypatch):
    def spoiled(network, inputs, flip):
        return torch.tensor([[np.inf if "0103_c2" in path else 1.0] for path in inputs["img_paths"]])

    monkeypatch.setattr(extraction, "outputs_of", spoiled)
    with pytest.raises(ValueError, match=r"the feature of .*0103_c2s1_000000_00\.jpg is NaN or infinite"):
        extract(root, tmp_path / "f")
    monkeypatch.undo()
    extract(root, tmp_path / "g")
    features = np.load(tmp_path / "g" / "features.npy")
    features[14, 3] = np.nan
    np.save(tmp_path / "g" / "features.npy", features)
    path = read_feature_folder(str(tmp_path / "g")).img_paths[14]
    with pytest.raises(
        ValueError, match=rf"1 of 36 images have features .* at positions 14 \({path}\) of the test set"
    ):
        evaluate_features(config_of_features(str(tmp_path / "g")), str(tmp_path / "g"))


def own_images(root, place, rows):
    (place).mkdir()
    names = {path.name: path for path in (root / "Market-1501-v15.09.15").rglob("*.jpg")}
    for row in rows:
        shutil.copy(names[row[0]], place)
    lines = ["path,pid,camid,split", *(",".join(row) for row in rows)]
    (place / "list.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{place / 'list.csv'}"


def test_queries_and_gallery_may_come_from_two_folders_of_ones_own_images(root, tmp_path, monkeypatch):
    """Texts tell identities apart: the numbers of two tables have nothing to do with each other."""
    home = root / "Market-1501-v15.09.15"
    people = [path.name for path in sorted((home / "query").iterdir())]
    crowd = [path.name for path in sorted((home / "bounding_box_test").iterdir())]
    query = [(name, f"p{name[2:4]}", name[5:7], "query") for name in people[4:]]  # the first identities are left out
    gallery = [(name, f"p{name[2:4]}", name[5:7], "gallery") for name in crowd]
    both = own_images(root, tmp_path / "both", query + gallery)
    one = own_images(root, tmp_path / "one", [*query, (crowd[-1], "p06", "c2", "gallery")])
    two = own_images(root, tmp_path / "two", [*gallery, (people[0], "p01", "c1", "query")])
    for name, source, splits in (
        ("f", both, ("query", "gallery")),
        ("q", one, ("query",)),
        ("g", two, ("gallery",)),
    ):
        extract(root, tmp_path / name, source, splits=splits)
    cfg = config_of_features(str(tmp_path / "f"))
    expected = evaluate_features(cfg, str(tmp_path / "f"))
    cfg.OUTPUT_DIR = ""
    found = evaluate_features(cfg, str(tmp_path / "q"), str(tmp_path / "g"))
    assert dict(found) == pytest.approx(dict(expected))
    assert 0 < expected["mAP"] < 100
    extract(root, tmp_path / "other", two, seed=1, splits=("gallery",))
    with pytest.raises(ValueError, match="are not comparable: model was"):
        evaluate_features(cfg, str(tmp_path / "q"), str(tmp_path / "other"))
    extract(root, tmp_path / "market", splits=("gallery",))
    with pytest.raises(ValueError, match="name identities differently"):
        evaluate_features(cfg, str(tmp_path / "q"), str(tmp_path / "market"))
    with pytest.raises(ValueError, match=r"has no image of the split query; .*TEST\.EVALUATOR RetrievalEvaluator"):
        evaluate_features(cfg, str(tmp_path / "g"))
    monkeypatch.setattr(feature_evaluation, "build_evaluator", lambda *args: DatasetEvaluator())
    with pytest.raises(ValueError, match=r"TEST\.EVALUATOR ReidEvaluator needs more than features"):
        evaluate_features(cfg, str(tmp_path / "f"))


def leave_one_out(folder, output=None):
    cfg = config_of_features(str(folder))
    cfg.TEST.EVALUATOR, cfg.TEST.PROTOCOL = "RetrievalEvaluator", "leave_one_out"
    cfg.OUTPUT_DIR = "" if output is None else str(output)
    return cfg


def test_leave_one_out_takes_every_image_of_the_features_once(root, tmp_path):
    """An image that is query and in the gallery was embedded twice, and is judged once, as by the model."""
    crowd = [path.name for path in sorted((root / "Market-1501-v15.09.15" / "bounding_box_test").iterdir())]
    rows = [(name, name[:4], name[5:7], "gallery") for name in crowd]
    twice = own_images(root, tmp_path / "both", [*rows, *((*row[:3], "query") for row in rows[3:8])])
    unsplit = own_images(root, tmp_path / "unsplit", [(*row[:3], "test") for row in rows])
    options = ("TEST.EVALUATOR", "RetrievalEvaluator", "TEST.PROTOCOL", "leave_one_out")
    for name, source in (("market", "Market1501"), ("twice", twice), ("test", unsplit)):
        cfg = config(root, tmp_path / name / "model", *options, "DATASETS.TESTS", (source,))
        expected = DefaultTrainer.test(cfg, model_of(cfg))
        assert 0 < expected["MAP@R"] < 100
        extract(root, tmp_path / name / "f", source)
        judged = leave_one_out(tmp_path / name / "f", tmp_path / name / "judged")
        found = evaluate_features(judged, str(tmp_path / name / "f"))
        assert dict(found) == pytest.approx(dict(expected), abs=1e-9)
        same_files(tmp_path / name / "model", tmp_path / name / "judged", next(iter(found.details)))
    extract(root, tmp_path / "gallery", twice, splits=("gallery",))
    assert dict(evaluate_features(leave_one_out(tmp_path / "gallery"), str(tmp_path / "gallery"))) == pytest.approx(
        found
    )
    extract(root, tmp_path / "train", splits=("train",))
    with pytest.raises(ValueError, match="has no image of the splits query and gallery"):
        evaluate_features(leave_one_out(tmp_path / "train"), str(tmp_path / "train"))


def test_flip_is_that_of_the_extraction(root, tmp_path):
    extract(root, tmp_path / "f")
    cfg = config_of_features(str(tmp_path / "f"))
    cfg.TEST.FLIP.ENABLED = True
    with pytest.raises(ValueError, match=r"TEST\.FLIP\.ENABLED is True, but .* were extracted with False"):
        evaluate_features(cfg, str(tmp_path / "f"))


def two_ranks(rank, root, folder):
    logging.disable(logging.CRITICAL)
    extract(Path(root), Path(folder) / "f", chunk=4)
    cfg = config_of_features(str(Path(folder) / "f"))
    cfg.OUTPUT_DIR = cfg.OUTPUT_DIR if rank == 0 else ""
    found = {"results": dict(evaluate_features(cfg, str(Path(folder) / "f")))}
    try:
        extract(Path(root), Path(folder) / "f", chunk=4, dtype="float16")
    except Exception as error:
        found["error"] = str(error)
    return found


def test_ranks_share_the_chunks(root, tmp_path):
    first, second = run_ranks(two_ranks, 2, tmp_path, str(root), str(tmp_path))
    extract(root, tmp_path / "alone", chunk=4)
    found, expected = (np.load(tmp_path / name / "features.npy") for name in ("f", "alone"))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (tmp_path / "f" / "index.csv").read_bytes() == (tmp_path / "alone" / "index.csv").read_bytes()
    alone = config_of_features(str(tmp_path / "alone"))
    alone.OUTPUT_DIR = ""
    assert first["results"] == pytest.approx(dict(evaluate_features(alone, str(tmp_path / "alone"))))
    assert second["results"] == {}
    assert "dtype was" in first["error"]
    assert "dtype was" in second["error"]


def test_numbers_out_of_range(root, tmp_path):
    for options, message in (
        ({"dtype": "int8"}, "dtype must be one of float32, float16, got 'int8'"),
        ({"chunk": 0}, "chunk must be at least 1 image, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            extract(root, tmp_path, **options)
    (tmp_path / "features.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has features, but no meta\.json"):
        extract(root, tmp_path)
