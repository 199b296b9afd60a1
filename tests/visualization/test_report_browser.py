"""A report, opened from disk and driven in a real browser: what it shows is what was judged and ranked."""

from __future__ import annotations

import csv
import re
import shutil

import numpy as np
import pytest

from fastreid.evaluation.rank_lists import JUNK, MATCH
from fastreid.visualization.report import ReportOptions, write_report
from fastreid.visualization.report.suspects import find_suspects

from .browser import address, watched_page
from .report.folders import LONELY, ODD_FILE, ODD_IDENTITY, judge, write_features, write_images

RANKS = 8
NAMES = ["first <i>model</i>", "second"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def runs(place):
    rows = write_images(place / "images")
    swapped = list(rows)  # two images have each other's identity: a suspect
    one, two = (
        next(i for i, row in enumerate(rows) if row.split == "gallery" and row.identity == name) for name in "47"
    )
    swapped[one], swapped[two] = (
        rows[place]._replace(identity=rows[other].identity) for place, other in ((one, two), (two, one))
    )
    folders = [write_features(place / "a", swapped, noise=1.2), write_features(place / "b", swapped, seed=1, noise=1.2)]
    for folder, seed in zip(folders, (0, 1)):  # ... by features that know it
        original = write_features(place / f"original_{seed}", rows, seed=seed, noise=1.2)
        shutil.copy(original / "features.npy", folder)
    return judge(*folders, length=RANKS, names=NAMES)


@pytest.fixture(scope="module")
def report(place, runs):
    options = ReportOptions(ranks=RANKS, thumbnail=(16, 32))
    write_report(runs, place / "report", options, suspects=find_suspects(str(place / "a"), threshold=0.5))
    return place / "report"


@pytest.fixture
def page(browser):
    with watched_page(browser) as own:
        yield own


def go(page, report, state=""):
    page.goto(address(report, state))
    page.wait_for_function("document.documentElement.dataset.ready")
    assert page.locator("#problem").is_hidden()
    return page


def identities(page):
    return page.locator(".rows .row .of-id strong").all_text_contents()


def shown(page):
    """Return how many queries are listed."""
    return int(page.locator("[role=grid]").get_attribute("aria-rowcount")) - 1


def wait_for_titles(page):
    """Wait until every card of the open query knows its file."""
    page.wait_for_function(
        "document.querySelector('#detail .card') && !document.querySelector('#detail .card:not([title])')"
    )


def precisions(runs):
    return [100 * run.precision() for run in runs]


def test_the_overview_says_the_numbers_with_their_intervals(page, report, runs):
    go(page, report)
    tile = page.locator(".tile", has_text=re.compile("^mAP"))
    for letter, run in zip("AB", runs):
        reading = tile.locator(".reading", has_text=re.compile(f"^{letter}")).text_content()
        low, high = run.details["intervals"]["mAP"]
        assert f"{run.results['mAP']:.1f} %" in reading
        assert f"{low:.1f} to {high:.1f}" in reading
    assert (
        page.locator("#subtitle").text_content().startswith("36 queries, 72 gallery images, 12 identities, 3 cameras")
    )
    assert NAMES[0] in page.locator("#subtitle").text_content()
    judged = page.locator(".judged").text_content()
    assert "market1501" in judged and runs[1].test.meta["model"] in judged
    assert "3 queries have no true match" in judged
    assert "1 image could not be read" in page.locator("#view-overview").text_content()
    assert page.title().startswith("crops")


def test_a_chart_reads_its_values_to_mouse_and_keys(page, report, runs):
    go(page, report)
    chart = page.locator(".chart", has_text="CMC")
    plot = chart.locator(".plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expected = [f"{run.details['cmc'][1]:.1f} %" for run in runs]
    for letter, name, text in zip("AB", NAMES, expected):
        assert f"{letter}: {name} {text}" in chart.locator(".readout").text_content()
    page.keyboard.press("Escape")
    assert "Point at the chart" in chart.locator(".readout").text_content()
    plot.hover(position={"x": 60, "y": 80})
    assert chart.locator(".readout .stop").text_content() == "Rank-2"
    chart.locator("summary").click()
    chart.locator("tbody tr").first.wait_for()
    cells = chart.locator("tbody tr").nth(1).locator("td").all_text_contents()
    assert cells == expected


def test_queries_are_sorted(page, report, runs):
    go(page, report, "#queries")
    ap, other = precisions(runs)
    order = np.argsort(ap, kind="stable")
    names = np.array(runs[0].test.identities[:36])
    visible = identities(page)
    assert len(visible) > 8
    assert visible == names[order][: len(visible)].tolist()
    page.locator("[data-sort=apB]").click()
    assert identities(page)[:5] == names[np.argsort(other, kind="stable")][:5].tolist()
    page.locator("[data-sort=apB]").click()
    assert page.locator(".of-apB[aria-sort]").get_attribute("aria-sort") == "descending"
    best = names[np.lexsort((np.arange(36), -np.nan_to_num(other, nan=-1)))]
    assert identities(page)[:5] == best[:5].tolist()
    page.locator("select[name=sort]").select_option("id ")
    assert identities(page)[:6] == ["1"] * 3 + ["2"] * 3  # as numbers
    page.locator(".scroller").evaluate("(node) => { node.scrollTop = node.scrollHeight }")
    page.wait_for_function("document.querySelectorAll('.rows .row').item(0).ariaRowIndex > 10")
    assert identities(page)[-1] == LONELY  # a name, so it comes after the numbers
    assert ODD_IDENTITY in identities(page)


def test_queries_are_filtered(page, report, runs):
    go(page, report, "#queries")
    ap, _ = precisions(runs)
    test, wrong = runs[0].test, [run.ranked.numbers["Rank-1"][run.numbers] == 0 for run in runs]
    page.get_by_role("checkbox", name="wrong at rank 1").check()
    assert shown(page) == int((wrong[0] | wrong[1]).sum()) > 0
    page.locator("select[name=versus]").select_option("0")
    assert shown(page) == int(wrong[0].sum()) > 0
    page.locator("#clear").click()
    assert shown(page) == 36
    page.locator("select[name=cam]").select_option("cam 1")
    assert shown(page) == 12
    page.locator("input[name=id]").fill(ODD_IDENTITY)
    assert shown(page) == 1
    assert identities(page) == [ODD_IDENTITY]
    page.locator("input[name=id]").fill("1, 2")
    assert shown(page) == 2
    page.locator("input[name=id]").fill("nobody")
    assert page.locator(".empty").is_visible()
    page.get_by_role("button", name="Clear the filters").click()
    page.locator("select[name=pair]").select_option("cam 2")
    lists = runs[0].lists(range(36), RANKS)
    of_camera = [(test.camids[own.match_places] == 2).any() for own in lists]
    assert shown(page) == sum(of_camera) > 0
    pairs = runs[0].pairs(lists)
    lowest = 100 * pairs["precision"][pairs["camera"] == 2].min()
    assert page.locator(".rows .of-ap").first.text_content() == f"{lowest:.1f}"
    page.locator("#clear").click()
    page.locator("input[name=max]").fill("60")
    page.locator("input[name=min]").fill("20")
    assert shown(page) == int(((ap >= 20) & (ap <= 60)).sum()) > 0
    page.locator("#clear").click()
    page.locator("select[name=range]").select_option("other")
    scores = runs[0].ranked.best_others()[runs[0].numbers]
    page.locator("input[name=min]").fill("0.9")
    assert shown(page) == int((scores >= 0.9).sum()) > 0
    page.locator("#clear").click()
    page.get_by_role("checkbox", name="no true match").check()
    assert set(identities(page)) == {LONELY}
    assert "mAP" not in page.locator("#chosen").text_content()


def test_a_query_shows_its_ranking(page, report, runs):
    (run, _), query = runs, int(np.nanargmin(runs[0].precision()))
    (expected,) = run.lists([query], RANKS)
    go(page, report, "#queries?versus=0")
    page.locator(".rows .row").first.click()
    cards = page.locator(".cards").first.locator(".card")
    wait_for_titles(page)
    assert cards.count() == expected.places.size
    kinds = {JUNK: "left out", MATCH: "true match"}
    for place in range(cards.count()):
        words = cards.nth(place).get_attribute("aria-label")
        rank = f"rank {expected.ranks[place]}" if expected.ranks[place] else "no rank"
        score = f"{expected.scores[place]:.3f}".replace("-", "−")
        identity = run.test.identities[expected.places[place]]
        camera = run.test.cameras[expected.places[place]]
        kind = kinds.get(expected.kinds[place], "another identity")
        assert words == f"{rank}, {kind}, score {score}, identity {identity}, {camera}"
        assert cards.nth(place).get_attribute("title") == run.test.img_paths[expected.places[place]]
    ranks = page.locator(".cards").nth(1).locator(".card b").all_text_contents()
    assert ranks == [f"#{rank}" for rank in expected.match_ranks]
    page.locator(f'.about .path:has-text("{run.test.img_paths[expected.query]}")').wait_for()
    facts = page.locator(".facts").text_content()
    assert f"Average precision{100 * expected.average_precision:.1f} %" in facts
    assert f"Best match at rank{expected.match_ranks[0]}" in facts
    junk = int((expected.kinds == JUNK).sum())
    if junk:
        page.get_by_role("button", name="Show what is left out", pressed=True).click()
        page.get_by_role("button", name="Show what is left out", pressed=False).wait_for()
        assert cards.count() == expected.places.size - junk
    cards.first.click()
    dialog = page.locator("#pair")
    dialog.locator(".path", has_text=run.test.img_paths[expected.query]).first.wait_for()
    page.keyboard.press("ArrowRight")
    assert "Rank 2" in dialog.text_content()
    page.keyboard.press("Escape")
    assert dialog.is_hidden() and page.locator("#detail").is_visible()


def test_two_runs_are_compared(page, report, runs):
    ap, other = precisions(runs)
    change = other - ap
    go(page, report, "#queries?sort=change")
    first = int(np.nanargmin(change))
    row = page.locator(".rows .row").first
    assert row.locator(".of-change").text_content() == f"−{-change[first]:.1f}"
    assert row.locator(".of-apB").text_content() == f"{other[first]:.1f}"
    page.locator("select[name=change]").select_option("better")
    assert shown(page) == int((change > 0).sum()) > 0
    page.locator("select[name=change]").select_option("worse")
    assert shown(page) == int((change < 0).sum()) > 0
    row.click()
    columns = page.locator(".cards.aligned > li")
    columns.first.wait_for()
    assert columns.count() == RANKS  # what is left out is not shown beside another run
    for number, letter in enumerate("AB"):
        (expected,) = runs[number].lists([first], RANKS)
        ranked = expected.places[expected.ranks > 0]
        for place in range(RANKS):
            words = columns.nth(place).locator(".card").nth(number).get_attribute("aria-label")
            assert words.startswith(f"run {letter}, rank {place + 1}, ")
            assert words.endswith(f", {runs[number].test.cameras[ranked[place]]}")
    versus = [run.lists([first], RANKS)[0] for run in runs]
    ranks = dict(zip(versus[1].match_places.tolist(), versus[1].match_ranks.tolist()))
    expected = [
        f"#{rank} → {ranks[image]}"
        for image, rank in zip(versus[0].match_places.tolist(), versus[0].match_ranks.tolist())
    ]
    assert page.locator(".cards").nth(1).locator(".card b").all_text_contents() == expected


def test_the_keyboard_goes_through_the_queries_and_the_address_remembers(page, report):
    go(page, report)
    page.keyboard.press("2")
    assert page.locator("#view-queries").is_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    detail.locator(".card").first.wait_for()
    second = detail.locator("h2").text_content()
    assert "2 of 36" in second
    page.keyboard.press("ArrowDown")
    page.get_by_text("3 of 36").wait_for()
    page.keyboard.press("k")
    page.get_by_text("2 of 36").wait_for()
    page.wait_for_function("new URLSearchParams(location.hash.split('?')[1]).get('q') === Report.state().q")
    page.reload()
    page.get_by_text("2 of 36").wait_for()
    assert page.locator("#detail h2").text_content() == second
    page.keyboard.press("Escape")
    assert detail.is_hidden()
    page.keyboard.press("/")
    page.keyboard.type("1")
    assert shown(page) == 3
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    detail.locator(".card").first.wait_for()
    page.go_back()
    assert detail.is_hidden()
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.go_back()  # to where the first query was opened, and closed
    page.go_back()
    assert page.locator("#view-overview").is_visible()


def test_a_pair_of_cameras_leads_to_its_queries(page, report, runs):
    go(page, report)
    worst = runs[0].details["breakdown"]["camera_pairs"]["worst"][0]
    name = f"cam {worst['query_camera']} to cam {worst['gallery_camera']}:"
    cell = page.locator(f'.heat button[aria-label^="{name}"]')
    assert cell.text_content() == f"{worst['mAP']:.1f}"
    cell.click()
    assert shown(page) == worst["queries"]
    means = page.locator("#chosen").text_content()
    assert f"mAP {worst['mAP']:.1f} % → " in means


def test_names_that_look_like_markup_stay_text(page, report):
    go(page, report, "#queries?id=1&sort=cam")
    page.locator(".rows .row").first.click()
    page.locator("#detail .card").first.wait_for()
    page.locator(f'#detail .path:has-text("{ODD_FILE}")').wait_for()
    wait_for_titles(page)
    titles = [card.get_attribute("title") for card in page.locator("#detail .card").all()]
    assert any(title.endswith("</script>.jpg") for title in titles)
    page.locator("input[name=id]").fill(ODD_IDENTITY)
    page.locator(".rows .row").first.click()
    page.locator(f'#detail .labels:has-text("{ODD_IDENTITY}")').wait_for()
    assert page.locator("img, #main b:has(*), body > b, i:not(.dot)").count() == 0


def test_suspects_are_listed_and_exported(page, report):
    go(page, report, "#suspects")
    with open(report / "suspects.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert page.locator(".suspect").count() == len(rows) > 0
    assert page.locator(".evidence").all_text_contents() == [row["evidence"] for row in rows]
    page.locator(".evidence").first.click()
    page.locator("#pair .path", has_text=rows[0]["images"].splitlines()[0]).first.wait_for()
    page.keyboard.press("Escape")
    kind = rows[0]["kind"]
    page.locator(f'[data-kind="{kind}"]').click()
    of_kind = [row for row in rows if row["kind"] == kind]
    assert page.locator(".suspect").count() == len(of_kind)
    with page.expect_download() as download:
        page.locator("#csv").click()
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == of_kind


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_themes(browser, report, scheme):
    with watched_page(browser, width=390, height=844, color_scheme=scheme, has_touch=True) as page:
        for state in ("", "#queries", "#queries?q=3", "#queries?q=3&versus=0", "#suspects"):
            page.goto("about:blank")
            go(page, report, state)
            if "q=" in state:
                page.locator("#detail .card").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") != scheme


def test_a_missing_file_is_said(browser, report, tmp_path):
    broken = shutil.copytree(report, tmp_path / "report")
    (broken / "data" / "lists-1-0.js").unlink()
    page = browser.new_page()
    page.goto(address(broken, "#queries?q=0"))
    page.locator("#problem").wait_for()
    assert "data/lists-1-0.js is missing or damaged: copy the whole folder" in page.locator("#problem").text_content()
    page.close()
