"""The ledger tells the truth about trials; every sampler works through it; the same seed proposes the same; an arm sees
its own trials only; a pause, a promotion and an end survive the death of the process."""

from __future__ import annotations

import json
import math
from collections import Counter

import optuna
import pytest
from optuna.samplers import RandomSampler

from palenka_tune.config.sealed import crc_of, seal
from palenka_tune.spaces.samplers import SAMPLERS
from palenka_tune.trials import ledger as ledger_module
from palenka_tune.trials.arms import ARM, FIXED, HIDDEN, LOGITS, ORIGIN, PLAIN, PROPOSED, STARTUP
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.rows import COMPLETE, FAILED, PAUSED, PAUSED_AT, PRUNED, TrialRow
from palenka_tune.trials.stopping import SuccessiveHalving
from tests.support.ledgers import (
    CONSTANTS,
    CONTINUOUS,
    DISCRETE,
    RECIPE,
    arms_for,
    end,
    open_ledger,
    run_all,
    sum_of_weights,
)

RUNGS = [3, 6, 10]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_the_fixed_settings_and_then_all_samples(tmp_path, sampler):
    ledger = open_ledger(tmp_path, DISCRETE if sampler == "grid" else CONTINUOUS, sampler)
    values = run_all(ledger)
    fixed = [{"alpha": 0.0, "beta": 0.0}, {"beta": 0.0}] + ([] if sampler == "grid" else [{}])
    assert values[: len(fixed)] == fixed
    sampled = values[len(fixed) :]
    assert len(sampled) == 6
    assert all(set(v) == {"alpha", "beta"} for v in sampled)
    if sampler == "grid":
        assert {(v["alpha"], v["beta"]) for v in sampled} == {(a, b) for a in (0.1, 0.5, 0.9) for b in (0.1, 0.5)}
    rows = ledger.rows()
    arms = [PLAIN, LOGITS, HIDDEN][: len(fixed)] + [HIDDEN] * 6
    assert [row.arm for row in rows] == arms
    assert [row.origin for row in rows[: len(fixed)]] == [FIXED] * len(fixed)
    startup = 0 if sampler == "grid" else 4
    assert [row.origin for row in rows[len(fixed) :]] == [STARTUP] * startup + [PROPOSED] * (6 - startup)
    assert {row.state for row in rows} == {COMPLETE}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_proposes_the_same_also_across_a_restart(tmp_path, sampler):
    raw = DISCRETE if sampler == "grid" else CONTINUOUS
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
    expected = run_all(open_ledger(tmp_path / "a", raw, sampler))
    assert run_all(open_ledger(tmp_path / "b", raw, sampler)) == expected
    assert sampler == "grid" or run_all(open_ledger(tmp_path / "d", raw, sampler, seed=1))[3:] != expected[3:]
    first = open_ledger(tmp_path / "c", raw, sampler, samples=3)
    part = run_all(first)
    rest = run_all(open_ledger(tmp_path / "c", raw, sampler, samples=6))
    # the number of start-up points depends on the number of samples
    assert (part + rest)[: len(part)] == expected[: len(part)]
    if sampler == "grid":
        assert part + rest == expected
    assert len(part + rest) == len(expected)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
