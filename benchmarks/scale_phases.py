"""The model behind `benchmarks.scale_model`: the poster's search as tokens, operations and bytes, and its phases.

In: `Assumptions` and a number of GPUs. Out: a list of `Phase`, each with the hours that it takes by every one of its
limits. Operations are those of `reproduce.cost`, bytes those of the cache's own plan, workers those of the teacher
trainer's own rule, and early stopping plays the search's own rungs.
"""

from __future__ import annotations

import functools
import heapq
import math
import random
import statistics
from dataclasses import dataclass, field
from typing import Any

from palenka_tune.cache.job import SHARD_BYTES
from palenka_tune.cache.plan import Plan, candidates, need_of
from palenka_tune.errors import UserError
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.cost import (
    GPU_PEAK,
    GPU_UTILISATION,
    data_size,
    forward_flops,
    head_flops,
    projection_flops,
    training_flops,
)
from palenka_tune.reproduce.scales import get_scale
from palenka_tune.spaces.experiment import shape_of
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.samplers import startup_points
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.students.teacher_cache import search_need
from palenka_tune.teachers.ray_trainer import plan as share_teachers
from palenka_tune.trials.arms import arms_of, trials_of
from palenka_tune.trials.rungs import rung_steps
from palenka_tune.trials.stopping import SuccessiveHalving

GB, HOUR = 1e9, 3600.0
GAMES = 200  # random searches over which early stopping is averaged
STEPS = 3600  # of a whole training in them


def _assumed(default: float, what: str) -> Any:
    return field(default=default, metadata={"help": what})


@dataclass(frozen=True)
class Assumptions:
    """What the model is told, since nobody measured it here."""

    samples: int = _assumed(40, "trials proposed besides the fixed settings")
    rank: int = _assumed(0, "largest projection.rank that is searched; 0: the space's own")
    gpus_per_node: int = _assumed(8, "GPUs of a node")
    teacher_tflops: float = _assumed(round(GPU_PEAK * GPU_UTILISATION), "TFLOP/s that a teacher's large products reach")
    student_tflops: float = _assumed(100, "TFLOP/s that all students on a GPU reach together (small models reach less)")
    pass_ms: float = _assumed(25, "ms that forward and backward of a teacher take at least, however few its windows")
    step_ms: float = _assumed(20, "ms that a step of a student takes at least, with its launches and its optimiser")
    nvlink: float = _assumed(300, "GB/s between the GPUs of a node, for a ring")
    network: float = _assumed(25, "GB/s between two nodes, for a ring")
    object_storage: float = _assumed(5, "GB/s between object storage and a node")
    object_requests: float = _assumed(5500, "requests/s that one prefix of the object storage takes")
    disk: float = _assumed(20, "GB/s that a node reads or writes on its local disks")
    disk_tb: float = _assumed(28, "TB of local disk in a node, of which 0.8 may be cache")
    memory: float = _assumed(1500, "GB of a node's memory in which the system keeps what was read")
    gather: float = _assumed(4, "GB/s at which a trial gathers windows from memory and brings them to its GPU")
    setup_minutes: float = _assumed(10, "minutes until nodes and Ray are up and the text is tokenised")
    fit_minutes: float = _assumed(3, "minutes in which one GPU fits the layers' statistics before the cache is written")
    score_minutes: float = _assumed(2, "minutes in which one GPU scores a student on BLiMP and EWoK")
    driver_tflops: float = _assumed(
        2, "TFLOP/s of the head, which scores teachers and best (16 cores; a GPU: 20 or more)"
    )
    scored_tokens: float = _assumed(2e6, "tokens of BLiMP and EWoK, sentence by sentence")
    proposal_seconds: float = _assumed(0.5, "seconds in which the driver proposes a trial (one at a time)")
    start_seconds: float = _assumed(15, "seconds in which a trial's process starts and loads")
    tracking_ms: float = _assumed(24, "ms of a call to MLflow's database")
    study_ms: float = _assumed(5, "ms of a statement in the study's database")


