"""Checks of the search against the machines: places for trials, memory, storage, the cache's disk, the databases.

Each takes all facts and returns a `Finding`, or None where the facts that it needs are not there.
"""

from __future__ import annotations

import math

from palenka_tune.cache.build import FREE_SHARE
from palenka_tune.cache.plan import gigabytes
from palenka_tune.cluster.session import Resources
from palenka_tune.doctor.facts import Facts, Finding, Service
from palenka_tune.doctor.of_cluster import listed
from palenka_tune.errors import PalenkaError
from palenka_tune.search.tune import placement
from palenka_tune.search.tune.placement import Placement

PROCESS_BYTES = 0.8e9  # of a trial's process before it has a model: Python, torch, transformers, Ray
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "glusterfs", "ceph", "fuse.ceph", "beegfs")


def _placement(facts: Facts) -> Placement | None:
    """How the search would place its trials; None if it could not place one."""
    resources = Resources(tuple((node.cpus, node.gpus) for node in facts.alive))
    try:
        return placement.place(facts.plan.config, facts.plan.options, resources)
    except PalenkaError:
        return None


def places(facts: Facts) -> Finding | None:
    """Whether the cluster can run what is asked for."""
    if not facts.alive:
        return None
    plan, options = facts.plan, facts.plan.options
    cores, gpus = sum(node.cpus for node in facts.alive), sum(node.gpus for node in facts.alive)
    has = f"{cores} CPU cores and {gpus} GPUs in the cluster"
    placement = _placement(facts)
    if placement is None:
        share = options.gpus_per_trial or 0.0
        each = f"{share:g} GPU" if share else "1 CPU core"
        asked = f"{plan.trials} trials × {each} asked"
        if share and not gpus:
            fix = "start workers with GPUs (ray start --num-gpus), or leave out --gpus-per-trial to train on CPU cores"
        elif share:
            fix = "start the nodes that have GPUs with CPU cores too (ray start --num-cpus): a trial needs one"
            return Finding("fault", f"{asked}, and no node that has a GPU has a CPU core ({has})", fix)
        else:
            fix = "start workers with CPU cores (ray start --address HEAD:PORT --num-cpus N): all there are have none"
        return Finding("fault", f"{asked}, {has}", fix)
    runs = f"{plan.trials} trials, {placement.describe()}"
    if options.concurrent and placement.concurrent < options.concurrent:
        return Finding(
            "warning",
            f"{options.concurrent} trials at a time asked, and {has} hold {placement.concurrent}",
            f"start more workers, or give --concurrent {placement.concurrent}",
        )
    if placement.gpus_per_trial == 0 and gpus == 0 and plan.config.experiment.scale == "poster":
        return Finding(
            "warning", f"{runs}: the poster's scale is made for GPUs, and there are none", "start workers with GPUs"
        )
    if facts.free is not None:
        free_cores, free_gpus = facts.free
        need = placement.gpus_per_trial
        if free_cores < placement.cpus_per_trial or free_gpus < need:
            return Finding(
                "warning",
                f"{runs}; now {free_cores:g} of {cores} CPU cores and {free_gpus:g} of {gpus} GPUs are free",
                "end what holds them (ray list jobs), or the trials wait for it",
            )
    return Finding("ok", runs)


def memory(facts: Facts) -> Finding | None:
    """Whether the student with its batch fits into its share, and the largest teacher into a device."""
    placement = _placement(facts) if facts.probes else None
    if placement is None:
        return None
    if placement.gpus_per_trial:
        return _gpu_memory(facts, placement.gpus_per_trial)
    return _main_memory(facts, placement)


