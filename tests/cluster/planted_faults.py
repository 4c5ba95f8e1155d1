"""Faults planted in real clusters, each of which the doctor must find: `python -m tests.cluster.planted_faults`.

Every fault is what it is called: a node with another package, a clock that is an hour off, a disk that is small. Beside
them stands a cluster without a fault, on which the doctor ends 0. All of it happens in namespaces of its own (root);
`--only NAME` plants some of them, `--json FILE` writes what was said.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.sealed import ROOT, RayNodes, enter, mount_tmpfs
from tests.support.s3 import s3_server

CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#define AHEAD 3600
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += AHEAD;
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec known;
    clock_gettime(CLOCK_REALTIME, &known);
    now->tv_sec = known.tv_sec;
    now->tv_usec = known.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec known;
    clock_gettime(CLOCK_REALTIME, &known);
    if (out) *out = known.tv_sec;
    return known.tv_sec;
}
"""
PASSWORD = "not-to-be-printed"  # in a URL; the doctor must not say it


@dataclass
class Room:
    """Where a fault is planted: the cluster, the shared folder, and what the doctor is started with."""

    folder: Path
    cluster: RayNodes
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def storage(self) -> Path:
        return self.folder / "runs"

    def doctor(self) -> tuple[int, dict[str, Any], str, float]:
        """Run the command as a user would; its exit code, its findings, what it printed, and the seconds it took."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        given = {"--address": self.cluster.address, "--storage": str(self.storage), "--json": str(report)}
        argv = [sys.executable, "-m", "palenka_tune.doctor", "smoke"]
        argv += [word for option in (given | self.arguments).items() for word in option]
        elsewhere = self.folder / "elsewhere"  # not in the checkout, which Ray would put before a node's own packages
        elsewhere.mkdir(exist_ok=True)
        started = time.monotonic()
        done = subprocess.run(
            argv,
            env={**self.cluster.environment, **self.environment},
            cwd=elsewhere,
            capture_output=True,
            text=True,
            timeout=400,
        )
        seconds = time.monotonic() - started
        said = done.stdout + done.stderr
        return done.returncode, json.loads(report.read_text()) if report.exists() else {}, said, seconds


@dataclass(frozen=True)
class Fault:
    """How a fault is planted, and which check must find it with which words; `worker` False: there is only a head."""

    plant: Callable[[Room], None]
    check: str
    found: str
    fix: str
    token: bool = True
    head_cpus: int = 1
    head_options: tuple[str, ...] = ("--include-dashboard=false",)
    worker: bool = True


def wrong_endpoint(room: Room) -> None:
    """The storage is a bucket, and the worker was given another endpoint, where nobody answers."""
    room.arguments["--storage"] = "s3://palenka/runs"
    room.cluster.worker("127.0.0.2", environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:5997"})


def wrong_port(room: Room) -> None:
    room.arguments["--address"] = "127.0.0.1:6399"


def wrong_token(room: Room) -> None:
    room.environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def gpus_asked(room: Room) -> None:
    room.arguments["--gpus-per-trial"] = "0.5"


def gpu_in_name_only(room: Room) -> None:
    """The worker is started with a GPU that it has not."""
    room.cluster.worker("127.0.0.2", gpus=1)
    room.arguments["--gpus-per-trial"] = "0.5"


def read_only(room: Room) -> None:
    """The storage is mounted read-only on the worker."""
    mount = [f"mount --bind {room.storage} {room.storage}", f"mount -o remount,ro,bind {room.storage}"]
    room.cluster.worker("127.0.0.2", before=mount)


def own_folder(room: Room) -> None:
    """The worker has another disk where the others have the storage."""
    room.cluster.worker("127.0.0.2", before=[f"mount -t tmpfs tmpfs {room.storage}"])


def database_away(room: Room) -> None:
    room.environment["PALENKA_STUDY_STORAGE"] = f"postgresql://palenka:{PASSWORD}@127.0.0.1:5999/study"


def mlflow_away(room: Room) -> None:
    room.environment["MLFLOW_TRACKING_URI"] = f"http://palenka:{PASSWORD}@127.0.0.1:5998"


def other_release(room: Room) -> None:
    """Another release of palenka_tune is installed on the worker."""
    copy = room.folder / "site" / "palenka_tune"
    shutil.copytree(ROOT / "palenka_tune", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").write_text('"""Another release."""\n\n__version__ = "0.0.9"\n')
    room.cluster.worker("127.0.0.2", environment={"PYTHONPATH": str(copy.parent)})


def other_clock(room: Room) -> None:
    """The worker's clock is an hour ahead: its processes are given another time of day by the C library."""
    source, library = room.folder / "clock.c", room.folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    room.cluster.worker("127.0.0.2", environment={"LD_PRELOAD": str(library)})


def small_disk(room: Room) -> None:
    mount_tmpfs(room.storage, "16m")


def large_batch(room: Room) -> None:
    room.arguments |= {"--scale": "poster", "--set": "recipe.batch_size=8192"}


def frozen(room: Room) -> None:
    room.cluster.freeze("127.0.0.2")


def nothing(room: Room) -> None:
    """The fault is in how the cluster was started."""


