"""The report of a search: what its study and files say arrives, at any moment of its life, and no failure costs it."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file

from palenka_tune.cache.job import caches_folder
from palenka_tune.config.artifacts import build_once
from palenka_tune.config.files import write_json
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.report.load import run_data
from palenka_tune.runs.place import PLACE
from palenka_tune.runs.resume import Wanted
from palenka_tune.runs.run_folder import locked
from palenka_tune.runs.study import is_finished, mark_finished
from palenka_tune.runs.tables import FINALISTS, write_rows
from palenka_tune.search import results
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.status.reader import StatusReader
from palenka_tune.tracking.spool import Spool
from palenka_tune.tracking.tags import PARENT
from palenka_tune.trials import verdict
from palenka_tune.trials.arms import FIXED, HIDDEN, LOGITS, PLAIN, STARTUP
from palenka_tune.trials.ledger import TOTAL_STEPS
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PRUNED, FinalistRow
from tests.trials.test_ledger import open_ledger

RAW = {"alpha": {"log_uniform": [0.3, 10]}, "beta": {"log_uniform": [0.3, 100]}}
SPACE = resolve("alpha_beta", options={"search.samples": 4, "search.seeds": 3})


@pytest.fixture
def ledger(tmp_path):
    """A search of the fixed settings and 4 samples of `hidden` in `tmp_path/runs/mine`, asked for and not yet begun."""
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    ledger = open_ledger(folder, RAW, samples=4)
    Wanted(tree(SPACE), search_yaml(SPACE, "0123456789abcdef"), "0123456789abcdef", None).keep(ledger.study)
    ledger.study.set_user_attr(TOTAL_STEPS, 40)
    ledger.study.set_user_attr(PLACE, {"--minimal-pairs": "pairs of mine"})
    ledger.folder = folder
    return ledger


def run_trial(ledger, state=COMPLETE, value=5.0, reason=None):
    """The next trial: validated at step 10, and at step 40 if it came to its end."""
    trial = ledger.ask().trial_id
    ledger.report(trial, 10, value + 1)
    steps = 10
    if state == COMPLETE:
        ledger.report(trial, 40, value)
        steps = 40
    measured = {"val_total": value + 2, "val_kl": 0.5}
    ledger.note(trial, steps=steps, tokens=64 * steps, seconds=steps / 10, measured=measured)
    if state != "RUNNING":
        ledger.finish(trial, state, reason)
    return trial


def read(ledger):
    return run_data(StatusReader(ledger.folder, ledger.folder.parent))


def finish(ledger, values=(5.2, 5.0, 4.95, 4.9, 4.8)):
    """The fixed settings, two more trials to the end, one pruned and one failed; the search is then closed."""
    for value in values:
        run_trial(ledger, value=value)
    run_trial(ledger, PRUNED, 5.5, "asha paused it at step 10")
    run_trial(ledger, FAILED, 9.0, "diverged: nan")
    mark_finished(ledger.study, ledger.folder)


def test_every_trial_arrives_as_it_ended(ledger):
    finish(ledger)
    run = read(ledger)
    states = [trial.state for trial in run.trials]
    assert states == [COMPLETE] * 5 + [PRUNED, FAILED]
    assert [trial.arm for trial in run.trials] == [PLAIN, LOGITS] + [HIDDEN] * 5
    assert [trial.origin for trial in run.trials] == [FIXED] * 3 + [STARTUP] * 4
    best = run.complete()[0]
    assert (best.val_ce, best.curve, best.val_total) == (4.8, {10: 5.8, 40: 4.8}, 6.8)
    assert (best.steps, best.tokens, best.seconds) == (40, 2560, 4.0)
    assert run.trials[5].reason == "asha paused it at step 10"
    assert (run.total_steps, run.objective, run.seeds_asked) == (40, "val_ce", 3)
    assert {arm: trial.ce for arm, trial in run.arms().items()} == {PLAIN: 5.2, LOGITS: 5.0, HIDDEN: 4.8}
    wanted = ledger.study.user_attrs["search"]
    older = wanted["yaml"].replace("objective: val_ce", "objective: val/ce")
    assert older != wanted["yaml"]
    ledger.study.set_user_attr("search", {**wanted, "yaml": older})
    assert read(ledger).objective == "val_ce"
    alpha, beta = run.settings
    assert (alpha.name, alpha.kind, alpha.low, beta.high) == ("alpha", "log_uniform", 0.1, 100)


def test_a_fixed_trial_has_the_fixed_values_of_what_shapes_its_arm(ledger):
    finish(ledger)
    plain, logits, hidden, sampled = read(ledger).trials[:4]
    fixed = SPACE.experiment.distill
    assert plain.settings == {}
    assert logits.settings == {"alpha": fixed.alpha}
    assert hidden.settings == {"alpha": fixed.alpha, "beta": fixed.beta}
    assert sampled.settings.keys() == {"alpha", "beta"}


RANKS = {
    "beta": {"log_uniform": [0.3, 100]},
    "temperature": {"choice": [1, 2]},
    "projection.rank": {"choice": [16, None]},
    "projection.center": {"choice": [True, False], "when": {"projection.rank": None}},
    "projection.normalize": {"choice": ["layer_norm", "whiten"], "when": {"projection.rank": 16}},
}


def test_a_fixed_value_is_the_choice_that_it_equals_and_a_conditional_one_has_its_condition(ledger):
    space = tree(SPACE) | {"parameters": RANKS}
    fixed = space["distill"]
    fixed |= {"alpha": 1.0, "beta": 2.0, "temperature": 2.0}
    fixed["projection"] |= {"rank": None, "center": True, "normalize": "whiten"}
    ledger.study.set_user_attr("search", {**ledger.study.user_attrs["search"], "yaml": yaml.safe_dump(space)})
    for _ in range(3):
        run_trial(ledger)
    plain, logits, hidden = (trial.settings for trial in read(ledger).trials)
    assert plain == {}
    assert logits == {"temperature": 2}
    assert type(logits["temperature"]) is int
    assert hidden == {"beta": 2.0, "temperature": 2, "projection.rank": None, "projection.center": True}


def test_what_it_was_made_of_and_how_to_repeat_it(ledger):
    finish(ledger)
    write_json(ledger.folder / "summary.json", {"data": "babytalk", "mlflow": {"experiment_id": "1"}})
    run = read(ledger)
    facts = dict(run.facts)
    assert facts["data fingerprint"] == "0123456789abcdef"
    assert facts["torch"] == torch.__version__
    assert facts["data"] == "babytalk"
    assert facts["MLflow experiment id"] == "1"
    assert "samples: 4" in run.configuration
    again, anew = run.commands[-2:]
    assert f"{ledger.folder}/search.yaml --name mine-again" in again
    assert "--minimal-pairs 'pairs of mine'" in again
    assert anew == f"python -m palenka_tune.report mine --storage {ledger.folder.parent}"
    assert "4 trials by tpe besides the fixed settings" in run.asked[0]
    assert run.comparable["data"] == "0123456789abcdef"


def test_before_there_is_a_study_there_is_a_report(tmp_path):
    folder = tmp_path / "young"
    folder.mkdir()
    with locked(folder):
        run = run_data(StatusReader(folder, tmp_path))
    assert (run.name, run.state, run.trials) == ("young", "preparing", ())


def test_a_search_that_was_killed_is_told_as_far_as_it_came(ledger):
    run_trial(ledger)
    run_trial(ledger, "RUNNING", 4.5)
    run = read(ledger)
    assert run.state == "killed while searching"
    assert "--resume --name mine" in run.ahead
    assert [trial.state for trial in run.trials] == [COMPLETE, "RUNNING"]
    assert run.trials[1].curve == {10: 5.5}
    assert run.complete() == [run.trials[0]]


def test_a_paused_trial_is_said_to_be_paused(ledger):
    for _ in range(3):
        run_trial(ledger)
    ledger.pause(run_trial(ledger, "RUNNING", 4.5), 10)
    run = read(ledger)
    assert [trial.state for trial in run.trials] == [COMPLETE] * 3 + [PAUSED]
    assert run.ended() == [*run.trials[:3]]


def test_a_finished_search_says_so(ledger):
    finish(ledger)
    ledger.study.set_user_attr("finalists", {"seeds": 3})
    assert read(ledger).is_finished


def student_row(config, arm, seed, test_ce, blimp):
    folder = f"finalists/{config}-seed{seed}"
    weights = {"alpha": float(arm != PLAIN), "beta": 3.0 * (arm == HIDDEN)}
    known = {"val_ce": test_ce - 0.1, "test_ce": test_ce, "scores": {"blimp": blimp}}
    return FinalistRow(config, arm, seed, folder=folder, **weights, **known)


def write_finalists(ledger) -> list[FinalistRow]:
    """The table and the summary as the last stage writes them."""
    rows = []
    for seed in (1, 2, 3):
        rows.append(student_row("trial-0000", PLAIN, seed, 4.7 + 0.01 * seed, 0.54))
        rows.append(student_row("trial-0001", LOGITS, seed, 4.5 + 0.01 * seed, 0.55))
        rows.append(student_row("trial-0004", HIDDEN, seed, 4.45 + 0.012 * seed, 0.56 + 0.001 * seed))
    rows.append(FinalistRow("trial-0004", HIDDEN, 4, 1.0, 3.0, diverged="nan"))
    write_rows(ledger.folder / FINALISTS, rows)
    known = {"sentence": verdict.verdict(verdict.summarise(rows), 0.01), "on": "test", "margin": 0.01}
    write_json(ledger.folder / "summary.json", {"verdict": known})
    return rows


def test_the_verdict_comes_with_intervals_and_every_seed(ledger):
    finish(ledger)
    rows = write_finalists(ledger)
    run = read(ledger)
    found = run.finalists
    assert found.verdict.startswith("Best: hidden (trial-0004), 4.4740 nats per token on test (3 fresh seeds).")
    assert "hidden is better than logits: -0.0460" in found.verdict
    names = ["hidden − logits", "logits − plain", "hidden − plain"]
    assert [(each.name, each.measure) for each in found.contrasts] == [
        (name, measure) for measure in ("test_ce", "blimp") for name in names
    ]
    ce = found.contrasts[0]
    own, other = ([row.test_ce for row in rows if row.arm == arm and row.test_ce] for arm in (HIDDEN, LOGITS))
    assert ce.seeds == pytest.approx([a - b for a, b in zip(own, other, strict=True)])
    assert ce.low < ce.mean < ce.high
    assert len(found.rows) == 9  # three arms; dev, test and a suite
    assert found.rows[0][0] == "plain (trial-0000)"
    assert (found.winner, found.margin) == ("trial-0004", 0.01)
    assert run.winner().trial_id == "trial-0004"


def test_every_fresh_seed_that_did_not_diverge_is_known_by_its_trial(ledger):
    finish(ledger)
    write_finalists(ledger)
    fresh = read(ledger).finalists.fresh
    assert [*fresh] == ["trial-0000", "trial-0001", "trial-0004"]
    assert fresh["trial-0004"] == pytest.approx((4.362, 4.374, 4.386))


def test_a_table_without_a_verdict_is_not_told(ledger):
    finish(ledger)
    write_finalists(ledger)
    write_json(ledger.folder / "summary.json", {})
    run = read(ledger)
    assert run.finalists is None
    assert run.winner() == run.best()


def suite(accuracy):
    sets = [{"uid": f"set_{n}", "term": "islands", "accuracy": accuracy, "stderr": 0.02} for n in range(2)]
    return {"blimp": {"accuracy": accuracy, "stderr": 0.01, "paradigms": sets}}


def test_models_come_with_their_scores_and_finalists_as_means_over_seeds(ledger):
    finish(ledger)
    model = {"name": "best of logits", "role": "logits", "parameters": 7, "val_ce": 4.8, "suites": suite(0.6)}
    students = [
        {
            "config": "trial-0004",
            "arm": "hidden",
            "seed": seed,
            "val_ce": 4.4 + seed,
            "suites": suite(0.5 + 0.1 * seed),
        }
        for seed in (0, 1)
    ]
    write_json(ledger.folder / "evaluation.json", {"models": [model], "finalists": students})
    best, finalist = read(ledger).models
    assert (best.name, best.role, best.seeds, best.suites["blimp"].paradigms[1].accuracy) == (
        "best of logits",
        "logits",
        1,
        0.6,
    )
    assert (finalist.name, finalist.role, finalist.seeds) == ("trial-0004, all windows", "hidden", 2)
    assert finalist.val_ce == pytest.approx(4.9)
    assert finalist.suites["blimp"].accuracy == pytest.approx(0.55)
    assert finalist.suites["blimp"].paradigms[0].stderr == pytest.approx(0.02)


def test_the_spread_of_targets_is_read_from_what_was_logged(ledger):
    trial = run_trial(ledger)
    spool = Spool(ledger.folder)
    for step, value in ((100, 0.9), (200, 0.4)):
        spool.append({"op": "metrics", "key": trial, "metrics": {"train/target_std": value}, "step": step})
    spool.close()
    assert [*read(ledger).spreads.values()] == [0.4]


def make_cache(ledger):
    """A cache that holds nothing but the variances of one teacher's two hidden states."""

    def build(folder):
        variances = {f"teacher0_state{n}.variances": torch.tensor([6.0, 3.0, 1.0]) for n in (0, 2)}
        save_file(variances, folder / "statistics.safetensors")
        shape = dataclasses.asdict(ModelShape("GPT2-tiny", "gpt2", 3, 2))
        plan = {"layers": [{"0": None, "2": 2}], "form": "sampled"}
        manifest = {"kind": "teacher cache", "teachers": [shape], "plan": plan, "windows": {"train": 8}}
        return {**manifest, "description": "whole states", "bytes_per_token": 12}

    build_once(caches_folder(ledger.folder.parent) / "cache-1", build)


