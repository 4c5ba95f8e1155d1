"""The results of the poster's rows as a table, as a page, and in sentences about the three distilled rows.

Published figures stand beside measured ones. Unless the scale is the poster's they are of other data and of larger
models, which is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from palenka_tune.report import page
from palenka_tune.report.write import REPORT
from palenka_tune.spaces.poster_method import AS_PUBLISHED
from palenka_tune.words import percent

NOT_PUBLISHED = "not published"


def comparison(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The header and a line of text per row: size, cross-entropies, then per suite measured and published."""
    rows = results["rows"]
    suites = list(dict.fromkeys(suite for row in rows for suite in row.get("suites", {})))
    splits = ["dev", "test"] if any("test" in row.get("text", {}) for row in rows) else ["dev"]
    header = ["row", "parameters", "named", *(f"{split} CE" for split in splits)]
    for suite in suites:
        header += [f"{suite} (%)", "published"]
    lines = []
    for row in rows:
        line = [row["name"], f"{row['parameters']:,}", f"{row['published']['parameters_named'] / 1e6:.0f} M"]
        if "failed" in row:
            line.append(f"failed: {row['failed']}")
        else:
            line += [f"{row['text'][split]['nats_per_token']:.4f}" for split in splits]
            for suite in suites:
                measured, published = row["suites"][suite], row["published"].get(suite)
                line.append(percent(measured["accuracy"], measured["stderr"]))
                line.append(NOT_PUBLISHED if published is None else percent(*published))
        lines.append(line + [""] * (len(header) - len(line)))
    return header, lines


def table(results: Mapping[str, Any]) -> Table:
    """The comparison for a terminal."""
    header, lines = comparison(results)
    numbers = (Column(name, justify="right") for name in header[1:])
    title = f"the poster at scale {results['scale']}, {results['method']}"
    shown = Table(header[0], *numbers, title=title, title_justify="left")
    for line in lines:
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
        betas = ", ".join(f"{row['weights']['beta']:g}" for row in distilled)
        if len({row["weights_sha256"] for row in distilled}) == 1:
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
        page.Section("Published beside measured", page.Table(*comparison(results))),
        page.Section("Made once, shared by the rows", *shared),
        page.Section("Rows", recipes),
    ]
    title = f"The poster's systems at scale {results['scale']}, {results['method'].replace('_', ' ')}"
    return page.write_page(folder / REPORT, title, lead, sections)


def _recipe(row: Mapping[str, Any]) -> Sequence[str]:
    weights = row["weights"]
    loss = "CE"
    if row["kind"] != "baseline":
        hidden = f" + {weights['beta']:g} hidden" if weights["beta"] else ""
        loss = f"{weights['ce']:g} CE + {weights['alpha']:g} KL{hidden}, temperature {weights['temperature']:g}"
    return [row["name"], row["architecture"], ", ".join(row["teachers"]), loss, f"{row.get('tokens', 0):,}"]
