"""What is promised of a GPU, beside what was found on one.

The bounds are for the poster's sizes in bfloat16, batches of 32 windows of 128 tokens, on one NVIDIA H200.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.gpu_day.right import largest
from benchmarks.gpu_day.work import KINDS

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Promise:
    """`find` takes the figures of the stages `needs` and of others; None as `bound` only reports."""

    what: str
    sense: Literal["least", "most"]
    bound: float | None
    needs: tuple[str, ...]
    find: Callable[[Figures], float]
    form: str = ",.3g"


@dataclass(frozen=True)
class Answer:
    """A line of the table; `kept` None: nothing was promised, or nothing is judged. A promise of which a stage that
    ran gave no figure is not kept."""

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
    return lambda f: largest(float(f["right"][kind][name]) for kind in KINDS)


PLAIN, ONLINE, RIGHT, PROCESSES = ("plain",), ("exact", "online"), ("right",), ("processes",)
PROMISES = (
    Promise("plain, tokens/s", "least", 432_000, PLAIN, lambda f: median(f, "plain", "graph"), ",.0f"),
    Promise(
        "plain, share of the card's bfloat16 arithmetic", "least", 0.13, PLAIN, lambda f: f["plain"]["share_of_peak"]
    ),
    Promise("plain, kernels a step", "most", 750, PLAIN, lambda f: f["plain"]["kernels_a_step"], ",.0f"),
    Promise("exact, kernels a step", "most", 950, ("exact",), lambda f: f["exact"]["kernels_a_step"], ",.0f"),
    Promise("plain, share of a step in which the GPU is idle", "most", 0.05, PLAIN, lambda f: f["plain"]["idle_share"]),
    Promise("plain, CPU to launch a step, ms", "most", 0.5, PLAIN, lambda f: f["plain"]["launch_ms"]),
    Promise("plain, peak memory, GiB", "most", 4.6, PLAIN, lambda f: f["plain"]["peak_gib"]),
    Promise("exact : plain", "least", 0.85, ("exact",), lambda f: f["exact"]["of_plain"][0]),
    Promise("sampled : plain", "least", 0.90, ("sampled",), lambda f: f["sampled"]["of_plain"][0]),
    Promise("exact : online, step by step", "least", 4, ONLINE, over("exact", "online", "one_by_one")),
    Promise("exact : online, in a graph too", "least", None, ONLINE, over("exact", "online")),
    Promise("exact : poster's loop", "least", None, ONLINE, over("exact", "online", "poster_loop")),
    Promise("exact, brought beside the steps : on the device", "least", None, ("feeding",), lambda f: _staged(f)),
    Promise("compile and capture, cold, s", "most", 90, PLAIN, lambda f: f["plain"]["first_step_s"]),
    Promise("the same, warm, s", "most", 15, ("exact",), lambda f: f["exact"]["plain_first_step_s"]),
    Promise("next trial, s", "most", 1, KINDS, lambda f: largest(f[kind]["next_trial_s"] for kind in KINDS)),
    Promise("float32, terms beside the loop's", "most", 1e-4, RIGHT, worst("float32")),
    Promise("bfloat16's distance from float32, of the loop's", "most", 1.5, RIGHT, worst("bfloat16_ratio")),
    Promise("resumed trainings are the same", "least", 1, RIGHT, lambda f: _resumed(f), ".0f"),
    Promise("two processes : one", "least", None, PROCESSES, lambda f: _processes(f, 2)),
    Promise("four processes : one", "least", None, PROCESSES, lambda f: _processes(f, 4)),
    Promise(
        "a whole search ended", "least", None, ("search",), lambda f: float(f["search"]["state"] == "finished"), ".0f"
    ),
)


def _staged(f: Figures) -> float:
    return median(f, "feeding", "staged") / median(f, "feeding", "resident")


def _resumed(f: Figures) -> float:
    return min(float(f["right"][kind]["resume_equal"]) for kind in KINDS)


def _processes(f: Figures, count: int) -> float:
    speeds = f["processes"]
    return float(speeds[str(count)]["tokens_per_second"] / speeds["1"]["tokens_per_second"])


def answers(figures: Figures, *, judge: bool) -> list[Answer]:
    """Every promise beside the figures of the stages that ran; bounds are those of a GPU, so that a CPU is not to be
    judged by them."""
    found = []
    for promise in PROMISES:
        sign = {"least": "≥", "most": "≤"}[promise.sense]
        bound = "reported" if promise.bound is None else f"{sign} {promise.bound:{promise.form}}"
        judged = judge and promise.bound is not None and all(name in figures for name in promise.needs)
        try:
            value = float(promise.find(figures))
        except (KeyError, TypeError):  # a stage that failed or was left out, or a figure that a CPU has not
            found.append(Answer(promise.what, bound, "not measured", False if judged else None))
            continue
        kept = None
        if judged and promise.bound is not None:
            kept = value >= promise.bound if promise.sense == "least" else value <= promise.bound
        found.append(Answer(promise.what, bound, f"{value:{promise.form}}", kept))
    return found


def markdown(found: list[Answer]) -> str:
    """The table of a page of docs."""
    words = {True: "kept", False: "**missed**", None: ""}
    lines = [f"| {each.what} | {each.bound} | {each.found} | {words[each.kept]} |" for each in found]
    return "\n".join(["| figure | promised | found | |", "|---|---:|---:|---|", *lines])
