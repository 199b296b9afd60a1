from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from fastreid.visualization import (
    draw_cameras,
    draw_cmc,
    draw_dir,
    draw_precisions,
    draw_roc,
    draw_scores,
    save_figure,
)
from fastreid.visualization.curves.result_panels import fill_rates
from fastreid.visualization.curves.result_record import OperatingPoint
from fastreid.visualization.style import line_looks

_ROC = (np.array([1e-3, 1e-2, 1e-1, 1.0]), np.array([0.2, 0.5, 0.9, 1.0]))


def test_a_roc_curve_is_what_was_given():
    other = (np.array([1e-4, 1.0]), np.array([0.1, 1.0]))
    figure = draw_roc({"first": _ROC, "second": other})
    (axes,) = figure.axes
    assert [line.get_xydata().tolist() for line in axes.get_lines()] == [
        np.column_stack(c).tolist() for c in (_ROC, other)
    ]
    assert axes.get_xscale() == "log" and axes.get_xlim() == (1e-4, 1)
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == ["first", "second"]
    first, second = axes.get_lines()
    assert first.get_color() != second.get_color() and first.get_linestyle() != second.get_linestyle()


def test_false_rates_of_zero_are_at_the_end_of_the_axis():
    figure = draw_roc({"": (np.array([0.0, 0.0, 0.05, 1.0]), np.array([0.0, 0.3, 0.8, 1.0]))})
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[0.05, 0.3], [0.05, 0.8], [1.0, 1.0]]
    assert not figure.legends
    perfect = draw_roc({"": (np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))}).axes[0]
    assert perfect.get_lines()[0].get_xydata().tolist() == [[0.1, 1.0], [1.0, 1.0]]
    assert perfect.get_xlim() == (0.1, 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "no line to draw"),
        ({"a": ([0.1], [0.1, 0.2])}, r"'a': rates must be two arrays .*got \(1,\) and \(2,\)"),
        ({"a": ([], [])}, "'a': rates must be two arrays"),
        ({"a": ([0.1, 50], [0.1, 1])}, r"'a': rates must be in \[0, 1\], got 0.1 to 50"),
        ({"a": ([0.1, 1], [np.nan, 1])}, r"'a': rates must be in \[0, 1\], got nan"),
        ({"a": ([1, 0.1], [1, 0.2])}, "'a': false rates must be in ascending order"),
    ],
)
def test_what_is_no_roc_curve_is_an_error(lines, message):
    with pytest.raises(ValueError, match=message):
        draw_roc(lines)


def test_scores_are_densities_with_a_threshold():
    edges = np.array([-1.0, 0.0, 0.5, 1.0])
    figure = draw_scores(edges, np.array([0, 1, 3]), np.array([6, 2, 0]), threshold=0.25, name="a run")
    (axes,) = figure.axes
    lines = {patch.get_label(): patch for patch in axes.patches if not patch.get_fill()}
    assert lines["genuine"].get_data().values.tolist() == [0.0, 0.5, 1.5]
    assert lines["impostor"].get_data().values.tolist() == [0.75, 0.5, 0.0]
    assert all(patch.get_data().edges.tolist() == edges.tolist() for patch in axes.patches)
    assert lines["genuine"].get_linestyle() != lines["impostor"].get_linestyle()
    assert axes.get_title() == "a run"
    (threshold,) = axes.get_lines()
    assert threshold.get_xdata() == [0.25, 0.25]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["genuine", "impostor", "threshold 0.250"]


def test_one_kind_of_pairs_is_enough():
    (axes,) = draw_scores(np.array([0.0, 1.0]), np.array([0]), np.array([5])).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["impostor"]


@pytest.mark.parametrize(
    ("edges", "genuine", "impostor", "message"),
    [
        ([0, 1], [1, 2], [1, 2], r"got \(2,\), \(2,\) and edges \(2,\)"),
        ([0, 1], [0], [0], "count pairs, at least one"),
        ([0, 1], [-1], [1], "not negative"),
        ([1, 1], [1], [1], "must be finite and rise"),
    ],
)
def test_what_is_no_histogram_is_an_error(edges, genuine, impostor, message):
    with pytest.raises(ValueError, match=message):
        draw_scores(np.array(edges), np.array(genuine), np.array(impostor))


