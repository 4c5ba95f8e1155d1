"""Runs that nobody trained: plain data as a search of any size would give it."""

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
from palenka_tune.trials.rows import TrialRow

TOTAL_STEPS = 900
RUNGS = (100, 300, 900)
SETTINGS = (
    Setting("alpha", "log_uniform", low=0.3, high=10.0),
    Setting("beta", "log_uniform", low=0.3, high=100.0),
    Setting("temperature", "choice", choices=(1, 2, 4)),
    Setting("beta_schedule", "choice", choices=("constant", "linear_decay")),
    Setting("projection.kind", "choice", choices=("linear", "mlp")),
    Setting("projection.rank", "choice", choices=(16, 32, 64, None)),
    Setting("projection.center", "choice", choices=(True, False), conditional=True),
    Setting("projection.normalize", "choice", choices=("layer_norm", "whiten", "none")),
)


def trial(number: int, settings: dict[str, Any], state: str = "COMPLETE", val_ce: float = 5.0, **more: Any) -> TrialRow:
    """A trial that ended as it is said, at the rung that belongs to it."""
    reached = {"COMPLETE": 3, "PRUNED": 1 + number % 2, "FAILED": 0, "RUNNING": 1}[state]
    curve = {step: val_ce + 0.4 * (3 - place) for place, step in enumerate(RUNGS[:reached], 1)}
    steps = RUNGS[reached - 1] if reached else 20
    ended = curve[steps] if reached else None
    weights = settings.get("alpha", 0) + 0.5 * settings.get("beta", 0)
    return TrialRow(
        f"trial-{number:04d}",
        state,
        more.pop("anchor", None),
        settings,
        curve=curve,
        val_ce=ended,
        val_total=None if ended is None else ended + weights,
        steps=steps,
        tokens=64 * steps,
        seconds=0.02 * steps,
        reason={"PRUNED": "stopped by ASHA", "FAILED": "diverged: nan"}.get(state),
        **more,
    )


def draw(number: int, rng: random.Random) -> TrialRow:
    """A proposed trial whose val/ce depends on beta most, then on the normalisation."""
    values: dict[str, Any] = {
        setting.name: math.exp(rng.uniform(math.log(setting.low), math.log(setting.high)))
        if setting.kind == "log_uniform"
        else rng.choice(setting.choices)
        for setting in SETTINGS
        if not setting.conditional
    }
    if values["projection.rank"] is None:
        values["projection.center"] = rng.choice((True, False))
    values = {setting.name: values[setting.name] for setting in SETTINGS if setting.name in values}
    ce = 4.6 + 0.1 * (math.log(values["beta"] / 8)) ** 2 + 0.2 * (values["projection.normalize"] == "none")
    state = rng.choices(("COMPLETE", "PRUNED", "FAILED"), (5, 4, 0.3))[0]
    return trial(number, values, state, ce + rng.gauss(0, 0.02))


def anchors() -> list[TrialRow]:
    """Both of them, trained to the end."""
    return [
        trial(0, {"alpha": 0.0, "beta": 0.0}, val_ce=5.2, anchor="no_distillation"),
        trial(1, {"alpha": 1.0, "beta": 0.0}, val_ce=5.0, anchor="vanilla_kd"),
    ]


def models(paradigms: int = 67, names: tuple[str, ...] = ("best student", "no_distillation", "vanilla_kd")):
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
        role = "teacher" if "tiny" in name else "anchor" if "_" in name else "student"
        found.append(Model(name, role, 4.6, {"blimp": SuiteScore(mean, 0.002, tuple(sets))}, 426_560))
    return tuple(found)


def finalists() -> Finalists:
    """Two finalists: one that helped, one that cannot be told apart."""
    header = ("configuration", "measure", "seeds", "mean ± sd", "minus vanilla KD", "minus no distillation")
    rows = (
        ("vanilla KD", "dev CE (nats per token)", "3", "4.2155 ± 0.0013", "", "-0.073 ± 0.012"),
        ("trial-0007", "dev CE (nats per token)", "3", "4.1755 ± 0.0021", "-0.0400 ± 0.0021", "-0.113 ± 0.010"),
    )
    return Finalists(
        "Best of 2 finalists: deep supervision (trial-0007, β 3.12) lowered dev CE by 0.040 ± 0.002 nats per token "
        "against vanilla KD (3 seeds, 95 % interval).",
        2,
        header,
        rows,
        (
            Contrast("trial-0007", "val_ce", -0.04, -0.042, -0.038, (-0.041, -0.040, -0.039)),
            Contrast("trial-0009", "val_ce", 0.001, -0.010, 0.012, (-0.004, 0.001, 0.006)),
            Contrast("trial-0007", "blimp", 0.006, -0.003, 0.015, (0.002, 0.006, 0.010)),
        ),
    )


def run(count: int = 40, name: str = "first", seed: int = 0, **more: Any) -> RunData:
    """A finished search of `count` proposed trials; `more` replaces what `RunData` holds."""
    rng = random.Random(seed)
    drawn = [draw(number, rng) for number in range(2, count + 2)]
    given: dict[str, Any] = {
        "name": name,
        "state": "finished",
        "settings": SETTINGS,
        "trials": (*anchors(), *drawn),
        "spreads": {each.trial_id: rng.uniform(0.2, 1.0) for each in drawn},
        "total_steps": TOTAL_STEPS,
        "seconds": 380.0,
        "asked": ("It searched alpha, beta and how hidden states are projected.",),
        "facts": (("torch", "2.13.0"), ("git commit", "0123456789ab"), ("data fingerprint", "fedcba9876543210")),
        "models": models(),
        "finalists": finalists(),
        "finalists_asked": 2,
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
    return RunData(**{**given, **more})


def grid_run(size: int = 5, **more: Any) -> RunData:
    """A finished grid over the two weights, in which val/total is a line in beta and val/ce falls with it."""
    weights = tuple(round(0.1 + 0.2 * place, 1) for place in range(size))
    settings = tuple(Setting(name, "choice", choices=weights) for name in ("alpha", "beta"))
    trials = list(anchors())
    for alpha in weights:
        for beta in weights:
            ce = 5.2 - 0.01 * alpha - 0.05 * beta
            row = trial(len(trials), {"alpha": alpha, "beta": beta}, val_ce=ce)
            trials.append(dataclasses.replace(row, val_total=ce + 0.3 * alpha + 5.95 * beta))
    return run(name="grid", **{"settings": settings, "trials": tuple(trials), "layers": (), **more})


def run_to(value: float, name: str, **more: Any) -> RunData:
    """A run whose best trial came to `value`."""
    return run(name=name, trials=(*anchors(), trial(2, {"beta": 1.0}, val_ce=value)), **more)
