"""The map of embeddings: which images are on it, its picture, its files, and its page in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastreid.evaluation.feature_folder import IndexRow, read_feature_folder
from fastreid.visualization import build_embed_map, draw_embed_map, write_embed_map
from fastreid.visualization.embed_map import choose_images
from fastreid.visualization.sheets import COLUMNS, ROWS

from ..evaluation.test_feature_folder import write_folder

_TOOL = Path(__file__).parents[2] / "tools" / "embed_map.py"
_EVIL = "</script><img src=x onerror=alert(1)>"
_PEOPLE, _IMAGES = 12, 8


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Twelve people, eight images of each by four cameras; some names would break a careless page."""
    root = tmp_path_factory.mktemp("embed_map")
    rng = np.random.default_rng(0)
    rows = []
    for pid in range(_PEOPLE):
        for shot in range(_IMAGES):
            path = root / f"{pid}_{shot} 'ü' <b>$x$.png"
            Image.new("RGB", (32, 64), (20 * pid, 30 * shot, 128)).save(path)
            name = _EVIL if pid == 5 else f"person {pid}"
            rows.append(
                IndexRow(str(path), str(pid), str(shot % 4), "gallery" if shot else "query", name, f"c{shot % 4}")
            )
    rows[3] = rows[3]._replace(img_path=str(root / "absent.png"))
    numbers = np.repeat(np.arange(_PEOPLE), _IMAGES)
    found = rng.normal(size=(_PEOPLE, 16))[numbers] + 0.3 * rng.normal(size=(len(rows), 16))
    folder = Path(write_folder(root / "features", rows, features=found.astype(np.float32)))
    meta = json.loads((folder / "meta.json").read_text())
    meta["dataset"] = {"name": "csv:people.csv", "label": "people & <co>"}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module")
def built(features):
    return build_embed_map(read_feature_folder(features), method="pca")