FAULTS = {
    "Ray does not answer at the address": Fault(wrong_port, "ray", "nothing answers there", "--address HOST:PORT"),
    "another token": Fault(wrong_token, "ray", "it refuses this token", "RAY_AUTH_TOKEN"),
    "GPUs where there are none": Fault(gpus_asked, "places", "× 0.5 GPU asked", "leave out --gpus-per-trial"),
    "a GPU that Ray counts and is not there": Fault(
        gpu_in_name_only, "memory", "Ray counts 1 GPUs on 127.0.0.2, and none answers", "nvidia-smi", worker=False
    ),
    "a head without cores and no worker": Fault(
        nothing, "nodes", "no worker has joined", "ray start --address", head_cpus=0, worker=False
    ),
    "a batch that fits no memory": Fault(large_batch, "memory", "are free there", "recipe.accumulate"),
    "storage read-only on a node": Fault(read_only, "storage", "127.0.0.2 can read", "mount it writable", worker=False),
    "storage not shared": Fault(own_folder, "storage", "the folder there is another one", "mount the", worker=False),
    "a bucket that a node does not reach": Fault(
        wrong_endpoint, "storage", "127.0.0.2 cannot read and write s3://", "credentials, endpoint", worker=False
    ),
    "the study's database is away": Fault(database_away, "study", "refused", "start it, or correct"),
    "MLflow is away": Fault(mlflow_away, "mlflow", "refused", "start it, or correct"),
    "another release on a node": Fault(
        other_release, "versions", "on 127.0.0.2 palenka_tune is 0.0.9", "install the same", worker=False
    ),
    "a clock an hour ahead": Fault(other_clock, "clocks", "s ahead of the driver's", "time service", worker=False),
    "a disk too small for the cache": Fault(small_disk, "cache", "cache takes", "larger disk"),
    "a node that is frozen": Fault(frozen, "nodes", "it does not answer within", "restart Ray on it"),
    "no token, and in reach of others": Fault(
        nothing, "token", "asks for no token and listens", "get-auth-token", token=False
    ),
    "a dashboard in reach of others": Fault(
        nothing,
        "dashboard",
        "beyond loopback",
        "--dashboard-host=127.0.0.1",
        head_options=("--include-dashboard=true", "--dashboard-host=0.0.0.0", "--dashboard-port=8265"),
    ),
}
# with these, other checks see a fault too, and they are right
ALSO = {"a head without cores and no worker": {"places"}}


def planted(fault: Fault | None, folder: Path) -> tuple[int, dict[str, Any], str, float]:
    """A cluster with the fault, and what the doctor says to it."""
    token = secrets.token_hex(32) if fault is None or fault.token else None
    room = Room(folder, RayNodes(folder / "ray", 6379, token))
    room.storage.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.callback(room.cluster.stop_all)
        if fault is not None and fault.plant is wrong_endpoint:
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            room.cluster.environment |= stack.enter_context(s3_server())
        if fault is None:
            room.cluster.head()
            room.cluster.worker("127.0.0.2")
        else:
            room.cluster.head(cpus=fault.head_cpus, options=fault.head_options)
            if fault.worker:
                room.cluster.worker("127.0.0.2")
            fault.plant(room)
        return room.doctor()


def experiment(folder: Path, only: Sequence[str]) -> dict[str, Any]:
    """Plant one after the other; {fault: what was said, and whether that was right}."""
    code, report, said, seconds = planted(None, folder / "healthy")
    result: dict[str, Any] = {
        "healthy": {"exit_code": code, "seconds": round(seconds, 1), "said": said.splitlines()},
        "faults": {},
    }
    print(said, flush=True)
    for number, (name, fault) in enumerate(FAULTS.items()):
        if only and name not in only:
            continue
        if (fault.plant is other_clock and not shutil.which("cc")) or (
            fault.plant is gpu_in_name_only and shutil.which("nvidia-smi")
        ):
            print(f"left out, as it cannot be planted here (no C compiler, or a real GPU): {name}", flush=True)
            continue
        code, report, said, seconds = planted(fault, folder / f"fault{number}")
        faults = {each["check"]: each for each in report.get("findings", []) if each["state"] == "fault"}
        hit = faults.get(fault.check, {"found": "", "fix": ""})
        good = fault.found in hit["found"] and fault.fix in hit["fix"] and code == 1 and PASSWORD not in said
        others = set(faults) - {fault.check} - ALSO.get(name, set())
        result["faults"][name] = {
            "good": good and not others,
            "check": fault.check,
            "found": hit["found"],
            "fix": hit["fix"],
            "others": sorted(others),
            "exit_code": code,
            "seconds": round(seconds, 1),
        }
        print(f"{'found' if good and not others else 'NOT FOUND'}: {name} ({seconds:.0f} s)", flush=True)
        print(f"    {hit['found']}\n    → {hit['fix']}", flush=True)
        if not good or others:
            print(said, flush=True)
    return result


def good(result: dict[str, Any]) -> bool:
    """Whether a healthy cluster is healthy and every fault was found, and no other."""
    faults = result["faults"].values()
    return result["healthy"]["exit_code"] == 0 and bool(faults) and all(each["good"] for each in faults)


def main(argv: Sequence[str]) -> int:
    """Parse, enter the room, plant; 0 if every fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], choices=list(FAULTS), help="plant this one (repeatable)")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the result there")
    args = parser.parse_args(argv)
    code = enter("tests.cluster.planted_faults", [str(Path(a).absolute()) if a.endswith(".json") else a for a in argv])
    if code is not None:
        return code
    with tempfile.TemporaryDirectory(prefix="palenka_doctor-", ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = folder  # no token of the user's is found there
        result = experiment(Path(folder), args.only)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    found = sum(each["good"] for each in result["faults"].values())
    print(f"{found} of {len(result['faults'])} faults found; healthy in {result['healthy']['seconds']} s", flush=True)
    return 0 if good(result) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
