"""Debian's Chromium, driven by Playwright, and a finished search for it to look at.

    pytest tests/browser
    PALENKA_SEARCH=palenka_runs/first PALENKA_SCREENSHOTS=docs/img pytest tests/browser     # the pictures of the docs

`PALENKA_SEARCH` names the run folder of a search that has ended and was registered (default: that of
`finished_search`), `PALENKA_SCREENSHOTS` a folder for pictures of what was looked at.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LOOPBACK = re.compile(r"https?://127\.0\.0\.1[:/]")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'palenka-tune[browser]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium: apt install chromium")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page of a fresh profile that reaches nothing but this machine."""
    context = browser.new_context(viewport={"width": 1400, "height": 860})
    context.route(lambda url: not LOOPBACK.match(url), lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture
def shoot() -> Callable[[Any, str], None]:
    """Keeps a picture of what a page, or a part of it, shows, if anybody asked for pictures."""
    folder = os.environ.get("PALENKA_SCREENSHOTS")

    def take(what: Any, name: str) -> None:
        if folder:
            what.screenshot(path=Path(folder) / f"{name}.png")

    return take


@pytest.fixture(scope="session")
def shown_search(request: pytest.FixtureRequest) -> tuple[Path, str | None]:
    """The run folder of a search that has ended, and what its command printed (None: it was given)."""
    if given := os.environ.get("PALENKA_SEARCH"):
        return Path(given).absolute(), None
    finished_search = request.getfixturevalue("finished_search")
    return finished_search.folder, finished_search.said


@pytest.fixture
def browser_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`browser_page(width, scheme, offline)`: a fresh page. Its `complaints` are what its console warns of, what its
    scripts raise, and what it wanted and did not get."""
    contexts = []

    def opened(width: int = 1280, scheme: str = "light", *, offline: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme=scheme, offline=offline, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.complaints = []
        page.on("console", lambda said: said.type in ("error", "warning") and page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("requestfailed", lambda request: page.complaints.append(f"wanted {request.url}"))
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def keep_screenshot(request: pytest.FixtureRequest) -> Callable[[Any], None]:
    """Save what a page looks like, from top to bottom, in the folder named by `PALENKA_SCREENSHOTS`, if it is set."""

    def keep(page: Any) -> None:
        folder = os.environ.get("PALENKA_SCREENSHOTS")
        if folder:
            name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)

    return keep
