"""The ledger tells the truth about trials; every sampler works through it; the same seed proposes the same."""

from __future__ import annotations

import json

import optuna
import pytest

from palenka_tune.config.sealed import crc_of, seal
from palenka_tune.runs.study import new_study, open_study
from palenka_tune.spaces.samplers import SAMPLERS
from palenka_tune.spaces.space import parse_space
from palenka_tune.trials.arms import anchor_values
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED

CONTINUOUS = {"alpha": {"log_uniform": [0.1, 10]}, "beta": {"log_uniform": [0.1, 100]}}
DISCRETE = {"alpha": {"choice": [0.1, 0.5, 0.9]}, "beta": {"choice": [0.1, 0.5]}}


def open_ledger(path, raw=CONTINUOUS, sampler="tpe", samples=6, seed=0) -> Ledger:
    study = open_study(path, None, lambda: None) or new_study(path, None, lambda: None)
    return Ledger(
        study,
        space=parse_space(raw, "x"),
        sampler=sampler,
        samples=samples,
        seed=seed,
        anchors=anchor_values(1.0),
    )


def run_all(ledger: Ledger, value=lambda values: values.get("alpha", 1) + values.get("beta", 1)) -> list[dict]:
    """Train every proposal in no time: its value is a function of its settings."""
    proposals = []
    while (proposal := ledger.ask()) is not None:
        proposals.append(proposal)
        ledger.report(proposal.trial_id, 10, value(proposal.values))
        ledger.note(proposal.trial_id, steps=10, tokens=100, seconds=1.0)
        ledger.finish(proposal.trial_id, COMPLETE)
    return [proposal.values for proposal in proposals]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_the_anchors_and_then_all_samples(tmp_path, sampler):
    ledger = open_ledger(tmp_path, DISCRETE if sampler == "grid" else CONTINUOUS, sampler)
    values = run_all(ledger)
    assert values[:2] == [{"alpha": 0.0, "beta": 0.0}, {"alpha": 1.0, "beta": 0.0}]
    assert len(values) == 8
    assert all(set(v) == {"alpha", "beta"} for v in values[2:])
    if sampler == "grid":
        assert {(v["alpha"], v["beta"]) for v in values[2:]} == {(a, b) for a in (0.1, 0.5, 0.9) for b in (0.1, 0.5)}
    rows = ledger.rows()
    assert [row.anchor for row in rows] == ["no_distillation", "vanilla_kd"] + [None] * 6
    assert {row.state for row in rows} == {COMPLETE}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_proposes_the_same_also_across_a_restart(tmp_path, sampler):
    raw = DISCRETE if sampler == "grid" else CONTINUOUS
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    expected = run_all(open_ledger(tmp_path / "a", raw, sampler))
    assert run_all(open_ledger(tmp_path / "b", raw, sampler)) == expected
    first = open_ledger(tmp_path / "c", raw, sampler, samples=3)
    part = run_all(first)
    rest = run_all(open_ledger(tmp_path / "c", raw, sampler, samples=6))
    if sampler not in ("tpe", "gp"):  # their number of random trials depends on the number of samples
        assert part + rest == expected
    assert len(part + rest) == 8


def test_tpe_learns_from_what_it_is_told(tmp_path):
    ledger = open_ledger(tmp_path, samples=30)
    values = run_all(ledger, value=lambda v: abs(v.get("beta", 0) - 30))
    late = [abs(v["beta"] - 30) for v in values[-10:]]
    early = [abs(v["beta"] - 30) for v in values[2:12]]
    assert sum(late) < sum(early)


def test_states_and_intermediate_values_are_what_happened(tmp_path):
    ledger = open_ledger(tmp_path)
    ends = [(COMPLETE, None), (COMPLETE, None), (PRUNED, "ASHA"), (FAILED, "diverged: nan"), (COMPLETE, None)]
    for state, reason in ends:
        proposal = ledger.ask()
        if state != FAILED:
            ledger.report(proposal.trial_id, 5, 3.0)
        if state == COMPLETE:
            ledger.report(proposal.trial_id, 10, 2.5)
        ledger.note(proposal.trial_id, steps=5, tokens=50, seconds=1.0)
        ledger.finish(proposal.trial_id, state, reason)
    study = optuna.load_study(
        study_name=tmp_path.name,
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "optuna.journal"))
        ),
    )
    names = ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    assert [trial.state.name for trial in study.trials] == names
    assert [trial.intermediate_values for trial in study.trials] == [
        {5: 3.0, 10: 2.5},
        {5: 3.0, 10: 2.5},
        {5: 3.0},
        {},
        {5: 3.0, 10: 2.5},
    ]
    rows = ledger.rows()
    assert [row.val_ce for row in rows] == [2.5, 2.5, 3.0, None, 2.5]
    assert rows[3].reason == "diverged: nan"


