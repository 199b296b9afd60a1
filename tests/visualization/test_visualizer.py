"""The old way to rank lists and ROC curves, from a matrix."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_curve

from fastreid.data import CommDataset
from fastreid.data.transforms import build_transforms
from fastreid.evaluation import evaluate_rank
from fastreid.evaluation.roc import evaluate_roc
from fastreid.modeling import build_model
from fastreid.utils.visualizer import Visualizer
from fastreid.visualization import visualizer as module
from fastreid.visualization.marks import MARKS
from fastreid.visualization.rank_lists import rank_pictures

from ..engine.tiny import tiny_cfg
from .pictures import SHARP, rows_of, write_plain_images

Q, G = 5, 20


@pytest.fixture
def test_set(tmp_path, monkeypatch):
    """A data set of images of one colour, and the arrays of an evaluation; query 3 has no true match."""
    monkeypatch.setattr(rank_pictures, "_JPEG", SHARP)
    rng = np.random.default_rng(1)
    pids, camids = np.arange(Q + G) % 4, np.arange(Q + G) // 4 % 2
    pids[3] = 9
    paths = [str(tmp_path / f"{i}.png") for i in range(Q + G)]
    write_plain_images(paths)
    items = [(path, int(pid), int(camid)) for path, pid, camid in zip(paths, pids, camids)]
    dist = np.round(rng.random((Q, G)), 1).astype(np.float32)  # with many ties
    arrays = (dist, pids[:Q], pids[Q:], camids[:Q], camids[Q:])
    return CommDataset(items, None, relabel=False), arrays


def visualizer_of(test_set, all_ap="computed"):
    dataset, arrays = test_set
    visualizer = Visualizer(dataset)
    visualizer.get_model_output(evaluate_rank(*arrays)[1] if isinstance(all_ap, str) else all_ap, *arrays)
    return visualizer


def by_definition(arrays, number):
    """Sort one row: closest first, other identities first among equals; return gallery places without junk, matches."""
    dist, q_pids, g_pids, q_camids, g_camids = arrays
    same = g_pids == q_pids[number]
    junk = same & (g_camids == q_camids[number])
    order = np.lexsort((np.arange(G), same, dist[number]))
    order = order[~junk[order]]
    return order, same[order]


def test_the_matched_result_is_the_sorted_row(test_set):
    visualizer = visualizer_of(test_set)
    for number in range(Q):
        order, same = by_definition(test_set[1], number)
        matches, places = visualizer.get_matched_result(number)
        np.testing.assert_array_equal(matches, same)
        np.testing.assert_array_equal(places, order)


@pytest.mark.parametrize("rank_sort", ["ascending", "descending"])
def test_rank_lists_show_the_sorted_rows_by_average_precision(test_set, tmp_path, rank_sort):
    out = tmp_path / "out"
    chosen = visualizer_of(test_set).vis_rank_list(out, True, num_vis=9, rank_sort=rank_sort, max_rank=6)
    precision = dict(zip((0, 1, 2, 4), evaluate_rank(*test_set[1])[1]))
    expected = sorted(precision, key=lambda number: precision[number] * (1 if rank_sort == "ascending" else -1))
    assert chosen.tolist() == [*expected, 3]
    for file, number in enumerate(chosen):
        order, same = by_definition(test_set[1], number)
        with Image.open(out / f"{file}.jpg") as picture:
            rows = rows_of(picture)
        counted = [(place, mark) for place, mark in rows[0][1:] if mark != MARKS[2]]
        assert [place - Q for place, _ in counted] == order[:6].tolist()
        assert [mark for _, mark in counted] == [MARKS[int(match)] for match in same[:6]]
        hardest = order[same][::-1][:6]
        assert [place - Q for row in rows[1:] for place, _ in row] == hardest.tolist()


def test_more_ranks_than_are_kept(test_set, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 2)
    (file,) = visualizer_of(test_set).save_rank_result([0], tmp_path / "out", max_rank=20, label_sort="descending")
    with Image.open(file) as picture:
        places = [place - Q for row in rows_of(picture) for place, mark in row if mark != MARKS[2]][1:]
    assert places == by_definition(test_set[1], 0)[0].tolist()


def test_a_model_shows_what_it_sees(test_set, tmp_path):
    dataset, arrays = test_set
    cfg = tiny_cfg(tmp_path, tmp_path, "MODEL.HEADS.NUM_CLASSES", 2)
    visualizer = Visualizer(
        CommDataset(dataset.img_items, build_transforms(cfg, is_train=False), relabel=False), build_model(cfg)
    )
    visualizer.get_model_output(None, *arrays)
    visualizer.vis_rank_list(tmp_path / "plain", False, num_vis=1, max_rank=3)
    visualizer.vis_rank_list(tmp_path / "seen", False, num_vis=1, max_rank=3, actmap=True)
    pictures = [Image.open(tmp_path / folder / "0.jpg") for folder in ("plain", "seen")]
    assert pictures[0].size == pictures[1].size
    plain, seen = (np.asarray(picture).astype(int) for picture in pictures)
    changed = np.abs(plain - seen).max(axis=2) > 20
    assert changed.mean() > 0.1 and not changed[:70].any()  # images, and not the header


@pytest.mark.parametrize("given", ["valid", "all", None])
def test_average_precision_of_all_queries_or_of_those_with_a_match(test_set, given):
    numbers = np.array([0.4, 0.3, 0.2, 0.1])
    found = visualizer_of(
        test_set, {"valid": numbers, "all": np.array([0.4, 0.3, 0.2, 0, 0.1]), None: None}[given]
    ).all_ap
    expected = evaluate_rank(*test_set[1])[1] if given is None else numbers
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected)
    assert np.isnan(found[3])


def test_the_roc_curve_is_that_of_scikit_learn(test_set, tmp_path):
    visualizer = visualizer_of(test_set)
    fpr, tpr, pos, neg = visualizer.vis_roc_curve(tmp_path / "new")
    scores, labels = evaluate_roc(*test_set[1])
    expected = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected[0])
    np.testing.assert_allclose(tpr, expected[1])
    np.testing.assert_array_equal(np.sort(pos), np.sort(scores[labels == 1]))
    np.testing.assert_array_equal(np.sort(neg), np.sort(scores[labels == 0]))
    assert (tmp_path / "new" / "roc.jpg").stat().st_size > 5000
    info = visualizer.load_roc_info(visualizer.save_roc_info(tmp_path, fpr, tpr, pos, neg))
    figure = Visualizer.plot_roc_curve(info["fpr"], info["tpr"], "model")
    assert Visualizer.plot_distribution(info["pos"], info["neg"], "model", None).axes and figure.axes


def test_numbers_of_queries_are_checked_before_anything_is_written(test_set, tmp_path):
    visualizer = visualizer_of(test_set)
    for number in (-1, Q):
        with pytest.raises(ValueError, match=f"there is no query {number}; they are counted from 0 to {Q - 1}"):
            visualizer.get_matched_result(number)
        with pytest.raises(ValueError, match=f"there is no query {number};"):
            visualizer.save_rank_result([0, number], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_an_error(test_set, tmp_path):
    dataset, arrays = test_set
    with pytest.raises(ValueError, match=r"call get_model_output\(...\) first"):
        Visualizer(dataset).vis_rank_list(tmp_path, False)
    with pytest.raises(ValueError, match=r"all_ap must have one number for each of the 5 queries.* got \(3,\)"):
        Visualizer(dataset).get_model_output([0.1, 0.2, 0.3], *arrays)
    with pytest.raises(ValueError, match="distmat must be"):
        Visualizer(dataset).get_model_output(None, arrays[0].T, *arrays[1:])
    with pytest.raises(ValueError, match="the data set has 24 images"):
        Visualizer(CommDataset(dataset.img_items[1:], None, relabel=False)).get_model_output(None, *arrays)
    visualizer = visualizer_of(test_set)
    with pytest.raises(ValueError, match="rank_sort must be ascending or descending, got 'worst'"):
        visualizer.vis_rank_list(tmp_path, False, rank_sort="worst")
    with pytest.raises(ValueError, match="num_vis must be at least 1 picture, got 0"):
        visualizer.vis_rank_list(tmp_path, False, num_vis=0)
    with pytest.raises(ValueError, match=r"actmap needs a model: Visualizer\(dataset, model\)"):
        visualizer.vis_rank_list(tmp_path, False, actmap=True)
    one = (arrays[0][3:4], arrays[1][3:4], arrays[2], arrays[3][3:4], arrays[4])
    alone = Visualizer(CommDataset([dataset.img_items[3], *dataset.img_items[Q:]], None, relabel=False))
    alone.get_model_output(None, *one)
    with pytest.raises(ValueError, match="a ROC curve needs pairs of both kinds"):
        alone.vis_roc_curve(tmp_path)
