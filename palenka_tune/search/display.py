"""What a search shows while it runs: a live table on a terminal, a line per finished trial in a log, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from palenka_tune.search.ledger import COMPLETE, Proposal
from palenka_tune.search.results import describe_values


class Display:
    """An observer of the search. `trials` is how many are planned in all (samples and anchors)."""

    def __init__(self, *, trials: int, total_steps: int, quiet: bool, console: Console | None = None) -> None:
        self.trials, self.total_steps, self.quiet = trials, total_steps, quiet
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.started_at = time.monotonic()
        self.proposals: dict[str, Proposal] = {}
        self.steps: dict[str, int] = {}
        self.values: dict[str, float] = {}
        self.states: dict[str, str] = {}
        self.speed: dict[str, float] = {}
        self.steps_before = 0
        self._live: Live | None = None
        if not quiet and self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=2, get_renderable=self.render)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()

    def known(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Trials that an earlier process finished."""
        for row in rows:
            key = str(row["trial_id"])
            self.proposals[key] = Proposal(key, 0, row["values"], row["anchor"])
            self.states[key], self.steps[key] = row["state"], row["steps"]
            if row["val_ce"] is not None:
                self.values[key] = row["val_ce"]
        self.steps_before = sum(self.steps.values())

    def started(self, proposal: Proposal) -> None:
        self.proposals[proposal.trial_id] = proposal

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        self.steps[trial_id] = int(result["steps"])
        if "val/ce" in result:
            self.values[trial_id] = float(result["val/ce"])
        if result.get("history"):
            self.speed[trial_id] = float(result["history"][-1]["tokens_per_second"])

    def finished(self, trial_id: str, state: str, reason: str | None) -> None:
        self.states[trial_id] = state
        if self.quiet or self._live:
            return
        value = self.values.get(trial_id)
        shown = "" if value is None else f"val/ce {value:.4f}  "
        note = f"  ({reason})" if reason and state != "PRUNED" else ""
        self.console.print(
            f"[{len(self.states)}/{self.trials}] {trial_id} {state:<8} {shown}step {self.steps.get(trial_id, 0)}"
            f"/{self.total_steps}  {self._name(trial_id)}{note}   {self._headline()}",
            markup=False,
        )

    def _name(self, trial_id: str) -> str:
        proposal = self.proposals[trial_id]
        return proposal.anchor or describe_values(proposal.values)

    def anchors(self) -> dict[str, float]:
        """val/ce of the anchors that have one."""
        return {
            proposal.anchor: self.values[trial_id]
            for trial_id, proposal in list(self.proposals.items())
            if proposal.anchor and self.states.get(trial_id) == COMPLETE
        }

    def best(self) -> tuple[str, float] | None:
        """The complete trial with the lowest val/ce."""
        complete = [(value, key) for key, value in list(self.values.items()) if self.states.get(key) == COMPLETE]
        return (min(complete)[1], min(complete)[0]) if complete else None

    def eta_seconds(self) -> float | None:
        """Time left if the remaining trials train as many steps as the finished ones did on average."""
        done = [self.steps.get(trial_id, 0) for trial_id in list(self.states)]
        if not done or not sum(done):
            return None
        reached = sum(list(self.steps.values()))
        rate = (reached - self.steps_before) / max(1e-9, time.monotonic() - self.started_at)
        expected = sum(done) / len(done) * self.trials
        return max(0.0, expected - reached) / max(rate, 1e-9)

    def _headline(self) -> str:
        best, eta = self.best(), self.eta_seconds()
        parts = []
        if best:
            parts.append(f"best {best[1]:.4f}")
            for name, value in self.anchors().items():
                parts.append(f"{best[1] - value:+.4f} vs {name}")
        if eta is not None and len(self.states) < self.trials:
            parts.append(f"about {_clock(eta)} left")
        return ", ".join(parts)

    def render(self) -> Table:
        """The live table: one row per trial that runs or is among the best, and a headline."""
        table = Table(title=Text(self._title()), title_justify="left", expand=False, box=None, pad_edge=False)
        for column in ("trial", "state", "val/ce", "step", "tokens/s", "settings"):
            table.add_column(column, justify="left" if column in ("trial", "state", "settings") else "right")
        running = [key for key in list(self.proposals) if key not in self.states]
        ended = sorted((key for key in list(self.states) if key in self.values), key=lambda key: self.values[key])
        for key in [*ended[:8], *running]:
            state = self.states.get(key, "running")
            style = {"running": "cyan", "FAILED": "red", "PRUNED": "dim"}.get(state, "")
            table.add_row(
                key,
                state,
                f"{self.values[key]:.4f}" if key in self.values else "",
                f"{self.steps.get(key, 0)}/{self.total_steps}",
                f"{self.speed[key]:,.0f}" if key in self.speed else "",
                self._name(key),
                style=style,
            )
        return table

    def _title(self) -> str:
        states = list(self.states.values())
        counts = {state: states.count(state) for state in sorted(set(states))}
        told = "  ".join(f"{state.lower()} {count}" for state, count in counts.items())
        elapsed = _clock(time.monotonic() - self.started_at)
        return f"{len(self.states)}/{self.trials} trials  {told}  {elapsed}  {self._headline()}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def make_console() -> Console:
    """Standard output; a file or pipe is as wide as the tables need."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=120)
