"""How large a search's report is, and how long it takes to write and to open.

    python -m benchmarks.report_size [--trials 500] [--rounds 3] [--json FILE]

The search is drawn and not run (`tests.report.synthetic`). Opening is timed in Chromium at a phone's width with the
network off, from its start until the text, the charts of the first screen and all charts can be seen; without
Playwright and Chromium that part is left out.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Report, parser
from palenka_tune.commands.options import run
from palenka_tune.report.write import write_html, write_report
from tests.report import synthetic


def measure(trials: int, rounds: int) -> dict[str, float]:
    """Megabytes of the page and seconds, medians of `rounds`."""
    search = synthetic.run(trials)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_html(path, [search])  # loads what it needs
        found = {"page (MB)": path.stat().st_size / 1e6}
        for name, write in (("write the page (s)", write_html), ("write page and pictures (s)", write_report)):
            seconds = []
            for _ in range(rounds):
                started = time.perf_counter()
                write(path, [search])
                seconds.append(time.perf_counter() - started)
            found[name] = statistics.median(seconds)
        return found | opening(path, rounds)


def opening(path: Path, rounds: int) -> dict[str, float]:
    """Seconds until the page's text, its first and its last chart can be seen; nothing without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    seen: dict[str, list[float]] = {"its text": [], "the first screen": [], "all charts": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        for _ in range(rounds):
            page = browser.new_context(viewport={"width": 390, "height": 850}, offline=True).new_page()
            page.set_default_timeout(300_000)
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-drawn]")
            paints = page.evaluate("performance.getEntriesByType('paint').map((entry) => entry.startTime)")
            stood = page.evaluate("(({ seen, drawn }) => [seen, drawn].map(Number))(document.documentElement.dataset)")
            for name, at in zip(seen, (min(paints, default=float("nan")), *stood), strict=True):
                seen[name].append(at / 1000)
        browser.close()
    return {f"open, until {name} (s)": statistics.median(seconds) for name, seconds in seen.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = parser("report_size", str(__doc__))
    options.add_argument("--trials", type=int, default=500)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args(argv)
    found = measure(given.trials, given.rounds)
    Report(
        name="report_size",
        title=f"a report of {given.trials} trials",
        settings={"trials": given.trials, "rounds": given.rounds},
        columns=("what", "median"),
        rows=[(name, f"{value:.2f}") for name, value in found.items()],
        details={"medians": found},
    ).publish(given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
