"""The comparison of every prediction and figure with lm-evaluation-harness, on little of everything."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement, ewok_items
from palenka_tune.commands.options import run
from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Suite
from tests.support.small_place import make_place

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness (the extra `bench`) is not installed"
)


def test_the_items_are_many_distinct_and_cover_several_domains() -> None:
    made = ewok_items.items()
    assert len({tuple(item.values()) for item in made}) == len(made) >= 56
    assert len({item["Domain"] for item in made}) >= 5
    for item in made:
        assert item["Context1"] != item["Context2"]
        assert item["Target1"] != item["Target2"]


def test_a_limit_keeps_the_first_pairs_and_all_that_are_the_same() -> None:
    pairs = tuple(MinimalPair(f"good {n}", f"{'good' if n == 4 else 'bad'} {n}", n) for n in range(6))
    suite = agreement.limited(Suite("s", (Paradigm("a", Path("a"), None, pairs),)), 2)
    assert [pair.line for pair in suite.paradigms[0].pairs] == [0, 1, 4]


class Task:
    task_name = "s_a"


def test_a_single_different_prediction_or_digit_is_found() -> None:
    scores = np.array([[-1.0, -2.0], [-3.0, -2.5], [-1.0, -1.0]])
    ours = MinimalPairResults((ParadigmResult("a", None, 3, 2, 1),), 0.1, scores)
    same = {
        "right": np.array([True, False, True]),
        "scores": scores,
        "results": {
            "s_a": {"acc,none": 2 / 3, "acc_stderr,none": ours.stderr},
            "unweighted": {"acc,none": 2 / 3, "acc_stderr,none": ours.unweighted_mean_stderr},
            "weighted": {"acc,none": 2 / 3, "acc_stderr,none": ours.stderr},
        },
    }
    assert agreement.agrees(agreement.compare(ours, same, {"a": Task}))
    other = same | {"right": np.array([True, True, True])}
    found = agreement.compare(ours, other, {"a": Task})
    assert (found["predictions_that_differ"], found["where"], found["widest_gap_of_those_nats"]) == (1, [1], 0.5)
    assert not agreement.agrees(found)
    for group, figure in (("s_a", "acc,none"), ("unweighted", "acc_stderr,none"), ("weighted", "acc_stderr,none")):
        results = {**same["results"], group: {**same["results"][group]}}
        results[group][figure] += 2e-9
        assert not agreement.agrees(agreement.compare(ours, same | {"results": results}, {"a": Task}))
        results[group][figure] = "N/A"
        assert not agreement.agrees(agreement.compare(ours, same | {"results": results}, {"a": Task}))


def test_a_number_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(agreement.main, ["--source", ".", "--limit", "0"]) == 2
    assert capsys.readouterr().err == "error: --limit is 0; it must be 1 or more\n"


@needs_lm_eval
@pytest.mark.entry
@pytest.mark.slow
def test_models_agree_on_written_pairs_and_items(tmp_path: Path) -> None:
    """Two sets of pairs, each with a pair of one sentence with itself, and all items in EWoK's format."""
    import torch

    from palenka_tune.models.export import export_student, load_model

    models = []
    for folder in make_place(tmp_path):
        model, _ = load_model(folder)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4.0)  # as sure of its tokens as a trained one
        models.append(str(export_student(model, folder, tmp_path / f"sure-{Path(folder).name}", card="")))
    (tmp_path / "blimp").mkdir()
    for uid in ("verbs", "nouns"):
        lines = [
            {"sentence_good": f"The {uid} number {n} are here.", "sentence_bad": f"The {uid} {n} number are here."}
            for n in range(12)
        ]
        lines.append({"sentence_good": "It's the same.", "sentence_bad": "It's the same."})
        (tmp_path / "blimp" / f"{uid}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.agreement", "--source", str(tmp_path), "--suites", "blimp,ewok"]
    command += ["--models", *models, "--json", str(file)]
    root = Path(__file__).parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=250)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads(file.read_text())
    assert report["same"] is True
    assert [each["suite"] for each in report["found"]] == ["blimp", "ewok", "ewok_swapped_contexts"] * 2
    assert [each["pairs"] for each in report["found"][:2]] == [26, 2 * len(ewok_items.items())]
    assert report["found"][0]["ties"] == 2
    assert "all predictions and figures are the same" in finished.stdout
