from __future__ import annotations

import math

import numpy as np
import pytest

from fastreid.visualization import RunRecord, draw_runs, save_figure
from fastreid.visualization.curves.run_curves import choose_scalars, moving_mean


def record(name="run", *, iters_per_epoch=10, points=8, scale=1.0, **more):
    rows = {}
    for k in range(points):
        rows[10 * k + 9] = {
            "total_loss": scale / (k + 1),
            "loss_cls": scale / (k + 2),
            "lr": 0.1 * scale,
            "lr/heads": 0.2 * scale,
            "lr/bias": 0.1 * scale,
            "images_per_second": 100.0 + k,
            "rss_mib": 500.0,
            **({"mAP": 10.0 * k} if k % 2 else {}),
            **more,
        }
    return RunRecord(name, rows, iters_per_epoch)


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def lines(axes):
    return [line.get_xydata().tolist() for line in axes.get_lines()]


def test_the_mean_equals_its_definition():
    values = np.random.default_rng(0).random(11)
    values[4] = np.nan
    for window in (1, 2, 5, 30):
        expected = []
        for i, value in enumerate(values):
            near = values[max(0, i - window // 2) : i + (window + 1) // 2]
            expected.append(np.nanmean(near) if math.isfinite(value) else math.nan)
        assert moving_mean(values, window) == pytest.approx(np.array(expected), nan_ok=True)


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_is_at_least_one_value(window):
    with pytest.raises(ValueError, match=f"--smooth must be at least 1 value .*, got {window}"):
        draw_runs([record()], smooth=window)


def test_the_usual_scalars_come_in_a_sensible_order():
    names = ["a/mAP", "b/mAP", "eta_seconds", "images_per_second", "loss_b", "lr", "lr/x", "rss_mib", "total_loss"]
    assert choose_scalars(names) == ["total_loss", "loss_b", "lr", "lr/x", "a/mAP", "b/mAP", "images_per_second"]
    assert choose_scalars(["odd", "other"]) == ["odd", "other"]  # nothing usual: all there is
    assert choose_scalars(names, ["l*", "rss_mib"]) == ["loss_b", "lr", "lr/x", "rss_mib"]
    with pytest.raises(ValueError, match="--metrics 'losss' matches no scalar; there are: a/mAP, "):
        choose_scalars(names, ["losss"])


def test_the_curves_are_the_values():
    run = record()
    found = panels(draw_runs([run], x="iteration"))
    assert list(found) == ["total_loss", "loss_cls", "lr", "mAP", "images_per_second"]
    for name in ("total_loss", "mAP", "images_per_second"):
        assert lines(found[name]) == [[[i, row[name]] for i, row in run.rows.items() if name in row]]
    assert found["mAP"].get_ylabel() == "%"
    assert {axes.get_xlabel() for axes in found.values()} == {"iteration"}
    assert len({axes.get_xlim() for axes in found.values()}) == 1


def test_groups_share_a_panel_and_equal_curves_are_drawn_once():
    (axes,) = draw_runs([record()], metrics=["lr*"]).axes
    assert [line.get_linestyle() for line in axes.get_lines()] == ["-", "--"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lr", "lr/heads"]
    assert [line.get_linestyle() for line in axes.get_legend().get_lines()] == ["-", "--"]
    figure = draw_runs([record(**{"x/mAP": 1.0, "y/mAP": 2.0})], metrics=["x/mAP", "y/mAP"])
    assert list(panels(figure)) == ["mAP"]
    assert list(panels(draw_runs([record(**{"x/mAP": 1.0})], metrics=["x/mAP"]))) == ["x/mAP"]


def test_runs_have_colours_of_their_own_and_a_legend():
    figure = draw_runs([record("first"), record("_second$", scale=3)], metrics=["total_loss"])
    colours = [line.get_color() for line in figure.axes[0].get_lines()]
    assert len(set(colours)) == 2
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["first", r"_second\$"]
    assert [line.get_color() for line in legend.get_lines()] == colours
    many = draw_runs([record(str(i), scale=i + 1) for i in range(12)], metrics=["total_loss"])
    assert len({tuple(line.get_color()) for line in many.axes[0].get_lines()}) == 12


def test_epochs_are_counted_by_what_each_run_says():
    slow, fast = record("slow", iters_per_epoch=20), record("fast", iters_per_epoch=5)
    axes = draw_runs([slow, fast], metrics=["total_loss"]).axes[0]
    assert axes.get_xlabel() == "epoch"
    assert [line[0][0] for line in lines(axes)] == [0.5, 2.0]  # iteration 9 is the tenth
    unknown = record("unknown", iters_per_epoch=None)
    assert draw_runs([slow, unknown], metrics=["total_loss"]).axes[0].get_xlabel() == "iteration"
    with pytest.raises(ValueError, match=r"unknown: no run\.json tells .*; use --x iteration"):
        draw_runs([slow, unknown], x="epoch")
    with pytest.raises(ValueError, match="x must be iteration or epoch, got 'time'"):
        draw_runs([slow], x="time")


def test_smoothing_keeps_the_values_and_leaves_results_and_rates_alone():
    found = panels(draw_runs([record()], smooth=3, x="iteration"))
    raw, smoothed = (np.array(line)[:, 1] for line in lines(found["total_loss"]))
    assert raw == pytest.approx([1 / (k + 1) for k in range(8)])
    assert smoothed == pytest.approx(moving_mean(raw, 3))
    assert len(lines(found["mAP"])) == 1 and len(lines(found["lr"])) == 2


def test_a_value_that_is_not_finite_is_a_gap_and_a_run_may_lack_a_scalar():
    run = record(odd=1.0)
    run.rows[29]["total_loss"] = math.nan
    figure = draw_runs([run, record("other")], metrics=["total_loss", "odd"])
    assert np.isnan(np.array(lines(figure.axes[0])[0])[2, 1])
    assert len(lines(figure.axes[1])) == 1


@pytest.mark.parametrize("kind", ["png", "svg", "PNG"])
def test_pictures_are_written_by_their_ending(tmp_path, kind):
    path = tmp_path / "deeper" / f"curves.{kind}"
    save_figure(draw_runs([record("a"), record("b", scale=2)], metrics=["total_loss"], smooth=2), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG" if kind.lower() == "png" else b"<?xml") and len(content) > 10_000
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg, got '.*curves\.pdf'"):
        save_figure(draw_runs([record()]), tmp_path / "curves.pdf")
