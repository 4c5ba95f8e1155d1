"""The tracker of a search: logging calls that only append to a spool, and a thread that ships it to MLflow.

Runs, params, metrics, tags, inputs, artifacts and models have keys of our own ("search", "trial-0003"). They reach
MLflow now, or when its server is back; no call waits for MLflow or raises because of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from palenka_tune.clocks import AwakeClock
from palenka_tune.config.files import weights_digest
from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.entities import DatasetRecord
from palenka_tune.tracking.ship import OutageError, Shipper, replay_command
from palenka_tune.tracking.spool import Event, Shipped, Spool
from palenka_tune.tracking.store import brief, canonical, redact

logger = logging.getLogger(__name__)

_LINGER = 1.0  # seconds that the thread lets a burst of events gather
_BACK_OFF = 30.0  # seconds between two tries at a dead server, at most

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker:
    """Logs one search, whose folder is `run_dir`, to `experiment` in the store at `tracking_uri`.

    `artifact_location` is used if the experiment has to be created; nothing is sent before the thread `opening`, which
    opens the store, has ended. A run folder that was tracked before is continued; if it is now tracked in another store
    or experiment, that one gets everything from the beginning. Use it as one object per folder; its methods may be
    called from any thread and return in well under a millisecond.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        tracking_uri: str,
        experiment: str,
        artifact_location: str | None = None,
        opening: threading.Thread | None = None,
    ) -> None:
        self.run_dir = Path(run_dir).absolute()
        self._spool = Spool(self.run_dir)
        self._shown_uri = redact(tracking_uri)
        _aim(self.run_dir, Shipped(self._shown_uri, experiment, artifact_location))
        self._shipper = Shipper(self.run_dir, tracking_uri)
        self._opening = opening
        self._condition = threading.Condition()
        self._closed = self._retry_now = self._spool_failed = False
        self._thread = threading.Thread(target=self._ship_forever, name="mlflow-shipper", daemon=True)
        self._thread.start()

    def start_run(
        self,
        key: str,
        *,
        name: str,
        parent: str | None = None,
        tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        began: float | None = None,
    ) -> None:
        """Start the run of `key`, nested under that of `parent`, now or at the time `began` (seconds since 1970). One
        that exists (a resumed search) is reopened and keeps its params, since MLflow takes no others."""
        if key in self._spool.known_runs:
            params = None
        at = {} if began is None else {"began": int(began * 1000)}
        self._put("start_run", key, name=name, parent=parent, tags=_texts(tags), params=_texts(params), **at)

    def log_params(self, key: str, params: Mapping[str, Any]) -> None:
        """Log params; MLflow keeps the first value of a param and refuses another."""
        self._put("params", key, params=_texts(params))

    def log_metrics(self, key: str, metrics: Mapping[str, float | None], step: int) -> None:
        """Log metrics at `step` (trained tokens); None is left out, an infinity becomes a tag.

        A metric has one value at a step, and its steps go up: what this process or an earlier one has logged is left
        out, so that a trial that is resumed after a crash may report again.
        """
        try:
            last = self._spool.last_steps
            values = {name: float(value) for name, value in metrics.items() if value is not None}
            values = {name: value for name, value in values.items() if last.get((key, name), -1) < step}
            if values:
                self._put("metrics", key, metrics=values, step=int(step))
        except (TypeError, ValueError) as error:
            logger.warning("metrics of '%s' at step %s are not logged to MLflow: %s", key, step, error)

    def set_tags(self, key: str, tags: Mapping[str, Any]) -> None:
        """Set tags; a later value replaces an earlier one."""
        self._put("tags", key, tags=_texts(tags))

    def set_linked_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags, notes among them, that point to runs: in their text `{experiment}`, `{run:KEY}` and
        `{teacher:FINGERPRINT}` become MLflow's ids once it has them (see `link_to`)."""
        self._put("linked", key, tags=_texts(tags))

    def log_inputs(self, key: str, datasets: Sequence[DatasetRecord]) -> None:
        """Log what the run reads as MLflow datasets."""
        self._put("inputs", key, datasets=[asdict(dataset) for dataset in datasets])

    def log_artifact(self, key: str, path: str | Path, artifact_path: str | None = None) -> None:
        """Log a file or folder, into the folder `artifact_path` of the run; read when shipped, so leave it in place."""
        self._put("artifact", key, path=self._place(path), artifact_path=artifact_path)

    def log_model(
        self,
        key: str,
        folder: str | Path,
        name: str,
        *,
        settings: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
        measured_on: tuple[str, str] | None = None,
    ) -> None:
        """Log a Hugging Face model folder as an MLflow model of the run; read when shipped, so leave it in place.

        `metrics`, at `step`, become the model's and the run's; `measured_on` is the name and digest of their dataset.
        The folder is hashed, so that a model that replaces another one is told from it.
        """
        self._put(
            "model",
            key,
            path=self._place(folder),
            name=name,
            digest=_digest(folder),
            settings=_texts(settings),
            metrics=dict(metrics or {}),
            step=step,
            measured_on=measured_on,
        )

    def register_model(
        self,
        key: str,
        folder: str | Path,
        name: str,
        *,
        registered: str,
        val_ce: float,
        measured_on: str,
        description: str,
    ) -> None:
        """Register the logged model `name` of what `folder` holds now as a version of the model `registered`.

        `measured_on` says on which data `val_ce` was measured: only versions that share it are compared.
        """
        self._put(
            "register",
            key,
            name=name,
            digest=_digest(folder),
            registered=registered,
            val_ce=val_ce,
            measured_on=measured_on,
            description=description,
        )

    def end_run(self, key: str, status: Status = "FINISHED", *, ended: float | None = None) -> None:
        """End the run of `key`, now or at the time `ended` (seconds since 1970)."""
        self._put("end_run", key, status=status, **({} if ended is None else {"ended": int(ended * 1000)}))

    def last_heard(self, key: str) -> float | None:
        """When something of `key` was logged for the last time, by this process or one before it, in seconds since
        1970."""
        last = self._spool.last_times.get(key)
        return None if last is None else last / 1000

    def last_step(self, key: str, metric: str) -> int | None:
        """The last step at which a metric was logged, by this process or one before it."""
        return self._spool.last_steps.get((key, metric))

    def tag(self, key: str, name: str) -> str | None:
        """What a tag was last set to, by this process or one before it."""
        return self._spool.last_tags.get((key, name))

    def run_id(self, key: str) -> str | None:
        """MLflow's run id of `key`, or None while the store does not have it (see `flush`)."""
        return self._shipper.runs.get(key)

    def is_open(self, key: str) -> bool:
        """Whether the run of `key` was started, by this process or one before it, and not ended."""
        return key in self._spool.open_runs

    @property
    def experiment_id(self) -> str | None:
        """MLflow's id of the experiment, or None while the store was not reached."""
        return self._shipper.experiment_id

    def flush(self, timeout_s: float) -> bool:
        """Wait until MLflow has all that was logged before this call; False if it has not after `timeout_s` seconds."""
        clock = AwakeClock(most=60.0)
        with self._condition:
            wanted = self._spool.seq
            while self._shipper.seq < wanted and (left := timeout_s - clock.now()) > 0 and self._thread.is_alive():
                self._retry_now = True
                self._condition.notify_all()
                self._condition.wait_for(lambda: self._shipper.seq >= wanted, timeout=min(left, 1.0))
            return self._shipper.seq >= wanted

    def close(self, timeout_s: float = 30.0) -> bool:
        """Ship what is left and stop; False, and a warning that says how to replay, if that took too long."""
        with self._condition:
            if self._closed:
                return self._shipper.seq >= self._spool.seq and not self._shipper.aside
        done = self.flush(timeout_s) and not self._shipper.aside
        self._shipper.stop.set()
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if done:
            self._thread.join(timeout=5.0)
        else:
            logger.warning(
                "MLflow at %s lacks %d events of this run; send them later with: %s",
                self._shown_uri,
                self._spool.seq - self._shipper.seq + self._shipper.aside,
                replay_command(self.run_dir),
            )
        try:
            self._spool.close()
        except OSError as error:
            logger.warning("the MLflow spool %s could not be written through: %s", self._spool.path, error)
        return done

    def _place(self, path: str | Path) -> str:
        """A path as the spool keeps it: relative to the run folder, which may be moved, if it is in there."""
        path = Path(path).absolute()
        return str(path.relative_to(self.run_dir) if path.is_relative_to(self.run_dir) else path)

    def _put(self, op: str, key: str, **fields: Any) -> None:
        event: Event = {"op": op, "key": key, **fields}
        with self._condition:
            if self._closed:
                logger.warning("%s of '%s' came after the tracker was closed and is not logged to MLflow", op, key)
                return
            self._spool.append(event)
            if self._spool.unwritten and not self._spool_failed:
                logger.warning("the disk of %s is full; what is logged to MLflow waits in memory", self._spool.path)
            self._spool_failed = self._spool.unwritten > 0
            self._condition.notify_all()

    def _ship_forever(self) -> None:
        pause, away = _LINGER, False
        if self._opening is not None:
            self._opening.join()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._spool.seq > self._shipper.seq)
                self._condition.wait_for(lambda: self._closed or self._retry_now, timeout=pause)
                self._retry_now = False
                if self._closed:
                    return
            try:
                self._shipper.ship()
                pause, away = _LINGER, False
            except Exception as error:  # of any kind: the thread lives on and tries again
                reason = str(error) if isinstance(error, OutageError) else brief(error)
                if not away:
                    logger.warning("MLflow at %s: %s; what is logged is kept and sent later", self._shown_uri, reason)
                pause, away = min(2 * pause, _BACK_OFF), True
            with self._condition:
                self._condition.notify_all()


def _aim(run_dir: Path, target: Shipped) -> None:
    """Record where the spool goes; a store or experiment that is new to it gets everything from the first event."""
    try:
        shipped = Shipped.load(run_dir)
        there, here = ((canonical(each.tracking_uri), each.experiment) for each in (shipped, target))
        if there == here:
            shipped.tracking_uri, shipped.artifact_location = target.tracking_uri, target.artifact_location
            target = shipped
        else:
            target.search_id = shipped.search_id
    except PalenkaError:
        pass  # a first run, or a damaged file: shipping again from the start changes nothing in the store
    target.save(run_dir)


def link_to(run: str) -> str:
    """Where MLflow's UI shows a run, `run` being `{run:KEY}` or `{teacher:FINGERPRINT}`; for `set_linked_tags`."""
    return f"#/experiments/{{experiment}}/runs/{run}"


def _digest(folder: str | Path) -> str | None:
    """The digest of a model folder; None if it is none, which is reported when it is shipped."""
    try:
        return weights_digest(folder)
    except OSError:
        return None


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (values or {}).items()}