def _gpu_memory(facts: Facts, share: float) -> Finding:
    plan = facts.plan
    sizes = {name: min(gpu.memory for gpu in probe.gpus) for name, probe in facts.probes.items() if probe.gpus}
    blind = [node for node in facts.alive if node.gpus and node.probe and not node.probe.gpus]
    if blind:
        reason = blind[0].probe.gpu_error if blind[0].probe else ""
        return Finding(
            "fault",
            f"Ray counts {blind[0].gpus} GPUs on {listed([node.name for node in blind])}, and none answers: {reason}",
            "mend the NVIDIA driver there (nvidia-smi must list the GPUs; a container needs --gpus all), or take the "
            "node out",
        )
    if not sizes:
        return Finding("warning", "the memory of the GPUs is not known", "see that nvidia-smi is on every node")
    smallest = min(sizes, key=lambda name: sizes[name])
    size = sizes[smallest]
    needs = f"{plan.student} takes {gigabytes(plan.trial_bytes)}"
    if plan.trial_bytes > share * size:
        fit = plan.trial_bytes / size
        fix = f"give --gpus-per-trial {math.ceil(100 * fit) / 100:g}, or " if fit <= 1 else ""
        return Finding(
            "fault",
            f"{needs}, and {share:g} of the GPU on {smallest} ({gigabytes(size)}) is {gigabytes(share * size)}",
            f"{fix}set recipe.accumulate higher, so that a micro-batch has fewer windows"
            + ("" if fix else ", or use larger GPUs"),
        )
    if plan.teacher_bytes > size:
        return Finding(
            "fault",
            f"the teacher {plan.teacher} takes {gigabytes(plan.teacher_bytes)}, and the GPU on {smallest} has "
            f"{gigabytes(size)}",
            "set the accumulate of that teacher's recipe higher, or use larger GPUs",
        )
    return Finding("ok", f"{needs} of its {gigabytes(share * size)} (a share of {share:g} of a GPU)")


