"""The part of a search that runs on Ray: how trials share a cluster, and the trials by Ray Tune."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palenka_tune.cluster.machine import memory_kills
from palenka_tune.cluster.processes import kill_process
from palenka_tune.cluster.session import node_is_gone, own_node_is_up, resources_now
from palenka_tune.cluster.stop import Fault, Patience, handled
from palenka_tune.errors import PalenkaError
from palenka_tune.runs.heartbeat import SearchPulse
from palenka_tune.runs.run_folder import CHECKPOINTS, TUNE
from palenka_tune.search.tune.callbacks import Observer
from palenka_tune.search.tune.placement import Placement
from palenka_tune.search.tune.watchdog import Watch
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.spaces.space import effective
from palenka_tune.students.bench import BenchSpec
from palenka_tune.trials.arms import FIXED
from palenka_tune.trials.ledger import Ledger, Proposal
from palenka_tune.trials.rows import TrialRow
from palenka_tune.trials.rungs import rung_steps
from palenka_tune.trials.stopping import STOPPING_RULES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Everything that turns a proposal into a trial."""

    config: SearchConfig
    bench: BenchSpec
    folder: Path
    placement: Placement
    total_steps: int
    vocabulary_size: int

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    @property
    def rungs(self) -> list[int]:
        """The steps at which trials report; the last is the end."""
        search = self.config.search
        return rung_steps(self.total_steps, search.rungs)

    def trial_config(self, proposal: Proposal) -> dict[str, Any]:
        """The configuration of a `StudentTrial`."""
        settings = self.config.settings_of(proposal.values)
        search = self.config.search
        return {
            "trial_id": proposal.trial_id,
            "judged_until": proposal.judged_until,
            "bench": self.bench,
            "distill": settings.distill,
            "recipe": settings.recipe,
            "student": settings.student,
            "seed": self.config.experiment.seed,
            "rungs": self.rungs,
            "rung_windows": search.rung_windows,
            "threads": self.placement.cpus_per_trial,
            "folder": str(self.checkpoints),
            "checkpoint_seconds": 60 * search.checkpoint_minutes,
            "ce_limit": search.divergence_limit * math.log(self.vocabulary_size),
        }

    def rows(self, ledger: Ledger) -> list[TrialRow]:
        """The ledger's rows; a fixed setting shows the value of each searched setting that shapes it."""
        return [self._with_fixed_settings(row) if row.origin == FIXED else row for row in ledger.rows()]

    def _with_fixed_settings(self, row: TrialRow) -> TrialRow:
        known = self.config.settings_of(row.settings).flat()
        fixed = {each.name: known.get(each.name) for each in self.config.space.parameters}
        return dataclasses.replace(row, settings=effective({**fixed, **row.settings}))


def run_trials(
    job: Job,
    ledger: Ledger,
    observers: Sequence[Observer],
    when_room: Callable[[Callable[[], None]], None],
) -> None:
    """Run what remains of the trials; one that fails is told as FAILED and the search continues. `when_room` runs an
    action once the disk has room for it.

    Raises `Interrupted` after a signal, once the running trials have kept what they have, and `PalenkaError` if the
    search ended itself because all its trials fail alike.
    """
    # ray: only now, so that the token of `cluster.session.protect` is there before Ray reads its settings
    from ray import tune
    from ray.tune.error import TuneError
    from ray.tune.execution import class_cache

    from palenka_tune.search.tune.scheduler import RungScheduler
    from palenka_tune.search.tune.searcher import LedgerSearcher
    from palenka_tune.search.tune.trainable import StudentTrial

    # one JSON, CSV and TensorBoard file per trial is what we have a ledger and MLflow for
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # a trial that diverged reports no val/ce, which Tune would take for a mistake and end the search
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    # it logs a traceback for every trial whose process died; the reason is in the ledger
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    # the searcher says how many trials there may be; Tune would start their processes one after another
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
    # Tune's snapshots are never read, and one that finds no room would end the search
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**9)
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    # Tune hands AWS keys to its actors in a runtime environment, which Ray writes into its logs; students need none
    propagated = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in propagated if not name.startswith("AWS_")}
    search = job.config.search
    job.checkpoints.mkdir(exist_ok=True)
    for torn in job.checkpoints.glob(".*"):  # of a process that was killed while it wrote
        torn.unlink()
    pulse = SearchPulse(job.checkpoints)
    when_room(pulse.run)

    def asked_to_stop(name: str) -> None:
        pulse.stop()
        logger.info(f"{name}: the running trials keep what they have and stop; once more ends them at once")

    patience = Patience(asked_to_stop)
    taking: list[Callable[[], None]] = []

    def stopping() -> bool:
        for take in taking:  # Tune took SIGUSR1 for itself when it began
            take()
        return patience.number is not None

    rule = STOPPING_RULES[search.stopping]
    ledger.judge_by({arm: rule(job.rungs, search.reduction) for arm in ledger.arms})
    scheduler = RungScheduler(ledger.judge)
    is_up = own_node_is_up()
    searcher = LedgerSearcher(
        ledger,
        scheduler,
        job.trial_config,
        job.checkpoints,
        observers,
        stopping=stopping,
        is_up=is_up,
        when_room=when_room,
        abort_after=search.abort_after,
        max_failures=search.max_failures,
        node_is_gone=None if job.placement.local else node_is_gone,  # a local search would end with its machine
        memory_kills=memory_kills,
        room=lambda: job.placement.room(resources_now()),
    )
    each = {"cpu": job.placement.cpus_per_trial, "gpu": job.placement.gpus_per_trial}
    watch = Watch(
        job.checkpoints,
        lambda: ledger.running,
        stall_seconds=60 * search.stall_minutes,
        end=lambda state: kill_process(state["node"], state["pid"]) if state["pid"] else None,
        is_up=is_up,
        died=lambda: patience.end(
            PalenkaError(
                "Ray on this machine died (killed, or the machine ran out of memory); nothing that was kept is lost: "
                f"go on with --resume --name {job.folder.name}"
            )
        ),
    )
    with contextlib.ExitStack() as stack:
        folder = job.folder / TUNE
        if job.placement.local:  # Tune's files are never read; keep them off the storage's disk
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="palenka_tune-")))
        taking.append(stack.enter_context(handled(patience)))
        stack.enter_context(watch)
        tuner = tune.Tuner(
            tune.with_resources(StudentTrial, each),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.config["trial_id"],
                trial_name_creator=lambda trial: trial.config["trial_id"],
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # the searcher proposes a trial again
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except (Fault, SystemError, KeyboardInterrupt):  # Ray's C++ core makes a SystemError of what a handler raised
            patience.settle()
            raise
        except TuneError as error:
            reason = str(error).strip().splitlines()[-1]
            raise PalenkaError(f"Ray Tune ended the search ({reason}); what was finished is in {job.folder}") from error
    patience.settle()
    if searcher.aborted:
        raise PalenkaError(
            f"the search was stopped, since more than {search.abort_after} of its first trials failed for the same "
            f"reason (search.abort_after): {searcher.aborted}"
        )
    if ledger.running:
        raise PalenkaError(
            f"Ray Tune ended while {len(ledger.running)} trials were running; go on with --resume --name "
            f"{job.folder.name}"
        )
    searcher.settle()
