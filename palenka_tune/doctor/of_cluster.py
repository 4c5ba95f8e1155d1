"""Checks of the cluster itself: the way in, its nodes, their versions and clocks, who else may come in, Ray's disk.

Each takes all facts and returns a `Finding`, or None where the facts that it needs are not there.
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.cache.plan import gigabytes
from palenka_tune.doctor.facts import Facts, Finding, Node

# clocks further apart than this spoil what is compared by time: a warning, and a fault
SKEW_SECONDS, SKEW_FAULT_SECONDS = 2.0, 10.0
RAY_FULL = 0.95  # Ray starts no task on a node whose disk is fuller
LITTLE_DISK = 2e9
SMALL_STORE = 75e6  # the least object store that Ray accepts


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names for a sentence, no more than a few."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def ray(facts: Facts) -> Finding:
    """Whether the driver is let in."""
    access = facts.access
    if access.address is None:
        if access.refused:
            return Finding("fault", f"Ray does not start on this machine: {access.refused}", "see the reason")
        return Finding("ok", "Ray starts on this machine")
    where = f"the Ray cluster at {access.address}"
    if access.by_token:
        return Finding(
            "fault",
            f"{where} does not let the driver in: {access.refused}",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the token of the head",
        )
    if access.refused:
        return Finding(
            "fault",
            f"{where} is not reached: {access.refused}",
            "start it (ray start --head, ray up), or give --address HOST:PORT of a node where this machine is one too",
        )
    return Finding("ok", f"{where} lets the driver in")


def nodes(facts: Facts) -> Finding | None:
    """Whether all nodes are up and answer, and whether there is more than the head."""
    if facts.nodes is None:
        return None
    silent = [node for node in facts.alive if node.probe is None]
    if silent:
        return Finding(
            "fault",
            f"{listed([node.name for node in silent])} is listed as up but does nothing: {silent[0].silence}",
            "restart Ray on it (ray stop, ray start), or take it out of the cluster",
        )
    lost = [node for node in facts.nodes if not node.alive and node.name not in {n.name for n in facts.alive}]
    alone = facts.access.address is not None and len(facts.alive) == 1 and facts.alive[0].head
    if alone:
        return _alone(facts, facts.alive[0], lost)
    cores, gpus = sum(node.cpus for node in facts.alive), sum(node.gpus for node in facts.alive)
    count = f"{len(facts.alive)} node{'s' if len(facts.alive) > 1 else ''}"
    up = f"{count} up, {cores} CPU cores and {gpus} GPUs"
    if lost:
        return Finding("warning", f"{up}; {_lost(lost)}", "start it again if the search is to use it")
    return Finding("ok", up)


def _lost(lost: Sequence[Node]) -> str:
    reason = f" ({lost[0].died_of})" if lost[0].died_of else ""
    return f"{listed([node.name for node in lost])} was lost{reason}"


def _alone(facts: Facts, head: Node, lost: Sequence[Node]) -> Finding:
    found = "only the head is up, and no worker has joined" + (f"; {_lost(lost)}" if lost else "")
    scaler = head.probe.autoscaler if head.probe else None
    if scaler and any(kind["most"] for kind in scaler):
        kinds = listed([f"{kind['most']} × {kind['name']}" for kind in scaler if kind["most"]])
        return Finding(
            "warning",
            f"{found}; the autoscaler may start up to {kinds}",
            "have one worker up before the search begins (min_workers: 1), since it is planned for what is there",
        )
    # a head without cores, as the YAML files of clouds have it, runs nothing itself
    state = "fault" if head.cpus == 0 else "warning"
    return Finding(
        "fault" if state == "fault" else "warning",
        f"{found}; it has {head.cpus} CPU cores and {head.gpus} GPUs for trials",
        "run `ray start --address HEAD:PORT` on each worker with the head's token, and see that its port is open to "
        "them" + ("" if state == "fault" else ", or go on with the head alone"),
    )


def versions(facts: Facts) -> Finding | None:
    """Whether every node has the driver's packages."""
    if not facts.probes:
        return None
    wrong: dict[str, list[str]] = {}
    for node, probe in facts.probes.items():
        for package, ours in facts.here.items():
            theirs = probe.versions.get(package)
            if theirs != ours:
                wrong.setdefault(f"{package} is {theirs or 'missing'} there, {ours or 'missing'} here", []).append(node)
    if wrong:
        found = "; ".join(f"on {listed(names)} {what}" for what, names in wrong.items())
        return Finding(
            "fault",
            found,
            "install the same versions on every node, or give all of them the same image, and restart it",
        )
    known = ", ".join(f"{name} {facts.here[name]}" for name in ("python", "ray", "torch", "palenka_tune"))
    return Finding("ok", f"the same on {'all nodes' if len(facts.probes) > 1 else 'the node'}: {known}")


