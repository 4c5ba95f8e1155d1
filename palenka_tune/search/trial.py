"""A trial: one student trained from rung to rung inside a Ray actor that is reused by the next trial.

The actor keeps windows and teachers between trials (the `Bench`) and rebuilds model, optimiser and random state. Each
step of the trainable trains to the next rung, validates, and leaves a checkpoint in the run's folder, from which a
restarted actor goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ray import tune

from palenka_tune.config.files import atomic_path, write_text

T = TypeVar("T")


class StudentTrial(tune.Trainable):
    """Config: `trial_id, bench (BenchSpec), distill, recipe (settings), seed, rungs, rung_windows, threads, folder,
    ce_limit`."""

    def setup(self, config: dict[str, Any]) -> None:
        import torch
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        torch.set_num_threads(config["threads"])
        self._bench: Any = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        self._loop: Any = None  # free the last student before the next is built
        self._guard(self._start)

    def _start(self) -> None:
        from palenka_tune.distill.loop import load_checkpoint
        from palenka_tune.search.student import Bench

        config = self._config
        self._seconds = 0.0
        self._undelivered: dict[str, float] = {}
        if self._bench is None or self._bench.spec != config["bench"]:
            self._bench = Bench(config["bench"])
        self._loop = self._bench.loop(config["distill"], config["recipe"], seed=config["seed"])
        if self._checkpoint.exists():
            state = load_checkpoint(self._checkpoint, config["bench"].device)
            self._loop.load_state_dict(state["loop"])
            self._seconds = state["seconds"]
            # the process may have died between this checkpoint and its report: report it again, nobody counts it twice
            self._undelivered = state["measured"]

    @property
    def _checkpoint(self) -> Path:
        return Path(self._config["folder"]) / f"{self._config['trial_id']}.pt"

    def step(self) -> dict[str, Any]:
        return self._guard(self._next_rung)

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:
            # the driver learns of an error only that there was one: leave the reason where it looks for it
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            write_text(self._checkpoint.with_suffix(".error"), reason)
            raise

    def _next_rung(self) -> dict[str, Any]:
        from palenka_tune.distill.loop import DivergedError

        loop = self._loop
        if self._undelivered:
            known, self._undelivered = self._undelivered, {}
            return self._result([], known, None)
        target = min(rung for rung in self._config["rungs"] if rung > loop.step)
        started = time.perf_counter()
        records: list[Any] = []
        measured: dict[str, float] = {}
        failed = None
        try:
            records = loop.run_until(target)
            # a rung is decided by val/ce alone, on a part of dev; all of it, and the teachers' terms, come at the end
            last = loop.step >= loop.total_steps
            measured = loop.validate(teachers=last, most=None if last else self._config["rung_windows"])
            if not measured["val/ce"] <= self._config["ce_limit"]:
                failed = f"diverged: val/ce {measured['val/ce']:.4g} is above {self._config['ce_limit']:.4g}"
        except DivergedError as error:
            failed = f"diverged: {error}"
        self._seconds += time.perf_counter() - started
        if failed is None:
            self._save(measured)
        return self._result(records, measured, failed)

    def _save(self, measured: dict[str, float]) -> None:
        from palenka_tune.distill.loop import save_checkpoint

        with atomic_path(self._checkpoint) as path:
            state = {"loop": self._loop.state_dict(), "seconds": self._seconds, "measured": measured}
            save_checkpoint(state, path)

    def _result(self, records: list[Any], measured: dict[str, float], failed: str | None) -> dict[str, Any]:
        loop = self._loop
        return {
            **({} if failed else measured),
            "steps": loop.step,
            "tokens": loop.tokens,
            "seconds": self._seconds,
            "history": [dataclasses.asdict(record) for record in records],
            "failed": failed,
            "done": bool(failed) or loop.step >= loop.total_steps,
        }
