"""`clusters/slurm.sbatch` on a real SLURM: `python -m tests.cluster.slurm [--json FILE] [--log FILE]`.

Two hosts of namespaces run Debian's munged, slurmctld and slurmd (see `slurm_host`). The script is submitted with only
its marked lines changed, for a search of three trials, while another Ray runs on the first host that every job has to
leave alone. `CASES` are run in turn, each returns what a user would want to know, and the command ends with 0 if all is
well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.cluster.slurm_host import Slurm, slurm
from tests.faults.mlflow_outage import ended
from tests.faults.searches import REPOSITORY, Place, metrics_twice, outcome, run_again, wait_for

SCRIPT = REPOSITORY / "clusters" / "slurm.sbatch"
MARKED = re.compile(r"# -+ change these lines -+\n(.*?)# -+ the rest may stay -+\n", re.DOTALL)
PATIENCE = 1500.0  # seconds for a job: two cores may be shared with much else
STEPS = 120  # of a whole training
OTHER = 6379  # the port of the Ray that is none of the job's


def with_lines(script: str, **changed: str) -> str:
    """The batch script with marked lines changed: `cpus_per_task=2` the #SBATCH line, `STORAGE=...` the variable."""
    block = MARKED.search(script)
    assert block, "the lines to change are not marked"
    text = block[1]
    for name, value in changed.items():
        option = f"#SBATCH --{name.replace('_', '-')}="
        line, new = (option, option + value) if name.islower() else (f"{name}=", f"{name}={value}")
        text, count = re.subn(rf"^#?{re.escape(line)}.*$", lambda _, new=new: new, text, flags=re.MULTILINE)
        assert count == 1, f"{name} is not one of the lines to change"
    return script[: block.start(1)] + text + script[block.end(1) :]


