"""The last lines of a search: the next command is the one that the verdict asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from palenka_tune.search.last_lines import last_lines

RESUME = "python -m palenka_tune.search --resume --name mine"


def verdict(*needed: int | None) -> dict:
    return {"sentence": "hidden is undecided.", "comparisons": [{"seeds_needed": each} for each in needed]}


@pytest.mark.parametrize(
    ("found", "next_command"),
    [
        (None, "--seeds 5 (says what of it holds with fresh seeds)"),
        (verdict(None, 12, 8), "--seeds 12 (would decide what is undecided)"),
        (verdict(None, 400), "--samples +10 (more trials"),  # no one trains that many
        (verdict(None, None), "--samples +10 (more trials"),
    ],
)
def test_the_next_command_follows_from_the_verdict(found, next_command):
    summary = {"best": {"arm": "logits", "params": {"alpha": 3.0, "beta": 0.0}}, "verdict": found}
    lines = last_lines(Path("runs/mine"), summary, "mlflow ui", "http://127.0.0.1:5000/#/experiments/7", RESUME)
    assert lines[-1].startswith(f"next      {RESUME} {next_command}")
    assert (lines[0] == "hidden is undecided.") == (found is not None)
    assert "recipe    logits: alpha=3" in lines
    assert lines[lines.index("trials    mlflow ui") + 1] == "          then open http://127.0.0.1:5000/#/experiments/7"
    assert "load it   AutoModelForCausalLM.from_pretrained('runs/mine/best')" in lines
