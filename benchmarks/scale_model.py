"""How long the poster's search would take on 8, 64 and 512 GPUs, by a model, and what holds it up at each size.

    python -m benchmarks.scale_model [--gpus 8 64 512] [--samples 40] [--json FILE]

Nothing is run: operations are counted from the presets (`reproduce.cost`), bytes from the cache's own plan
(`cache.plan`), DDP workers from the teacher trainer's own rule, and what early stopping saves by playing the search's
own rungs (`search.rungs`) on that many places. Everything else is an assumption; each has a name, a default and an
option, and is printed with the result. Phases follow one another as they do in a search.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence

from benchmarks.harness import Report, parser
from benchmarks.scale_phases import GB, HOUR, Assumptions, Search, phases, planned, tracking, useful_hours
from palenka_tune.commands.options import run
from palenka_tune.errors import UserError


def main(argv: Sequence[str]) -> int:
    arguments = parser("scale_model", __doc__.partition("\n\n")[0])
    arguments.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512], help="sizes (default: 8 64 512)")
    for each in dataclasses.fields(Assumptions):
        option = f"--{each.name.replace('_', '-')}"
        kind = int if isinstance(each.default, int) and each.name in ("samples", "rank", "gpus_per_node") else float
        arguments.add_argument(
            option,
            type=kind,
            default=each.default,
            metavar="N",
            help=f"{each.metadata['help']} (default: {each.default:g})",
        )
    args = arguments.parse_args(argv)
    assumed = checked(args)
    search = Search.make(assumed)
    report(search, assumed, args.gpus).publish(args.json)
    return 0


def checked(args: argparse.Namespace) -> Assumptions:
    """The assumptions as given; raises `UserError` for one that cannot be."""
    values = {each.name: getattr(args, each.name) for each in dataclasses.fields(Assumptions)}
    for name, value in {**values, "gpus": min(args.gpus)}.items():
        least = 0 if name in ("rank", "pass_ms") or name.endswith(("minutes", "seconds", "_ms")) else None
        if not math.isfinite(value) or (value < least if least is not None else value <= 0):
            raise UserError(f"--{name.replace('_', '-')} is {value:g}; give more than 0")
    return Assumptions(**values)


def report(search: Search, assumed: Assumptions, sizes: Sequence[int]) -> Report:
    """Hours of every phase at every size, and what holds up each."""
    found = {gpus: phases(search, assumed, gpus) for gpus in sizes}
    totals = {gpus: sum(phase.hours for phase in parts) for gpus, parts in found.items()}
    names = ("start", "teachers", "statistics", "cache built", "cache to nodes", "trials", "finalists", "scores")
    rows = [
        (name, *(f"{found[gpus][number].hours:.2f} ({found[gpus][number].limit})" for gpus in sizes))
        for number, name in enumerate(names)
    ]
    rows.append(("in all", *(f"{totals[gpus]:.2f}" for gpus in sizes)))
    useful = {gpus: useful_hours(search, assumed, gpus) for gpus in sizes}
    rows.append(("GPU hours paid", *(f"{gpus * totals[gpus]:,.0f}" for gpus in sizes)))
    rows.append(("of them computing", *(f"{100 * useful[gpus] / (gpus * totals[gpus]):.1f} %" for gpus in sizes)))
    size, read = search.plan.bytes_per_token(), search.bytes_per_trial_token
    flops = f"{search.student_flops / 1e6:,.0f} MFLOP"
    notes = [
        f"{search.tokens:,} tokens of train; a student: {search.steps:,} steps, {flops} and "
        f"{read:,.0f} bytes of the cache a token, checkpoints of {search.checkpoint_bytes / GB:.2f} GB",
        f"cache: {search.plan.describe()}; {size:,} bytes a token, {search.cache_bytes / 1e12:.2f} TB",
    ]
    for gpus in sizes:
        worst = max(found[gpus], key=lambda phase: phase.hours)
        share = worst.hours / totals[gpus]
        notes.append(f"{gpus} GPUs: first bottleneck {worst.name}: {worst.limit} ({100 * share:.0f} % of the time)")
    minutes = search.config.search.checkpoint_minutes
    for gpus in sizes:
        places = min(gpus, planned(search))
        writing = places * search.checkpoint_bytes / (60 * minutes) / GB
        seconds = {name: hours * HOUR for name, hours in tracking(search, assumed, gpus).items()}
        proposing = places * assumed.proposal_seconds
        notes.append(
            f"{gpus} GPUs: {places} trials at a time; the driver proposes for {proposing:,.0f} s before all train, "
            f"{', '.join(f'{name} takes {value:,.0f} s' for name, value in seconds.items())}; "
            f"checkpoints write {writing:.2f} GB/s to the storage"
        )
    notes += ["assumed:"] + [
        f"  --{each.name.replace('_', '-')} {getattr(assumed, each.name):g}: {each.metadata['help']}"
        for each in dataclasses.fields(Assumptions)
    ]
    return Report(
        "scale_model",
        "The poster's search by a model: hours, and what limits each phase",
        {"gpus": list(sizes), **dataclasses.asdict(assumed)},
        ("phase", *(f"{gpus} GPUs" for gpus in sizes)),
        rows,
        details={
            "hours": totals,
            "phases": {gpus: [{"name": p.name, "limits": p.limits} for p in parts] for gpus, parts in found.items()},
        },
        notes=notes,
    )


if __name__ == "__main__":
    raise SystemExit(run(main))
