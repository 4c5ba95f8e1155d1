"""Small ledgers, and a search over one that trains in no time."""

from __future__ import annotations

from palenka_tune.runs.study import new_study, open_study
from palenka_tune.spaces.space import IDLE, parse_space
from palenka_tune.trials.arms import HIDDEN, LOGITS, PLAIN, Arm
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.rows import COMPLETE

CONTINUOUS = {"alpha": {"log_uniform": [0.1, 10]}, "beta": {"log_uniform": [0.1, 100]}}
DISCRETE = {"alpha": {"choice": [0.1, 0.5, 0.9]}, "beta": {"choice": [0.1, 0.5]}}
RECIPE = {"recipe.lr": {"log_uniform": [1e-4, 1e-2]}}
CONSTANTS = {PLAIN: {"alpha": 0.0, "beta": 0.0}, LOGITS: {"beta": 0.0}, HIDDEN: {}}


def arms_for(raw, samples, has_fixed=True) -> list[Arm]:
    """The three arms of a space, with so many samples each: {arm: samples}."""
    space = parse_space(raw, "x")
    left = {
        PLAIN: space.without(("alpha", "beta", *IDLE["alpha"], *IDLE["beta"])),
        LOGITS: space.without(("beta", *IDLE["beta"])),
        HIDDEN: space,
    }
    return [Arm(name, left[name], CONSTANTS[name], samples.get(name, 0), has_fixed) for name in left]


def open_ledger(path, raw=CONTINUOUS, sampler="tpe", samples=6, seed=0, *, arms=None, rules=None) -> Ledger:
    """A ledger whose arms train their fixed settings, in the order plain, logits, hidden, before `hidden` has all the
    samples; a grid has no fixed setting there."""
    study = open_study(path, None, lambda: None) or new_study(path, None, lambda: None)
    if arms is None:
        plain, logits, hidden = arms_for(raw, {HIDDEN: samples})
        arms = [plain, logits, Arm(HIDDEN, hidden.space, {}, samples, has_fixed=sampler != "grid")]
    return Ledger(study, space=parse_space(raw, "x"), sampler=sampler, arms=arms, seed=seed, rules=rules)


def sum_of_weights(values) -> float:
    return values.get("alpha", 1) + values.get("beta", 1)


def end(ledger: Ledger, proposal, value: float, step: int = 10) -> None:
    """Train a proposal in no time to its end."""
    ledger.report(proposal.trial_id, step, value)
    ledger.note(proposal.trial_id, steps=step, tokens=10 * step, seconds=1.0)
    ledger.finish(proposal.trial_id, COMPLETE)


def run_all(ledger: Ledger, value=sum_of_weights) -> list[dict]:
    """Train every proposal in no time: its value is a function of its settings."""
    proposals = []
    while (proposal := ledger.ask()) is not None:
        proposals.append(proposal)
        end(ledger, proposal, value(proposal.values))
    return [proposal.values for proposal in proposals]