@pytest.fixture(scope="module")
def page(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "map"
    write_embed_map(built, folder)
    return folder


def data_of(page):
    text = (page / "data.js").read_text(encoding="ascii")
    assert "<" not in text
    return json.loads(text.removeprefix("window.EMBED_MAP = ").removesuffix(";\n"))


def test_whole_identities_are_chosen_and_nobody_one_by_one():
    identities = np.array([3, -1, 3, 5, -1, 5, 5, 9, -1, 9, 9, 9, -1])
    seen = set()
    for seed in range(30):
        places = choose_images(identities, 7, seed=seed)
        assert 5 <= len(places) <= 7 and (np.diff(places) > 0).all()
        for identity in (3, 5, 9):
            assert np.isin(np.flatnonzero(identities == identity), places).mean() in (0, 1)
        assert np.array_equal(places, choose_images(identities, 7, seed=seed))
        seen |= set(places.tolist())
    assert seen == set(range(13))
    assert choose_images(identities, 13).tolist() == list(range(13))
    assert len(choose_images(np.zeros(10, dtype=np.int64), 4)) == 4  # a part, if there is no smaller one
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        choose_images(identities, 0)


def test_a_map_has_the_labels_of_the_folder(built):
    assert built.points.shape == (96, 2)
    assert built.labels["identity"].names[:2] == (_EVIL, "person 0")
    assert built.labels["camera"].names == ("c0", "c1", "c2", "c3")
    assert built.labels["split"].names == ("gallery", "query")
    named = [built.labels["identity"].names[code] for code in built.labels["identity"].codes]
    assert named[40] == _EVIL and named[95] == "person 11"
    assert (built.title, built.note) == ("PCA of people & <co>", "all 96 images")


def test_a_part_is_said_to_be_one(features):
    part = build_embed_map(read_feature_folder(features), method="pca", max_images=50, seed=4)
    assert part.note == "48 of 96 images: 6 identities drawn at random (seed 4)"
    assert len(part.img_paths) == len(part.points) == 48
    assert set(np.bincount(part.labels["identity"].codes)) == {8}


def test_numbers_are_ordered_as_such_and_distractors_are_nobody(tmp_path):
    rows = [IndexRow(f"{i}.jpg", pid, str(i), "gallery") for i, pid in enumerate(("10", "0", "9", "-1", ""))]
    folder = read_feature_folder(write_folder(tmp_path / "f", rows, features=np.eye(5, dtype=np.float32)))
    folder.meta["dataset"].update(name="Market1501", label="Market1501")
    labels = build_embed_map(folder, method="pca").labels
    assert labels["identity"].names == ("9", "10") and labels["identity"].codes.tolist() == [1, -1, 0, -1, -1]
    assert labels["camera"].names == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(("colour", "legend"), [("identity", 12), ("camera", 4), ("split", 2)])
def test_the_picture_has_a_legend(built, colour, legend):
    figure = draw_embed_map(built, colour)
    (axes,) = figure.axes
    assert sum(len(points.get_offsets()) for points in axes.collections) == 96
    assert len(figure.legends[0].get_texts()) == legend
    assert len({tuple(points.get_facecolor()[0]) for points in axes.collections}) == legend
    assert axes.get_title() == "PCA of people & <co>, all 96 images"


def test_a_colour_that_there_is_not_is_an_error_before_anything_is_written(built, tmp_path):
    with pytest.raises(ValueError, match="colour must be one of identity, camera, split, got 'hat'"):
        write_embed_map(built, tmp_path / "map", colour="hat")
    assert not (tmp_path / "map").exists()


def test_a_page_is_complete_and_replaces_an_earlier_one(built, tmp_path, page):
    (tmp_path / "thumbnails").mkdir()
    (tmp_path / "thumbnails" / "77.jpg").touch()
    (tmp_path / "thumbnails" / "mine.jpg").touch()
    assert write_embed_map(built, tmp_path, colour="split") == 1
    assert sorted(path.name for path in (tmp_path / "thumbnails").iterdir()) == ["0000.jpg", "0001.jpg", "mine.jpg"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"index.html", "map.css", "map.js", "scatter.js", "data.js", "map.png", "thumbnails"}
    assert data_of(tmp_path)["colour"] == "split"
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="([^"]+)"', text)) == names - {"index.html", "map.png", "thumbnails"}
    assert Image.open(tmp_path / "map.png").width > 800


def test_the_data_of_a_page_are_those_of_the_map(built, page):
    data = data_of(page)
    order = [built.img_paths.index(path) for path in data["paths"]]
    assert sorted(order) == list(range(96))
    assert np.stack([data["x"], data["y"]], axis=1) == pytest.approx(built.points[order], abs=1e-4)
    for kind, column in built.labels.items():
        assert data["labels"][kind] == {"names": list(column.names), "codes": column.codes[order].tolist()}
    identities = data["labels"]["identity"]["codes"]
    assert identities == sorted(identities)  # so that a sheet has images that are looked at together
    assert data["sheets"] == {"cell": [64, 128], "columns": COLUMNS, "rows": ROWS, "missing": 1}


def test_no_page_puts_data_into_html():
    pages = Path(sys.modules["fastreid.visualization"].__file__).parent / "pages" / "embed_map"
    for script in pages.glob("*.js"):
        assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write|eval", script.read_text())


def test_the_command_line(monkeypatch, tmp_path, capsys, features):
    command = [str(_TOOL), str(features), "--output", str(tmp_path / "map"), "--max-images", "40", "--colour", "camera"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(_TOOL), run_name="__main__")
    assert "index.html: t-SNE of people & <co>, 40 of 96 images: 5 identities" in capsys.readouterr().out
    assert data_of(tmp_path / "map")["method"] == "tsne"
    monkeypatch.setattr(sys, "argv", [str(_TOOL), str(tmp_path), "--output", str(tmp_path / "other")])
    with pytest.raises(SystemExit, match="has no meta"):
        runpy.run_path(str(_TOOL), run_name="__main__")


