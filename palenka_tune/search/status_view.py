"""A search's status for people: what is printed once, a live view for a terminal, a line for a log.

In: a `Status`. Out: renderables of rich, or text.
"""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from palenka_tune.search.status import Status, clock
from palenka_tune.tracking.store import ui_command

STYLES = {"finished": "green", "failed": "red", "killed": "red", "silent": "yellow", "stopped": "yellow"}


def view(status: Status) -> RenderableType:
    """All there is to see, from the state down to the command that goes on."""
    parts: list[RenderableType] = [
        Text.assemble(f"{status.run}  ", (headline(status), f"bold {STYLES.get(status.state, 'cyan')}")),
        Text(f"  {status.why}"),
    ]
    parts += [Text(f"  {name:<11}{value}") for name, value in facts(status)]
    if status.running:
        parts.append(_running(status))
    parts += [
        Text(f"  {work.name}: {f'{work.progress}, ' if work.progress else ''}moved {clock(work.age)} ago")
        for work in status.under_way
    ]
    parts += [Text(f"  warning: {warning}", style="yellow") for warning in status.warnings]
    if status.resume:
        parts.append(Text(f"  go on with it:  {status.resume}"))
    return Group(*parts)


def facts(status: Status) -> list[tuple[str, str]]:
    """(name, value) of what is known."""
    found = []
    if status.trials.get("planned") is not None:
        counts = status.trials
        parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in counts if counts[name] and name != "planned"]
        found.append(("trials", f"{counts['planned']} planned: {', '.join(parts) or 'none yet'}"))
    if status.finalists_done:
        found.append(("finalists", f"{status.finalists_done} students are trained"))
    if status.best:
        found.append(("best", f"{_best(status)}  ({status.best['settings']})"))
    anchors = [f"{name} {value:.4f}" for name, value in status.anchors.items() if value is not None]
    if anchors:
        found.append(("anchors", ", ".join(anchors)))
    if status.verdict:
        found.append(("verdict", status.verdict))
    if status.budget.get("saved_fraction") is not None:
        saved, run, full = (
            status.budget[name] for name in ("saved_fraction", "trial_steps_run", "trial_steps_full_grid")
        )
        found.append(("budget", f"{100 * (saved or 0):.0f} % saved by stopping early ({run:,} of {full:,} steps)"))
    times = []
    if status.elapsed is not None:
        times.append(f"{clock(status.elapsed)} so far" if status.is_running else f"{clock(status.elapsed)} in all")
    if status.left is not None:
        times.append(f"the trials take about {clock(status.left)} more")
    if status.tokens_per_second:
        times.append(f"{status.tokens_per_second:,.0f} tokens/s in {len(status.running)} trials")
    if times:
        found.append(("time", ", ".join(times)))
    found.append(("folder", status.folder))
    if status.mlflow is not None:
        known = f"run {status.mlflow.run_id}: " if status.mlflow.run_id else ""
        found.append(("MLflow", f"{known}{ui_command(status.mlflow.tracking_uri, Path(status.storage))}"))
    return found


def headline(status: Status) -> str:
    """The state in two or three words."""
    if status.is_running or status.state == "finished":
        return status.state
    return f"{status.state} while {status.stage if status.stage != 'finalists' else 'training finalists'}"


def line(status: Status) -> str:
    """One line for a log: time, state, trials, best, what is left."""
    parts = [f"{time.strftime('%H:%M:%S', time.localtime(status.at))} {status.run} {headline(status)}"]
    counts = status.trials
    if counts.get("planned") is not None:
        done = sum(counts[name] or 0 for name in ("complete", "pruned", "failed"))
        parts.append(f"{done}/{counts['planned']} trials")
    parts += [f"{trial.trial_id} {_step(trial.step, trial.total_steps)}" for trial in status.running]
    parts += [f"{work.name} {work.progress}".strip() for work in status.under_way]
    if status.best:
        parts.append(f"best {_best(status)}")
    if status.left is not None:
        parts.append(f"about {clock(status.left)} left")
    if status.warnings:
        parts.append(f"{len(status.warnings)} warnings, the first: {status.warnings[0]}")
    return ", ".join(parts)


def _best(status: Status) -> str:
    best = status.best or {}
    parts = [f"{best['trial_id']} val/ce {best['val_ce']:.4f}"]
    parts += [
        f"{best['val_ce'] - value:+.4f} against {name}" for name, value in status.anchors.items() if value is not None
    ]
    return ", ".join(parts)


def _step(step: int, total: int | None) -> str:
    return f"{step:,}/{total:,}" if total else f"{step:,}"


def _running(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("  running", "step", "val/ce", "node", "moved", "settings"):
        table.add_column(column, justify="right" if column in ("step", "val/ce", "moved") else "left")
    for trial in status.running:
        table.add_row(
            f"  {trial.trial_id}",
            _step(trial.step, trial.total_steps),
            "" if trial.val_ce is None else f"{trial.val_ce:.4f}",
            trial.node,
            f"{clock(trial.age)} ago",
            Text(trial.settings),
        )
    return table