def clocks(facts: Facts) -> Finding | None:
    """Whether the nodes' clocks agree with the driver's, as far as the way there lets one know."""
    if not facts.probes:
        return None
    apart = {name: max(0.0, abs(p.clock) - p.clock_error) for name, p in facts.probes.items()}
    worst = max(apart, key=lambda name: apart[name])
    if apart[worst] <= SKEW_SECONDS:
        known = max(abs(p.clock) + p.clock_error for p in facts.probes.values())
        return Finding("ok", f"clocks agree within {known:.2f} s")
    way = "ahead of" if facts.probes[worst].clock > 0 else "behind"
    return Finding(
        "fault" if apart[worst] > SKEW_FAULT_SECONDS else "warning",
        f"the clock of {worst} is {apart[worst]:,.0f} s {way} the driver's",
        "run a time service on every node (timedatectl set-ntp true, or chrony): storage and logins go by the clock",
    )


def token(facts: Facts) -> Finding | None:
    """Whether who has no token may run code on the cluster (CVE-2023-48022)."""
    if not facts.probes:
        return None
    beyond = [
        f"{each.process} on {name} at {each.address}:{each.port}"
        for name, probe in facts.probes.items()
        for each in probe.listeners
        if each.beyond_loopback and each.process != "dashboard"
    ]
    if facts.access.open is None:
        return Finding(
            "warning",
            "it is not known whether Ray asks for a token",
            "see that RAY_AUTH_MODE=token is set on all nodes",
        )
    if not facts.access.open:
        return Finding("ok", "Ray lets in nobody without the token")
    fix = "make a token (ray get-auth-token --generate), set RAY_AUTH_MODE=token and it on every node, and restart Ray"
    if beyond:
        reach = f"and listens beyond loopback ({listed(beyond, 2)})"
        return Finding("fault", f"Ray asks for no token {reach}: whoever reaches it can run anything", fix)
    return Finding("warning", "Ray asks for no token: every user of this machine can run anything as you", fix)


def dashboard(facts: Facts) -> Finding | None:
    """Whether the dashboard can be reached from other machines."""
    found = [(n, p, each) for n, p in facts.probes.items() for each in p.listeners if each.process == "dashboard"]
    if not facts.probes:
        return None
    beyond = [(name, probe, each) for name, probe, each in found if each.beyond_loopback]
    if not beyond:
        return Finding("ok", "the dashboard listens on loopback only" if found else "there is no dashboard")
    name, probe, each = beyond[0]
    where = f"the dashboard on {name} listens at {each.address}:{each.port}"
    if probe.kubernetes and facts.access.open is False:
        return Finding("ok", f"{where}, in a pod and behind the token")
    return Finding(
        "fault",
        f"{where}, beyond loopback",
        "start the head with --dashboard-host=127.0.0.1 and reach it by SSH (ssh -L 8265:127.0.0.1:8265 HEAD)",
    )


def ray_disk(facts: Facts) -> Finding | None:
    """Whether Ray has room for its logs, its spilled objects and its object store."""
    if not facts.probes:
        return None
    for name, probe in facts.probes.items():
        disk = probe.temporary
        used = 1 - disk.free / disk.total if disk.total else 0.0
        if used > RAY_FULL or disk.free < LITTLE_DISK:
            return Finding(
                "fault" if used > RAY_FULL else "warning",
                f"the disk of Ray's folder {disk.path} on {name} is {100 * used:.0f} % full ({gigabytes(disk.free)} "
                f"free), and above {100 * RAY_FULL:.0f} % Ray makes no objects on it",
                "free space there, or start that node with --temp-dir on a larger disk (on the head: for all nodes)",
            )
    for node in facts.alive:
        if node.probe and node.object_store > node.probe.shared_memory.total:
            have, want = gigabytes(node.probe.shared_memory.total), gigabytes(node.object_store)
            return Finding(
                "warning",
                f"/dev/shm of {node.name} has {have} and Ray's object store {want}: it lies on disk, and is slow",
                f"start the container with --shm-size={max(1, round(node.object_store / 1e9))}g or more",
            )
        if node.object_store < SMALL_STORE:
            return Finding(
                "warning",
                f"the object store of {node.name} has {gigabytes(node.object_store)}, too little for a cache's blocks",
                "start that node with --object-store-memory of 1000000000 or more",
            )
    least = min(probe.temporary.free for probe in facts.probes.values())
    return Finding("ok", f"Ray's own folders have {gigabytes(least)} or more, and its object stores are in memory")
