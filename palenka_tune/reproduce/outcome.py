"""What came out of the poster's rows: a table, a page, and what the three distilled rows say about beta.

In: `results.json` as `reproduce.run` makes it. Out: the rich table that is printed, and `report.html`. Published
figures stand beside measured ones; they are of other data and, but at the poster's scale, of larger models, which is
said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from palenka_tune.report import page
from palenka_tune.reproduce.recipes import NOT_PUBLISHED
from palenka_tune.search.method import AS_PUBLISHED

REPORT = "report.html"


def header(results: Mapping[str, Any]) -> list[str]:
    """The columns: size, cross-entropies, then per suite measured and published."""
    columns = ["row", "parameters", "named", "dev CE", *(["test CE"] if _has_test(results) else [])]
    for suite in _suites(results):
        columns += [f"{suite} (%)", "published"]
    return columns


def cells(results: Mapping[str, Any]) -> list[list[str]]:
    """A line of text per row, under `header`."""
    lines = []
    for row in results["rows"]:
        line = [row["name"], f"{row['parameters']:,}", f"{row['published']['parameters_named'] / 1e6:.0f} M"]
        if "failed" in row:
            lines.append([*line, f"failed: {row['failed']}", *[""] * (len(header(results)) - 4)])
            continue
        line.append(f"{row['text']['dev']['nats_per_token']:.4f}")
        if _has_test(results):
            line.append(f"{row['text']['test']['nats_per_token']:.4f}")
        for suite in _suites(results):
            score = row["suites"][suite]
            line.append(_percent(score["accuracy"], score["stderr"]))
            published = row["published"].get(suite)
            line.append(NOT_PUBLISHED if published is None else _percent(*published))
        lines.append(line)
    return lines


def table(results: Mapping[str, Any]) -> Table:
    """The comparison for a terminal."""
    shown = Table(title=f"the poster at scale {results['scale']}, {results['method']}", title_justify="left")
    for number, column in enumerate(header(results)):
        shown.add_column(column, justify="left" if not number else "right")
    for line in cells(results):
        shown.add_row(*line)
    return shown


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What the rows say, as far as they were run."""
    said = []
    if results["scale"] != "poster":
        said.append(
            f"Scale {results['scale']}: the poster's architectures with widths, depths, vocabulary and schedule shrunk "
            "in proportion. Published figures are those of the full sizes on the BabyLM corpus: they stand beside the "
            "measured ones for orientation, not for a match."
        )
    distilled = [row for row in results["rows"] if row["kind"] == "dskd" and "failed" not in row]
    if len(distilled) > 1:
        digests = {row["weights_sha256"] for row in distilled}
        betas = ", ".join(f"{row['weights']['beta']:g}" for row in distilled)
        if len(digests) == 1:
            said.append(
                f"The students for beta = {betas} are equal bit for bit: as published, the hidden loss has no gradient "
                "and beta changes nothing."
            )
        else:
            values = [row["text"]["dev"]["nats_per_token"] for row in distilled]
            said.append(
                f"The students for beta = {betas} differ; their dev cross-entropies lie within "
                f"{max(values) - min(values):.4f} nats per token of each other (one seed each)."
            )
    elif results["method"] == AS_PUBLISHED:
        said.append(
            "As published: no gradient through the hidden loss, KL summed over a window, selection on the total."
        )
    return said


def write_report(folder: Path, results: Mapping[str, Any], command: str) -> Path:
    """Write `report.html`; returns its path."""
    lead = [*sentences(results), f"Data: {results['data']}. Seed {results['seed']}. Command: {command}"]
    shared = [f"{kind}: {', '.join(names) or 'none'}" for kind, names in results["artifacts"].items()]
    recipes = page.Table(("row", "model", "teachers", "loss", "tokens"), [_recipe(row) for row in results["rows"]])
    sections = [
        page.Section("Published beside measured", page.Table(header(results), cells(results))),
        page.Section("Made once, shared by the rows", *shared),
        page.Section("Rows", recipes),
    ]
    title = f"The poster's systems at scale {results['scale']}, {results['method'].replace('_', ' ')}"
    return page.write_page(folder / REPORT, title, lead, sections)


def _recipe(row: Mapping[str, Any]) -> Sequence[str]:
    weights = row["weights"]
    loss = "CE"
    if row["kind"] != "baseline":
        loss = f"{weights['ce']:g} CE + {weights['alpha']:g} KL"
        loss += f" + {weights['beta']:g} hidden" if weights["beta"] else ""
        loss += f", temperature {weights['temperature']:g}"
    return [row["name"], row["architecture"], ", ".join(row["teachers"]), loss, f"{row.get('tokens', 0):,}"]


def _suites(results: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(suite for row in results["rows"] for suite in row.get("suites", {})))


def _has_test(results: Mapping[str, Any]) -> bool:
    return any("test" in row.get("text", {}) for row in results["rows"])


def _percent(accuracy: float, stderr: float | None) -> str:
    error = "" if stderr is None or math.isnan(stderr) else f" ± {100 * stderr:.1f}"
    return f"{100 * accuracy:.1f}{error}"
