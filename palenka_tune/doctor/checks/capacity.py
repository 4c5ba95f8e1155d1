"""Checks of what the search needs against what the machines have: places for trials, memory, disk for the cache."""

from __future__ import annotations

import math

from palenka_tune.cache.build import FREE_SHARE
from palenka_tune.cache.plan import gigabytes
from palenka_tune.cluster.session import Resources
from palenka_tune.doctor.checks.finding import Finding, fault, good, listed, warning
from palenka_tune.doctor.facts import Facts
from palenka_tune.errors import PalenkaError
from palenka_tune.models.memory import PROCESS_BYTES
from palenka_tune.search.tune import placement as placing
from palenka_tune.search.tune.placement import Placement
from palenka_tune.students.headroom import WHAT_TO_DO
from palenka_tune.words import plural

FEWER_WINDOWS = "set recipe.accumulate higher, so that a micro-batch has fewer windows"
SMALLER_TEACHER = "set the accumulate of that teacher's recipe higher, or use"


def _placement(facts: Facts) -> Placement | None:
    """How the search would place its trials; None if it could not place one."""
    resources = Resources(tuple((node.cpus, node.gpus) for node in facts.alive))
    try:
        return placing.place(facts.needs.config, facts.needs.options, resources)
    except PalenkaError:
        return None


def places(facts: Facts) -> Finding | None:
    """Whether the cluster can run what is asked for."""
    if not facts.alive:
        return None
    needs, options = facts.needs, facts.needs.options
    cores, gpus = sum(node.cpus for node in facts.alive), sum(node.gpus for node in facts.alive)
    has = f"{plural(cores, 'CPU core')} and {plural(gpus, 'GPU')} in the cluster"
    placement = _placement(facts)
    if placement is None:
        share = options.gpus_per_trial
        asked = f"{plural(needs.trials, 'trial')} × {f'{share:g} GPU' if share else '1 CPU core'} asked"
        if share and gpus:
            return fault(
                f"{asked}, and no node that has a GPU has a CPU core ({has})",
                "start the nodes that have GPUs with CPU cores too (ray start --num-cpus): a trial needs one",
            )
        fix = "start workers with CPU cores (ray start --address HEAD:PORT --num-cpus N): all there are have none"
        if share:
            fix = "start workers with GPUs (ray start --num-gpus), or leave out --gpus-per-trial to train on CPU cores"
        return fault(f"{asked}, {has}", fix)
    runs = f"{plural(needs.trials, 'trial')}, {placement.describe()}"
    if options.concurrent and placement.concurrent < options.concurrent:
        return warning(
            f"{plural(options.concurrent, 'trial')} at a time asked, and {has} hold {placement.concurrent}",
            f"start more workers, or give --concurrent {placement.concurrent}",
        )
    if gpus == 0 and needs.config.experiment.scale == "poster":
        return warning(f"{runs}: the poster's scale is made for GPUs, and there are none", "start workers with GPUs")
    free_cores, free_gpus = facts.free or (math.inf, math.inf)
    if free_cores < placement.cpus_per_trial or free_gpus < placement.gpus_per_trial:
        return warning(
            f"{runs}; now {free_cores:g} of {cores} CPU cores and {free_gpus:g} of {gpus} GPUs are free",
            "end what holds them (ray list jobs), or the trials wait for it",
        )
    return good(runs)


def memory(facts: Facts) -> Finding | None:
    """Whether the student with its batch fits into its share, and the largest teacher into a device."""
    placement = _placement(facts)
    if placement is None:
        return None
    return _gpu_memory(facts, placement.gpus_per_trial) if placement.gpus_per_trial else _main_memory(facts, placement)


