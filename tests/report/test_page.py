"""The page: one file, nothing to fetch, nothing unescaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.reproduce.page import Section, write_page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
NASTY = '<script>alert("&")</script>'


class Reader(HTMLParser):
    """Tags with their attributes, and the text; complains of tags that are not closed in order."""

    EMPTY = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data)


@pytest.fixture
def page(tmp_path):
    (tmp_path / "one.png").write_bytes(PNG)
    (tmp_path / "two.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>')
    sections = [
        Section(
            f"Finalists {NASTY}",
            [f"A paragraph {NASTY}."],
            (["name", NASTY, "dev CE"], [["vanilla KD", NASTY, "5.15 ± 0.02"], ["none", "", ""]]),
            [(tmp_path / "one.png", f"caption {NASTY}"), (tmp_path / "two.svg", "vector")],
        ),
        Section("Only a heading"),
    ]
    return write_page(tmp_path / "page.html", f"Title {NASTY}", ["Lead."], sections).read_text(encoding="utf-8")


def test_everything_that_was_given_is_there_as_text(page) -> None:
    reader = Reader(page)
    for text in (f"Title {NASTY}", "Lead.", f"Finalists {NASTY}", f"A paragraph {NASTY}.", NASTY, f"caption {NASTY}"):
        assert text in reader.texts
    assert "script" not in {tag for tag, _ in reader.tags}
    cells = [tag for tag, _ in reader.tags if tag in ("td", "th")]
    assert (cells.count("th"), cells.count("td")) == (3, 6)


def test_nothing_is_fetched_and_the_pictures_are_inside(page, tmp_path) -> None:
    images = [attributes for tag, attributes in Reader(page).tags if tag == "img"]
    assert [base64.b64decode(image["src"].split("base64,")[1]) for image in images] == [
        PNG,
        (tmp_path / "two.svg").read_bytes(),
    ]
    assert [image["src"].split(";")[0] for image in images] == ["data:image/png", "data:image/svg+xml"]
    assert [image["alt"] for image in images] == [f"caption {NASTY}", "vector"]
    assert not re.search(r"https?:|url\(|@import|<link|<script", page)


def test_light_and_dark_and_narrow_screens(page) -> None:
    reader = Reader(page)
    assert "prefers-color-scheme: dark" in page
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in reader.tags
    tags = [(tag, attributes.get("class")) for tag, attributes in reader.tags]
    for number, (tag, _) in enumerate(tags):
        if tag in ("table", "img"):
            assert tags[number - 1] == ("div", "wide")  # what is wide scrolls in its own box
    assert ".wide { overflow-x: auto; }" in page


def test_figures_are_aligned_to_the_right_and_words_to_the_left(page) -> None:
    kinds = [attributes.get("class") for tag, attributes in Reader(page).tags if tag == "th"]
    assert kinds == [None, None, "number"]


def test_a_crooked_table_and_an_unknown_picture_are_refused(tmp_path) -> None:
    with pytest.raises(PalenkaError, match="2 columns has a row of 1: x"):
        write_page(tmp_path / "page.html", "t", [], [Section("h", [], (["a", "b"], [["x"]]))])
    (tmp_path / "one.gif").write_bytes(b"GIF89a")
    with pytest.raises(PalenkaError, match=r"one\.gif cannot be put on a page"):
        write_page(tmp_path / "page.html", "t", [], [Section("h", figures=[(tmp_path / "one.gif", "c")])])
    assert not (tmp_path / "page.html").exists()
