"""Pages as a person sees them: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser without a window; skips the test where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'palenka-tune[browser]'")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium on the path (Debian: apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield opened
        opened.close()


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
