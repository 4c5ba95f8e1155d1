"""Checks of the cluster itself: the way in, its nodes, their versions and clocks, and the disk of Ray."""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.cache.plan import gigabytes
from palenka_tune.doctor.checks.finding import Finding, fault, good, listed, warning
from palenka_tune.doctor.facts import Facts, Node
from palenka_tune.words import plural

# clocks further apart than this spoil what is compared by time: a warning, and a fault
SKEW_SECONDS, SKEW_FAULT_SECONDS = 2.0, 10.0
RAY_FULL = 0.95  # Ray starts no task on a node whose disk is fuller
LITTLE_DISK = 2e9
SMALL_STORE = 75e6  # the least object store that Ray accepts


def ray(facts: Facts) -> Finding:
    """Whether the driver is let in."""
    access = facts.access
    if access.address is None:
        if access.refused:
            return fault(f"Ray does not start on this machine: {access.refused}", "see the reason")
        return good("Ray starts on this machine")
    where = f"the Ray cluster at {access.address}"
    if access.by_token:
        return fault(
            f"{where} does not let the driver in: {access.refused}",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the token of the head",
        )
    if access.refused:
        return fault(
            f"{where} is not reached: {access.refused}",
            "start it (ray start --head, ray up), or give --address HOST:PORT of a node where this machine is one too",
        )
    return good(f"{where} lets the driver in")


def nodes(facts: Facts) -> Finding | None:
    """Whether all nodes are up and answer, and whether there is more than the head."""
    if facts.nodes is None:
        return None
    alive = facts.alive
    silent = [node for node in alive if node.probe is None]
    if silent:
        return fault(
            f"{listed([node.name for node in silent])} is listed as up but does nothing: {silent[0].silence}",
            "restart Ray on it (ray stop, ray start), or take it out of the cluster",
        )
    names = {node.name for node in alive}
    lost = _lost([node for node in facts.nodes if not node.alive and node.name not in names])
    if facts.access.address is not None and len(alive) == 1 and alive[0].head:
        return _alone(alive[0], f"only the head is up, and no worker has joined{lost}")
    cores, gpus = sum(node.cpus for node in alive), sum(node.gpus for node in alive)
    up = f"{len(alive)} node{'s' if len(alive) > 1 else ''} up, {plural(cores, 'CPU core')} and {plural(gpus, 'GPU')}"
    return warning(up + lost, "start it again if the search is to use it") if lost else good(up)


def _lost(nodes: Sequence[Node]) -> str:
    """The end of a sentence about nodes that are gone."""
    if not nodes:
        return ""
    reason = f" ({nodes[0].died_of})" if nodes[0].died_of else ""
    return f"; {listed([node.name for node in nodes])} was lost{reason}"


def _alone(head: Node, found: str) -> Finding:
    kinds = head.probe.autoscaler if head.probe and head.probe.autoscaler else {}
    startable = [f"{most} × {name}" for name, most in kinds.items() if most]
    if startable:
        return warning(
            f"{found}; the autoscaler may start up to {listed(startable)}",
            "have one worker up before the search begins (min_workers: 1), since it is planned for what is there",
        )
    found += f"; it has {plural(head.cpus, 'CPU core')} and {plural(head.gpus, 'GPU')} for trials"
    fix = (
        "run `ray start --address HEAD:PORT` on each worker with the head's token, and see that its port is open to "
        "them"
    )
    # a head without cores, as the YAML files of clouds have it, runs nothing itself
    return warning(found, f"{fix}, or go on with the head alone") if head.cpus else fault(found, fix)


def versions(facts: Facts) -> Finding:
    """Whether every node has the driver's packages."""
    wrong: dict[str, list[str]] = {}
    for node, probe in facts.probes.items():
        for package, ours in facts.here.items():
            theirs = probe.versions.get(package)
            if theirs != ours:
                wrong.setdefault(f"{package} is {theirs or 'missing'} there, {ours or 'missing'} here", []).append(node)
    if wrong:
        return fault(
            "; ".join(f"on {listed(names)} {what}" for what, names in wrong.items()),
            "install the same versions on every node, or give all of them the same image, and restart it",
        )
    shown = ", ".join(f"{name} {facts.here[name]}" for name in ("python", "ray", "torch", "palenka_tune"))
    return good(f"the same on {'all nodes' if len(facts.probes) > 1 else 'the node'}: {shown}")


def clocks(facts: Facts) -> Finding:
    """Whether the nodes' clocks agree with the driver's, beyond the uncertainty of the measurement."""
    apart = {name: max(0.0, abs(probe.clock) - probe.clock_error) for name, probe in facts.probes.items()}
    worst = max(apart, key=lambda name: apart[name])
    if apart[worst] <= SKEW_SECONDS:
        within = max(abs(probe.clock) + probe.clock_error for probe in facts.probes.values())
        return good(f"clocks agree within {within:.2f} s")
    way = "ahead of" if facts.probes[worst].clock > 0 else "behind"
    return (fault if apart[worst] > SKEW_FAULT_SECONDS else warning)(
        f"the clock of {worst} is {apart[worst]:,.0f} s {way} the driver's",
        "run a time service on every node (timedatectl set-ntp true, or chrony): storage and logins go by the clock",
    )


def ray_disk(facts: Facts) -> Finding:
    """Whether Ray has room for its logs, its spilled objects and its object store."""
    for name, probe in facts.probes.items():
        disk = probe.temporary
        used = 1 - disk.free / disk.total if disk.total else 0.0
        if used > RAY_FULL or disk.free < LITTLE_DISK:
            return (fault if used > RAY_FULL else warning)(
                f"the disk of Ray's folder {disk.path} on {name} is {100 * used:.0f} % full ({gigabytes(disk.free)} "
                f"free), and above {100 * RAY_FULL:.0f} % Ray makes no objects on it",
                "free space there, or start that node with --temp-dir on a larger disk (on the head: for all nodes)",
            )
    for node in facts.alive:
        store = gigabytes(node.object_store)
        if node.probe and node.object_store > node.probe.shared_memory:
            return warning(
                f"/dev/shm of {node.name} has {gigabytes(node.probe.shared_memory)} and Ray's object store {store}: it "
                "lies on disk, and is slow",
                f"start the container with --shm-size={max(1, round(node.object_store / 1e9))}g or more",
            )
        if node.object_store < SMALL_STORE:
            return warning(
                f"the object store of {node.name} has {store}, too little for a cache's blocks",
                "start that node with --object-store-memory of 1000000000 or more",
            )
    least = min(probe.temporary.free for probe in facts.probes.values())
    return good(f"Ray's own folders have {gigabytes(least)} or more, and its object stores are in memory")