@dataclass(frozen=True)
class Phase:
    """A part of the search: what it takes by each of its limits, of which the longest counts."""

    name: str
    limits: dict[str, float]  # hours by what would be the limit

    @property
    def hours(self) -> float:
        return max(self.limits.values())

    @property
    def limit(self) -> str:
        return max(self.limits, key=lambda name: self.limits[name])


@dataclass(frozen=True)
class Search:
    """The poster's search as numbers: tokens, operations and bytes."""

    config: SearchConfig
    tokens: int  # of train, in one epoch
    dev_tokens: int
    window: int
    plan: Plan
    bytes_per_trial_token: float  # that a trial reads, on average over the space's layer maps
    student_flops: float  # per token of a trial, with heads and projections
    checkpoint_bytes: float

    @classmethod
    def make(cls, assumed: Assumptions) -> Search:
        """Space dskd at scale poster, whose corpus is the poster's 10 M words."""
        assignments = []
        if assumed.rank:
            ranks = [rank for rank in (16, 32, 64, 128, 256, 512) if rank <= assumed.rank] or [assumed.rank]
            assignments = [("projection.rank", {"choice": ranks})]
        options = {"scale": "poster", "search.samples": assumed.samples}
        config = resolve("dskd", options=options, assignments=assignments)
        experiment = config.experiment
        vocabulary, window = experiment.data.vocabulary, experiment.data.window
        student = get_preset(experiment.student.preset)
        teachers = [get_preset(teacher.preset) for teacher in experiment.teachers]
        shapes = tuple(shape_of(teacher) for teacher in teachers)
        tokens = data_size(None, get_scale("poster")).tokens
        dev_tokens = (experiment.student.dev_windows or 0) * window
        plan = cache_plan(config, assumed, tokens + dev_tokens)
        flops = training_flops(student, vocabulary, window) + head_flops(teachers, vocabulary)
        weights = parameter_count(student, vocabulary, window)
        return cls(
            config,
            tokens,
            dev_tokens,
            window,
            plan,
            trial_bytes(config, plan),
            flops + projection_flops(student, teachers),
            # weights and AdamW's moments in float32, and those of a projection for each state at its full width
            12 * (weights + sum((student.layers + 1) * student.width * shape.width for shape in shapes)),
        )

    @property
    def cache_bytes(self) -> float:
        return self.plan.bytes_per_token() * (self.tokens + self.dev_tokens)

    @property
    def steps(self) -> int:
        """Optimiser steps of a student."""
        recipe = self.config.experiment.recipe
        return round(recipe.epochs * self.tokens / (recipe.batch_size * self.window))

    @property
    def trial_tokens(self) -> float:
        return self.config.experiment.recipe.epochs * self.tokens


def cache_plan(config: SearchConfig, assumed: Assumptions, tokens: int) -> Plan:
    """What the search would keep: the most that a node's local disk holds."""
    shapes = tuple(shape_of(get_preset(teacher.preset)) for teacher in config.experiment.teachers)
    plans = candidates(
        search_need(config, shapes), config.experiment.cache, shapes, config.experiment.data.vocabulary, seed=0
    )
    room = 0.8 * assumed.disk_tb * 1e12
    fits = [plan for plan in plans if plan.bytes_per_token() * tokens <= room]
    if not fits:
        raise UserError(f"--disk-tb is {assumed.disk_tb:g}, which holds no cache of this search; give more")
    return fits[0]