@dataclass
class Trial:
    """The cluster, the place that is searched in, the Ray of somebody else, and the story so far."""

    cluster: Slurm
    place: Place
    other: str = ""
    story: list[str] = field(default_factory=list)

    @property
    def search(self) -> list[str]:
        """What is searched, as the command takes it."""
        folder = self.place.folder
        return [str(folder / "space.yaml"), "--data", str(folder / "data"), "--minimal-pairs", str(folder / "pairs")]

    def submit(self, name: str, *options: str, environment: Path | None = None, **changed: str) -> str:
        """Submit the script as the search `name`; returns the job's id."""
        lines = {
            "job_name": name,
            "cpus_per_task": "1",
            "time": "2:00:00",
            "ENVIRONMENT": str(environment or sys.prefix),
            "STORAGE": str(self.place.storage),
            "SCRATCH": str(self.cluster.disk),
            "SEARCH": f"({shlex.join([*self.search, '--concurrent', '1'])})",
            "RESTARTS": "0",
            **changed,
        }
        script = self.cluster.submit_folder / f"{name}.sbatch"
        script.write_text(with_lines(SCRIPT.read_text(), **lines))
        number = self.cluster.sbatch(script, *options, env={"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"})
        self.say(f"$ sbatch {shlex.join([*options, script.name])}", f"Submitted batch job {number}")
        return number

    def end(self, name: str, number: str, *states: str) -> dict[str, Any]:
        """Wait for the end of a job; returns its state, its exit code and what it left on the hosts."""
        job = self.cluster.wait(number, *states, timeout=PATIENCE)
        facts = {key: job[key] for key in ("JobState", "ExitCode", "Restarts", "NodeList")}
        self.say(f"$ scontrol show job {number}", "   " + " ".join(f"{key}={value}" for key, value in facts.items()))
        with contextlib.suppress(AssertionError):  # the last processes of a step may take a moment more
            wait_for(lambda: not self.left(), 60, "the end of the job's processes")
        return {
            "state": job["JobState"],
            "exit_code": job["ExitCode"],
            "left_running": self.left(),
            "left_on_disk": [path for host in self.cluster.hosts for path in self.on_disk(host.name)],
            "other_ray_is_there": self.other_ray() == self.other,
            "token_in_the_log": bool(re.search(r"\b[0-9a-f]{64}\b", self.log(name, number))),
        }

    def log(self, name: str, number: str) -> str:
        """What a job has printed."""
        path = self.cluster.submit_folder / f"{name}-{number}.log"
        return path.read_text() if path.exists() else ""

    def on_disk(self, host: str) -> list[str]:
        """What jobs have left on a host's own disk, and beside the script."""
        left = [str(path.name) for path in (self.cluster.folder / f"disk-{host}").glob("palenka-*")]
        return left + [path.name for path in self.cluster.submit_folder.glob(".palenka-*")]

    def left(self) -> list[str]:
        """Processes of jobs on the hosts; those of the other Ray have its folder in the command line or environment."""
        return [line for host in self.cluster.hosts for line in host.processes("palenka-")]

    def start_other_ray(self) -> None:
        """Somebody else's Ray on the first host, started before the jobs and not by SLURM."""
        ray = [f"{sys.prefix}/bin/ray", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={OTHER}"]
        ray += ["--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats"]
        more = {"RAY_TMPDIR": str(self.cluster.folder / "other"), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        self.cluster.hosts[0].run(*ray, env={**more, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"})
        self.other = self.other_ray()
        assert self.other

    def other_ray(self) -> str:
        """The daemons of the other Ray, with their process ids."""
        lines = [
            line for line in self.cluster.hosts[0].processes("/other/ray/") if re.search("/(raylet|gcs_server) ", line)
        ]
        return " ".join(sorted(line.split()[0] for line in lines))

    def say(self, *lines: str) -> None:
        self.story += lines
        print(*lines, sep="\n", flush=True)

    def tell(self, name: str, number: str) -> None:
        """Put what a job has printed into the story."""
        self.say(f"$ cat {name}-{number}.log", self.log(name, number).rstrip(), "")

    def run_folder(self, name: str) -> Path:
        return self.place.run_folder(name)

    def wait_for_trials(self, name: str, number: str, count: int) -> None:
        """Wait until `count` trials of a search have ended."""
        run = self.run_folder(name)
        over = ("COMPLETED", "FAILED")
        wait_for(
            lambda: ended(run) >= count or self.cluster.job(number)["JobState"] in over, PATIENCE, f"{count} trials"
        )


def table(run: Path) -> Any:
    """`trials.parquet` without the only column that a clock has a say in."""
    return pq.read_table(run / "trials.parquet").drop_columns(["seconds"])


def state(run: Path) -> str:
    """Whether a search has finished, as its summary says."""
    return str(json.loads((run / "summary.json").read_text()).get("state", "finished"))


def finished(trial: Trial) -> dict[str, Any]:
    """A search runs to its end, and its trials are those of the same search without SLURM."""
    number = trial.submit("undisturbed")
    result = trial.end("undisturbed", number)
    trial.tell("undisturbed", number)
    here = [
        "taskset",
        "-c",
        "0",
        sys.executable,
        "-m",
        "palenka_tune.search",
        *trial.search,
    ]  # a trial on one core, too
    local = trial.place.start_command(
        [*here, "--storage", str(trial.place.storage), "--name", "local", "--concurrent", "1"],
        trial.place.folder / "local.log",
    )
    assert local.wait(timeout=PATIENCE) == 0, trial.place.said("local")
    run = trial.run_folder("undisturbed")
    return {
        **result,
        "summary": (run / "summary.json").exists(),
        "as_without_slurm": outcome(run) == outcome(trial.run_folder("local")),
    }


def signalled(trial: Trial) -> dict[str, Any]:
    """SIGUSR1 in mid-search leaves a resumable run; the same script submitted again finishes it."""
    number = trial.submit("signalled")
    trial.wait_for_trials("signalled", number, 2)
    argv = ["scancel", "--signal=USR1", "--batch", number]
    trial.say(f"$ {shlex.join(argv)}")
    trial.cluster.hosts[0].run(*argv)
    result = trial.end("signalled", number)
    trial.tell("signalled", number)
    run = trial.run_folder("signalled")
    stopped = outcome(run)
    trial.say("its trials: " + ", ".join(f"{key} {value[0]}" for key, value in stopped.items()), "")
    again = trial.submit("signalled")
    after = trial.end("signalled", again)
    trial.tell("signalled", again)
    return {
        **result,
        "stopped_in_mid_search": 0 < len(stopped) < len(outcome(run)),
        "resubmitted": after["state"],
        "as_undisturbed": table(run).equals(table(trial.run_folder("undisturbed"))),
        "finished_run_again": len(run_again(run)),
        "metrics_twice": metrics_twice(run),
    }


def preempted(trial: Trial) -> dict[str, Any]:
    """A job of higher priority takes the nodes: the search is stopped by SIGUSR1, queued again and finished."""
    number = trial.submit("preempted", RESTARTS="3")
    trial.wait_for_trials("preempted", number, 1)
    script = trial.cluster.submit_folder / "urgent.sh"
    script.write_text("#!/bin/sh\nsleep 5\n")
    options = ["--partition=urgent", "--exclusive", f"--nodes={len(trial.cluster.hosts)}", "--output=urgent.log"]
    urgent = trial.cluster.sbatch(script, *options)
    trial.say(f"$ sbatch {shlex.join(options)} urgent.sh", f"Submitted batch job {urgent}")
    trial.cluster.wait(urgent, timeout=PATIENCE)
    trial.say(trial.cluster.hosts[0].run("squeue", "--format=%i %j %T %r").rstrip())
    result = trial.end("preempted", number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    trial.tell("preempted", number)
    run = trial.run_folder("preempted")
    return {
        **result,
        "restarts": int(trial.cluster.job(number)["Restarts"]),
        "as_undisturbed": table(run).equals(table(trial.run_folder("undisturbed"))),
        "finished_run_again": len(run_again(run)),
        "metrics_twice": metrics_twice(run),
    }


def cancelled(trial: Trial) -> dict[str, Any]:
    """`scancel` in mid-search leaves no process and no file on the node, and a run that can go on."""
    number = trial.submit("cancelled")
    trial.wait_for_trials("cancelled", number, 1)
    trial.say(f"$ scancel {number}")
    trial.cluster.hosts[0].run("scancel", number)
    result = trial.end("cancelled", number)
    trial.tell("cancelled", number)
    return {
        **result,
        "exit_code": result["exit_code"].split(":")[0],
        "journal": (trial.run_folder("cancelled") / "optuna.journal").exists(),
    }


def mistaken(trial: Trial) -> dict[str, Any]:
    """A search that is refused makes a job that fails."""
    space = trial.place.folder / "mistaken.yaml"
    space.write_text((trial.place.folder / "space.yaml").read_text().replace("beta:", "betta:"))
    number = trial.submit("mistaken", SEARCH=f"({space})")
    result = trial.end("mistaken", number)
    trial.tell("mistaken", number)
    return {**result, "says_why": "did you mean 'beta'" in trial.log("mistaken", number)}


def no_ray(trial: Trial) -> dict[str, Any]:
    """A `ray start` that fails makes a job that fails, though `ray symmetric-run` ends well."""
    host, number = trial.cluster.hosts[0], trial.submit("no-ray", "--hold")
    port = 10000 + int(number) % 2200 * 10
    program = f"import socket; s = socket.create_server(('127.0.0.1', {port})); import sys; sys.stdin.read()"
    with host.started(sys.executable, "-c", program):
        host.run("scontrol", "release", number)
        result = trial.end("no-ray", number)
    said = trial.log("no-ray", number)
    trial.say(f"$ tail -n 1 no-ray-{number}.log", said.rstrip().splitlines()[-1], "")
    return {**result, "says_why": "the search did not run" in said}


def no_namespaces(trial: Trial) -> dict[str, Any]:
    """Where a user may make no namespaces, a shared node is refused; the other Ray lives."""
    environment = trial.cluster.folder / "restricted"
    (environment / "bin").mkdir(parents=True)
    for path in (*Path(sys.prefix).iterdir(), *(Path(sys.prefix) / "bin").iterdir()):
        if path.name != "bin":
            (environment / path.relative_to(sys.prefix)).symlink_to(path)
    unshare = environment / "bin" / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    number = trial.submit("restricted", environment=environment)
    result = trial.end("restricted", number)
    trial.tell("restricted", number)
    return {**result, "says_why": "add #SBATCH --exclusive" in trial.log("restricted", number)}


def two_nodes(trial: Trial) -> dict[str, Any]:
    """One Ray over two nodes, with trials on both."""
    number = trial.submit("two-nodes", nodes="2", SEARCH=f"({shlex.join(trial.search)})")
    seen: set[str] = set()

    def over() -> bool:
        seen.update(host.name for host in trial.cluster.hosts if host.processes("ray::", ".train"))
        return trial.cluster.job(number)["JobState"] in ("COMPLETED", "FAILED")

    wait_for(over, PATIENCE, "the end of the job on two nodes")
    result = trial.end("two-nodes", number)
    trial.tell("two-nodes", number)
    trials = outcome(trial.run_folder("two-nodes")) if result["state"] == "COMPLETED" else {}
    return {**result, "trials_on": sorted(seen), "trials": len(trials)}


CASES: dict[str, Callable[[Trial], dict[str, Any]]] = {
    case.__name__: case
    for case in (finished, signalled, preempted, cancelled, mistaken, no_ray, no_namespaces, two_nodes)
}
EXPECTED: dict[str, dict[str, Any]] = {
    "finished": {"state": "COMPLETED", "exit_code": "0:0", "summary": True, "as_without_slurm": True},
    "signalled": {
        "state": "FAILED",
        "exit_code": "143:0",
        "stopped_in_mid_search": True,
        "resubmitted": "COMPLETED",
        "as_undisturbed": True,
        "finished_run_again": 0,
        "metrics_twice": 0,
    },
    "preempted": {
        "state": "COMPLETED",
        "exit_code": "0:0",
        "restarts": 1,
        "as_undisturbed": True,
        "finished_run_again": 0,
        "metrics_twice": 0,
    },
    "cancelled": {"state": "CANCELLED", "exit_code": "0", "journal": True},
    "mistaken": {"state": "FAILED", "exit_code": "2:0", "says_why": True},
    "no_ray": {"state": "FAILED", "exit_code": "1:0", "says_why": True},
    "no_namespaces": {"state": "FAILED", "exit_code": "1:0", "says_why": True},
    "two_nodes": {"state": "COMPLETED", "exit_code": "0:0", "trials_on": ["node1", "node2"], "trials": 4},
}
ALWAYS = {"left_running": [], "left_on_disk": [], "other_ray_is_there": True, "token_in_the_log": False}


def good(results: dict[str, dict[str, Any]]) -> bool:
    """Whether every case came to what is expected of it."""
    return all(result == {**ALWAYS, **EXPECTED[name]} for name, result in results.items())


@contextlib.contextmanager
def prepared(hosts: int = 2) -> Iterator[Trial]:
    """A cluster with the place of a search and somebody else's Ray on its first host."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))  # short: Ray's sockets have long names of their own
    try:
        place = Place.make(folder / "place", samples=2)
        space = place.folder / "space.yaml"
        steps = yaml.safe_load(space.read_text())
        steps["recipe"]["epochs"] = STEPS * steps["recipe"]["batch_size"] / steps["student"]["train_windows"]
        space.write_text(yaml.safe_dump(steps))
        with slurm(folder, hosts=hosts) as cluster:
            trial = Trial(cluster, place)
            trial.start_other_ray()
            trial.say("$ sinfo", cluster.hosts[0].run("sinfo").rstrip(), "")
            yield trial
    finally:
        shutil.rmtree(folder, ignore_errors=True)


NOISE = re.compile(r"network_util|VINFO scripts\.py|\d+/\d+ stopped|^\s+File \"|^\s+[\^~]+$|^ {4}\S.*\)$|^ {4}return ")


def trimmed(text: str, folder: Path) -> str:
    """A log without what only this machine has, and without the lines of Ray that say nothing of a job."""
    for path, name in ((folder / "place", "~/place"), (folder, "~"), (Path(sys.prefix), "~/palenka/.venv")):
        text = text.replace(str(path), name)
    lines = re.split(r"[\r\n]", text.replace(str(REPOSITORY), "~/palenka"))
    return "\n".join(line for line in lines if not NOISE.search(line))


def main() -> int:
    """Run the cases; 0 if all came to what is expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the results there")
    parser.add_argument("--log", type=Path, default=None, metavar="FILE", help="write there what the jobs printed")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all, in this order)")
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    with prepared() as trial:
        try:
            for name in args.cases or CASES:
                trial.say(f"==== {name}: {CASES[name].__doc__}", "")
                results[name] = CASES[name](trial)
        finally:
            text = json.dumps(results, indent=2)
            print(text)
            if args.json:
                args.json.write_text(text + "\n")
            if args.log:
                title = f"python -m tests.cluster.slurm, {date.today()}, SLURM on two hosts of namespaces"
                story = "\n".join([title, "", *trial.story, text]) + "\n"
                args.log.write_text(trimmed(story, trial.cluster.folder))
    return 0 if good(results) else 1


if __name__ == "__main__":
    sys.exit(main())
