from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fastreid.visualization import ResultRecord, draw_results, read_evaluations, save_figure

from .evaluations import evaluate


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluations")
    return {
        "first": evaluate(root / "first"),
        "second": evaluate(root / "second", noise=2.0),
        "plain": evaluate(root / "plain", roc=False),
        "random": evaluate(root / "random", kind="RandomGalleryEvaluator"),
        "retrieval": evaluate(root / "retrieval", kind="RetrievalEvaluator"),
    }


def draw(folders, *names, **options):
    (records,) = read_evaluations([folders[name] for name in names]).values()
    return draw_results(records, **options), records


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def curves(axes):
    return [line for line in axes.get_lines() if not line.get_label().startswith("_child")]


def test_everything_of_two_runs_in_one_figure(folders):
    figure, records = draw(folders, "first", "second")
    found = panels(figure)
    maps = ["Cameras: first", "Cameras: second"]
    scores = ["Scores: first", "Scores: second"]
    assert list(found) == ["ROC", "Open set: DIR at FAR", "CMC", "Average precision", *scores, *maps]
    for title, panel in (("ROC", "roc"), ("Open set: DIR at FAR", "dir")):
        lines = curves(found[title])
        assert [line.get_label() for line in lines] == ["first", "second"]
        for line, record in zip(lines, records):
            assert line.get_xydata().tolist() == np.column_stack(record.rates(panel)).tolist()
    for line, record in zip(curves(found["CMC"]), records, strict=True):
        assert line.get_ydata().tolist() == record.cmc().tolist()
    for line, record in zip(curves(found["Average precision"]), records, strict=True):
        assert line.get_ydata()[:-1].sum() == len(record.precisions)
    for title, record in zip(scores, records):
        (threshold,) = found[title].get_lines()
        assert threshold.get_xdata() == [record.threshold] * 2
    assert found[scores[0]].get_xlim() == found[scores[1]].get_xlim()
    limits = {found[title].get_images()[0].get_clim() for title in maps}
    values = [pair["mAP"] for record in records for pair in record.camera_pairs()[0]]
    assert limits == {(min(values), max(values))}
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "Market1501"
    assert [text.get_text().strip() for text in legend.get_texts()] == ["first", "second"]


def test_the_recommended_threshold_is_marked(folders):
    figure, (record,) = draw(folders, "first")
    axes = panels(figure)["ROC"]
    (star,) = [line for line in axes.get_lines() if line.get_marker() == "*"]
    stored = record.details["threshold"]
    assert star.get_xydata().tolist() == [[stored["value"], stored["tpr"] / 100]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["operating point", "chosen threshold"]


def test_a_run_looks_the_same_in_all_panels_though_it_lacks_some(folders, caplog):
    figure, _ = draw(folders, "plain", "first")
    found = panels(figure)
    (roc,) = curves(found["ROC"])
    cmc = curves(found["CMC"])
    assert roc.get_label() == "first" and len(cmc) == 2
    assert (roc.get_color(), roc.get_linestyle()) == (cmc[1].get_color(), cmc[1].get_linestyle())
    assert caplog.messages == [
        "Market1501: plain: no roc, dir, scores: it was evaluated without TEST.ROC.ENABLED; evaluate once more with "
        "TEST.ROC.ENABLED True"
    ]


def test_panels_are_chosen(folders):
    figure, _ = draw(folders, "first", panels=["cmc", "roc"])
    assert list(panels(figure)) == ["ROC", "CMC"]
    with pytest.raises(ValueError, match="--panels: there is no rok, only roc, dir, cmc"):
        draw(folders, "first", panels=["rok"])
    with pytest.raises(ValueError, match=r"Market1501: cannot be drawn: plain: no roc: .* TEST.ROC.ENABLED True"):
        draw(folders, "plain", panels=["roc", "cmc"])
    for records in ([], [ResultRecord("a", "set"), ResultRecord("a", "set")]):
        with pytest.raises(ValueError, match=r"evaluations to draw, with different names, got (none|a, a)"):
            draw_results(records)


def test_what_is_of_one_split_says_so(folders, caplog):
    figure, _ = draw(folders, "random")
    assert list(panels(figure)) == [
        "ROC (first split)",
        "Open set: DIR at FAR (first split)",
        "CMC",
        "Average precision",
        "Scores (first split)",
    ]
    assert caplog.messages[-1] == "Market1501: pairs and thresholds of random are those of the first split"
    assert list(panels(draw(folders, "retrieval")[0])) == ["CMC", "Average precision"]


def test_nothing_to_draw_is_an_error(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"set": {"Acc@1": 50.0, "details": {}}}))
    with pytest.raises(ValueError, match=r"set: cannot be drawn: .*no roc, dir, scores: .*; .*no cmc: "):
        draw_results(read_evaluations([tmp_path])["set"])


def test_tables_that_were_cut_and_needles_of_scores(folders, tmp_path):
    stored = json.loads((folders["first"] / "results.json").read_text())
    details = stored["Market1501"]["details"]
    details["breakdown"]["camera_pairs"]["count"] = 999
    bars = details["verification"]["histogram"]
    bars["edges"] = np.linspace(0.98, 1.0, len(bars["edges"])).tolist()
    details["threshold"]["threshold"] = 1.01
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "results.json").write_text(json.dumps(stored))
    figure, _ = draw({**folders, "cut": tmp_path / "cut"}, "first", "cut", panels=["scores", "cameras"])
    found = panels(figure)
    assert "Cameras: cut (12 worst of 999 pairs)" in found
    low, high = found["Scores: cut"].get_xlim()
    assert 0.97 < low < 0.98 and 1.01 < high < 1.02
    assert found["Scores: first"].get_xlim()[0] < 0


def test_texts_do_not_overlap(folders):
    figure, _ = draw(folders, "first", "second")
    figure.draw_without_rendering()
    boxes = {}
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            if text.get_text():
                boxes[text.get_text(), id(axes)] = text.get_window_extent()
    boxes["legend"] = figure.legends[0].get_window_extent()
    everything = list(boxes.items())
    for i, (name, box) in enumerate(everything):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, name
        assert not [other for other, own in everything[i + 1 :] if box.overlaps(own)], name


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures_are_valid(folders, tmp_path, kind):
    path = tmp_path / f"results.{kind}"
    save_figure(draw(folders, "first", "second", panels=["roc", "scores", "cameras"])[0], path)
    if kind == "png":
        picture = Image.open(path).convert("RGB")
        assert picture.width > 1000 and len(picture.getcolors(1 << 24)) > 50
    else:
        root = ElementTree.fromstring(path.read_bytes())
        assert root.tag.endswith("svg") and len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 100