@pytest.fixture
def visit(browser, page):
    """Open the page in a window of some size; at the end it must not have complained, nor asked for more than files."""
    problems, contexts = [], []

    def open_page(width=1280, height=800, **context):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **context))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("dialog", lambda dialog: problems.append(dialog.message))
        tab.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
        tab.on("requestfailed", lambda request: problems.append(request.url))
        tab.goto((page / "index.html").as_uri())
        settle(tab)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def settle(tab):
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixel(page, tab, point):
    """Return where a point of the whole map is in the window."""
    data, box = data_of(page), tab.locator("#map").bounding_box()
    unit = min(box["width"], box["height"]) / 2.1
    return (
        box["x"] + box["width"] / 2 + data["x"][point] * unit,
        box["y"] + box["height"] / 2 - data["y"][point] * unit,
    )


def lonely(page):
    """Return the point that is farthest from all others."""
    data = data_of(page)
    points = np.stack([data["x"], data["y"]], axis=1)
    return int((np.linalg.norm(points[:, None] - points, axis=2) + 9 * np.eye(len(points))).min(axis=1).argmax())


def shown(tab):
    return {kind: tab.locator(f"#of-{kind}").text_content() for kind in ("identity", "camera", "split", "path")}


def drawn(tab):
    """Return how many pixels of the canvas are drawn on, and on how many something strong."""
    settle(tab)
    address = tab.evaluate("() => document.querySelector('#map').toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    opacity = np.asarray(picture)[:, :, 3]
    return [int((opacity > 0).sum()), int((opacity > 200).sum())]


def until(holds, seconds=20):
    """Wait for a condition, and fail if it does not come true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_pointing_at_an_image_shows_it(visit, page):
    tab, point, data = visit(), lonely(page), data_of(page)
    assert tab.title() == "PCA of people & <co>"
    assert "1 images could not be read" in tab.locator("#missing").text_content()
    tab.mouse.move(*pixel(page, tab, point))
    kinds = {kind: column["names"][column["codes"][point]] for kind, column in data["labels"].items()}
    assert shown(tab) == {**kinds, "path": data["paths"][point]}
    style = tab.locator("#picture").evaluate("(box) => [box.style.backgroundImage, box.style.backgroundPosition]")
    cell, columns, rows = (data["sheets"][name] for name in ("cell", "columns", "rows"))
    number, place = divmod(point, columns * rows)
    assert style[0] == f'url("thumbnails/{number:04d}.jpg")'
    assert [int(part) for part in re.findall(r"\d+", style[1])] == [
        place % columns * cell[0],
        place // columns * cell[1],
    ]
    seen = np.asarray(Image.open(io.BytesIO(tab.locator("#picture").screenshot())).convert("RGB"))
    assert abs(seen[32, 16] - np.asarray(Image.open(data["paths"][point]))[0, 0].astype(int)).max() < 14
    tab.mouse.move(*(side + 1 for side in pixel(page, tab, point)))
    tab.mouse.click(*pixel(page, tab, point))  # keeps it
    tab.mouse.move(*pixel(page, tab, (point + 40) % 96))
    assert shown(tab)["path"] == data["paths"][point]
    tab.keyboard.press("Escape")
    tab.mouse.move(*(side + 1 for side in pixel(page, tab, (point + 40) % 96)))
    assert shown(tab)["path"] != data["paths"][point]


def test_a_search_highlights_an_identity_and_steps_through_it(visit, page):
    tab, data = visit(), data_of(page)
    whole = drawn(tab)
    tab.fill("#search", "PERSON 1")
    assert tab.locator("#found").text_content() == "24 images of 3 identities"  # 1, 10 and 11
    assert drawn(tab)[1] < 0.7 * whole[1]
    tab.fill("#search", _EVIL)
    assert tab.locator("#found").text_content() == f"8 images of identity {_EVIL}"
    assert drawn(tab)[1] < 0.35 * whole[1]
    seen = []
    for _ in range(9):
        tab.press("#search", "Enter")
        assert shown(tab)["identity"] == _EVIL
        seen.append(shown(tab)["path"])
    assert len(set(seen)) == 8 and seen[8] == seen[0] and set(seen) <= set(data["paths"])
    tab.click("#previous")
    assert shown(tab)["path"] == seen[7]
    tab.fill("#search", "nobody else")
    assert tab.locator("#found").text_content() == "no such identity"
    tab.fill("#search", "")
    assert drawn(tab)[1] > 0.95 * whole[1]


def test_colours_and_the_legend(visit):
    tab = visit()
    assert tab.locator("#colour").input_value() == "identity" and tab.locator("#legend button").count() == 12
    tab.select_option("#colour", "camera")
    entries = tab.locator("#legend button")
    assert [text.split() for text in entries.all_inner_texts()] == [[f"c{camera}", "24"] for camera in range(4)]
    swatches = tab.locator("#legend .swatch").evaluate_all("(all) => all.map((one) => one.style.backgroundColor)")
    assert len(set(swatches)) == 4
    before = drawn(tab)
    entries.nth(0).press("Enter")  # with the keyboard
    assert entries.nth(0).get_attribute("aria-pressed") == "false" and drawn(tab)[0] < 0.9 * before[0]
    entries.nth(0).click()
    assert drawn(tab) == before


def test_zoom_and_moving_by_mouse_keyboard_and_button(visit, page):
    tab, point, path = visit(), lonely(page), data_of(page)["paths"][lonely(page)]
    left, top = pixel(page, tab, point)

    def points_at(left, top):
        tab.mouse.move(5, 5)
        tab.mouse.move(left, top)
        settle(tab)
        return shown(tab)["path"] if tab.locator("#map").evaluate("(map) => map.style.cursor") == "pointer" else None

    assert points_at(left, top) == path and points_at(left + 40, top + 40) != path
    tab.mouse.move(left, top)
    tab.mouse.wheel(0, -600)
    settle(tab)
    assert points_at(left, top) == path  # what was under the mouse still is
    tab.mouse.down()
    tab.mouse.move(left - 99, top + 60, steps=3)
    tab.mouse.up()
    assert points_at(left - 99, top + 60) == path and points_at(left, top) != path
    tab.focus("#map")
    tab.keyboard.press("ArrowRight")
    settle(tab)
    assert points_at(left - 159, top + 60) == path
    zoomed = drawn(tab)
    tab.keyboard.press("0")
    whole = drawn(tab)
    tab.click("#closer")
    tab.click("#farther")
    tab.keyboard.press("Shift+Tab")
    assert drawn(tab) == pytest.approx(whole, rel=0.02) and zoomed != whole
    tab.click("#closer")
    tab.click("#whole")
    assert drawn(tab) == whole


def test_a_phone_with_two_fingers_in_the_dark(visit, page):
    tab, point = visit(390, 844, has_touch=True, is_mobile=True, color_scheme="dark"), lonely(page)
    assert tab.evaluate("() => document.documentElement.scrollWidth") == 390  # nothing sticks out
    ground = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", ground))) < 150
    tab.touchscreen.tap(*pixel(page, tab, point))
    until(lambda: shown(tab)["path"] == data_of(page)["paths"][point])
    before = drawn(tab)
    box = tab.locator("#map").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    session = tab.context.new_cdp_session(tab)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)):
        fingers = [{"x": middle[0] + side * apart, "y": middle[1], "id": number} for number, side in enumerate((-1, 1))]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers if apart else []})
    assert drawn(tab)[0] != before[0]
    tab.tap("#whole")
    until(lambda: drawn(tab) == before)  # a browser makes a click of a tap when it has time
