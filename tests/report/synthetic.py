"""Runs that nobody trained: plain data as a search of any size would give it.

A run has three arms. Trials of `plain` have the learning rate alone, those of `logits` alpha and the temperature too,
those of `hidden` all settings. Start-up points are shared: a point of one arm has a twin in the others.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

from palenka_tune.report.data import (
    Contrast,
    Finalists,
    Layer,
    Model,
    Paradigm,
    RunData,
    Setting,
    SuiteScore,
)
from palenka_tune.spaces.samplers import startup_points
from palenka_tune.trials.arms import FIXED, HIDDEN, LOGITS, PLAIN, PROPOSED, STARTUP, shared_out
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED, TrialRow

TOTAL_STEPS = 900
RUNGS = (225, 450, 900)
SHARES = {PLAIN: 1.0, LOGITS: 2.0, HIDDEN: 2.0}
SETTINGS = (
    Setting("recipe.lr", "log_uniform", low=0.0003, high=0.003),
    Setting("alpha", "log_uniform", low=0.3, high=100.0),
    Setting("temperature", "choice", choices=(1, 1.5, 2)),
    Setting("beta", "log_uniform", low=0.3, high=100.0),
    Setting("beta_schedule", "choice", choices=("constant", "linear_decay")),
    Setting("projection.kind", "choice", choices=("linear", "mlp")),
    Setting("projection.rank", "choice", choices=(16, 32, 64, None)),
    Setting("projection.center", "choice", choices=(True, False), conditional=True),
    Setting("projection.normalize", "choice", choices=("layer_norm", "whiten", "none")),
)
OF_ARM = {PLAIN: SETTINGS[:1], LOGITS: SETTINGS[:3], HIDDEN: SETTINGS}
FIXED_VALUES = {
    "recipe.lr": 0.001,
    "alpha": 1.0,
    "temperature": 2,
    "beta": 1.0,
    "beta_schedule": "constant",
    "projection.kind": "linear",
    "projection.rank": 64,
    "projection.normalize": "layer_norm",
}


def trial(
    number: int,
    settings: dict[str, Any],
    state: str = COMPLETE,
    val_ce: float = 5.0,
    *,
    arm: str = HIDDEN,
    origin: str = PROPOSED,
    early: tuple[float, float] = (0.8, 0.4),
) -> TrialRow:
    """A trial that ended as it is said, at the rung that belongs to it; at the rungs it was `early` above its end."""
    reached = {COMPLETE: 3, PRUNED: 1 + number % 2, FAILED: 0, "RUNNING": 1}[state]
    curve = {step: val_ce + above for step, above in zip(RUNGS[:reached], (*early, 0.0)[:reached], strict=True)}
    steps = RUNGS[reached - 1] if reached else 20
    ended = curve[steps] if reached else None
    weights = settings.get("alpha", 0) + 0.5 * settings.get("beta", 0)
    return TrialRow(
        f"trial-{number:04d}",
        state,
        arm,
        origin,
        settings,
        curve=curve,
        val_ce=ended,
        val_total=None if ended is None else ended + weights,
        steps=steps,
        tokens=64 * steps,
        seconds=0.02 * steps,
        reason={PRUNED: f"asha paused it at step {steps}", FAILED: "diverged: nan"}.get(state),
    )


def draw(number: int, arm: str, origin: str, point: random.Random, rng: random.Random) -> TrialRow:
    """A trial at a random `point`, whose val/ce depends on beta most, then on the normalisation."""
    values: dict[str, Any] = {
        setting.name: math.exp(point.uniform(math.log(setting.low), math.log(setting.high)))
        if setting.kind == "log_uniform"
        else point.choice(setting.choices)
        for setting in SETTINGS
        if not setting.conditional
    }
    if values["projection.rank"] is None:
        values["projection.center"] = point.choice((True, False))
    values = {setting.name: values[setting.name] for setting in OF_ARM[arm] if setting.name in values}
    ce = {PLAIN: 5.0, LOGITS: 4.8, HIDDEN: 4.6}[arm] + 0.02 * math.log(values["recipe.lr"] / 0.001) ** 2
    if arm == HIDDEN:
        ce += 0.1 * math.log(values["beta"] / 8) ** 2 + 0.2 * (values["projection.normalize"] == "none")
    states = (COMPLETE,) if origin == STARTUP else (COMPLETE, PRUNED, FAILED)
    state = rng.choices(states, (5, 4, 0.3)[: len(states)])[0]
    early = 0.8 + rng.gauss(0, 0.15), 0.4 + rng.gauss(0, 0.06)
    if state == PRUNED:
        early = 0.8 + abs(rng.gauss(0.6, 0.6)), 0.4 + abs(rng.gauss(0.4, 0.4))
    return trial(number, values, state, ce + rng.gauss(0, 0.02), arm=arm, origin=origin, early=early)


def fixed() -> list[TrialRow]:
    """The fixed setting of each arm, trained to its end."""
    ends = {PLAIN: 5.2, LOGITS: 5.0, HIDDEN: 4.95}
    found = []
    for number, (arm, value) in enumerate(ends.items()):
        names = [setting.name for setting in OF_ARM[arm]]
        settings = {name: value for name, value in FIXED_VALUES.items() if name in names}
        found.append(trial(number, settings, val_ce=value, arm=arm, origin=FIXED))
    return found


def drawn(count: int, seed: int = 0) -> list[TrialRow]:
    """`count` trials that the arms share: start-up points, the same for all arms, and then others; arms take turns."""
    rng, samples = random.Random(seed), shared_out(count, SHARES)
    made = dict.fromkeys(samples, 0)
    found: list[TrialRow] = []
    while len(found) < count:
        arm = min((each for each in made if made[each] < samples[each]), key=lambda each: made[each] / samples[each])
        is_startup = made[arm] < startup_points("tpe", samples[arm])
        point = random.Random(f"{seed} {made[arm]} {'' if is_startup else arm}")
        found.append(draw(len(found) + len(SHARES), arm, STARTUP if is_startup else PROPOSED, point, rng))
        made[arm] += 1
    return found


def models(paradigms: int = 67, names: tuple[str, ...] = ("best of hidden", "best of plain", "best of logits")):
    """Models that were scored on a suite of so many sets."""
    rng = random.Random(1)
    found = []
    for name in (*names, "GPT2-tiny", "Llama-tiny"):
        sets = []
        for number in range(paradigms):
            accuracy = rng.uniform(0.3, 0.9)
            error = math.sqrt(accuracy * (1 - accuracy) / 999)
            sets.append(Paradigm(f"sentential_negation_npi_licensor_{number}", f"term_{number % 13}", accuracy, error))
        mean = sum(each.accuracy for each in sets) / paradigms
        role = "teacher" if "tiny" in name else name.split()[-1]
        found.append(Model(name, role, 4.6, {"blimp": SuiteScore(mean, 0.002, tuple(sets))}, 426_560))
    return tuple(found)


def finalists(of: dict[str, TrialRow] | None = None) -> Finalists:
    """The verdict on three arms: one difference that is there, one that cannot be told. `of` are the best trials."""
    names = {arm: f"trial-{number:04d}" for number, arm in enumerate(SHARES)}
    names |= {arm: row.trial_id for arm, row in (of or {}).items()}
    ends = {PLAIN: 5.0, LOGITS: 4.8, HIDDEN: 4.6} | {arm: row.ce for arm, row in (of or {}).items()}
    header = ("arm", "measure", "seeds", "mean ± sd", "minus logits", "minus plain")
    rows = (
        (f"plain ({names[PLAIN]})", "test CE (nats per token)", "5", "4.2885 ± 0.0013", "", ""),
        (f"logits ({names[LOGITS]})", "test CE (nats per token)", "5", "4.2155 ± 0.0013", "", "-0.073 ± 0.012"),
        (f"hidden ({names[HIDDEN]})", "test CE (nats per token)", "5", "4.2145 ± 0.0021", "-0.001 ± 0.011", "-0.074"),
    )
    return Finalists(
        f"Best: hidden ({names[HIDDEN]}), 4.2145 nats per token on test (5 fresh seeds). hidden against logits is "
        "undecided: -0.0010 nats per token (95 % interval -0.0120 to +0.0100); about 40 seeds would decide. logits is "
        "better than plain: -0.0730 nats per token (95 % interval -0.0850 to -0.0610).",
        header,
        rows,
        (
            Contrast("hidden − logits", "test_ce", -0.001, -0.012, 0.010, (-0.006, -0.001, 0.004)),
            Contrast("logits − plain", "test_ce", -0.073, -0.085, -0.061, (-0.080, -0.073, -0.066)),
            Contrast("hidden − plain", "test_ce", -0.074, -0.086, -0.062, (-0.081, -0.074, -0.067)),
            Contrast("hidden − logits", "blimp", 0.006, -0.003, 0.015, (0.002, 0.006, 0.010)),
        ),
        winner=names[HIDDEN],
        margin=0.01,
        fresh={names[arm]: tuple(ends[arm] + shift for shift in (0.01, 0.02, 0.03)) for arm in SHARES},
    )


def run(count: int = 40, name: str = "first", seed: int = 0, **more: Any) -> RunData:
    """A finished search of `count` trials beside the fixed ones; `more` replaces what `RunData` holds."""
    rng = random.Random(seed)
    trials = (*fixed(), *drawn(count, seed))
    given: dict[str, Any] = {
        "name": name,
        "state": "finished",
        "settings": SETTINGS,
        "trials": trials,
        "spreads": {each.trial_id: rng.uniform(0.2, 1.0) for each in trials if each.arm == HIDDEN},
        "total_steps": TOTAL_STEPS,
        "seconds": 380.0,
        "asked": ("It searched recipe.lr, alpha, beta and how hidden states are projected.",),
        "facts": (("torch", "2.13.0"), ("git commit", "0123456789ab"), ("data fingerprint", "fedcba9876543210")),
        "models": models(),
        "seeds_asked": 5,
        "layers": tuple(
            Layer(
                teacher, state, {rank: min(1.0, 0.3 + 0.1 * math.log2(rank) + 0.02 * state) for rank in (1, 4, 16, 64)}
            )
            for teacher in ("GPT2-tiny", "Llama-tiny")
            for state in range(5)
        ),
        "cache": (("teacher cache", "1.2 GB, 96 bytes a token"),),
        "commands": ("python -m palenka_tune.search first/search.yaml --name first-again",),
        "configuration": "seed: 0\nsearch:\n  samples: 40\n",
        "comparable": {"data": "fedcba9876543210"},
    }
    made = RunData(**{**given, **more})
    return made if "finalists" in more else dataclasses.replace(made, finalists=finalists(made.arms()))


def grid_run(size: int = 5, **more: Any) -> RunData:
    """A finished grid over the two weights, in which val/total is a line in beta and val/ce falls with it."""
    weights = tuple(round(0.1 + 0.2 * place, 1) for place in range(size))
    settings = tuple(Setting(name, "choice", choices=weights) for name in ("alpha", "beta"))
    trials = [dataclasses.replace(each, settings={}) for each in fixed()[:2]]
    for alpha in weights:
        for beta in weights:
            ce = 5.2 - 0.01 * alpha - 0.05 * beta
            row = trial(len(trials), {"alpha": alpha, "beta": beta}, val_ce=ce)
            trials.append(dataclasses.replace(row, val_total=ce + 0.3 * alpha + 5.95 * beta))
    return run(name="grid", **{"settings": settings, "trials": tuple(trials), "layers": (), **more})


def run_to(value: float, name: str, **more: Any) -> RunData:
    """A run whose best trial of `hidden` came to `value`."""
    return run(name=name, trials=(*fixed()[:2], trial(2, {"beta": 1.0}, val_ce=value)), **more)
