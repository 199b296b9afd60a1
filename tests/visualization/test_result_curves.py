from __future__ import annotations

import numpy as np
import pytest

from fastreid.visualization import draw_roc, draw_scores

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