def _gpu_memory(facts: Facts, share: float) -> Finding:
    needs = facts.needs
    blind = [(node, node.probe.gpu_error) for node in facts.alive if node.gpus and node.probe and not node.probe.gpus]
    if blind:
        names = listed([node.name for node, _ in blind])
        return fault(
            f"Ray counts {plural(blind[0][0].gpus, 'GPU')} on {names}, and none answers: {blind[0][1]}",
            "mend the NVIDIA driver there (nvidia-smi must list the GPUs; a container needs --gpus all), or take the "
            "node out",
        )
    sizes = {name: min(probe.gpus) for name, probe in facts.probes.items() if probe.gpus}
    if not sizes:
        return warning("the memory of the GPUs is not known", "see that nvidia-smi is on every node")
    smallest = min(sizes, key=lambda name: sizes[name])
    size = sizes[smallest]
    takes = f"{needs.student} takes {gigabytes(needs.trial_bytes)}"
    if needs.trial_bytes > share * size:
        fix = f"{FEWER_WINDOWS}, or use larger GPUs"
        if needs.trial_bytes <= size:
            fix = f"give --gpus-per-trial {math.ceil(100 * needs.trial_bytes / size) / 100:g}, or {FEWER_WINDOWS}"
        return fault(
            f"{takes}, and {share:g} of the GPU on {smallest} ({gigabytes(size)}) is {gigabytes(share * size)}", fix
        )
    if needs.teacher_bytes > size:
        return fault(
            f"the teacher {needs.teacher} takes {gigabytes(needs.teacher_bytes)}, and the GPU on {smallest} has "
            f"{gigabytes(size)}",
            f"{SMALLER_TEACHER} larger GPUs",
        )
    return good(f"{takes} of its {gigabytes(share * size)} (a share of {share:g} of a GPU)")


def _main_memory(facts: Facts, placement: Placement) -> Finding:
    needs = facts.needs
    trial, teacher = needs.trial_bytes + PROCESS_BYTES, needs.teacher_bytes + PROCESS_BYTES
    takes = f"{needs.student} takes about {gigabytes(trial)} with its process"
    workers = [(node, node.probe.memory_free) for node in facts.alive if node.probe and node.cpus]
    for node, free in workers:
        trials = min(node.cpus // placement.cpus_per_trial, placement.concurrent)
        if trials * trial > free:
            fits = int(free // trial) * len(facts.alive)
            concurrent = f"give --concurrent {fits}, or " if fits else ""
            return fault(
                f"{takes}: {trials} at a time on {node.name} are {gigabytes(trials * trial)}, and {gigabytes(free)} "
                "are free there",
                f"{concurrent}{FEWER_WINDOWS}, or use nodes with more memory",
            )
        if teacher > free:
            return fault(
                f"the teacher {needs.teacher} takes {gigabytes(teacher)}, and {gigabytes(free)} are free on "
                f"{node.name}",
                f"{SMALLER_TEACHER} nodes with more memory",
            )
    least = min((free for _, free in workers), default=0)
    return good(f"{takes}, and each node has {gigabytes(least)} or more free")


def data(facts: Facts) -> Finding:
    """Whether all text of the corpus is read as meant."""
    notes, source = facts.needs.data, facts.needs.config.experiment.data.source
    read = "; ".join((source, *notes.read))
    if notes.doubts:
        return warning("; ".join((read, *notes.doubts)), "move what is not text elsewhere, or mend what was not meant")
    return good(read)


def headroom(facts: Facts) -> Finding:
    """Whether there is anything to distil, as far as earlier searches tell."""
    needs = facts.needs
    said = " ".join(needs.headroom_said[:2])  # the third is the fix
    if needs.headroom is not None and needs.headroom.is_little:
        return warning(said, WHAT_TO_DO)
    return good(said)


def cache(facts: Facts) -> Finding:
    """Whether the teachers' cache has room on every node."""
    needs = facts.needs
    if needs.cache_unknown:
        return warning(
            f"the size of the teachers' cache is not known: {needs.cache_unknown}", "cap student.train_windows"
        )
    if needs.cache_bytes is None:
        return good("the search keeps no teachers' outputs")
    whole, least = needs.cache_bytes
    budget = needs.config.experiment.cache.budget_gb
    free = {"the driver": facts.storage.free} | {name: probe.work.free for name, probe in facts.probes.items()}
    tightest = min(free, key=lambda name: free[name])
    storage = facts.storage.path
    place = f"for the copy of {storage} (PALENKA_SCRATCH)" if "://" in storage else f"in {storage}"
    where = f"{gigabytes(free[tightest])} are free {place} as {tightest} sees it"
    room = FREE_SHARE * free[tightest]
    if budget is not None:
        where += f", and the budget is {budget:g} GB"
        room = min(room, 1e9 * budget)
    if least > room:
        return fault(
            f"the teachers' cache takes {gigabytes(least)} at the least, and {where}",
            "free space or use a larger disk, cap student.train_windows, search fewer layers and ranks, or use "
            "--teachers-online",
        )
    if whole > room:
        return warning(
            f"the whole teachers' cache takes {gigabytes(whole)}, and {where}: fewer components would be kept",
            "free space, or be content with lower ranks of the hidden states",
        )
    return good(f"the teachers' cache takes at most {gigabytes(whole)}, and {where}")
