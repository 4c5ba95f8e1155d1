"""Checks of where a search keeps things: its storage, the study's database, MLflow."""

from __future__ import annotations

from palenka_tune.doctor.checks.finding import Finding, fault, good, listed, warning
from palenka_tune.doctor.facts import Facts, Service

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "glusterfs", "ceph", "fuse.ceph", "beegfs")


def storage(facts: Facts) -> Finding:
    """Whether the driver and every node can write to the storage, and whether it is one and the same."""
    where, kind, probes = facts.storage.path, facts.storage.kind, facts.probes
    if facts.storage.error:
        return fault(
            f"--storage {where} cannot be written by the driver: {facts.storage.error}",
            "give a folder that you may write to and every node sees, or a bucket whose credentials are in the "
            "environment",
        )
    apart = [name for name, probe in probes.items() if probe.marker != facts.marker]
    closed = {name: probe.storage.error for name, probe in probes.items() if probe.storage.error}
    reason = next(iter(closed.values()), "")
    if "://" in where:
        uncopied = {name: probe.work for name, probe in probes.items() if probe.work.error}
        copy = next(iter(uncopied.values()), facts.storage)
        faults = [
            (
                list(closed),
                f"cannot read and write {where}: {reason}",
                "give that node the driver's credentials, endpoint and way there (a role of the machine, or "
                "AWS_PROFILE, AWS_ENDPOINT_URL, ... in the environment in which Ray is started)",
            ),
            (
                apart,
                f"finds another {where}: it does not hold what the driver wrote",
                "give every node the same endpoint (AWS_ENDPOINT_URL)",
            ),
            (
                list(uncopied),
                f"cannot keep a copy of {where} in {copy.path}: {copy.error}",
                "set PALENKA_SCRATCH to a folder that can be written on every node",
            ),
        ]
    else:
        why = f"there {closed[apart[0]]}" if apart and apart[0] in closed else "the folder there is another one"
        faults = [
            (
                apart,
                f"does not find in {where} what the driver wrote: {why}",
                "mount the same shared folder (NFS, FSx, Filestore) at this path on every node, and give it as "
                "--storage",
            ),
            (
                list(closed),
                f"can read {where} but not write to it: {reason}",
                "mount it writable there, for the user that runs Ray",
            ),
        ]
    for names, found, fix in faults:
        if names:
            return fault(f"{listed(names)} {found}", fix)
    nodes = f" and {len(probes)} node{'s' if len(probes) > 1 else ''}" if probes else ""
    shown = where if "://" in where or not kind else f"{where} ({kind})"
    return good(f"{shown} is written and read by the driver{nodes}")


def service(facts: Facts, service: Service) -> Finding:
    """Whether the study's database, or MLflow, can be used."""
    if service.error:
        return fault(f"{service.name} at {service.where} cannot be used: {service.error}", service.fix)
    if service.file and facts.storage.kind in NETWORK and service.file.startswith(facts.storage.path):
        return warning(
            f"{service.name} is a SQLite file on {facts.storage.kind}, whose locks are not to be trusted",
            "set MLFLOW_TRACKING_URI to a server or to PostgreSQL",
        )
    return good(f"{service.name}: {service.where}")