def test_three_arms_propose_the_same_across_a_restart_at_any_trial(tmp_path, sampler):
    arms = arms_for({**CONTINUOUS, **RECIPE}, {PLAIN: 2, LOGITS: 5, HIDDEN: 5})

    def begin(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return open_ledger(tmp_path / name, {**CONTINUOUS, **RECIPE}, sampler, arms=arms)

    expected = run_all(begin("whole"))
    assert len(expected) == 15
    restarted = []
    while (proposal := (ledger := begin("restarted")).ask()) is not None:
        restarted.append(proposal.values)
        end(ledger, proposal, sum_of_weights(proposal.values))
    assert restarted == expected


def test_tpe_learns_from_what_it_is_told(tmp_path):
    def distance(values):
        return abs(math.log(values.get("beta") or 1) - math.log(30))

    late = early = 0.0
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = [distance(values) for values in run_all(open_ledger(folder, samples=30, seed=seed), value=distance)]
        early, late = early + sum(found[3:13]), late + sum(found[-10:])
    assert late < early / 2


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


def test_a_trial_that_reported_nothing_has_failed(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.finish(ledger.ask().trial_id, COMPLETE)
    assert ledger.rows()[0].state == FAILED


def test_large_seeds_are_seeds(tmp_path):
    assert len(run_all(open_ledger(tmp_path, seed=2**32 - 1))) == 9


def rules_for(names=(PLAIN, LOGITS, HIDDEN), reduction=2):
    return {name: SuccessiveHalving(RUNGS, reduction) for name in names}


def chaotic(values, step) -> float:
    """A value at a step that orders trials anew at each of them."""
    number = sum(math.log(abs(value) + 0.01) for value in values.values())
    return 2.0 + 1 / step + math.sin(2310 * number + step)


def train(ledger: Ledger, proposal) -> list[str]:
    """Train a proposal from its first step, as one does that lost its checkpoint; at each rung it goes on or pauses."""
    said = []
    for step in RUNGS:
        value = chaotic(proposal.values, step)
        goes_on = ledger.judge(proposal.trial_id, step, value) or step <= proposal.judged_until or step == RUNGS[-1]
        ledger.report(proposal.trial_id, step, value)
        ledger.note(proposal.trial_id, steps=step, tokens=10 * step, seconds=1.0)
        if not goes_on:
            ledger.pause(proposal.trial_id, step)
            return [*said, "paused"]
        said.append("continued")
    ledger.finish(proposal.trial_id, COMPLETE)
    return said


def search_with_pauses(ledger: Ledger) -> Counter:
    """Run a search to its end; counts of what happened, and the ids that were started."""
    happened = Counter()
    while (proposal := ledger.ask()) is not None:
        happened[proposal.trial_id] += 1
        happened["promoted"] += proposal.judged_until > 0
        happened.update(train(ledger, proposal))
    happened["settled"] = len(ledger.settle())
    return happened


def open_with_pauses(folder, sampler):
    folder.mkdir(exist_ok=True)
    arms = arms_for(CONTINUOUS, {LOGITS: 2, HIDDEN: 10})
    return open_ledger(folder, sampler=sampler, arms=arms, rules=rules_for())


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
def test_a_process_that_dies_at_any_write_leaves_a_ledger_that_comes_to_the_same(tmp_path, sampler):
    """The journal of a whole search is cut after each of its lines in turn, and the search goes on from there."""
    ledger = open_with_pauses(tmp_path / "whole", sampler)
    happened = search_with_pauses(ledger)
    expected = ledger.rows()
    if sampler == "random":  # or there is nothing to survive
        assert happened["paused"] > happened["settled"] > 1
        assert happened["promoted"] > 1
    assert {row.state for row in expected} == {COMPLETE, PRUNED}
    assert len(expected) == 15
    lines = (tmp_path / "whole" / "optuna.journal").read_bytes().splitlines(keepends=True)
    every = {"random": 1, "gp": 40}.get(sampler, 11)
    counts = sorted({*range(1, len(lines) + 1, every), *range(len(lines) - 8, len(lines) + 1)})
    for count in counts:
        folder = tmp_path / f"cut-{count}"
        folder.mkdir(exist_ok=True)
        text = b"".join(lines[:count]).replace(b'"whole"', f'"{folder.name}"'.encode())
        _write_sealed_lines(folder / "optuna.journal", text)
        ledger = open_with_pauses(folder, sampler)
        before, resting = {row.trial_id for row in ledger.rows()}, set(ledger.paused)
        after = search_with_pauses(ledger)
        assert ledger.rows() == expected, f"cut after line {count}"
        assert not before & set(after), f"cut after line {count}"
        complete = {row.trial_id for row in expected if row.state == COMPLETE}
        assert all(after[name] <= happened[name] - 1 for name in resting - complete), f"cut after line {count}"
        assert not open_with_pauses(folder, sampler).remaining


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
    for _ in range(3):
        ledger.finish(ledger.ask().trial_id, FAILED, "x")
    interrupted = ledger.ask()
    ledger.report(interrupted.trial_id, 5, 3.0)
    ledger.leave(interrupted.trial_id)
    again = open_ledger(tmp_path)
    assert again.waiting == [interrupted.trial_id]
    assert TrialRow.of(again.study.trials[interrupted.number]).curve == {5: 3.0}
    assert again.ask() == interrupted
    again.report(interrupted.trial_id, 5, 9.0)  # reported again: the first value counts
    again.report(interrupted.trial_id, 10, 2.0)
    again.finish(interrupted.trial_id, COMPLETE)
    assert again.rows()[3].curve == {5: 3.0, 10: 2.0}


def test_only_the_weights_of_the_best_of_each_arm_are_kept(tmp_path):
    ledger = open_ledger(tmp_path)
    for value in (3.0, 2.5, 2.7, 2.4, 2.6):
        end(ledger, ledger.ask(), value)
    assert ledger.keepers() == ["trial-0000", "trial-0001", "trial-0003"]
    end(ledger, ledger.ask(), 2.3)
    assert ledger.keepers() == ["trial-0000", "trial-0001", "trial-0005"]


def test_the_arms_take_turns_in_proportion_to_their_samples(tmp_path):
    arms = arms_for({**CONTINUOUS, **RECIPE}, {PLAIN: 3, LOGITS: 6, HIDDEN: 6})
    ledger = open_ledger(tmp_path, {**CONTINUOUS, **RECIPE}, "random", arms=arms)
    run_all(ledger)
    order = [row.arm for row in ledger.rows()]
    assert order[:3] == [PLAIN, LOGITS, HIDDEN]
    counts = Counter()
    for number, name in enumerate(order[3:], 1):
        counts[name] += 1
        assert all(abs(counts[arm.name] - number * arm.samples / 15) <= 1 for arm in arms)
    assert counts == {PLAIN: 3, LOGITS: 6, HIDDEN: 6}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_startup_points_are_shared_by_the_arms(tmp_path, sampler):
    raw = {
        **CONTINUOUS,
        **RECIPE,
        "temperature": {"choice": [1, 1.5, 2]},
        "beta_schedule": {"choice": ["constant", "hint"]},
        "beta_until": {"log_uniform": [0.03, 0.5], "when": {"beta_schedule": "hint"}},
        "projection.rank": {"choice": [16, None]},
    }
    arms = arms_for(raw, {PLAIN: 4, LOGITS: 8, HIDDEN: 16})
    ledger = open_ledger(tmp_path, raw, sampler, arms=arms)
    run_all(ledger)
    points = {
        name: [row.settings for row in ledger.rows() if (row.arm, row.origin) == (name, STARTUP)] for name in CONSTANTS
    }
    assert {name: len(found) for name, found in points.items()} == {PLAIN: 4, LOGITS: 4, HIDDEN: 5}
    for other in (PLAIN, LOGITS):
        shared = [each.name for each in arms[[PLAIN, LOGITS].index(other)].space.parameters]
        assert shared
        for own, twin in zip(points[other], points[HIDDEN], strict=False):
            assert {name: twin[name] for name in shared} == {name: own[name] for name in shared}
            assert own.items() - {(name, own[name]) for name in shared} == CONSTANTS[other].items()
    assert len({point["alpha"] for point in points[HIDDEN]}) == 5


def attracting(towards, best=0.0):
    """Values by which alpha = `towards` is the `best`."""
    return lambda values: best + (abs(math.log(values["alpha"] / towards)) if values.get("alpha") else 5.0)


def proposals_of(path, sampler, arm, other_value):
    """What an arm proposes whose own values stay as they are, while those of the others are `other_value`."""
    path.mkdir()
    ledger = open_ledger(path, sampler=sampler, arms=arms_for(CONTINUOUS, {LOGITS: 10, HIDDEN: 10}))
    own = []
    while (proposal := ledger.ask()) is not None:
        if proposal.arm == arm:
            own.append(proposal.values)
        end(ledger, proposal, (attracting(2.0) if proposal.arm == arm else other_value)(proposal.values))
    assert len(own) == 11
    return own


def see_all_arms(monkeypatch):
    """Plant the fault: a sampler is shown the trials of all arms."""
    draw = Ledger._draw

    def shown(trial, arm):
        if trial.user_attrs[ARM] == arm.name or trial.user_attrs[ORIGIN] == FIXED:
            return trial
        return optuna.create_trial(
            state=trial.state,
            value=trial.value,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs | {ARM: arm.name, ORIGIN: PROPOSED},
            intermediate_values=trial.intermediate_values,
        )

    monkeypatch.setattr(Ledger, "_draw", lambda self, arm, trials: draw(self, arm, [shown(t, arm) for t in trials]))


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize("arm", [LOGITS, HIDDEN])
def test_an_arm_cannot_see_the_values_of_another(tmp_path, sampler, arm, monkeypatch):
    low = proposals_of(tmp_path / "low", sampler, arm, attracting(0.1, -9.0))
    assert proposals_of(tmp_path / "high", sampler, arm, attracting(10.0, -9.0)) == low
    assert proposals_of(tmp_path / "failed", sampler, arm, lambda values: 1e6) == low
    see_all_arms(monkeypatch)
    seen = proposals_of(tmp_path / "seen-low", sampler, arm, attracting(0.1, -9.0))
    assert proposals_of(tmp_path / "seen-high", sampler, arm, attracting(10.0, -9.0)) != seen


def test_a_sampler_is_shown_the_trials_of_its_arm_without_fixed_settings_and_those_that_rest_as_pruned(
    tmp_path, monkeypatch
):
    shown = []

    class Spy(RandomSampler):
        def sample_relative(self, study, trial, search_space):
            shown[-1] = [(each.user_attrs[ARM], each.user_attrs[ORIGIN], each.state.name) for each in study.trials[:-1]]
            return {}

        def infer_relative_search_space(self, study, trial):
            return {}

    def spying(name, space, *, seed, number, samples):
        shown.append([])
        return Spy(seed=seed + number)

    monkeypatch.setattr(ledger_module, "sampler_for", spying)
    ledger = open_with_pauses(tmp_path / "a", "tpe")
    while (proposal := ledger.ask()) is not None:
        train(ledger, proposal)
        assert {each[0] for each in shown[-1]} <= {proposal.arm} if shown and not proposal.judged_until else True
    assert max(map(len, shown)) == 9
    said = [each for trials in shown for each in trials]
    assert FIXED not in {origin for _, origin, _ in said}
    assert {state for _, _, state in said} == {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize("place", range(6))
def test_what_no_result_chose_is_never_paused(tmp_path, place):
    """The fixed settings, then the start-up points, each with the worst value of all."""
    ledger = open_ledger(tmp_path, samples=9, rules=rules_for(reduction=4))
    for number in range(3 + 4 + 5):
        proposal = ledger.ask()
        goes_on = ledger.judge(proposal.trial_id, 3, 99.0 if number == place else 1.0 + number)
        assert goes_on == (proposal.origin in (FIXED, STARTUP)) == (number < 7)
        end(ledger, proposal, 1.0)
    assert ledger.ask() is None


def test_a_trial_that_reports_is_judged_by_its_own_arm_only(tmp_path):
    ledger = open_ledger(tmp_path, arms=arms_for(CONTINUOUS, {LOGITS: 6, HIDDEN: 6}), rules=rules_for())
    decisions = {LOGITS: [], HIDDEN: []}
    while (proposal := ledger.ask()) is not None:
        value = {PLAIN: 1.0, LOGITS: 2.0, HIDDEN: 9.0}[proposal.arm] - 0.01 * proposal.number
        goes_on = ledger.judge(proposal.trial_id, 3, value)
        if proposal.origin == PROPOSED:
            decisions[proposal.arm].append(goes_on)
        end(ledger, proposal, value)
    assert decisions == {LOGITS: [True, True], HIDDEN: [True, True]}


def pause_two(path):
    """A search in which the last two of `hidden` rest at the first rung, and one sample is left."""
    ledger = open_ledger(path, samples=7, rules=rules_for())
    for number in range(9):
        proposal = ledger.ask()
        value = 1.0 + number / 10
        if not ledger.judge(proposal.trial_id, 3, value):
            ledger.report(proposal.trial_id, 3, value)
            ledger.note(proposal.trial_id, steps=3, tokens=30, seconds=1.0)
            ledger.pause(proposal.trial_id, 3)
        else:
            ledger.report(proposal.trial_id, 3, value)
            end(ledger, proposal, value)
    assert ledger.paused == ["trial-0007", "trial-0008"]
    return ledger


def test_a_paused_trial_rests_in_the_study_and_is_no_row_yet(tmp_path):
    ledger = pause_two(tmp_path)
    for seen in (ledger, open_ledger(tmp_path, samples=7, rules=rules_for())):
        trial = seen.study.trials[7]
        assert (trial.state.name, trial.user_attrs[PAUSED_AT], TrialRow.of(trial).state) == ("RUNNING", 3, PAUSED)
        assert [row.trial_id for row in seen.rows()] == [f"trial-{number:04d}" for number in range(7)]
        assert (seen.paused, seen.running, seen.waiting) == (["trial-0007", "trial-0008"], [], [])
        assert seen.remaining


def test_a_new_proposal_is_drawn_before_one_that_rests_and_is_not_among_the_best(tmp_path):
    assert pause_two(tmp_path).ask().trial_id == "trial-0009"


@pytest.mark.parametrize("restarted", [False, True])
def test_the_best_that_rests_goes_on_once_it_is_among_the_best_of_its_rung(tmp_path, restarted):
    ledger = pause_two(tmp_path)
    for number in range(5):  # others fill the rung: the best 6 of 12 go on
        assert ledger._promoted() is None
        ledger._rules[HIDDEN].report(f"other-{number}", 3, 5.0)
    assert ledger.ask().trial_id == "trial-0007"
    assert ledger.paused == ["trial-0008"]
    assert ledger.study.trials[7].user_attrs[PAUSED_AT] == 0
    assert TrialRow.of(ledger.study.trials[7]).state == "RUNNING"
    if restarted:
        ledger.leave("trial-0007")
        ledger = open_ledger(tmp_path, samples=7, rules=rules_for())
        assert (ledger.waiting, ledger.paused) == (["trial-0007"], ["trial-0008"])
    else:
        ledger.again("trial-0007")  # its process died
    again = ledger.ask()
    assert (again.trial_id, again.judged_until) == ("trial-0007", 3)  # it is not judged there again


def test_what_rests_at_the_end_is_pruned_where_it_rests(tmp_path):
    ledger = pause_two(tmp_path)
    reason = "ASHA paused it at step 3"
    assert ledger.settle() == {"trial-0007": reason, "trial-0008": reason}
    assert ledger.settle() == {}
    for seen in (ledger, open_ledger(tmp_path, samples=7, rules=rules_for())):
        ends = [(row.state, row.reason, row.steps, row.val_ce) for row in seen.rows()[7:]]
        assert ends == [(PRUNED, reason, 3, 1.7), (PRUNED, reason, 3, 1.8)]
        assert seen.paused == []


@pytest.mark.parametrize("restarted", [False, True])
def test_trials_that_are_promoted_after_the_end_take_their_own_place(tmp_path, restarted):
    ledger = pause_two(tmp_path)
    while (proposal := ledger.ask()) is not None:
        end(ledger, proposal, 50.0, step=RUNGS[-1])
    ledger.settle()
    before = ledger.rows()
    pruned = [row for row in before if row.state == PRUNED]
    best = min(pruned, key=lambda row: (-max(row.curve), row.ce))
    assert ledger.promote(1, RUNGS[-1]) == [best.trial_id]
    if restarted:
        ledger = open_ledger(tmp_path, samples=7, rules=rules_for())
    again = ledger.ask()
    assert (again.trial_id, again.values, again.judged_until) == (best.trial_id, best.settings, RUNGS[-1])
    ledger.report(again.trial_id, RUNGS[0], 99.0)  # reported again: the first value counts
    end(ledger, again, 1.5, step=RUNGS[-1])
    after = ledger.rows()
    assert [row.trial_id for row in after] == [row.trial_id for row in before]
    changed = {row.trial_id: row for row in after if row not in before}
    assert set(changed) == {best.trial_id}
    assert changed[best.trial_id].state == COMPLETE
    assert changed[best.trial_id].curve == {**best.curve, RUNGS[-1]: 1.5}
    assert changed[best.trial_id].reason is None
    assert ledger.ask() is None
