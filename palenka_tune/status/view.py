"""A search's status for people: what is printed once, a live view for a terminal, lines for a log.

A search that runs shows itself by its `Display`, which reads study and files as `status` does.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from palenka_tune.runs import cost
from palenka_tune.status.live_table import best_table, running_table, step_of
from palenka_tune.status.reader import Status, StatusReader
from palenka_tune.tracking.store import ui_command
from palenka_tune.trials.ledger import Proposal
from palenka_tune.trials.rows import COMPLETE, PAUSED, PRUNED
from palenka_tune.words import clock, plural

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
SILENT_SECONDS = 120.0  # after which a log says where the search stands
STYLES = {"finished": "green", "failed": "red", "killed": "red", "silent": "yellow", "stopped": "yellow"}
BARS = "▁▂▃▄▅▆▇█"
WIDEST = 60  # characters of a sparkline
LEADERS = 5  # trials that a live view lists


def view(status: Status, *, within: bool = False) -> RenderableType:
    """The whole status, from the state to the resume command. `within`: shown by the search itself, so folder and
    process are left out."""
    parts: list[RenderableType] = [
        Text.assemble(f"{status.run}  ", (headline(status), f"bold {STYLES.get(status.state, 'cyan')}")),
    ]
    if not within:
        parts.append(Text(f"  {status.why}"))
    parts += [Text(f"  {name:<11}{value}") for name, value in facts(status, within=within)]
    if len(best := best_so_far(status)) > 1:
        parts.append(Descent(best))
    parts += [Text(f"  warning: {warning}", style="yellow") for warning in status.warnings]
    if status.running:
        parts.append(running_table(status, within))
    leaders = sorted((trial for trial in status.ended if trial.rank), key=lambda trial: trial.rank or 0)[:LEADERS]
    if len(leaders) > 1:
        parts.append(best_table(leaders, within))
    parts += [
        Text(f"  {work.name}: {f'{work.progress}, ' if work.progress else ''}moved {clock(work.age)} ago")
        for work in status.under_way
    ]
    if status.costs and not within:
        parts.append(cost.table(status.costs))
    if status.resume:
        parts.append(Text(f"  resume it:  {status.resume}"))
    return Group(*parts)


class Descent:
    """The best val/ce after each trial that ended, as a sparkline; only its ends where blocks cannot be shown."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        bars = "" if options.ascii_only else f"{sparkline(self.values)}  "
        ends = f"{self.values[0]:.4f} to {self.values[-1]:.4f}"
        yield Text(f"  {'so far':<11}{bars}best val/ce {ends} over {plural(len(self.values), 'trial')} that ended")


def sparkline(values: list[float], widest: int = WIDEST) -> str:
    """One block per value, the lowest for the least; of more than `widest` values some are left out."""
    if len(values) > widest:
        values = [values[round(i * (len(values) - 1) / (widest - 1))] for i in range(widest)]
    least, span = min(values), max(values) - min(values)
    return "".join(BARS[round((value - least) / span * (len(BARS) - 1)) if span else 0] for value in values)


def best_so_far(status: Status) -> list[float]:
    """The lowest val/ce of the trials that were trained to their end, after each trial that ended."""
    best: list[float] = []
    for trial in status.ended:
        complete = [trial.val_ce] if trial.state == COMPLETE and trial.val_ce is not None else []
        if best or complete:
            best.append(min([*best[-1:], *complete]))
    return best


def facts(status: Status, *, within: bool = False) -> list[tuple[str, str]]:
    """(name, value) of each line of the view."""
    lines = []
    if status.trials.get("planned") is not None:
        counts = status.trials
        parts = [f"{counts[name]} {name.replace('_', ' ')}" for name in counts if counts[name] and name != "planned"]
        lines.append(("trials", f"{counts['planned']} planned: {', '.join(parts) or 'none yet'}"))
    if status.finalists_done:
        lines.append(("finalists", f"{plural(status.finalists_done, 'student')} trained"))
    if status.best:
        lines.append(("best", f"{_best(status)}  ({status.best['settings']})"))
    arms = [f"{name} {value:.4f}" for name, value in status.arms.items() if value is not None]
    if arms:
        lines.append(("arms", f"the best so far: {', '.join(arms)}"))
    if status.verdict:
        lines.append(("verdict", status.verdict))
    if status.budget.get("saved_fraction") is not None:
        saved, run, full = (
            status.budget[name] for name in ("saved_fraction", "trial_steps_run", "trial_steps_full_grid")
        )
        lines.append(("budget", f"{100 * (saved or 0):.0f} % saved by pausing ({run:,} of {full:,} steps)"))
    times = []
    if status.elapsed is not None:
        times.append(f"{clock(status.elapsed)} so far" if status.is_running else f"{clock(status.elapsed)} in all")
    if status.left is not None:
        times.append(f"about {clock(status.left)} left, all stages counted")
    if status.tokens_per_second:
        many = "trial" if len(status.running) == 1 else "trials"
        times.append(f"{status.tokens_per_second:,.0f} tokens/s in {len(status.running)} {many}")
    if times:
        lines.append(("time", ", ".join(times)))
    if within:
        return lines
    lines.append(("folder", status.folder))
    if status.mlflow is not None:
        prefix = f"run {status.mlflow.run_id}: " if status.mlflow.run_id else ""
        ui = ui_command(status.mlflow.tracking_uri, Path(status.storage), status.mlflow.experiment_id)
        lines.append(("MLflow", f"{prefix}{ui}"))
    return lines


