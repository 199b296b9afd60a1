from __future__ import annotations

import pytest

from fastreid.visualization import save_figure
from fastreid.visualization.style import figure_with_legend, line_looks, plain, shortened


@pytest.mark.parametrize("count", [1, 7, 20])
def test_lines_differ_in_colour_and_in_what_is_seen_without(count):
    looks = line_looks(count)
    assert len({tuple(look["color"]) for look in looks}) == count
    assert len({(look["linestyle"], look["marker"]) for look in looks}) == count


def test_names_lose_their_middle():
    assert shortened("short", 5) == "short"
    assert shortened("seed1/a_long_name/eval", 10) == "see…e/eval"
    assert [len(shortened("x" * 50, most)) for most in (2, 3, 10, 49)] == [2, 3, 10, 49]
    assert plain("a$b") == r"a\$b"


def test_a_legend_is_above_the_panels(tmp_path):
    names = [f"{'long' * 30}{i}" for i in range(5)]
    figure = figure_with_legend(5, 3, names, line_looks(5), title="a$set")
    axes = figure.subplots()
    save_figure(figure, tmp_path / "a.png")
    (legend,) = figure.legends
    assert legend.get_title().get_text() == r"a\$set"
    box = legend.get_window_extent()
    assert box.y0 > axes.get_window_extent().y1 and box.x0 > 0 and box.x1 < figure.bbox.x1 and box.y1 < figure.bbox.y1
    assert not figure_with_legend(5, 3).legends
