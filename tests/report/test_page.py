"""The page: one file, nothing to fetch, nothing unescaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.report.charts.figure import (
    NAN,
    Axis,
    Bars,
    Cell,
    Chart,
    Figure,
    HeatMap,
    Plot,
    Point,
    Rule,
    Series,
)
from palenka_tune.report.page import COLOURS, Fold, Section, Table, write_page

NASTY = '<script>alert("&")</script>'


class Reader(HTMLParser):
    """Tags with their attributes, the text and the scripts; complains of tags that are not closed in order."""

    EMPTY = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.scripts = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def figure(**more) -> Figure:
    """One of everything that can be drawn, with nasty words wherever words can be."""
    plot = Plot(
        Axis(NASTY),
        Axis("y"),
        [Series([Point(1, 3, NASTY), Point(2, NAN, "b")], NASTY, marker=5)],
        [Rule(3, NASTY)],
    )
    bars = Bars([NASTY], [Series([Point(1.0, 0)], NASTY)])
    heat = HeatMap([NASTY], [NASTY], [[Cell(0.5, NASTY, NASTY)]], "share")
    charts = [Chart(NASTY, plot), Chart("bars", bars, min_width=900), Chart("heat", heat)]
    return Figure("shapes", charts, f"caption {NASTY}", **more)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    table = Table(["name", NASTY, "dev CE"], [["vanilla KD", NASTY, "5.15 ± 0.02"], ["none", "", ""]], f"which {NASTY}")
    sections = [
        Section(f"Finalists {NASTY}", f"A paragraph {NASTY}.", table, None, figure(), Fold("all of it", f"a: {NASTY}")),
        Section("Folded", Fold("rows", table)),
    ]
    path = tmp_path_factory.mktemp("page") / "page.html"
    return write_page(path, f"Title {NASTY}", ["Lead."], sections).read_text(encoding="utf-8")


def test_everything_that_was_given_is_there_as_text(page) -> None:
    reader = Reader(page)
    for text in (f"Title {NASTY}", "Lead.", f"Finalists {NASTY}", f"A paragraph {NASTY}.", NASTY, f"caption {NASTY}"):
        assert text in reader.texts
    assert f"a: {NASTY}" in reader.texts
    assert (len(reader.named("th")), len(reader.named("td"))) == (6, 12)
    assert len(reader.named("details")) == 2


def test_no_word_becomes_a_tag_or_a_script(page) -> None:
    reader = Reader(page)
    assert len(reader.scripts) == len(reader.named("script")) == 4  # colours, charts, plotly, what draws
    assert sum("alert(" in script for script in reader.scripts) == 1  # as data
    charts = json.loads(reader.scripts[1])
    escaped = '&lt;script&gt;alert("&amp;")&lt;/script&gt;'  # plotly reads entities, and a few tags
    (plot, bars, heat) = charts.values()
    assert plot["data"][0]["text"][0] == plot["data"][0]["name"] == escaped
    assert plot["layout"]["shapes"][0]["name"] == plot["layout"]["xaxis"]["title"]["text"] == escaped
    assert bars["data"][0]["y"] == [escaped]
    assert heat["data"][0]["text"] == [[escaped]]
    assert heat["data"][1]["text"] == [escaped]


def test_a_value_that_is_missing_is_null_and_not_nan(page) -> None:
    charts = json.loads(Reader(page).scripts[1], parse_constant=lambda name: pytest.fail(name))
    assert next(iter(charts.values()))["data"][0]["y"] == [3, None]


def test_every_chart_has_its_place(page) -> None:
    reader = Reader(page)
    places = {attributes.get("id") for attributes in reader.named("div")}
    assert set(json.loads(reader.scripts[1])) <= places


def test_nothing_is_fetched(page) -> None:
    reader = Reader(page)
    (policy,) = (meta["content"] for meta in reader.named("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    own = page.replace(reader.scripts[2], "")  # plotly names addresses that it does not ask for here
    assert not re.search(r"https?:|url\(|@import|<link|src=", own)
    assert "plotly.js v" in reader.scripts[2]


def test_a_page_without_charts_has_no_script_and_allows_none(tmp_path) -> None:
    page = write_page(tmp_path / "page.html", "t", ["x"], [Section("h")]).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "script-src" not in page


def test_light_and_dark_and_narrow_screens(page) -> None:
    reader = Reader(page)
    assert "prefers-color-scheme: dark" in page
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in reader.tags
    tags = [(tag, attributes.get("class")) for tag, attributes in reader.tags]
    for number, (tag, _) in enumerate(tags):
        if tag == "table":
            assert tags[number - 1] == ("div", "wide")  # what is wide scrolls in its own box
    wide = next(
        number for number, (_, attributes) in enumerate(reader.tags) if "min-width:900px" in attributes.get("style", "")
    )
    assert tags[wide - 1] == ("div", "wide")
    assert ".wide { overflow-x: auto;" in page
    for name in COLOURS:
        assert page.count(f"{name}: #") == 2  # one for light, one for dark


def test_colours_of_charts_are_those_of_the_page(page) -> None:
    names = set(json.loads(Reader(page).scripts[0]))
    used = set(re.findall(r'"(--[a-z]+)"', Reader(page).scripts[1]))
    assert used <= names
    assert names == set(COLOURS)


def test_figures_are_aligned_to_the_right_and_words_to_the_left(page) -> None:
    kinds = [attributes.get("class") for attributes in Reader(page).named("th")]
    assert kinds[:3] == [None, None, "number"]


def test_a_long_page_has_links_to_its_parts(tmp_path) -> None:
    sections = [Section(f"part {number}") for number in range(5)]
    reader = Reader(write_page(tmp_path / "page.html", "t", [], sections).read_text(encoding="utf-8"))
    targets = {f"#{attributes['id']}" for attributes in reader.named("section")}
    assert {link["href"] for link in reader.named("a")} == targets


def test_a_crooked_table_is_refused(tmp_path) -> None:
    with pytest.raises(PalenkaError, match="2 columns has a row of 1: x"):
        write_page(tmp_path / "page.html", "t", [], [Section("h", Table(["a", "b"], [["x"]]))])
    assert not (tmp_path / "page.html").exists()
