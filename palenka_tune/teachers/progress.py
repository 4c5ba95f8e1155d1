"""The progress of a teacher's training, read from its file while it runs: lines for a person, metrics for MLflow."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from palenka_tune.storage import mirror
from palenka_tune.teachers.spec import OnMetrics
from palenka_tune.teachers.worker import PROGRESS
from palenka_tune.words import clock

logger = logging.getLogger(__name__)
LOG_SECONDS = 10.0
FETCH_SECONDS = 5.0  # between two looks into a remote storage


class ProgressFollower:
    """Reads what was appended to a working folder's progress file since the last `poll`."""

    def __init__(self, key: str, name: str, work: Path, on_metrics: OnMetrics | None) -> None:
        self.key, self.name, self.path = key, name, work / PROGRESS
        self.on_metrics = on_metrics
        self.offset = len(mirror.read(self.path) or b"")
        self.spoke = self.fetched = time.monotonic()

    def poll(self) -> None:
        """Pass on new epochs at once and new records at most every few seconds; all of them go to `on_metrics`."""
        for line in self._new_lines():
            metrics = _metrics(line)
            if self.on_metrics:
                self.on_metrics(self.key, metrics, int(line["tokens"]))
            if line["kind"] == "epoch":
                logger.info(
                    f"teacher {self.name}: epoch {line['epoch']} of {line['epochs']} done, dev CE "
                    f"{line['val_ce']:.4f} (perplexity {line['val_ppl']:.1f})"
                )
            elif time.monotonic() - self.spoke > LOG_SECONDS:
                self.spoke = time.monotonic()
                logger.info(
                    f"teacher {self.name}: epoch {line['epoch']} of {line['epochs']}, step {line['step']} of "
                    f"{line['total_steps']}, loss {line['loss']:.3f}, {line['tokens_per_second']:,.0f} tokens/s, "
                    f"{clock(line['seconds_left'])} left"
                )

    def _new_lines(self) -> list[dict[str, Any]]:
        if mirror.remote_of(self.path) is not None:
            if time.monotonic() - self.fetched < FETCH_SECONDS:
                return []
            self.fetched = time.monotonic()
            text = (mirror.read(self.path) or b"")[self.offset :]
        else:
            try:
                with self.path.open("rb") as file:
                    file.seek(self.offset)
                    text = file.read()
            except FileNotFoundError:  # not begun yet, or finished and cleared away
                return []
        whole = text[: text.rfind(b"\n") + 1]  # the last line may still be in the writing
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def _metrics(line: dict[str, Any]) -> dict[str, float]:
    if line["kind"] == "epoch":
        return {"val_ce": line["val_ce"], "val_ppl": line["val_ppl"]}
    return {"train/ce": line["loss"], "train/tokens_per_second": line["tokens_per_second"]}
