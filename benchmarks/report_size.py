"""How large a report is and how long it takes to write and to open: `python -m benchmarks.report_size --trials 500`.

In: a number of trials, drawn from a search that nobody ran. Out: megabytes and seconds to write the page and its
pictures; and, where Playwright and Chromium are there, seconds until its text and until its last chart can be seen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from palenka_tune.report.write import write_html, write_report
from tests.report import synthetic

REPEATS = 3


def measure(trials: int) -> dict[str, Any]:
    """The figures of a report of so many trials."""
    run = synthetic.run(trials)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        seconds = []
        for write in (write_html, write_html, write_report):  # the first one also loads what it needs
            started = time.perf_counter()
            write(path, [run])
            seconds.append(time.perf_counter() - started)
        found: dict[str, Any] = {"trials": trials, "megabytes": path.stat().st_size / 1e6}
        found |= {"page_seconds": seconds[1], "page_and_pictures_seconds": seconds[2]}
        return found | opening(path)


def opening(path: Path) -> dict[str, float]:
    """Seconds from opening the page until its text is there and until its last chart is drawn, the median of three;
    nothing without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    readable, drawn = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(REPEATS):
            page = browser.new_context(viewport={"width": 390, "height": 850}, offline=True).new_page()
            page.set_default_timeout(300_000)
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-drawn]")
            drawn.append(page.evaluate("Number(document.documentElement.dataset.drawn)") / 1000)
            paints = page.evaluate("performance.getEntriesByType('paint').map((entry) => entry.startTime)")
            readable.append(min(paints, default=float("nan")) / 1000)
        browser.close()
    return {"readable_seconds": sorted(readable)[REPEATS // 2], "drawn_seconds": sorted(drawn)[REPEATS // 2]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--json", default=None, metavar="FILE")
    args = parser.parse_args()
    found = measure(args.trials)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):<28} {value:.2f}" if isinstance(value, float) else f"{name:<28} {value}")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
