"""How trials share a cluster: how many at a time, and what each gets of CPU cores and GPUs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from palenka_tune.cache.plan import gigabytes
from palenka_tune.cluster.session import Resources
from palenka_tune.cluster.tasks import Share
from palenka_tune.errors import PalenkaError
from palenka_tune.models.memory import PROCESS_BYTES, training_memory
from palenka_tune.models.presets import ModelPreset
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.settings import SearchConfig


@dataclass(frozen=True)
class Placement:
    """How trials share a cluster."""

    concurrent: int
    cpus_per_trial: int
    gpus_per_trial: float
    local: bool = True
    limit: int | None = field(default=None, compare=False)
    """Trials at a time that the user and the memory allow; `concurrent` is how many of them the cluster holds now."""
    memory: int | None = field(default=None, compare=False)
    """Free bytes of memory where they, and not the cores, are what limits the trials."""

    @property
    def device(self) -> str:
        return "cuda" if self.gpus_per_trial else "cpu"

    @property
    def share(self) -> Share:
        """The same for jobs that are no trials."""
        return Share(self.concurrent, self.cpus_per_trial, self.gpus_per_trial)

    def room(self, resources: Resources) -> int:
        """Trials at a time on a cluster that may have changed since: at least one, which then waits for a node."""
        places = 0
        for cpus, gpus in resources.nodes:
            trials = cpus // self.cpus_per_trial
            places += min(trials, _shares(gpus, self.gpus_per_trial)) if self.gpus_per_trial else trials
        return max(1, min(places, self.limit or places))

    def describe(self) -> str:
        gpu = f" and {self.gpus_per_trial:g} GPU" if self.gpus_per_trial else ""
        held = f" ({gigabytes(self.memory)} of free memory hold no more)" if self.memory is not None else ""
        return f"{self.concurrent} at a time with {self.cpus_per_trial} CPU{gpu} each{held}"


def place(config: SearchConfig, options: Any, resources: Resources, memory: int | None = None) -> Placement:
    """Trials at a time and what each gets on the node that runs it; raises `PalenkaError` if no node can run one.

    `memory` are the free bytes of the one machine of a local search: no more trials run than they hold, but one.
    """
    share = options.gpus_per_trial
    if share is None:
        share = gpu_share(config) if resources.gpus else 0.0
    if share:
        fits = [(cpus, _shares(gpus, share)) for cpus, gpus in resources.nodes]
    else:
        fits = [(cpus, cpus) for cpus, _ in resources.nodes]
    fits = [(cpus, min(cpus, trials)) for cpus, trials in fits if min(cpus, trials) > 0]
    if not fits:
        wanted = f"{share:g} GPU and a CPU core" if share else "a CPU core"
        raise PalenkaError(
            f"a trial needs {wanted}, but the cluster's nodes have (CPU cores, GPUs) {list(resources.nodes)}; "
            "start workers, or change --gpus-per-trial"
        )
    most = sum(trials for _, trials in fits)
    limit = options.concurrent
    concurrent = min(limit or most, most)
    short = False
    if memory is not None:
        each = PROCESS_BYTES + (0 if share else trial_memory(config))
        held = max(1, memory // each)
        short = held < concurrent
        if short:
            concurrent = limit = held
    # with fewer trials than places each takes more cores, as many as the smallest node still gives to all its trials
    spread = -(-concurrent // len(fits))
    cpus = min(cpus // min(trials, spread) for cpus, trials in fits)
    return Placement(
        concurrent, max(1, cpus), share, not options.address, limit=limit, memory=memory if short else None
    )


def _shares(gpus: int, share: float) -> int:
    """Trials on the GPUs of a node. A share lies on one GPU: 4 GPUs hold 12 trials of 0.3, not 13."""
    return gpus * math.floor(1 / share + 1e-9)


def trial_memory(config: SearchConfig) -> int:
    """Bytes that a trial takes of the memory of what trains it."""
    experiment = config.experiment
    students = {settings.student.architecture for settings in (config.settings_of({}), *config.corners)}
    return max(_trial_memory(experiment, student) for student in students)


def _trial_memory(experiment: Experiment, student: ModelPreset) -> int:
    return training_memory(
        student,
        [teacher.architecture for teacher in experiment.teachers if teacher.is_open],
        vocabulary=experiment.data.vocabulary,
        window=experiment.data.window,
        micro_batch=experiment.recipe.batch_size // experiment.recipe.accumulate,
        teachers_online=experiment.cache.form == "online",
    )


def gpu_share(config: SearchConfig) -> float:
    """The share of a GPU that a trial needs, from the memory of the smallest GPU here with a fifth to spare."""
    import torch

    memory = 24e9
    if torch.cuda.is_available():
        memory = min(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    # at most two: how many share a card best has not been measured, and one that repeats its steps leaves it no rest
    trials = max(1, min(2, int(0.8 * memory / trial_memory(config))))
    return math.floor(1e4 / trials) / 1e4  # Ray counts in ten-thousandths, and rounding up would lose a place


def with_teachers(config: SearchConfig) -> SearchConfig:
    """The search with teachers that run beside each student, which takes more of a GPU."""
    cache = dataclasses.replace(config.experiment.cache, form="online")
    return dataclasses.replace(config, experiment=dataclasses.replace(config.experiment, cache=cache))
