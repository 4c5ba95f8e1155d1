"""Replayed searches on made-up trainings whose best setting is known."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import pytest

from benchmarks import samplers
from benchmarks.samplers import STOCK, Surrogate, compared, complete_trials, replay, replay_stock, report
from palenka_tune.errors import UserError
from palenka_tune.spaces.resolve import resolve
from palenka_tune.trials.arms import HIDDEN, PLAIN, Arm, arms_of
from palenka_tune.trials.rows import COMPLETE, PRUNED, TrialRow

STEPS = (10, 20, 40)
SPACE = {
    "search": {"arms": {HIDDEN: 1}},
    "parameters": {
        "alpha": {"log_uniform": [0.1, 10]},
        "beta": {"log_uniform": [0.1, 10]},
        "temperature": {"choice": [1, 2]},
    },
}


def val_ce(settings: dict[str, float], step: int) -> float:
    """A bowl around α 3, β 0.3, τ 2, which is the same at every rung but for its height."""
    far = math.log(settings["alpha"] / 3) ** 2 + math.log(settings["beta"] / 0.3) ** 2 + (settings["temperature"] == 1)
    return 3 + 0.1 * far + 10 / step


def row(number: int, settings: dict[str, float], state: str = COMPLETE) -> TrialRow:
    curve = {step: val_ce(settings, step) for step in STEPS}
    return TrialRow(f"trial-{number:04}", state, HIDDEN, "proposed", settings, val_ce=curve[STEPS[-1]], curve=curve)


@pytest.fixture(scope="module")
def arm() -> Arm:
    return next(each for each in arms_of(resolve(SPACE)) if each.name == HIDDEN)


@pytest.fixture(scope="module")
def rows(arm: Arm) -> list[TrialRow]:
    draw = random.Random(0)
    points = [{each.name: each.at(draw.random()) for each in arm.space.parameters} for _ in range(60)]
    return [row(number, point) for number, point in enumerate(points)]


@pytest.fixture(scope="module")
def surrogate(arm: Arm, rows: list[TrialRow]) -> Surrogate:
    return Surrogate(arm.space, rows)


def test_the_prediction_is_that_of_the_trainings(surrogate: Surrogate) -> None:
    assert surrogate.explained > 0.99
    settings = {"alpha": 1.0, "beta": 1.0, "temperature": 1}
    assert surrogate.curve(settings)[40] == pytest.approx(val_ce(settings, 40), abs=0.02)
    assert surrogate.best() == pytest.approx(3.25, abs=0.02)


def test_what_does_not_matter_is_not_said_to_be_explained(arm: Arm, rows: list[TrialRow]) -> None:
    draw = random.Random(1)
    noise = [dataclasses.replace(each, curve={step: draw.random() for step in STEPS}) for each in rows]
    assert Surrogate(arm.space, noise).explained < 0.3


def test_a_search_is_replayed_by_its_seed_and_a_sampler_that_learns_comes_nearer(
    surrogate: Surrogate, arm: Arm
) -> None:
    whole = dataclasses.replace(arm, samples=20)
    assert replay(surrogate, whole, "tpe", 3) == replay(surrogate, whole, "tpe", 3)
    learnt, guessed = ([replay(surrogate, whole, name, seed)[0] for seed in range(6)] for name in ("gp", "random"))
    assert sum(learnt) < sum(guessed)


def test_early_stopping_saves_steps_and_stock_ends_at_its_budget(surrogate: Surrogate, arm: Arm) -> None:
    _, trainings = replay(surrogate, dataclasses.replace(arm, samples=20), "random", 0)
    assert (
        5 < trainings < 21
    )  # the fixed setting and 20 samples, of which the start-up points are trained to their ends
    best, taken = replay_stock(surrogate, 8, 0)
    assert 8 <= taken <= 9
    assert best > surrogate.best()


def test_the_table_holds_each_sampler_against_the_default(
    surrogate: Surrogate, arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers, "SAMPLERS", ("tpe", "random"))
    found = compared(surrogate, arm, [6], 3)
    assert [each.name for each in found] == ["tpe", "random", STOCK]
    assert all(len(each.val_ce) == 3 for each in found)
    made = report({}, surrogate, found, surrogate.best())
    assert [each[0] for each in made.rows] == ["6 samples, tpe", "6 samples, random", f"6 samples, {STOCK}"]
    assert made.rows[0][-1] == ""
    assert " to " in made.rows[1][-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], f"has 0 complete trials of {HIDDEN} and at least 20 are needed"),
        ([row(0, {"alpha": 1, "beta": 1, "temperature": 1}, PRUNED)], "paused trials"),
        ([dataclasses.replace(row(0, {"alpha": 1, "beta": 1, "temperature": 1}), arm=PLAIN)] * 30, "has 0 complete"),
    ],
)
def test_a_sample_that_is_small_or_chosen_is_refused(
    given: list[TrialRow], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(samplers, "open_study", lambda *_, **__: type("Study", (), {"trials": []}))
    monkeypatch.setattr(samplers, "rows_of", lambda _: given)
    with pytest.raises(UserError, match=said):
        complete_trials(tmp_path)