def headline(status: Status) -> str:
    """The state in two or three words."""
    if status.is_running or status.state == "finished":
        return status.state
    return f"{status.state} while {status.stage if status.stage != 'finalists' else 'training finalists'}"


def line(status: Status) -> str:
    """One line for a log: time, state, trials, best, time left."""
    parts = [f"{time.strftime('%H:%M:%S', time.localtime(status.at))} {status.run} {headline(status)}"]
    counts = status.trials
    if counts.get("planned") is not None:
        done = sum(counts[name] or 0 for name in ("complete", "pruned", "failed"))
        parts.append(f"{done}/{counts['planned']} trials")
    parts += [f"{trial.trial_id} {step_of(trial.step, trial.total_steps)}" for trial in status.running]
    parts += [f"{work.name} {work.progress}".strip() for work in status.under_way]
    if status.best:
        parts.append(f"best {_best(status)}")
    if status.left is not None:
        parts.append(f"about {clock(status.left)} left")
    if status.warnings:
        parts.append(f"{plural(len(status.warnings), 'warning')}, the first: {status.warnings[0]}")
    return ", ".join(parts)


def finished_line(status: Status, trial_id: str) -> str:
    """One line for a log when the trial has ended: how it ended, the best so far, time left."""
    trial = next(trial for trial in status.ended if trial.trial_id == trial_id)
    shown = "" if trial.val_ce is None else f"val/ce {trial.val_ce:.4f}  "
    total = status.rungs[-1] if status.rungs else None
    note = f"  ({trial.reason})" if trial.reason and trial.state != PRUNED else ""
    rest = []
    if status.best:
        rest = [f"best {status.best['val_ce']:.4f}", *_against_arms(status, "vs")]
    if status.left is not None:
        rest.append(f"about {clock(status.left)} left")
    done = f"[{len(status.ended)}/{status.trials['planned']}] {trial_id} {trial.state:<8}"
    return f"{done} {shown}step {step_of(trial.step, total)}  {trial.settings}{note}   {', '.join(rest)}".rstrip()


def _best(status: Status) -> str:
    best = status.best or {}
    return ", ".join([f"{best['trial_id']} val/ce {best['val_ce']:.4f}", *_against_arms(status, "against")])


def _against_arms(status: Status, word: str) -> list[str]:
    """By how much the best val/ce differs from the best of each other arm."""
    best = status.best or {}
    others = {name: value for name, value in status.arms.items() if value is not None and name != best["arm"]}
    return [f"{best['val_ce'] - value:+.4f} {word} {name}" for name, value in others.items()]


class Display:
    """An observer of the search that `reader` sees; `plain` gives a terminal the lines of a log."""

    def __init__(self, reader: StatusReader, console: Console, *, quiet: bool = False, plain: bool = False) -> None:
        self.reader, self.console, self.quiet = reader, console, quiet
        self._live: Live | None = None
        if not quiet and shows_live(console, plain):
            self._live = Live(console=console, auto_refresh=False)
        self._over = threading.Event()
        self._said, self._one = time.monotonic(), threading.Lock()  # of a log's lines, and for one of them at a time
        # not a renderable of Live: it would look with Live's lock held, for which the search's own lines wait
        watch = self._watch if self._live else self._speak
        self._thread = threading.Thread(target=watch, name="display", daemon=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        if not self.quiet:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.quiet:
            self._over.set()
            self._thread.join()
        if self._live:
            self._look()
            self._live.stop()

    def _watch(self) -> None:
        while True:
            self._look()
            if self._over.wait(LOOK_SECONDS):
                return

    def _speak(self) -> None:
        """A line whenever a log has said nothing for a while: the first trials may take long."""
        while not self._over.wait(LOOK_SECONDS):
            with self._one:
                if time.monotonic() - self._said < SILENT_SECONDS:
                    continue
                self._said = time.monotonic()
                try:
                    self.console.print(line(self.reader.look()), markup=False)
                except Exception:
                    logger.debug("the search cannot be seen for now", exc_info=True)

    def _look(self) -> None:
        assert self._live is not None
        try:
            self._live.update(view(self.reader.look(), within=True), refresh=True)
        except Exception:  # such as a database that is away for a moment: the next look shows more
            logger.debug("the search cannot be seen for now", exc_info=True)

    def started(self, proposal: Proposal) -> None:
        """Nothing to do: the next look shows it."""

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to do: the next look shows it."""

    def finished(self, trial_id: str, state: str, reason: str | None) -> None:
        if self.quiet or self._live is not None:
            return
        with self._one:
            self._said = time.monotonic()
            if state == PAUSED:  # it has not ended: it may be promoted
                self.console.print(f"{trial_id} is paused, behind the best of its arm", markup=False)
            else:
                self.console.print(finished_line(self.reader.look(), trial_id), markup=False)


def shows_live(console: Console, plain: bool) -> bool:
    """Whether the console is one on which a view can be drawn anew."""
    return console.is_terminal and not console.is_dumb_terminal and not plain
