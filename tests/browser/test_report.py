"""`report.html` opened from disk with the network off: all is drawn, fits a phone, can be read in light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from palenka_tune.report.charts.figure import Figure
from palenka_tune.report.write import write_html
from tests.report import synthetic

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
]

RUNS = {
    "search": [synthetic.run(60)],
    "grid": [synthetic.grid_run(finalists=None)],
    "two": [synthetic.run(20, "one"), synthetic.run(20, "two", seed=1, finalists=None)],
}
PHONE = 390

# every text of the page with the colour it has and what is behind it, as the browser computes them
COLOURS = """
() => {
  const found = [];
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== "transparent") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT)$/.test(element.tagName)) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const drawn = element.closest("svg");
    // the texts of a heat map's cells stand on their cells, whose colours the tests of charts hold
    if (drawn && element.closest(".textpoint, .hoverlayer")) continue;
    found.push([drawn ? style.fill : style.color, ground(drawn ? drawn.parentElement : element),
                walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, tuple[Path, list[Figure]]]:
    """The path and the figures of each."""
    folder = tmp_path_factory.mktemp("reports")
    paths = {name: folder / name / "report.html" for name in RUNS}
    return {name: (path, write_html(path, RUNS[name])[1]) for name, path in paths.items()}


def show(page, written: tuple[Path, list[Figure]]) -> int:
    """Open a page and wait until all is drawn; returns how many charts it should have."""
    path, figures = written
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]")
    return sum(len(figure.charts) for figure in figures)


def contrast(first: str, second: str) -> float:
    """WCAG 2's contrast ratio of two colours as a browser writes them, `rgb(r, g, b)`."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("width", [PHONE, 1280])
@pytest.mark.parametrize("name", RUNS)
def test_it_opens_without_a_network_and_fits(browser_page, keep_screenshot, pages, name, width) -> None:
    page = browser_page(width)
    charts = show(page, pages[name])
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".js-plotly-plot").count() == charts
    keep_screenshot(page)
    assert (page.locator(".modebar-btn").count() == 0) == (width == PHONE)  # there it would lie on the points


def test_every_chart_has_something_drawn_in_it(browser_page, pages) -> None:
    page = browser_page(PHONE)
    charts = show(page, pages["search"])
    drawn = page.evaluate(
        """() => Object.fromEntries(Object.keys(JSON.parse(document.getElementById("charts").textContent)).map((id) => {
          const marks = document.getElementById(id).querySelectorAll(
            ".points path, .lines path, .bars path, .heatmaplayer image, .textpoint text");
          const box = document.getElementById(id).getBoundingClientRect();
          return [id, [marks.length, box.width, box.height]];
        }))"""
    )
    assert len(drawn) == charts
    for place, (marks, width, height) in drawn.items():
        assert marks > 0, place
        assert width > 250, place
        assert height > 100, place


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_by_4_5_to_1(browser_page, keep_screenshot, pages, scheme) -> None:
    page = browser_page(1280, scheme)
    show(page, pages["search"])
    for summary in page.locator("summary").all():
        summary.click()
    texts = page.evaluate(COLOURS)
    assert len(texts) > 500
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 27)"}[scheme]
    faint = {text: (ink, ground) for ink, ground, text in texts if contrast(ink, ground) < 4.5}
    assert faint == {}
    keep_screenshot(page)


def test_charts_change_with_the_readers_setting(browser_page, pages) -> None:
    page = browser_page(1280, "light")
    show(page, pages["grid"])
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    assert page.evaluate(ink) == "rgb(27, 31, 36)"
    page.emulate_media(color_scheme="dark")
    for _ in range(600):  # the page's policy lets nothing wait inside it
        if page.evaluate(ink) == "rgb(230, 233, 237)":
            break
        page.wait_for_timeout(100)
    page.wait_for_selector("html[data-drawn]")
    assert page.evaluate(ink) == "rgb(230, 233, 237)"
    assert page.complaints == []


def test_a_point_says_which_trial_it_is(browser_page, pages) -> None:
    page = browser_page(1280)
    show(page, pages["search"])
    chart = page.locator(".chart", has_text="val/ce by trial")
    point = chart.locator(".points path").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    said = chart.locator(".hoverlayer .hovertext")
    said.wait_for()
    assert "trial-" in said.text_content()
    assert "beta" in said.text_content()


def test_what_lies_above_the_picture_says_its_value(browser_page, pages) -> None:
    page = browser_page(1280)
    show(page, pages["search"])
    chart = page.locator(".chart", has_text="val/ce by trial")
    above = chart.locator(".scatterlayer .trace").last.locator(".points path").last
    above.scroll_into_view_if_needed()
    box = above.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    said = chart.locator(".hoverlayer .hovertext")
    said.wait_for()
    run = RUNS["search"][0]
    name, value = re.match(r"(trial-\d+) \(\w+\): val/ce ([\d.]+)", said.text_content()).groups()
    (trial,) = (trial for trial in run.trials if trial.trial_id == name)
    assert value == f"{trial.ce:.4f}"
    assert trial.ce > run.complete()[-1].ce


def test_the_page_opens_with_the_verdict_and_the_early_looks_follow_what_was_found(browser_page, pages) -> None:
    page = browser_page(1280)
    show(page, pages["search"])
    run = RUNS["search"][0]
    assert page.locator("p").first.text_content() == run.finalists.verdict
    assert page.locator("h2").all_text_contents()[:2] == ["What was found", "Do early looks predict the end?"]
    lines = page.locator(".chart", has_text="order of the trials at each look").locator(".scatterlayer .points path")
    unselected = [trial for trial in run.complete() if trial.origin != "proposed"]
    assert lines.count() == 3 * len(unselected)


def test_what_is_wide_scrolls_in_its_own_box(browser_page, pages) -> None:
    page = browser_page(PHONE)
    show(page, pages["search"])
    wide = page.evaluate(
        "[...document.querySelectorAll('.wide')].filter((box) => box.scrollWidth > box.clientWidth).length"
    )
    assert wide >= 3  # the winner's recipe, the verdict's table and all settings side by side
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
