"""Rank lists in files: which, in which order, and that they show the rankings that were evaluated."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.data.image_source import find_images
from fastreid.engine import DefaultTrainer
from fastreid.engine.extraction import extract_features
from fastreid.engine.feature_evaluation import config_of_features, open_feature_test, rank_feature_test
from fastreid.evaluation import aqe, re_ranking
from fastreid.evaluation.rank_lists import rank_matrix
from fastreid.evaluation.rates import average_precision
from fastreid.modeling import build_model
from fastreid.visualization.marks import MARKS, QUERY
from fastreid.visualization.rank_lists import rank_pictures
from fastreid.visualization.rank_lists.rank_cells import Look
from fastreid.visualization.rank_lists.rank_list import ImageTexts
from fastreid.visualization.rank_lists.rank_pictures import choose_queries, write_rank_pictures

from ...engine.tiny import tiny_cfg, write_market
from ..pictures import SHARP, PlainImages, rows_of, write_plain_images

AP = np.array([0.5, np.nan, 0.1, 0.9, 0.5])
IDS, CAMS = ["10", "2", "2", "a10", "a9"], ["1", "0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [2, 0, 4, 3, 1]),
        ({"descending": True}, [3, 0, 4, 2, 1]),
        ({"sort": "identity"}, [2, 1, 0, 4, 3]),
        ({"sort": "camera"}, [3, 1, 2, 0, 4]),
        ({"sort": "camera", "descending": True}, [3, 1, 0, 4, 2]),
        ({"only_identities": ["2", "10"]}, [2, 0, 1]),
        ({"only_identities": ["2", "10"], "only_cameras": ["0"]}, [1]),
    ],
)
def test_queries_are_chosen_and_ordered(options, expected):
    assert choose_queries(AP, IDS, CAMS, **options).tolist() == expected


def test_a_random_order_follows_its_seed():
    orders = [choose_queries(AP, IDS, CAMS, sort="random", seed=seed).tolist() for seed in (0, 0, *range(1, 9))]
    assert orders[0] == orders[1] and len({tuple(order) for order in orders}) > 5
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sort": "best"}, "--sort must be one of ap, identity, camera, random, got 'best'"),
        ({"only_identities": ["7", "2"]}, "--identity: no query has identity 7; there are 2, 10, a9, a10"),
        ({"only_cameras": ["x"]}, "--camera: no query has camera x; there are 0, 1"),
        ({"only_identities": ["10"], "only_cameras": ["0"]}, "no query is left"),
    ],
)
def test_what_cannot_be_chosen_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        choose_queries(AP, IDS, CAMS, **options)


# -- pictures of features ---------------------------------------------------------------------------


OPTIONS = {
    "plain": (),
    "flip": ("TEST.FLIP.ENABLED", True),
    "aqe": ("TEST.AQE.ENABLED", True, "TEST.AQE.QE_K", 3, "TEST.AQE.ALPHA", 3.0, "TEST.AQE.QE_TIME", 1),
    "rerank": ("TEST.RERANK.ENABLED", True, "TEST.RERANK.K1", 6, "TEST.RERANK.K2", 3),
}


def expected_order(name, features, num_query):
    """Sort the gallery for each query by a matrix of distances of features that were flipped if they were to be."""
    query, gallery = features[:num_query], features[num_query:]
    if name == "aqe":
        query, gallery = aqe(query, gallery, 1, 3, 3.0)
    query, gallery = (torch.nn.functional.normalize(of.double()) for of in (query, gallery))
    if name != "rerank":
        return np.argsort(1 - (query @ gallery.t()).numpy(), axis=1, kind="stable")
    every = torch.cat([query, gallery])
    square = torch.cdist(every, every).numpy()
    parts = square[:num_query, num_query:], square[:num_query, :num_query], square[num_query:, num_query:]
    return np.argsort(re_ranking(*parts, k1=6, k2=3, lambda_value=0.3), axis=1, kind="stable")


@pytest.mark.parametrize("name", OPTIONS)
def test_pictures_show_the_order_of_the_evaluation(tmp_path, monkeypatch, name):
    monkeypatch.setattr(rank_pictures, "_JPEG", SHARP)
    root = write_market(tmp_path / "market", identities=4, per_camera=3)
    source = find_images("Market1501", root=str(root))
    write_plain_images([image.img_path for image in source.images])
    cfg = tiny_cfg(root, tmp_path / "model", "MODEL.HEADS.NUM_CLASSES", 6, *OPTIONS[name])
    torch.manual_seed(0)
    model = build_model(cfg)
    DefaultTrainer.test(cfg, model)
    extract_features(cfg, model, source, str(tmp_path / "features"))

    judged = config_of_features(str(tmp_path / "features"))
    judged.MODEL.DEVICE = "cpu"
    test = open_feature_test(judged, str(tmp_path / "features"))
    ranked = rank_feature_test(judged, test, length=24)
    files = write_rank_pictures(ranked, test, tmp_path / "out", range(8), look=Look(max_rank=24, labels=True))
    assert [file.name for file in files] == [f"{i}.jpg" for i in range(8)]

    features = torch.from_numpy(np.load(tmp_path / "features" / "features.npy"))
    orders = expected_order(name, features, 8)
    with np.load(tmp_path / "model" / "queries_Market1501.npz") as queries:
        precision = queries["mAP"]
    for number, file in enumerate(files):
        with Image.open(file) as picture:
            *rows, labels = rows_of(picture)
        cells = [cell for row in rows for cell in row]
        assert cells[0] == (number, QUERY)
        shown = [place for place, _ in cells[1:]]
        order = [int(place) + 8 for place in orders[number]]
        # of the three images of junk two are shown if they follow one another
        assert shown == [place for place in order if place in shown] and len(shown) >= 23
        pids, camids = test.pids, test.camids
        for place, mark in cells[1:]:
            same, seen = pids[place] == pids[number], camids[place] == camids[number]
            assert mark == MARKS[2 if same and seen else int(same)]
        counted = [mark for _, mark in cells[1:] if mark != MARKS[2]]
        ranks = np.flatnonzero([mark == MARKS[1] for mark in counted]) + 1
        assert average_precision(ranks) == pytest.approx(precision[number], abs=1e-12)
        hardest = [place for place in order[::-1] if pids[place] == pids[number] and camids[place] != camids[number]]
        assert [place for place, _ in labels] == hardest


# -- the folder ---------------------------------------------------------------------------------------


def small_test(queries=3, gallery=6):
    rng = np.random.default_rng(0)
    pids, cams = rng.integers(0, 3, queries + gallery), rng.integers(0, 2, queries + gallery)
    pids[1], pids[2], pids[4], cams[4] = 9, 1, 1, 1 - cams[2]  # 1 has no match, 2 has one
    distances = rng.random((queries, gallery))
    test = rank_matrix(distances, pids[:queries], pids[queries:], cams[:queries], cams[queries:], length=5)
    texts = ImageTexts([f"/none/{i}.jpg" for i in range(queries + gallery)], [*map(str, pids)], [*map(str, cams)])
    return test, texts


def test_the_index_says_whose_the_pictures_are(tmp_path, caplog):
    test, texts = small_test()
    with caplog.at_level(logging.WARNING):
        write_rank_pictures(test, texts, tmp_path, [2, 1], look=Look(max_rank=5), read=PlainImages())
    with (tmp_path / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["0.jpg", "1.jpg"]
    assert [row["img_path"] for row in rows] == ["/none/2.jpg", "/none/1.jpg"]
    assert [(row["identity"], row["camera"]) for row in rows] == [
        (texts.identities[i], texts.cameras[i]) for i in (2, 1)
    ]
    assert float(rows[0]["AP"]) == pytest.approx(100 * test.numbers["mAP"][2], abs=1e-4)
    assert int(rows[0]["best_rank"]) == test.ranks[2][0]
    assert rows[1]["AP"] == rows[1]["best_rank"] == ""
    assert "1 of 2 queries have no true match" in caplog.text


def test_files_do_not_depend_on_the_number_of_threads(tmp_path):
    test, texts = small_test(queries=20, gallery=12)
    for workers in (1, 3):
        look = Look(max_rank=5, labels=True)
        write_rank_pictures(test, texts, tmp_path / str(workers), range(20), look=look, workers=workers)
    for file in sorted((tmp_path / "1").iterdir()):
        assert file.read_bytes() == (tmp_path / "3" / file.name).read_bytes()
    assert len(list((tmp_path / "1").iterdir())) == 21


def test_pictures_of_an_earlier_call_do_not_stay(tmp_path):
    test, texts = small_test()
    (tmp_path / "7.jpg").write_text("mine")
    for queries in ([0, 1, 2], [1]):
        write_rank_pictures(test, texts, tmp_path, queries, look=Look(max_rank=5), read=PlainImages())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.jpg", "7.jpg", "index.csv"]
    (tmp_path / "index.csv").write_text("place,img_path\n")
    with pytest.raises(ValueError, match="is not an index of rank lists; choose another --output"):
        write_rank_pictures(test, texts, tmp_path, [0], look=Look(max_rank=5), read=PlainImages())


def test_pictures_of_a_killed_call_do_not_stay(tmp_path):
    test, images = small_test()
    calls = []

    def dies(places):
        calls.append(places)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rank_pictures(test, images, tmp_path, [0] * 40, look=Look(max_rank=5), read=PlainImages(), prepare=dies)
    assert len(list(tmp_path.glob("*.jpg"))) == 32
    write_rank_pictures(test, images, tmp_path, [0], look=Look(max_rank=5), read=PlainImages())
    assert [path.name for path in tmp_path.glob("*.jpg")] == ["0.jpg"]


def test_missing_images_are_counted(tmp_path, caplog):
    test, texts = small_test()
    with caplog.at_level(logging.WARNING):
        write_rank_pictures(test, texts, tmp_path, [0], look=Look(max_rank=5))
    assert "images could not be read; a placeholder stands for each" in caplog.text
    with Image.open(tmp_path / "0.jpg") as picture:
        assert picture.width > 500


def test_numbers_out_of_range(tmp_path):
    test, texts = small_test()
    with pytest.raises(ValueError, match="--workers must be at least 1 thread, got 0"):
        write_rank_pictures(test, texts, tmp_path, [0], workers=0)
    with pytest.raises(ValueError, match="from 1 to 5, which were kept, got 6"):
        write_rank_pictures(test, texts, tmp_path, [0], look=Look(max_rank=6), read=PlainImages())