def trial_bytes(config: SearchConfig, plan: Plan) -> float:
    """Bytes a token that a trial reads: its layer map's states as wide as they are kept, and the last ones for the
    logits; the mean over the layer maps of the space."""
    shape = shape_of(get_preset(config.experiment.student.preset))
    widths = {column.name: column.bytes_per_token() for column in plan.columns}
    maps = [values for values in config.space.corners() if values.get("beta")]
    found = {}
    for values in maps:
        loss = config.settings_of(values)[0]
        need = need_of([loss], shape, plan.teachers)
        names = {f"teacher{number}_state{layer}" for number, layers in enumerate(need.layers) for layer in layers}
        if loss.alpha and plan.form == "final_hidden":
            names |= {plan.logits_column(number) for number in range(len(plan.teachers))}
        found[str(loss.projection.layer_map)] = sum(widths[name] for name in names)
    return statistics.fmean(found.values())


@dataclass(frozen=True)
class Played:
    """A search by ASHA on so many places: its length and its work in units of a whole training."""

    makespan: float
    work: float


@functools.cache
def play(
    arms: tuple[tuple[int, int], ...], places: int, rungs: tuple[float, ...], reduction: int, games: int = GAMES
) -> Played:
    """Asynchronous halving of trials whose rank is the same at every rung, in random order, averaged over games.

    `arms` are (unselected, proposed) trials. The former come first in their arm and are never paused; the arms take
    turns, each with its own rungs. A paused trial goes on once it is among the best of its rung, before a new one
    begins. The first trials at a rung are judged by few others, so more go on than the 1/reduction of theory.
    """
    lengths, works = [], []
    steps = rung_steps(STEPS, rungs)
    turns = sorted(((n + 1) / sum(counts), arm, n) for arm, counts in enumerate(arms) for n in range(sum(counts)))
    for game in range(games):
        generator = random.Random(game)
        ranks = {(arm, n): generator.random() for _, arm, n in turns}
        judges = [SuccessiveHalving(steps, reduction) for _ in arms]
        paused: list[dict[str, int]] = [{} for _ in arms]
        waiting = [(arm, n) for _, arm, n in turns]
        running: list[tuple[int, int, int, int]] = []  # (time, the rung it comes to, arm, trial)
        now = work = 0

        def promoted(judges: list[SuccessiveHalving] = judges, paused: list[dict[str, int]] = paused) -> Any:
            for arm, judge in enumerate(judges):
                if (name := judge.promoted(paused[arm])) is not None:
                    return arm, int(name), steps.index(paused[arm].pop(name)) + 1
            return None

        while True:
            while len(running) < places and (begun := promoted() or (waiting and (*waiting.pop(0), 0))):
                arm, trial, at = begun
                length = steps[at] - (steps[at - 1] if at else 0)
                heapq.heappush(running, (now + length, at, arm, trial))
                work += length
            if not running:
                break
            now, at, arm, trial = heapq.heappop(running)
            judges[arm].report(str(trial), steps[at], ranks[arm, trial])
            if at + 1 == len(steps):
                continue
            if trial < arms[arm][0] or judges[arm].continues(str(trial), steps[at]):
                heapq.heappush(running, (now + steps[at + 1] - steps[at], at + 1, arm, trial))
                work += steps[at + 1] - steps[at]
            else:
                paused[arm][str(trial)] = steps[at]
        lengths.append(now / STEPS)
        works.append(work / STEPS)
    return Played(statistics.fmean(lengths), statistics.fmean(works))


def training_hours(search: Search, assumed: Assumptions, *, on_node: int) -> dict[str, float]:
    """Hours of one student's training to its end, one to a GPU, `on_node` of them on the node, by what limits it."""
    compute = search.trial_tokens * search.student_flops / (assumed.student_tflops * 1e12)
    size = search.trial_tokens * search.bytes_per_trial_token
    # what memory does not hold is read again in every epoch, and all of it in the first
    epochs = search.config.experiment.recipe.epochs
    missed = max(0.0, 1 - assumed.memory * GB / search.cache_bytes)
    disk = size / epochs * (1 + (epochs - 1) * missed) * on_node / (assumed.disk * GB)
    return {
        "students' compute": compute / HOUR,
        "steps too short for the GPU": search.steps * assumed.step_ms / 1000 / HOUR,
        "gathering the cache from memory": size / (assumed.gather * GB) / HOUR,
        "reading the cache from local disk": disk / HOUR,
    }