def test_a_repetition_takes_over_the_known_result_and_is_not_run(tmp_path):
    ledger = open_ledger(tmp_path, {"alpha": {"choice": [0.1, 0.5]}}, "random", samples=50)
    values = run_all(ledger)
    assert len(values) == 4  # two anchors, two settings; then the space is exhausted
    copies = [trial for trial in ledger.study.trials if "duplicate_of" in trial.user_attrs]
    assert copies
    results = {trial.user_attrs["trial_id"]: trial.value for trial in ledger.study.trials if trial not in copies}
    assert all(copy.value == results[copy.user_attrs["duplicate_of"]] for copy in copies)
    assert len(ledger.rows()) == 4


def test_settings_that_train_the_same_student_are_one_trial(tmp_path):
    ledger = open_ledger(tmp_path, {"beta": {"choice": [0, 1]}, "rank": {"choice": [16, 32]}}, "random", samples=50)
    values = run_all(ledger)[2:]
    assert [v for v in values if v["beta"] == 0] == [{"beta": 0, "projection.rank": values[0]["projection.rank"]}] or (
        sum(v["beta"] == 0 for v in values) == 1
    )
    assert len(values) == 3


def test_a_trial_that_reported_nothing_has_failed(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.finish(ledger.ask().trial_id, COMPLETE)
    assert ledger.rows()[0].state == FAILED


def test_large_seeds_are_seeds(tmp_path):
    assert len(run_all(open_ledger(tmp_path, seed=2**32 - 1))) == 8


def test_a_repetition_of_a_running_trial_is_drawn_again(tmp_path):
    ledger = open_ledger(tmp_path, {"alpha": {"choice": [0.1, 0.5]}}, "random", samples=2)
    proposals = [ledger.ask() for _ in range(4)]
    assert {p.values["alpha"] for p in proposals[2:]} == {0.1, 0.5}
    assert ledger.ask() is None
    assert len(ledger.running) == 4


def undisturbed(path, sampler):
    path.mkdir()
    ledger = open_ledger(path, sampler=sampler, samples=5)
    run_all(ledger)
    return ledger.rows()


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
def test_a_process_that_dies_at_any_write_leaves_a_ledger_that_comes_to_the_same(tmp_path, sampler):
    """The journal of a whole search is cut after each of its lines in turn, and the search goes on from there."""
    expected = undisturbed(tmp_path / "whole", sampler)
    lines = (tmp_path / "whole" / "optuna.journal").read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines) + 1, 1 if sampler == "random" else 5):
        folder = tmp_path / f"cut-{count}"
        folder.mkdir()
        text = b"".join(lines[:count]).replace(b'"whole"', f'"{folder.name}"'.encode())
        _write_sealed_lines(folder / "optuna.journal", text)
        ledger = open_ledger(folder, sampler=sampler, samples=5)
        before = {row.trial_id for row in ledger.rows()}
        started = []
        while (proposal := ledger.ask()) is not None:
            started.append(proposal.trial_id)
            ledger.report(proposal.trial_id, 10, proposal.values.get("alpha", 1) + proposal.values.get("beta", 1))
            ledger.note(proposal.trial_id, steps=10, tokens=100, seconds=1.0)
            ledger.finish(proposal.trial_id, COMPLETE)
        assert ledger.rows() == expected, f"cut after line {count}"
        assert not before & set(started), f"cut after line {count}"


def _write_sealed_lines(path, text):
    """Seal lines anew, since the study's name in the first of them has changed."""
    crc, out = 0, []
    for line in text.splitlines():
        record = json.loads(line)
        del record["crc"]
        out.append(seal(record, crc))
        crc = crc_of(out[-1])
    path.write_bytes(b"".join(line + b"\n" for line in out))


def test_an_interrupted_trial_is_proposed_again_first_and_keeps_what_it_reported(tmp_path):
    ledger = open_ledger(tmp_path)
    for _ in range(2):
        ledger.finish(ledger.ask().trial_id, FAILED, "x")
    interrupted = ledger.ask()
    ledger.report(interrupted.trial_id, 5, 3.0)
    ledger.leave(interrupted.trial_id)
    again = open_ledger(tmp_path)
    assert again.waiting == [interrupted.trial_id]
    assert again.curves()[interrupted.trial_id] == {5: 3.0}
    assert again.ask() == interrupted
    again.report(interrupted.trial_id, 5, 9.0)  # reported again: the first value counts
    again.report(interrupted.trial_id, 10, 2.0)
    again.finish(interrupted.trial_id, COMPLETE)
    assert again.rows()[2].curve == {5: 3.0, 10: 2.0}


def test_only_the_weights_of_the_best_and_of_the_anchors_are_kept(tmp_path):
    ledger = open_ledger(tmp_path)
    for value in (3.0, 2.5, 2.7, 2.4, 2.6):
        proposal = ledger.ask()
        ledger.report(proposal.trial_id, 10, value)
        ledger.finish(proposal.trial_id, COMPLETE)
    assert ledger.keepers() == ["trial-0000", "trial-0001", "trial-0003"]


def test_time_adds_up_over_processes(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger._started -= 100.0
    ledger.finish(ledger.ask().trial_id, FAILED, "x")
    assert open_ledger(tmp_path).seconds >= 100.0