def test_points_are_marked_with_their_intervals():
    points = [
        OperatingPoint(1e-2, 0.5, (0.4, 0.7)),
        OperatingPoint(1e-4, 0.1, (0.0, 0.2)),
        OperatingPoint(1e-2, 0.5, chosen=True),
    ]
    axes = Figure().subplots()
    fill_rates(axes, {"a": _ROC}, line_looks(1), points=[points], title="ROC", x="FPR", y="TPR")
    curve, *marks = axes.get_lines()
    marks, intervals = marks[:3], marks[3:]
    assert curve.get_xydata().tolist() == np.column_stack(_ROC).tolist()
    assert [mark.get_xydata().tolist() for mark in marks] == [[[p.false, p.true]] for p in points]
    assert [mark.get_marker() for mark in marks] == ["o", "o", "*"]
    drawn = [line.get_xydata().tolist() for line in intervals]
    assert drawn == [[[1e-2, 0.4], [1e-2, 0.7]], [[1e-4, 0.0], [1e-4, 0.2]]]
    assert axes.get_xlim()[0] < 1e-4  # the point is seen, though the curve ends before
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["operating point", "chosen threshold"]
    axes = Figure().subplots()
    fill_rates(axes, dict.fromkeys("abcd", _ROC), line_looks(4), points=[points] * 4, title="ROC", x="FPR", y="TPR")
    assert len(axes.get_lines()) == 16  # too many intervals to read


def test_cmc_and_dir_are_what_was_given():
    lines = {"a": np.array([60.0, 80.0, 100.0]), "b": np.array([90.0, 95.0])}
    (axes,) = draw_cmc(lines).axes
    assert [line.get_xydata().tolist() for line in axes.get_lines()] == [
        [[1, 60], [2, 80], [3, 100]],
        [[1, 90], [2, 95]],
    ]
    assert 50 < axes.get_ylim()[0] < 60
    (axes,) = draw_dir({"": _ROC}).axes
    assert axes.get_lines()[0].get_xydata().tolist() == np.column_stack(_ROC).tolist()
    assert axes.get_xlabel().startswith("FAR") and axes.get_xscale() == "log"
    for wrong in ({}, {"a": []}, {"a": [np.nan]}, {"a": [101.0]}):
        with pytest.raises(ValueError, match=r"no line|CMC curve must be \(K,\) numbers in percent"):
            draw_cmc(wrong)


def test_average_precisions_are_counted():
    values = np.append(np.random.default_rng(0).random(200), [0.0, 0.05, 1.0, np.nan])
    (axes,) = draw_precisions({"a": values, "b": np.array([1.0, 1 + 1e-9])}).axes
    first, second = axes.get_lines()
    expected = [sum(100 * v >= 5 * k and (100 * v < 5 * k + 5 or k == 19) for v in values) for k in range(20)]
    assert first.get_xdata().tolist() == list(range(0, 101, 5))
    assert first.get_ydata().tolist() == [*expected, expected[-1]] and sum(expected) == 203
    assert first.get_drawstyle() == "steps-post" and second.get_ydata().tolist() == [0] * 19 + [2, 2]
    for wrong in ({"a": [np.nan]}, {"a": [2.0]}, {"a": [-0.1]}):
        with pytest.raises(ValueError, match=r"average precisions must be in \[0, 1\]"):
            draw_precisions({name: np.array(own) for name, own in wrong.items()})


def pair(query, gallery, value, queries):
    return {"query_camera": query, "gallery_camera": gallery, "mAP": value, "queries": queries}


def test_a_map_of_cameras_has_its_numbers_in_the_cells(tmp_path):
    pairs = [pair(3, 0, 20.4, 7), pair(0, 5, 91.6, 1234), pair(0, 3, 50.0, 8)]
    figure = draw_cameras(pairs, name="run")
    axes, bar = figure.axes
    (image,) = axes.get_images()
    nan = np.nan
    np.testing.assert_array_equal(image.get_array().filled(nan), [[nan, 50.0, 91.6], [20.4, nan, nan]])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "3", "5"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "3"]
    cells = {}
    for text in axes.texts:
        column, row = text.get_position()
        cells.setdefault((int(row), column), []).append(text.get_text())
    assert cells == {(0, 1): ["50", "8"], (0, 2): ["92", "1234"], (1, 0): ["20", "7"]}
    assert image.get_clim() == (20.4, 91.6) and bar.get_ylabel() == "mAP (%)"
    save_figure(figure, tmp_path / "cameras.png")
    with pytest.raises(ValueError, match="no pair of cameras"):
        draw_cameras([])


def test_numbers_of_twenty_cameras_fit_into_their_cells():
    figure = draw_cameras([pair(a, b, 88.0, 1234) for a in range(20) for b in range(20)])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    texts = sorted(axes.texts, key=lambda text: text.get_position()[::-1])
    boxes = [text.get_window_extent() for text in texts]
    width, height = axes.bbox.width / 20, axes.bbox.height / 20
    assert len(texts) == 800 and max(box.width for box in boxes) < width
    for value, queries in zip(boxes[:20], boxes[20:40]):  # the first row of cells
        assert value.y0 >= queries.y1 - 1 and value.y1 - queries.y0 < height


def test_a_hundred_cameras_have_colours_only():
    figure = draw_cameras([pair(a, a + 100, float(a), 1) for a in range(100)])
    axes = figure.axes[0]
    figure.draw_without_rendering()
    assert not axes.texts
    shown = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_text()]
    assert 5 < len(shown) < 15 and set(shown) <= {str(camera) for camera in range(100, 200)}
    assert max(figure.get_size_inches()) < 12
