"""The live table: a column is a pair of a heading and a cell, in `running_table` or `best_table`."""

from __future__ import annotations

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from palenka_tune.status.reader import Status
from palenka_tune.status.trials import Ended, Running
from palenka_tune.words import clock

BAR = 10
RUNNING = 16  # trials that a live view lists: what does not fit on a terminal is not drawn


def step_of(step: int, total: int | None) -> str:
    """`32/64`."""
    return f"{step:,}/{total:,}" if total else f"{step:,}"


def _table(one_line: bool, first: str, *columns: str) -> Table:
    """A table below the facts that ends with the settings; on `one_line` they get what is left of the terminal's."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=one_line)
    for column in (f"  {first}", *columns):
        left = column.strip() in (first, "to next", "node")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    table.add_column("settings", no_wrap=one_line, overflow="ellipsis", ratio=1 if one_line else None)
    return table


def running_table(status: Status, one_line: bool) -> Table:
    """The trials that train; with `one_line` each on a line of its own, as many as a terminal has room for."""
    on_gpu = any(trial.gpu_bytes for trial in status.running)
    more = [*(["GPU GB"] if on_gpu else []), *([] if one_line else ["moved"])]  # one that stands still is warned of
    table = _table(one_line, "running", "rung", "to next", "step", "val/ce", "tokens/s", *more, "node")
    for trial in status.running[:RUNNING] if one_line else status.running:
        table.add_row(
            f"  {trial.trial_id}",
            f"{trial.rung}/{len(status.rungs)}" if status.rungs else "",
            _to_next(trial, status.rungs),
            step_of(trial.step, trial.total_steps),
            "" if trial.val_ce is None else f"{trial.val_ce:.4f}",
            f"{trial.tokens_per_second:,.0f}" if trial.tokens_per_second else "",
            *([_gpu(trial)] if on_gpu else []),
            *([] if one_line else [f"{clock(trial.age)} ago"]),
            trial.node,
            Text(trial.settings),
        )
    if one_line and len(status.running) > RUNNING:
        table.add_row(f"  and {len(status.running) - RUNNING} more")
    return table


def _to_next(trial: Running, rungs: list[int]) -> RenderableType:
    """A bar from the rung that the trial has reported at to the next one."""
    before, after = [0, *rungs][trial.rung : trial.rung + 1], rungs[trial.rung : trial.rung + 1]
    if not after:
        return ""
    done = max(0, min(trial.step, after[0]) - before[0])
    return ProgressBar(total=after[0] - before[0], completed=done, width=BAR)


def _gpu(trial: Running) -> str:
    return "" if trial.gpu_bytes is None else f"{trial.gpu_bytes / 1e9:.1f}/{(trial.gpu_total or 0) / 1e9:.0f}"


def best_table(leaders: list[Ended], one_line: bool) -> Table:
    """The best of the trials that were trained to their ends."""
    table = _table(one_line, "the best", "val/ce")
    for trial in leaders:
        table.add_row(f"  {trial.trial_id}", f"{trial.val_ce:.4f}", Text(trial.settings))
    return table