def _main_memory(facts: Facts, placement: Placement) -> Finding:
    plan = facts.plan
    each = plan.trial_bytes + PROCESS_BYTES
    needs = f"{plan.student} takes about {gigabytes(each)} with its process"
    least = 0
    for node in facts.alive:
        if node.probe is None or not node.probe.memory_total or not node.cpus:
            continue
        trials = min(node.cpus // placement.cpus_per_trial, placement.concurrent)
        free = node.probe.memory_free
        if trials * each > free:
            hold = int(free // each)
            fix = f"give --concurrent {hold * len(facts.alive)}, or " if hold else ""
            return Finding(
                "fault",
                f"{needs}: {trials} at a time on {node.name} are {gigabytes(trials * each)}, and "
                f"{gigabytes(free)} are free there",
                f"{fix}set recipe.accumulate higher, so that a micro-batch has fewer windows, or use nodes with more "
                "memory",
            )
        if plan.teacher_bytes + PROCESS_BYTES > free:
            return Finding(
                "fault",
                f"the teacher {plan.teacher} takes {gigabytes(plan.teacher_bytes + PROCESS_BYTES)}, and "
                f"{gigabytes(free)} are free on {node.name}",
                "set the accumulate of that teacher's recipe higher, or use nodes with more memory",
            )
        least = free if not least else min(least, free)
    return Finding("ok", f"{needs}, and each node has {gigabytes(least)} or more free")


def storage(facts: Facts) -> Finding:
    """Whether the driver and every node can write to the storage, and whether it is one and the same."""
    where = facts.storage.path
    if facts.storage.error:
        return Finding(
            "fault",
            f"--storage {where} cannot be written by the driver: {facts.storage.error}",
            "give a folder that you may write to and every node sees, or a bucket whose credentials are in the "
            "environment",
        )
    if "://" in where:
        return _bucket(facts)
    apart = [name for name, probe in facts.probes.items() if probe.marker != facts.marker]
    if apart:
        missing = facts.probes[apart[0]].storage.error
        how = f"there {missing}" if missing else "the folder there is another one"
        return Finding(
            "fault",
            f"{listed(apart)} does not find in {where} what the driver wrote: {how}",
            "mount the same shared folder (NFS, FSx, Filestore) at this path on every node, and give it as --storage",
        )
    closed = [name for name, probe in facts.probes.items() if probe.storage.error]
    if closed:
        return Finding(
            "fault",
            f"{listed(closed)} can read {where} but not write to it: {facts.probes[closed[0]].storage.error}",
            "mount it writable there, for the user that runs Ray",
        )
    kind = f" ({facts.storage.kind})" if facts.storage.kind else ""
    return Finding("ok", f"{where}{kind} is written and read by {_those_who_see(facts)}")


def _those_who_see(facts: Facts) -> str:
    nodes = len(facts.probes)
    return f"the driver and {nodes} node{'s' if nodes > 1 else ''}" if nodes else "the driver"


def _bucket(facts: Facts) -> Finding:
    """The storage, where it is no folder."""
    where = facts.storage.path
    shut = {name: probe.storage.error for name, probe in facts.probes.items() if probe.storage.error}
    if shut:
        first = next(iter(shut))
        return Finding(
            "fault",
            f"{listed(list(shut))} cannot read and write {where}: {shut[first]}",
            "give that node the driver's credentials, endpoint and way there (a role of the machine, or AWS_PROFILE, "
            "AWS_ENDPOINT_URL, ... in the environment in which Ray is started)",
        )
    apart = [name for name, probe in facts.probes.items() if probe.marker != facts.marker]
    if apart:
        return Finding(
            "fault",
            f"{listed(apart)} finds another {where}: it does not hold what the driver wrote",
            "give every node the same endpoint (AWS_ENDPOINT_URL)",
        )
    closed = {name: probe.work for name, probe in facts.probes.items() if probe.work.error}
    if closed:
        disk = next(iter(closed.values()))
        return Finding(
            "fault",
            f"{listed(list(closed))} cannot keep a copy of {where} in {disk.path}: {disk.error}",
            "set PALENKA_SCRATCH to a folder that can be written on every node",
        )
    return Finding("ok", f"{where} is written and read by {_those_who_see(facts)}")


def cache(facts: Facts) -> Finding:
    """Whether the teachers' cache finds room on every node."""
    plan = facts.plan
    if plan.cache_unknown:
        return Finding(
            "warning",
            f"the size of the teachers' cache is not known: {plan.cache_unknown}",
            "cap student.train_windows",
        )
    if plan.cache_bytes is None:
        return Finding("ok", "the search keeps no teachers' outputs")
    budget = plan.config.experiment.cache.budget_gb
    disks = {"the driver": facts.storage} | {name: probe.work for name, probe in facts.probes.items()}
    tightest = min(disks, key=lambda name: disks[name].free)
    room = FREE_SHARE * disks[tightest].free
    most = room if budget is None else min(room, 1e9 * budget)
    whole, least = plan.cache_bytes
    where = f"{gigabytes(disks[tightest].free)} are free {_in_work(facts)} as {tightest} sees it"
    where += "" if budget is None else f", and the budget is {budget:g} GB"
    if least > most:
        return Finding(
            "fault",
            f"the teachers' cache takes {gigabytes(least)} at the least, and {where}",
            "free space or use a larger disk, cap student.train_windows, search fewer layers and ranks, or use "
            "--teachers-online",
        )
    if whole > most:
        return Finding(
            "warning",
            f"the whole teachers' cache takes {gigabytes(whole)}, and {where}: fewer components would be kept",
            "free space, or be content with lower ranks of the hidden states",
        )
    return Finding("ok", f"the teachers' cache takes at most {gigabytes(whole)}, and {where}")


def _in_work(facts: Facts) -> str:
    """Where caches lie, in words."""
    if "://" not in facts.storage.path:
        return f"in {facts.storage.path}"
    return f"for the copy of {facts.storage.path} (PALENKA_SCRATCH)"


def study(facts: Facts) -> Finding:
    """Whether the study can be kept where it is to be."""
    return _service(facts, facts.study)


def mlflow(facts: Facts) -> Finding:
    """Whether MLflow takes what is logged."""
    return _service(facts, facts.mlflow)


def _service(facts: Facts, service: Service) -> Finding:
    if service.error:
        return Finding("fault", f"{service.name} at {service.where} cannot be used: {service.error}", service.fix)
    if service.file and facts.storage.kind in NETWORK and service.file.startswith(facts.storage.path):
        return Finding(
            "warning",
            f"{service.name} is a SQLite file on {facts.storage.kind}, whose locks are not to be trusted",
            "set MLFLOW_TRACKING_URI to a server or to PostgreSQL",
        )
    return Finding("ok", f"{service.name}: {service.where}")
