"""What each event of a spool means in MLflow, written so that doing it twice is the same as doing it once.

Metrics keep the time at which they were logged, and one that a run has at a step is not sent for it again (a spool that
is older than the store logs it with another time); params and tags are values, and an existing run is recognised by the
search's identity and `palenka.key`, our name of the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.config.sealed import write_sealed
from palenka_tune.errors import PalenkaError
from palenka_tune.tracking import models
from palenka_tune.tracking.entities import batches, clean_name, clean_text, dataset_inputs, entities
from palenka_tune.tracking.identity import FOLDER_TAG, KEY_TAG, SEARCH_TAG, place_of, runs_of
from palenka_tune.tracking.spool import RUNS, Event
from palenka_tune.tracking.store import brief, code, refused

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT_TAG, TEACHER_TAG = "mlflow.parentRunId", "palenka.teacher"
_LINK = re.compile(r"\{(?:(experiment)|(run|teacher):([\w.-]+))\}")


@dataclass
class Writer:
    """Writes the events of the search `search_id` to an experiment.

    `runs` maps our keys to MLflow's run ids and is kept in `run_dir`; `warn(kind, message)` hears of refused entities.
    All methods raise what MLflow raises; `refused` tells whether trying again can help.
    """

    client: MlflowClient
    experiment_id: str
    run_dir: Path
    search_id: str
    runs: dict[str, str]
    warn: Callable[[str, str], None]
    looked_up: bool = False
    _created: set[str] = field(default_factory=set)
    _steps: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def alive(self) -> bool:
        """Whether the store answers at all."""
        try:
            self.client.get_experiment(self.experiment_id)
        except Exception:  # any failure here means the same
            return False
        return True

    def write(self, event: Event) -> None:
        """Write one event that is not a batch."""
        if event["op"] == "start_run":
            self._start_run(event)
            return
        run_id = self._run_id(event["key"])
        match event["op"]:
            case "end_run":
                self.client.set_terminated(run_id, event["status"], event.get("ended", event["time"]))
            case "linked":
                tags = {name: _LINK.sub(self._linked, value) for name, value in event["tags"].items()}
                self.write_batch([{**event, "tags": tags}])
            case "inputs":
                self.client.log_inputs(run_id, dataset_inputs(event["datasets"]))
            case "artifact":
                self.client.log_artifact(run_id, str(self._existing(event)), event["artifact_path"])
            case "model":
                self.write_batch([event])  # first: the run has its metrics even if the model is refused
                models.log_model(self.client, self.experiment_id, run_id, self._existing(event), event)
            case "register":
                models.register(self.client, self.experiment_id, run_id, event)
            case unknown:
                raise PalenkaError(f"this version of palenka_tune knows no event '{unknown}'")

    def _linked(self, found: re.Match[str]) -> str:
        """What stands for `{experiment}`, `{run:KEY}`, or `{teacher:FINGERPRINT}`, the oldest run of that teacher."""
        experiment, kind, name = found.groups()
        if experiment:
            return self.experiment_id
        if kind == "run":
            try:
                return self._run_id(name)
            except PalenkaError:
                return "unknown"
        query = f"tags.`{TEACHER_TAG}` = '{name}'"
        runs = self.client.search_runs([self.experiment_id], query, max_results=1, order_by=["attributes.start_time"])
        return str(runs[0].info.run_id) if runs else "unknown"

    def write_batch(self, events: list[Event]) -> None:
        """Write metrics, params and tags of one run."""
        run_id = self._run_id(events[0]["key"])
        for batch in batches(entities([self._without_sent(run_id, event) for event in events])):
            self._log_batch(run_id, batch)

    def _without_sent(self, run_id: str, event: Event) -> Event:
        """The event without metrics that an earlier process has sent for its step, which the store is asked for."""
        if event["op"] != "metrics" or run_id in self._created:
            return event
        left = {}
        for name, value in event["metrics"].items():
            metric = clean_name(name)
            if (run_id, metric) not in self._steps:
                history = self.client.get_metric_history(run_id, metric)
                self._steps[run_id, metric] = {point.step for point in history}
            if event["step"] not in self._steps[run_id, metric]:
                left[name] = value
        return {**event, "metrics": left}

    def _run_id(self, key: str) -> str:
        if key not in self.runs:
            self._look_up()
        if key not in self.runs:
            raise PalenkaError("it was never started, or MLflow refused to start it")
        return self.runs[key]

    def _start_run(self, event: Event) -> None:
        """Reopen the run of this key, or create it; it gets its params and tags in both cases."""
        key = event["key"]
        identity = {KEY_TAG: key, SEARCH_TAG: self.search_id}  # also of runs that older versions have made
        if not self._reopen(key):
            self._look_up()
            if not self._reopen(key):
                tags = dict(identity)
                if not self.runs:
                    tags[FOLDER_TAG] = place_of(self.run_dir)
                if event["parent"] in self.runs:
                    tags[PARENT_TAG] = self.runs[event["parent"]]
                began, name = event.get("began", event["time"]), clean_text(event["name"])
                run = self.client.create_run(self.experiment_id, began, tags, name)
                self.runs[key] = run.info.run_id
                self._created.add(run.info.run_id)
                write_sealed(self.run_dir / RUNS, self.runs)
        self.write_batch([{**event, "tags": event["tags"] | identity}])

    def _reopen(self, key: str) -> bool:
        """Whether the store has a run of this key; it is RUNNING then. One that a person has deleted is forgotten."""
        if key not in self.runs:
            return False
        try:
            self.client.update_run(self.runs[key], status="RUNNING")
        except Exception as error:
            if not refused(error):
                raise
            del self.runs[key]
            return False
        return True

    def _look_up(self) -> None:
        """Add the runs of this spool that were created just before a crash, or by a call that seemed to fail."""
        if self.looked_up:
            return
        for run in runs_of(self.client, self.experiment_id, self.search_id):
            self.runs.setdefault(run.data.tags[KEY_TAG], run.info.run_id)
        write_sealed(self.run_dir / RUNS, self.runs)
        self.looked_up = True

    def _log_batch(self, run_id: str, batch: list[Any]) -> None:
        """One call; if the store refuses it, halves, down to the entity that is the reason, which is skipped."""
        from mlflow.entities import Metric, Param, RunTag

        kinds = [[item for item in batch if isinstance(item, kind)] for kind in (Metric, Param, RunTag)]
        try:
            self.client.log_batch(run_id, *kinds)
        except Exception as error:
            if not refused(error) or self.client.get_run(run_id).info.lifecycle_stage == "deleted":
                raise
            if len(batch) == 1:
                self.warn(f"{type(batch[0]).__name__} {code(error)}", f"'{batch[0].key}': {brief(error)}")
                return
            self._log_batch(run_id, batch[: len(batch) // 2])
            self._log_batch(run_id, batch[len(batch) // 2 :])

    def _existing(self, event: Event) -> Path:
        """The file or folder of an event; raises `PalenkaError` if it is gone."""
        path = self.run_dir / event["path"]
        if not path.exists():
            raise PalenkaError(f"{path} is gone")
        return path
