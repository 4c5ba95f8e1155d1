"""A trial: one student trained from rung to rung inside a Ray actor that is reused by the next trial.

The actor keeps windows and teachers between trials (the `Bench`) and rebuilds model, optimiser and random state. Each
step of the trainable trains to the next rung and validates. At rungs, and every few minutes between them, it leaves a
checkpoint in the run's folder, from which a restarted actor or a resumed search continues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ray import get_runtime_context, tune

from palenka_tune.cluster import compute
from palenka_tune.config.console import keep_printing
from palenka_tune.config.files import write_text
from palenka_tune.errors import PalenkaError
from palenka_tune.runs import checkpoints
from palenka_tune.runs.heartbeat import SearchPulse, TrialPulse
from palenka_tune.storage import mirror

T = TypeVar("T")


class _StopError(Exception):
    """The search stops: the trial is to end here."""


class StudentTrial(tune.Trainable):
    """Config: `trial_id, bench (BenchSpec), distill, recipe (settings), seed, rungs, rung_windows, threads, folder,
    ce_limit, checkpoint_seconds`."""

    def setup(self, config: dict[str, Any]) -> None:
        from transformers.utils import logging as transformers_logging

        keep_printing()
        transformers_logging.set_verbosity_error()
        self._bench: Any = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        if getattr(self, "_loop", None) is not None:
            self._loop.forget_graphs()  # which hold it
        self._loop: Any = None  # free the last student before the next is built
        compute.begin(config["threads"])
        self._folder = Path(config["folder"])
        self._search = SearchPulse(self._folder)
        self._pulse = TrialPulse(self._folder, config["trial_id"], get_runtime_context().get_node_id())
        self._guard(self._start)

    def _start(self) -> None:
        from palenka_tune.students.bench import Bench

        config = self._config
        self._pulse.beat(0)
        mirror.forget(self._error)  # of an earlier try
        self._seconds = 0.0
        self._history: list[dict[str, Any]] = []
        self._undelivered: dict[str, float] = {}
        self._restarted: str | None = None
        self._said: dict[str, float] = {}
        if self._bench is None or self._bench.spec != config["bench"]:
            self._bench = Bench(config["bench"])
        settings = config["distill"], config["recipe"], config.get("student")
        self._loop = self._bench.loop(*settings, seed=config["seed"], averaging=True)
        self._loop.on_record = self._recorded
        if config["bench"].device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()  # of the trial that this process had before
        if mirror.fetch(self._checkpoint):
            self._load()
        self._saved = self._since = time.monotonic()

    def _load(self) -> None:
        """Go on from the checkpoint; from a damaged one not at all: the trial starts over and comes to the same."""
        from palenka_tune.distill.loop import DamagedError, load_checkpoint

        try:
            state = load_checkpoint(self._checkpoint)
        except DamagedError as error:
            self._restarted = str(error)
            mirror.forget(self._checkpoint)
            return
        self._loop.load_state_dict(state["loop"])
        self._seconds, self._history = state["seconds"], state["history"]
        # the process may have died between this checkpoint and its report: report it again, it is not counted twice
        self._undelivered = state["measured"]

    @property
    def _checkpoint(self) -> Path:
        return checkpoints.checkpoint_path(self._folder, self._config["trial_id"])

    @property
    def _error(self) -> Path:
        return self._checkpoint.with_suffix(".error")

    def step(self) -> dict[str, Any]:
        return self._guard(self._next_rung)

    def _guard(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:
            # the driver learns of an error only that there was one: leave the reason where it looks for it
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            with contextlib.suppress(OSError, PalenkaError):
                write_text(self._error, reason)
                mirror.publish(self._error)
            raise

    def _next_rung(self) -> dict[str, Any]:
        from palenka_tune.distill.loop import DivergedError

        loop = self._loop
        self._beat()
        if self._undelivered:
            known, self._undelivered = self._undelivered, {}
            return self._result(known)
        target = min(rung for rung in self._config["rungs"] if rung > loop.step)
        self._since = time.monotonic()
        measured: dict[str, float] = {}
        try:
            loop.run_until(target)
            measured = self._measure()
            if not measured["val_ce"] <= self._config["ce_limit"]:
                limit = self._config["ce_limit"]
                return self._result({}, failed=f"diverged: val/ce {measured['val_ce']:.4g} is above {limit:.4g}")
            self._save(measured)
        except DivergedError as error:
            return self._result({}, failed=f"diverged: {error}")
        except _StopError:
            return self._result({}, interrupted=True)
        return self._result(measured)

    def _measure(self) -> dict[str, float]:
        """At a rung val_ce of the averaged weights, beside that of the weights themselves, on a part of dev; at the end
        the student itself on all of it, with the teachers' terms."""
        loop, most = self._loop, self._config["rung_windows"]
        if loop.step >= loop.total_steps:
            return dict(loop.validate())
        raw = loop.validate(teachers=False, most=most)["val_ce"]
        return loop.validate(teachers=False, most=most, averaged=True) | {"val_ce_raw": raw}

    def _recorded(self, record: Any) -> None:
        """Called by the loop every few steps, between two of them."""
        self._history.append(dataclasses.asdict(record))
        self._said = {"tokens_per_second": round(record.tokens_per_second), **self._gpu_memory()}
        self._beat()
        if self._loop.step in self._config["rungs"]:
            return  # the checkpoint of a rung has its value, and is written after the validation
        stopping = self._search.stopping
        if stopping or time.monotonic() - self._saved >= self._config["checkpoint_seconds"]:
            self._save({})
        if stopping:
            raise _StopError

    def _save(self, measured: dict[str, float]) -> None:
        now = time.monotonic()
        self._seconds, self._since = self._seconds + now - self._since, now
        state = {
            "loop": self._loop.state_dict(),
            "seconds": self._seconds,
            "measured": measured,
            "history": self._history,
        }
        checkpoints.write(self._checkpoint, state, self._wait_for_space)
        mirror.publish(self._checkpoint)
        self._saved = self._since = time.monotonic()
        self._beat()

    def _beat(self, waits_for: int = 0) -> None:
        self._pulse.beat(self._loop.step, waits_for, **self._said)

    def _gpu_memory(self) -> dict[str, float]:
        """What this trial has taken of its GPU at most, and what that has, in bytes; nothing on CPUs."""
        if self._config["bench"].device != "cuda":
            return {}
        import torch

        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return {"gpu_bytes": torch.cuda.max_memory_allocated(), "gpu_total": total}

    def _wait_for_space(self, needed: int) -> None:
        self._beat(needed)
        if self._search.stopping:
            raise _StopError

    def _result(
        self, measured: dict[str, float], *, failed: str | None = None, interrupted: bool = False
    ) -> dict[str, Any]:
        from palenka_tune.models.build import count_parameters

        loop = self._loop
        now = time.monotonic()
        self._seconds, self._since = self._seconds + now - self._since, now
        # what an interrupted trial recorded is in its checkpoint, and comes with its next report
        history, self._history = ([] if interrupted else self._history), []
        restarted, self._restarted = self._restarted, None
        return {
            **measured,
            "steps": loop.step,
            "tokens": loop.tokens,
            "parameters": count_parameters(loop.model),
            "seconds": self._seconds,
            "history": history,
            "restarted": restarted,
            "failed": failed,
            "interrupted": interrupted,
            "done": bool(failed) or interrupted or loop.step >= loop.total_steps,
        }
