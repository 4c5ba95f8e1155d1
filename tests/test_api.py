"""`search.run`, `students.run` and `evaluate.run`: what the commands call, quiet, with typed results.

A whole search from Python is in `tests/search/test_end_to_end.py`, beside the same one from the command line.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math

import pytest
import yaml

from palenka_tune import evaluate, search, students
from palenka_tune.commands import distill as distill_command
from palenka_tune.commands import evaluate as evaluate_command
from palenka_tune.commands import search as search_command
from palenka_tune.errors import UserError
from palenka_tune.runs.summary import write_summary
from palenka_tune.runs.tables import FINALISTS, write_rows
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.resolve import find_space
from palenka_tune.trials.rows import FinalistRow
from tests.runs.test_summary import ROWS
from tests.support.small_place import VOCABULARY, WINDOW, make_place

# what a command has beyond its function, and a function beyond its command
OWN = {"overrides": "settings", "suite": "suites"}
SHOWN_BY_THE_COMMAND = {"per_set", "json"}
PYTHON_ONLY = {"more", "console", "experiment"}


@pytest.mark.parametrize(
    ("function", "command", "argv"),
    [
        (search.run, search_command, []),
        (students.run, distill_command, ["--out", "x"]),
        (evaluate.run, evaluate_command, ["x"]),
    ],
)
def test_each_option_of_a_command_is_a_keyword_of_its_function(function, command, argv):
    options = {OWN.get(name, name) for name in vars(command.parser().parse_args(argv))} - SHOWN_BY_THE_COMMAND
    keywords = set(inspect.signature(function).parameters)
    assert keywords - PYTHON_ONLY == options
    assert {name for name in keywords if f"\n    {name}: " not in inspect.getdoc(function)} == set()


def test_functions_are_quiet_unless_asked():
    assert all(
        inspect.signature(function).parameters["quiet"].default is True
        for function in (search.run, students.run, evaluate.run)
    )


@pytest.fixture
def given(monkeypatch):
    """What reaches the search itself: [(configuration, options), ...]."""
    calls = []
    monkeypatch.setattr("palenka_tune.search.launch.main", lambda *args: calls.append(args[:2]))
    return calls


@pytest.mark.parametrize(
    ("argv", "space", "keywords"),
    [
        ([], None, {}),
        (["smoke", "--samples", "4", "--name", "x"], "smoke", {"samples": 4, "name": "x"}),
        (["--set", "rank=32", "--set", "beta=3"], "dskd", {"rank": 32, "settings": {"beta": 3}}),
        (["--set", "beta={choice: [1, 2]}"], "dskd", {"beta": {"choice": [1, 2]}}),
        (["--teachers-online", "--seed", "0"], None, {"teachers_online": True, "seed": 0}),
        (["poster_grid", "--method", "as_published"], "poster_grid", {"method": "as_published"}),
        (["--resume"], None, {"resume": True}),
        (["--resume", "--samples", "9"], None, {"resume": True, "samples": 9}),
        (["--resume", "--seed", "0"], None, {"resume": True, "seed": 0}),
        (["--resume", "--set", "rank=null"], None, {"resume": True, "rank": None}),
        (["--storage", "s3://b/x", "--concurrent", "2"], None, {"storage": "s3://b/x", "concurrent": 2}),
    ],
)
def test_a_call_is_the_search_that_the_command_line_is(given, argv, space, keywords):
    assert search_command.cli(argv) == 0
    search.run(space, quiet=False, **keywords)
    (command, function) = given
    assert function == command
    assert (command[0] is None) == (argv in (["--resume"], ["--resume", "--samples", "9"]))


def test_a_space_may_be_given_as_a_mapping_or_as_a_path(given):
    path = find_space("smoke")
    mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    before = json.dumps(mapping)
    search.run(mapping, alpha=1)
    search.run(path, alpha=1)
    (one, _), (other, _) = given
    assert dataclasses.replace(one, space_name="smoke") == other
    assert one.space_name == "space"
    assert json.dumps(mapping) == before


def test_a_configuration_may_be_made_first_and_given_on(given):
    config = search.configure("smoke", samples=5, lr=1e-3)
    search.run(config, name="first")
    search.run(config, name="first", resume=True, samples=7)
    assert given[0] == (config, SearchOptions(name="first", quiet=True))
    assert (given[1][0].search.samples, given[1][1].again) == (7, {"samples": 7})
    for keywords in ({"seed": 0}, {"beta": 3}, {"settings": {"beta": 3}}, {"teachers_online": True}):
        with pytest.raises(UserError, match=f"{next(iter(keywords))} was given beside a SearchConfig"):
            search.run(config, **keywords)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search.run("smoek"), "did you mean 'smoke'"),
        (lambda: search.run("smoke", storge="x"), "search.run: unknown setting 'storge' .did you mean 'storage'"),
        (lambda: search.run("smoke", rnk=3), "unknown setting 'rnk' .did you mean 'rank'"),
        (lambda: search.run("smoke", settings={"alpha": -1}), "alpha is -1.0; it must be 0 or more"),
        (lambda: search.run({"serach": {}}), "space: unknown key 'serach' .did you mean 'search'"),
        (lambda: search.configure("smoke", samples=0), "search.samples is 0"),
        (lambda: students.run(out="x", alhpa=1), "students.run: unknown setting 'alhpa' .did you mean 'alpha'"),
        (lambda: students.run(out="x", alpha=-1), "alpha is -1.0; it must be 0 or more"),
        (lambda: students.run(out="x", data="nowhere"), "nowhere does not exist"),
        (lambda: students.run(search.configure().experiment, out="x", cached=True), "cached was given beside"),
        (lambda: evaluate.run("nowhere", data="nowhere"), "nowhere does not exist"),
        (lambda: evaluate.run(["a", "b"]), "there is nothing to score on"),
        (lambda: evaluate.run("a", suites="blmp", source="x"), "did you mean 'blimp'"),
        (lambda: search.load("nowhere"), "nowhere"),
        (lambda: search.load("x", storage="s3://bucket/x"), "is not a folder of this machine"),
    ],
)
def test_mistakes_raise_the_command_s_sentence(tmp_path, monkeypatch, capsys, call, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        call()
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_the_plan_only_if_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = search.run("smoke", dry_run=True)
    assert capsys.readouterr() == ("", "")
    assert (result.best, result.trials, result.arms, result.verdict) == (None, (), {}, None)
    assert result.frame().empty
    with pytest.raises(UserError, match="is not a folder"):
        result.load_student()
    search.run("smoke", dry_run=True, quiet=False)
    assert "search smoke: proves an installation" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def finished(tmp_path):
    """A folder with the tables of a finished search."""
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    write_rows(folder / "trials.parquet", ROWS, ["beta"])
    more = {"total_steps": 90, "wall_seconds": 1.0, "mlflow": {}, "extra": {"state": "finished"}}
    write_summary(folder / "summary.json", ROWS, **more)
    (folder / "search.yaml").write_text("{}")
    return folder


def test_a_finished_search_is_read_back_typed(finished, tmp_path):
    result = search.load(finished)
    assert result == search.load("first", storage=tmp_path / "runs")
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAILED"]
    best = result.best
    assert (best.trial_id, best.arm, best.origin, best.val_ce, best.steps) == (
        "trial-0002",
        "hidden",
        "proposed",
        2.9,
        90,
    )
    assert best.settings["beta"] == 3.0
    assert best.settings["projection.rank"] == 16
    assert best.settings["projection.layer_map"] == '{"4": 4}'
    assert "val_ce" not in best.settings
    assert result.trials[4].reason == "why"
    assert {arm: trial.val_ce for arm, trial in result.arms.items()} == {"plain": 3.2, "logits": 3.1, "hidden": 2.9}
    assert result.verdict.startswith("trial-0002 (hidden: α=1.5 β=3")
    assert "led the trials with val/ce 2.9000 nats per token, one seed" in result.verdict
    assert "plain 3.2000 (+0.3000, trial-0000)" in result.verdict
    assert result.finalists == ()
    frame = result.frame()
    assert list(frame["trial_id"]) == [trial.trial_id for trial in result.trials]
    assert frame["beta"].max() == 99
    assert "2.9" not in repr(result)


def test_students_of_fresh_seeds_and_their_verdict_are_read_back_typed(finished):
    row = FinalistRow(
        *("trial-0001", "logits", 1, 1.5, 0.0, 2.5, 2.6, math.exp(2.5), 0.1, None, 3.0, 90, 900, 2.0, "00", None),
        folder="finalists/x",
        scores={"blimp": 0.6},
    )
    broken = dataclasses.replace(row, seed=2, val_ce=None, scores={})
    write_rows(finished / FINALISTS, [row, broken])
    summary = json.loads((finished / "summary.json").read_text())
    best = {"trial_id": "trial-0001", "arm": "logits", "seed": 1, "val_ce": 2.5}
    (finished / "summary.json").write_text(json.dumps(summary | {"best": best, "verdict": {"sentence": "It helped."}}))
    result = search.load(finished)
    first, second = result.finalists
    assert (first.config, first.arm, first.seed, first.val_ce, first.test_ce, first.scores) == (
        *("trial-0001", "logits", 1, 2.5, 2.6),
        {"blimp": 0.6},
    )
    assert second.val_ce is None
    assert second.scores == {"blimp": None}
    assert result.verdict == "It helped."
    assert result.best.trial_id == "trial-0001"  # the best by fresh seeds, not the one that led the trials


def test_a_search_that_has_not_ended_is_not_loaded(finished):
    summary = json.loads((finished / "summary.json").read_text())
    (finished / "summary.json").write_text(json.dumps(summary | {"state": "scoring"}))
    with pytest.raises(UserError, match="has not ended; wait for it"):
        search.load(finished)
    (finished / "summary.json").unlink()
    with pytest.raises(UserError, match="resume=True"):
        search.load(finished)


@pytest.mark.entry
def test_a_student_is_trained_and_evaluated_without_a_word(tmp_path, monkeypatch, capfd):
    """Also with a storage that is a URL, of which this node has a copy."""
    make_place(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "scratch"))
    capfd.readouterr()
    keywords = {"vocabulary": VOCABULARY, "window": WINDOW, "train_windows": 64, "batch_size": 16, "epochs": 1}
    (tmp_path / "shared").mkdir()
    storage = f"file://{tmp_path / 'shared'}"
    result = students.run(out="out", data="data", storage=storage, alpha=0, beta=0, teachers=[], **keywords)
    assert list((tmp_path / "shared" / "artifacts").iterdir())
    assert not (tmp_path / "file:").exists()
    assert result.val_ce == json.loads((tmp_path / "out" / "metrics.json").read_text())["val_ce"]
    model, tokenizer = result.load_student()
    assert not model.training
    assert tokenizer("The cat")["input_ids"]
    scores = evaluate.run(result.student, minimal_pairs="pairs", data="data", device="cpu")
    assert list(scores) == ["student"]
    assert scores["student"].suites["pairs"].pairs == 6
    assert scores["student"].text["dev"].nats_per_token == pytest.approx(result.val_ce, abs=1e-2)
    assert capfd.readouterr() == ("", "")