def test_the_layers_of_the_cache_are_explained(ledger):
    make_cache(ledger)
    ledger.study.set_user_attr("teachers", {"teachers": ["fingerprint-1"], "cache": "cache-1", "form": "sampled"})
    run = read(ledger)
    assert [(layer.teacher, layer.state) for layer in run.layers] == [("GPT2-tiny", 0), ("GPT2-tiny", 2)]
    assert run.layers[0].explained == pytest.approx({1: 0.6, 2: 0.9})
    assert dict(run.cache)["teacher cache, size"].endswith("12 bytes a token")
    assert dict(run.facts)["teacher 1 fingerprint"] == "fingerprint-1"


def test_a_cache_that_is_gone_is_said(ledger):
    ledger.study.set_user_attr("teachers", {"teachers": [], "cache": "cache-9", "form": "sampled"})
    run = read(ledger)
    assert run.layers == ()
    assert dict(run.cache)["teacher cache"] == "cache-9, which is not there any more"


class Listener:
    """A tracker that only remembers the artifacts."""

    def __init__(self):
        self.artifacts = []

    def log_artifact(self, key, path):
        self.artifacts.append((key, path.name))


def place(ledger):
    """What `publish` needs of a search's place, with what it says."""
    kind = dataclasses.make_dataclass("Place", ["folder", "storage", "tracker", "console"])
    console = Console(file=io.StringIO())
    return kind(ledger.folder, ledger.folder.parent, Listener(), console)