def teachers(search: Search, assumed: Assumptions, gpus: int) -> Phase:
    """Both teachers by DDP, as the trainer shares the GPUs among them."""
    experiment = search.config.experiment
    vocabulary = experiment.data.vocabulary
    shared = share_teachers([t.recipe for t in experiment.teachers], 8 * gpus, gpus, None, use_gpu=True)
    each = []
    for teacher in experiment.teachers:
        preset, recipe = get_preset(teacher.preset), teacher.recipe
        steps = recipe.epochs * search.tokens / (recipe.batch_size * search.window)
        flops = training_flops(preset, vocabulary, search.window) * recipe.batch_size * search.window
        compute = flops / shared.workers / (assumed.teacher_tflops * 1e12)
        passes = recipe.accumulate * assumed.pass_ms / 1000
        link = assumed.nvlink if shared.workers <= assumed.gpus_per_node else assumed.network
        size = 4 * parameter_count(preset, vocabulary, search.window)
        reduced = 2 * (shared.workers - 1) / shared.workers * size / (link * GB)
        # gradients are added up while the rest of backward runs; what is longer counts
        each.append(
            {
                "compute": steps * compute / HOUR,
                "passes too short for the GPU": steps * passes / HOUR,
                "adding up gradients": steps * reduced / HOUR,
            }
        )
    together = min(shared.at_once, len(each))
    limits = {name: sum(found[name] for found in each) for name in each[0]}
    if together > 1:
        limits = {name: max(found[name] for found in each) for name in each[0]}
    return Phase(f"teachers (DDP, {shared.workers} GPUs each, {together} at a time)", limits)


def phases(search: Search, assumed: Assumptions, gpus: int) -> list[Phase]:
    """The search from its start to its verdict."""
    nodes = math.ceil(gpus / assumed.gpus_per_node)
    experiment = search.config.experiment
    presets = [get_preset(teacher.preset) for teacher in experiment.teachers]
    vocabulary = experiment.data.vocabulary
    size, tokens = search.cache_bytes, search.tokens + search.dev_tokens
    shards = math.ceil(size / SHARD_BYTES)
    forward = sum(forward_flops(preset, vocabulary, search.window) for preset in presets) * tokens
    writers = min(gpus, shards)
    used = min(nodes, math.ceil(min(gpus, planned(search)) / assumed.gpus_per_node))
    students = finalists(search)
    return [
        Phase("nodes, Ray, data", {"setup": assumed.setup_minutes / 60}),
        teachers(search, assumed, gpus),
        Phase("layers' statistics", {"one GPU": assumed.fit_minutes / 60}),
        Phase(
            f"cache ({size / 1e12:.2f} TB)",
            {
                "teachers' forward": forward / (writers * assumed.teacher_tflops * 1e12) / HOUR,
                "writing local disk": size / (nodes * assumed.disk * GB) / HOUR,
                "upload to object storage": size / (nodes * assumed.object_storage * GB) / HOUR,
                "requests to object storage": shards / assumed.object_requests / HOUR,
            },
        ),
        Phase(
            "cache to every node",
            {
                # a node has what it wrote itself
                "download": size * (1 - 1 / nodes) / (assumed.object_storage * GB) / HOUR,
                "requests to object storage": used * shards * (1 - 1 / nodes) / assumed.object_requests / HOUR,
            },
        ),
        trials(search, assumed, gpus),
        waves("finalists", students, search, assumed, gpus),
        scores(search, assumed, gpus, students),
    ]


def finalists(search: Search) -> int:
    """Students after the trials: the best of each arm, over the fresh seeds."""
    return len(arms_of(search.config)) * search.config.search.seeds


