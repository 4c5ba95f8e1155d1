"""What the poster's search takes on a cluster, in hours and money, from counted operations and stated assumptions.

    python clusters/estimate.py [--gpus 8] [--utilisation 0.25] [--search grid|dskd]

In: how many GPUs, and what share of their peak is assumed. Out: a table of the parts, and what they take on the
machines of clusters/*.yaml. Operations are those of `palenka_tune.reproduce`; speeds and prices are assumptions, not
measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from palenka_tune.reproduce.dry_run import dry_run
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.samplers import startup_points
from palenka_tune.trials.arms import arms_of, trials_of

STUDENT, TEACHERS = "PalenkaLlama1-58M-L0.1-H0.5", ("teacher GPT2-705M", "teacher Llama-360M")
CACHE = "cache of GPT2-705M + Llama-360M"
TEACHER_BATCH = 128 * 128  # tokens of a step
MINUTES_PER_NODE = 10.0  # boot, drivers, an image of some 10 GB; a GPU is paid and does nothing


@dataclass(frozen=True)
class Machine:
    """A worker with one GPU: dense bfloat16 peak in TFLOP/s, network in Gbit/s, assumed prices in USD per hour."""

    name: str
    peak: float
    network: float
    spot: float
    on_demand: float
    head: float


# peaks by NVIDIA's data sheets, without sparsity; prices of late 2025 as remembered, which change: look them up
MACHINES = (
    Machine("AWS g6e.2xlarge (L40S)", 362, 10, 1.00, 2.24, 0.20),
    Machine("Google a2-highgpu-1g (A100 40 GB)", 312, 24, 1.50, 3.67, 0.19),
    Machine("your own H100, 100 Gbit/s", 989, 100, 0.0, 0.0, 0.0),
)


def asha_share(rungs: Sequence[float], reduction: int) -> float:
    """The share of all steps that is run when each rung lets exactly the best 1/reduction go on."""
    points = [*rungs, 1.0]
    alive, share, before = 1.0, 0.0, 0.0
    for point in points:
        share += alive * (point - before)
        alive, before = alive / reduction, point
    return share


def parts(space: str) -> dict[str, float]:
    """Floating-point operations of the poster's search, by part."""
    options = {"scale": "poster", "search.samples": 25 if space == "poster_grid" else 40, "search.seeds": 5}
    config = resolve(space, options=options)
    plan = dry_run("poster")
    rows: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in [*plan["rows"], *plan["shared"]]}
    settings, student = config.search, config.experiment.student
    full = float(rows[STUDENT]["flops"])  # six epochs on all windows
    arms = arms_of(config)
    unpaused = sum(arm.has_fixed + startup_points(settings.sampler, arm.samples) for arm in arms)
    share = asha_share(settings.rungs, settings.reduction)
    trials = (unpaused + (trials_of(arms) - unpaused) * share) * full * student.train_fraction
    again = len(arms) * settings.seeds
    return {
        "both teachers": sum(float(rows[name]["flops"]) for name in TEACHERS),
        "the cache of what they say": float(rows[CACHE]["flops"]),
        f"{trials_of(arms)} trials": trials,
        f"the best of each arm again: {again} students on all windows": again * full,
    }


def exchange_hours(machine: Machine, gpus: int) -> float:
    """Hours in which DDP over `gpus` nodes only exchanges the teachers' gradients (float32, a ring)."""
    rows = {entry["name"]: entry for entry in dry_run("poster")["shared"]}
    size = sum(rows[name]["parameters"] * rows[name]["tokens"] for name in TEACHERS) / TEACHER_BATCH
    return 2 * (gpus - 1) / gpus * 4 * size * 8 / (machine.network * 1e9) / 3600


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="estimate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gpus", type=int, default=8, help="workers with a GPU each (default: 8)")
    parser.add_argument("--utilisation", type=float, default=0.25, help="share of the peak (default: 0.25, assumed)")
    parser.add_argument("--search", choices=("grid", "dskd"), default="grid", help="which space (default: grid)")
    args = parser.parse_args(argv)
    if args.gpus < 1 or not 0 < args.utilisation <= 1:
        parser.error("--gpus is 1 or more, --utilisation above 0 and at most 1")
    counted = parts("poster_grid" if args.search == "grid" else "dskd")
    print("| part | PFLOP |\n|---|---:|")
    for name, flops in [*counted.items(), ("all", sum(counted.values()))]:
        print(f"| {name} | {flops / 1e15:,.0f} |")
    teachers, others = counted["both teachers"], sum(counted.values()) - counted["both teachers"]
    print(f"\n| {args.gpus} workers, {100 * args.utilisation:g} % of peak | teachers, on one |", end="")
    print(" all else, on all | hours | GPU-hours paid | USD spot | USD on demand | exchange of teachers' DDP on all |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for machine in MACHINES:
        speed = machine.peak * 1e12 * args.utilisation * 3600
        alone, together, boot = teachers / speed, others / speed / args.gpus, MINUTES_PER_NODE / 60
        hours = 2 * boot + alone + together
        paid = (boot + alone) + args.gpus * (boot + together)
        money = [
            f"{paid * price + hours * machine.head:,.0f}" if price else ""
            for price in (machine.spot, machine.on_demand)
        ]
        print(
            f"| {machine.name} | {alone:.1f} h | {together:.1f} h | {hours:.1f} | {paid:.0f} | {money[0]} | {money[1]} "
            f"| {exchange_hours(machine, args.gpus):.1f} h |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