def test_the_end_of_a_search_writes_page_and_pictures_and_logs_both(ledger, logged):
    finish(ledger)
    where = place(ledger)
    results.publish_report(where, ledger.study)
    assert logged == []
    assert where.tracker.artifacts == [(PARENT, "report.html"), (PARENT, "plots")]
    assert "Search mine" in (ledger.folder / "report.html").read_text(encoding="utf-8")
    assert {path.suffix for path in (ledger.folder / "plots").iterdir()} == {".png", ".svg"}
    assert (ledger.folder / "plots" / "search.png").stat().st_size > 10_000
    is_finished(ledger.study, ledger.folder)  # its results are as they were


def test_a_report_that_fails_is_said_and_nothing_is_lost(ledger, monkeypatch, logged):
    finish(ledger)
    where = place(ledger)
    monkeypatch.setattr(results, "write_report", lambda *_: (_ for _ in ()).throw(RuntimeError("no ink")))
    results.publish_report(where, ledger.study)
    assert len(logged) == 1
    assert "RuntimeError: no ink" in logged[0]
    assert f"python -m palenka_tune.report {ledger.folder}" in logged[0]
    assert where.tracker.artifacts == []


def test_pictures_may_be_drawn_again_in_a_finished_search(ledger):
    finish(ledger)
    (ledger.folder / "plots").mkdir()
    (ledger.folder / "plots" / "search.png").write_bytes(b"old")
    kept = ledger.study.user_attrs["finished"]
    ledger.study.set_user_attr("finished", {**kept, "plots/search.png": "digest of an older version"})
    assert is_finished(ledger.study, ledger.folder)