def scores(search: Search, assumed: Assumptions, gpus: int, students: int) -> Phase:
    """The driver scores the best of each arm and the teachers, one after another, the cluster the finalists: both are
    waited for."""
    experiment = search.config.experiment
    names = [experiment.student.preset] * len(arms_of(search.config)) + [
        teacher.preset for teacher in experiment.teachers
    ]
    forward = sum(forward_flops(get_preset(name), experiment.data.vocabulary, search.window) for name in names)
    tokens = assumed.scored_tokens + search.dev_tokens
    driver = forward * tokens / (assumed.driver_tflops * 1e12) / HOUR
    cluster = math.ceil(students / gpus) * assumed.score_minutes / 60
    return Phase("scores", {"the driver alone" if driver > cluster else "GPUs": driver + cluster})


def planned(search: Search) -> int:
    """Trials in all, with the fixed settings."""
    return trials_of(arms_of(search.config))


def played(search: Search, gpus: int) -> Played:
    """How the trials go on so many GPUs, one to each."""
    settings = search.config.search
    arms = []
    for arm in arms_of(search.config):
        startup = startup_points(settings.sampler, arm.samples)
        arms.append((arm.has_fixed + startup, arm.samples - startup))
    return play(tuple(arms), gpus, tuple(settings.rungs), settings.reduction)


def trials(search: Search, assumed: Assumptions, gpus: int) -> Phase:
    """All trials, stopped early as the search stops them; one to a GPU."""
    count, game = planned(search), played(search, gpus)
    places = min(gpus, count)
    hours = training_hours(search, assumed, on_node=min(places, assumed.gpus_per_node))
    begin = (places * assumed.proposal_seconds + math.ceil(count / places) * assumed.start_seconds) / HOUR
    limits = {name: game.makespan * value + begin for name, value in hours.items()}
    if gpus > count:  # one whole training is the least, however many GPUs there are
        limits = {f"{count} trials for {gpus} GPUs; {name}": value for name, value in limits.items()}
    limits |= tracking(search, assumed, gpus)
    return Phase(f"trials ({count} on {places} GPUs, {game.work:.1f} whole trainings)", limits)


def tracking(search: Search, assumed: Assumptions, gpus: int) -> dict[str, float]:
    """Hours in which one driver ships all trials to MLflow and writes them into the study."""
    settings, count = search.config.search, planned(search)
    # a record every 20 steps with 9 metrics, 1,000 in a call; then what begins, reports and ends a trial
    records = played(search, gpus).work * search.steps / 20 * 9
    calls = records / 1000 + count * (6 + len(settings.rungs))
    statements = count * (15 + 4 * len(settings.rungs))
    return {
        "MLflow's database": calls * assumed.tracking_ms / 1000 / HOUR,
        "the study's database": statements * assumed.study_ms / 1000 / HOUR,
    }


def waves(name: str, students: int, search: Search, assumed: Assumptions, gpus: int) -> Phase:
    """Students trained to their end, one to a GPU, in as many waves as that takes."""
    hours = training_hours(search, assumed, on_node=min(students, gpus, assumed.gpus_per_node))
    count = math.ceil(students / gpus)
    return Phase(f"{name} ({students} students in {count} waves)", {k: count * v for k, v in hours.items()})


def useful_hours(search: Search, assumed: Assumptions, gpus: int) -> float:
    """GPU hours of compute in the whole search, at the speeds that are assumed."""
    experiment = search.config.experiment
    flops = 0.0
    for teacher in experiment.teachers:
        preset, vocabulary = get_preset(teacher.preset), experiment.data.vocabulary
        flops += teacher.recipe.epochs * search.tokens * training_flops(preset, vocabulary, search.window)
        flops += (search.tokens + search.dev_tokens) * forward_flops(preset, vocabulary, search.window)
    one = training_hours(search, assumed, on_node=1)["students' compute"]
    return flops / (assumed.teacher_tflops * 1e12) / HOUR + (played(search, gpus).work + finalists(search)) * one
