"""The table and the page of the poster's rows."""

from __future__ import annotations

import pytest
from rich.console import Console

from palenka_tune.reproduce.report import comparison, sentences, table, write_report


def row(name, kind="baseline", *, beta=0.0, dev_ce=3.0, digest=None, **more):
    return {
        "name": name,
        "kind": kind,
        "preset": name,
        "architecture": "GPT-2, d 96",
        "parameters": 276_768,
        "teachers": [] if kind == "baseline" else ["GPT2-705M", "Llama-360M"],
        "weights": {"ce": 1.0, "alpha": 0.1, "beta": beta, "temperature": 2.0},
        "published": {"parameters_named": 44_000_000, "blimp_supplement": None, "blimp_filtered": (0.67, 0.0016)},
        "weights_sha256": digest or name,
        "tokens": 1000,
        "text": {"dev": {"nats_per_token": dev_ce}, "test": {"nats_per_token": dev_ce + 0.1}},
        "suites": {
            "blimp_filtered": {"accuracy": 0.5123, "stderr": 0.002},
            "blimp_supplement": {"accuracy": 0.5, "stderr": None},
        },
        **more,
    }


def results(*rows, scale="tiny", method="corrected"):
    return {
        "scale": scale,
        "method": method,
        "seed": 0,
        "data": "storybook: 9 words",
        "rows": list(rows),
        "artifacts": {"plain trainings": ["GPT2-44M@tiny-0"], "teacher caches": []},
    }


def test_published_stands_beside_measured():
    found = results(row("GPT2-44M"), {**row("Llama-60M"), "failed": "diverged"})
    header, (first, second) = comparison(found)
    assert header == [
        "row",
        "parameters",
        "named",
        "dev CE",
        "test CE",
        "blimp_filtered (%)",
        "published",
        "blimp_supplement (%)",
        "published",
    ]
    assert first == [
        "GPT2-44M",
        "276,768",
        "44 M",
        "3.0000",
        "3.1000",
        "51.2 ± 0.2",
        "67.0 ± 0.2",
        "50.0",
        "not published",
    ]
    assert second[3] == "failed: diverged"
    assert len(second) == len(header)
    console = Console(record=True, width=200)
    console.print(table(found))
    assert "not published" in console.export_text()


@pytest.mark.parametrize("scale", ["tiny", "poster"])
def test_only_smaller_scales_are_said_to_be_smaller(scale):
    said = " ".join(sentences(results(row("GPT2-44M"), scale=scale)))
    assert ("for orientation, not for a match" in said) == (scale != "poster")


def test_equal_students_are_said_to_be_equal_and_others_how_far_they_lie():
    alike = [row(f"P{beta}", "dskd", beta=beta, digest="same") for beta in (0.1, 0.3, 0.5)]
    assert "beta = 0.1, 0.3, 0.5 are equal bit for bit" in " ".join(sentences(results(*alike)))
    apart = [row(f"P{beta}", "dskd", beta=beta, dev_ce=3 + beta) for beta in (0.1, 0.3, 0.5)]
    assert "differ; their dev cross-entropies lie within 0.4000" in " ".join(sentences(results(*apart)))


def test_the_page_is_one_file_with_the_command(tmp_path):
    path = write_report(tmp_path, results(row("GPT2-44M"), row("D", "vanilla_kd")), "python -m x --scale <tiny>")
    text = path.read_text()
    assert "python -m x --scale &lt;tiny&gt;" in text
    assert "1 CE + 0.1 KL, temperature 2" in text
    assert "http:" not in text
    assert "https:" not in text
