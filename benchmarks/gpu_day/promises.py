"""What is promised of a GPU, beside what was found on one.

The bounds are for the poster's sizes in bfloat16, batches of 32 windows of 128 tokens, on one NVIDIA H200.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.gpu_day.work import KINDS

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Promise:
    """`find` takes the figures of all stages; None as `bound` only reports."""

    what: str
    sense: Literal["least", "most"]
    bound: float | None
    find: Callable[[Figures], float]
    form: str = ",.3g"


@dataclass(frozen=True)
class Answer:
    """A line of the table; `kept` None: nothing was promised, or nothing is judged."""

    what: str
    bound: str
    found: str
    kept: bool | None


def median(figures: Figures, stage: str, name: str) -> float:
    return statistics.median(figures[stage][name])


def over(stage: str, below: str, name: str = "graph") -> Callable[[Figures], float]:
    """Tokens/s of one stage over another's."""
    return lambda f: median(f, stage, "graph") / median(f, below, name)


def worst(name: str) -> Callable[[Figures], float]:
    """Of all kinds of training."""
    return lambda f: max(float(f["right"][kind][name]) for kind in KINDS)


PROMISES = (
    Promise("plain, tokens/s", "least", 432_000, lambda f: median(f, "plain", "graph"), ",.0f"),
    Promise("plain, share of the card's bfloat16 arithmetic", "least", 0.13, lambda f: f["plain"]["share_of_peak"]),
    Promise("plain, kernels a step", "most", 750, lambda f: f["plain"]["kernels_a_step"], ",.0f"),
    Promise("exact, kernels a step", "most", 950, lambda f: f["exact"]["kernels_a_step"], ",.0f"),
    Promise("plain, share of the time in which the GPU is idle", "most", 0.05, lambda f: f["plain"]["idle_share"]),
    Promise("plain, CPU to launch a step, ms", "most", 0.5, lambda f: f["plain"]["launch_ms"]),
    Promise("exact : plain", "least", 0.85, over("exact", "plain")),
    Promise("sampled : plain", "least", 0.90, over("sampled", "plain")),
    Promise("exact : online, step by step", "least", 4, over("exact", "online", "one_by_one")),
    Promise("exact : online, in a graph too", "least", None, over("exact", "online")),
    Promise("exact : poster's loop", "least", None, over("exact", "online", "poster_loop")),
    Promise("exact, brought beside the steps : on the device", "least", None, lambda f: _staged(f)),
    Promise("compile and capture, cold, s", "most", 90, lambda f: f["plain"]["first_step_s"]),
    Promise("the same, warm, s", "most", 15, lambda f: f["processes"]["1"]["first_step_s"]),
    Promise("next trial, s", "most", 1, lambda f: max(f[kind]["next_trial_s"] for kind in KINDS)),
    Promise("float32, terms beside the loop's", "most", 1e-4, worst("float32")),
    Promise("bfloat16's distance from float32, of the loop's", "most", 1.5, worst("bfloat16_ratio")),
    Promise("resumed trainings with the same weights", "least", 1, lambda f: _resumed(f), ".0f"),
    Promise("two processes : one", "least", None, lambda f: _processes(f, 2)),
    Promise("four processes : one", "least", None, lambda f: _processes(f, 4)),
    Promise("a whole search ended", "least", 1, lambda f: float(f["search"]["state"] == "finished"), ".0f"),
)


def _staged(f: Figures) -> float:
    return median(f, "feeding", "staged") / median(f, "feeding", "resident")


def _resumed(f: Figures) -> float:
    return min(float(f["right"][kind]["resume_equal"]) for kind in KINDS)


def _processes(f: Figures, count: int) -> float:
    speeds = f["processes"]
    return float(speeds[str(count)]["tokens_per_second"] / speeds["1"]["tokens_per_second"])


def answers(figures: Figures, *, judge: bool) -> list[Answer]:
    """Every promise beside the figures; bounds are those of a GPU, so that a CPU is not to be judged by them."""
    found = []
    for promise in PROMISES:
        sign = {"least": "≥", "most": "≤"}[promise.sense]
        bound = "reported" if promise.bound is None else f"{sign} {promise.bound:{promise.form}}"
        try:
            value = promise.find(figures)
        except (KeyError, TypeError):  # a stage that failed or was left out, or a figure that a CPU has not
            found.append(Answer(promise.what, bound, "not measured", None))
            continue
        kept = None
        if judge and promise.bound is not None:
            kept = value >= promise.bound if promise.sense == "least" else value <= promise.bound
        found.append(Answer(promise.what, bound, f"{value:{promise.form}}", kept))
    return found


def markdown(found: list[Answer]) -> str:
    """The table of a page of docs."""
    words = {True: "kept", False: "**missed**", None: ""}
    lines = [f"| {each.what} | {each.bound} | {each.found} | {words[each.kept]} |" for each in found]
    return "\n".join(["| figure | promised | found | |", "|---|---:|---:|---|", *lines])
