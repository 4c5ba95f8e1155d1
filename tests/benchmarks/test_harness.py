"""What all benchmarks share: rounds in turn, ratios within a round, the JSON, and a command that explains itself."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.harness import Aim, Ratio, Report, paired, ratio

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = [path.relative_to(FOLDER) for path in [*FOLDER.glob("*.py"), *FOLDER.glob("*/*.py")]]
COMMANDS = {  # its name to its module
    ".".join(path.with_suffix("").parts).removesuffix(".__main__"): ".".join(path.with_suffix("").parts)
    for path in sorted(MODULES)
    if "raise SystemExit(run(main))" in (FOLDER / path).read_text()
}


def test_contenders_run_in_turn_and_every_other_round_backwards():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    figures = paired(contenders, 2, log=lambda line: None)
    assert calls == ["a", "b", "c", "c", "b", "a"]
    assert figures == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


def test_a_ratio_is_taken_within_rounds():
    assert ratio([2.0, 9.0, 5.0], [1.0, 3.0, 1.0]) == Ratio(3.0, 2.0, 5.0)
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


def test_the_report_has_plain_ratios_with_their_spread_and_the_machine(tmp_path, capsys):
    report = Report("name", "Title", {"steps": 3}, ("who", "what"), [("me", "1")], {"a_vs_b": Ratio(2.0, 1.5, 2.5)})
    report.publish(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["ratios"] == {"a_vs_b": 2.0}
    assert written["spread"] == {"a_vs_b": [1.5, 2.5]}
    assert {"cpu", "cores", "gpu", "torch", "date"} <= set(written["machine"])
    assert "a_vs_b = 2 (1.5 to 2.5)" in capsys.readouterr().out


@pytest.mark.parametrize(("least", "code", "said"), [(2.0, 0, "(aimed at: at least 2)"), (3.0, 1, "3; MISSED)")])
def test_an_aim_that_is_missed_is_said_and_ends_with_1(least, code, said, tmp_path, capsys):
    aims = {"a_vs_b": Aim("at least", least)}
    report = Report("name", "Title", {}, ("who",), [("me",)], {"a_vs_b": Ratio(2.0, 1.5, 2.5)}, aims)
    assert report.publish(tmp_path / "out.json") == code
    assert said in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["missed"] == ["a_vs_b"] * code
    assert Report("name", "Title", {}, ("who",), [("me",)], {}, aims).publish(None) == 1  # nothing was measured


def test_the_benchmarks_that_are_promised_are_there():
    promised = {"trial_throughput", "search_vs_grid", "cost_growth", "loss_memory", "cache_fidelity", "minimal_pairs"}
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_explains_itself_and_writes_json(name, capsys):
    module = importlib.import_module(f"benchmarks.{COMMANDS[name]}")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in shown
    assert "--json" in shown
