"""Several runs beside each other: what each found, how fast, and whether their figures may be compared at all."""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.report.charts.comparison import runs_and_anchors_figure, runs_by_steps_figure, runs_contrasts_figure
from palenka_tune.report.data import COMPLETE, PRUNED, RunData, Trial
from palenka_tune.report.page import Section, Table
from palenka_tune.report.words import duration


def comparison(runs: Sequence[RunData]) -> Section:
    """The part of a report that has several runs."""
    drawn = (runs_by_steps_figure(runs), runs_and_anchors_figure(runs), runs_contrasts_figure(runs))
    figures = [figure for figure in drawn if figure]
    return Section("The runs beside each other", sentences(runs), [_table(runs)], figures)


def sentences(runs: Sequence[RunData]) -> list[str]:
    """Whether val/ce may be compared between the runs, and which is lowest."""
    apart = []
    for name in dict.fromkeys(name for run in runs for name in run.comparable):
        values = {run.name: run.comparable.get(name, "unknown") for run in runs}
        if len(set(values.values())) > 1:
            apart.append(f"{name} ({', '.join(f'{run}: {value}' for run, value in values.items())})")
    if apart:
        return [
            f"The runs differ in {'; '.join(apart)}: their val/ce are not of one kind, and differences between runs "
            "say nothing. What each run says against its own anchors holds."
        ]
    known = [(run.complete()[0].ce, run.name) for run in runs if run.complete()]
    if not known:
        return ["None of the runs has a proposed trial that was trained to the end."]
    value, name = min(known)
    return [
        "The runs share their data, student, budget and dev windows, so that their val/ce may be compared.",
        f"The lowest is that of {name}, {value:.4f} nats per token. It is one seed, and the more trials a run has, the "
        "luckier its best; only finalists of several seeds tell runs apart.",
    ]


def _table(runs: Sequence[RunData]) -> Table:
    header = ("run", "state", "trials", "steps run", "time", "best val/ce", "minus vanilla KD", "minus no distillation")
    rows = []
    for run in runs:
        ended = [trial for trial in run.trials if trial.state in (COMPLETE, PRUNED)]
        best = run.complete()[0] if run.complete() else None
        rows.append(
            (
                run.name,
                run.state,
                str(len(run.proposed())),
                f"{sum(trial.steps for trial in ended):,}",
                "" if run.seconds is None else duration(run.seconds),
                "" if best is None else f"{best.ce:.4f}",
                *(_minus(best, run.anchors().get(anchor)) for anchor in ("vanilla_kd", "no_distillation")),
            )
        )
    return Table(header, rows, "One seed each: the best proposed trial of a run against its own anchors.")


def _minus(best: Trial | None, anchor: Trial | None) -> str:
    return "" if best is None or anchor is None else f"{best.ce - anchor.ce:+.4f}"
