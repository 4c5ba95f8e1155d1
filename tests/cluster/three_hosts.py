"""A cluster of three hosts on this machine, and what a user does on it: `python -m tests.cluster.three_hosts`.

`ray up` starts `clusters/local.yaml`, of which only the marked lines were changed, on three hosts of
`tests.cluster.hosts`; then in turn (`--only` chooses): a search over the storybook corpus by `ray job submit`, with and
without the token; a teacher trained by one worker on each host; a teacher cache written on both; the same search while
one worker's cable is pulled and the other worker's plug; one that begins on one worker and gets a second; `ray down`.
Needs root, and `ray[default]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from palenka_tune.cluster.machine import available_cpus
from palenka_tune.config.sealed import Slate
from tests.cluster.hosts import unable, wait_for
from tests.cluster.launcher import HEAD, Cluster, cluster
from tests.faults.searches import outcome

CORPUS = Path(os.environ.get("PALENKA_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "storybook"
SAMPLES, DASHBOARD = 4, "http://127.0.0.1:8265"
RECIPE = {"batch_size": 64, "epochs": 0.005, "warmup_steps": 2}
DATA = {"vocabulary": 300, "window": 16}
SPACE = {
    "description": "a search on three hosts",
    "data": DATA,
    "student": {"train_windows": 128, "dev_windows": 32},
    "recipe": {"batch_size": 8, "epochs": 240, "warmup_steps": 2},
    "teachers": [{"preset": name, "recipe": RECIPE} for name in ("GPT2-tiny", "Llama-tiny")],
    "distill": {"alpha": 0.1},
    # nobody is stopped and nothing learnt from: the trials are the same in whatever order they end
    "search": {"samples": SAMPLES, "sampler": "random", "rungs": [], "max_failures": 0, "seeds": 0}
    # a checkpoint whenever there is a chance to, every 20 steps
    | {"checkpoint_minutes": 1e-6},
    "parameters": {"beta": {"log_uniform": [0.01, 1]}, "projection.rank": {"choice": [8, None]}},
}


def missing() -> str:
    """Why this cannot run here; empty if it can."""
    if importlib.util.find_spec("aiohttp_cors") is None:
        return "ray up and ray job need ray[default], which is not installed"
    if not CORPUS.is_dir():
        return f"the storybook corpus is not in {CORPUS}"
    return unable()


class Search:
    """A search on a cluster, watched while it runs."""

    def __init__(self, running: Cluster, name: str) -> None:
        self.cluster, self.name = running, name
        self.folder = running.storage / name
        self.log = running.storage.parent / f"{name}.log"
        self.seen: dict[str, set[str]] = {}  # {trial id: hosts on which its process was}
        self.on_head: set[str] = set()

    @property
    def command(self) -> str:
        space = self.cluster.storage.parent / "space.yaml"
        space.write_text(yaml.safe_dump(SPACE))
        argv = ["palenka-tune", "search", str(space), "--data", str(CORPUS), "--storage", str(self.cluster.storage)]
        return " ".join([*argv, "--name", self.name, "--address", "auto"]).replace(
            "palenka-tune", "python -m palenka_tune"
        )

    def look(self) -> dict[str, dict[str, Any]]:
        """The pulses of the trials that run, each noted with the host that really has its process."""
        pulses = {}
        for path in self.folder.glob("checkpoints/trial-*.pulse"):
            pulse = Slate(path).read()
            if pulse and pulse["pid"]:
                pulses[path.stem] = pulse
        nodes = {node_id: address for address, node_id in self.nodes.items()}
        for trial, pulse in pulses.items():
            host = nodes.get(pulse["node"])
            if host is not None:
                self.seen.setdefault(trial, set()).add(host)
        self.on_head |= set(self.cluster.head.processes("ray::ResourceTrainable").values())
        return pulses

    def watch(self, over: Callable[[], Any], timeout: float = 1500) -> None:
        """Look until it is `over`."""
        self.nodes: dict[str, str] = self.cluster.alive()
        deadline, refreshed = time.monotonic() + timeout, time.monotonic()
        while not over():
            assert time.monotonic() < deadline, f"{self.name} did not get there in {timeout:g} s:\n{self.said()}"
            if time.monotonic() - refreshed > 20:
                self.nodes |= self.cluster.alive()
                refreshed = time.monotonic()
            self.look()
            time.sleep(0.3)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def hosts(self) -> list[str]:
        """The hosts on which trials ran, by name."""
        names = {self.cluster.network.address(name): name for name in [HEAD, *self.cluster.names]}
        return sorted({names[address] for hosts in self.seen.values() for address in hosts})

    def start(self) -> Any:
        """Start it on the head, as who is logged in there would."""
        self.cluster.log(f"host1$ {self.command}")
        return self.cluster.start_on_head(self.command, self.log)

    def report(self) -> dict[str, Any]:
        """What it came to; all of it goes to the log."""
        self.cluster.log(self.said(), indent="    ")
        rows = outcome(self.folder)
        for trial, (state, val_ce, steps) in sorted(rows.items()):
            where = ", ".join(sorted(self.seen.get(trial, ())))
            self.cluster.log(f"{trial}  {state}  val/ce {val_ce}  {steps} steps  on {where}")
        return {"hosts": self.hosts(), "on_head": sorted(self.on_head), "trials": {k: list(v) for k, v in rows.items()}}


def search(running: Cluster) -> dict[str, Any]:
    """A search by `ray job submit` from the laptop through `ray dashboard`; without the token it is refused."""
    tunnel_log = (running.storage.parent / "tunnel.log").open("wb")
    running.log(f"laptop$ ray dashboard {running.yaml} &")
    ray = str(Path(sys.prefix) / "bin" / "ray")
    tunnel = running.network.laptop.start([ray, "dashboard", running.yaml], tunnel_log)
    try:
        line = f"curl -s -o /dev/null {DASHBOARD}"
        wait_for(lambda: running.network.laptop.run(line).code == 0, 120, "the tunnel to the dashboard", every=1.0)
        submit = f"{ray} job submit --address {DASHBOARD} --no-wait --submission-id first -- true"
        running.log("laptop$ RAY_AUTH_MODE=disabled ray job submit …      (no token)")
        without = running.network.laptop.run(submit, RAY_AUTH_MODE="disabled", timeout=120)
        running.log(_last(without.said), indent="    ")
        running.log("laptop$ ray job submit …      (a wrong token)")
        wrong = running.network.laptop.run(submit, RAY_AUTH_TOKEN="0" * 64, timeout=120)
        running.log(_last(wrong.said), indent="    ")
        mine = Search(running, "by-job")
        line = f"{ray} job submit --address {DASHBOARD} -- {mine.command}"
        running.log(f"laptop$ ray job submit --address {DASHBOARD} -- {mine.command}")
        with mine.log.open("wb") as output:
            job = running.network.laptop.start(line, output)
        mine.watch(lambda: job.poll() is not None)
        assert job.returncode == 0, mine.said()
        return {"without_token": without.code, "wrong_token": wrong.code, "with_token": 0, **mine.report()}
    finally:
        for pid in running.network.laptop.processes("ssh", "8265"):  # as Ctrl-C would: the other end goes with it
            os.kill(pid, signal.SIGTERM)
        tunnel.wait(timeout=60)
        tunnel_log.close()


def teachers(running: Cluster) -> dict[str, Any]:
    """A teacher trained by two workers (DDP), one on each host."""
    argv = (
        f"python -m palenka_tune train GPT2-tiny --workers 2 --data {CORPUS} --storage {running.storage} --address auto"
    )
    argv += (
        " --set data.window=16 --set data.vocabulary=300 --set epochs=0.02 --set batch_size=64 --set dev_windows=512"
    )
    log = running.storage.parent / "train.log"
    running.log(f"host1$ {argv}")
    process = running.start_on_head(argv, log)
    together: set[str] = set()
    deadline = time.monotonic() + 1200
    while process.poll() is None:
        assert time.monotonic() < deadline, log.read_text()
        now = {host.name for host in running.network if host.processes("ray::RayTrainWorker")}
        together = max(together, now, key=len)
        time.sleep(0.2)
    running.log(log.read_text(), indent="    ")
    assert process.returncode == 0, log.read_text()
    found = {
        path.parent.name: json.loads(path.read_text())
        for path in running.storage.glob("artifacts/teachers/*/manifest.json")
    }
    [folder] = [name for name, manifest in found.items() if manifest["recipe"]["epochs"] == 0.02]
    running.log(
        f"{folder}: dev CE {found[folder]['val_ce']:.4f}; workers at the same time on {', '.join(sorted(together))}"
    )
    return {"hosts": sorted(together), "val_ce": found[folder]["val_ce"]}


def cache(running: Cluster) -> dict[str, Any]:
    """A teacher cache of several shards, written by actors on both hosts."""
    space = running.storage.parent / "cache.yaml"
    space.write_text(yaml.safe_dump({**SPACE, "student": {"train_windows": 16384, "dev_windows": 32}}))
    argv = f"python -m palenka_tune cache build {space} --data {CORPUS} --storage {running.storage} --address auto"
    argv += " --set cache.form=dense --set cache.hidden=float16"
    log = running.storage.parent / "cache.log"
    running.log(f"host1$ {argv}")
    process = running.start_on_head(argv, log)
    hosts: set[str] = set()
    deadline = time.monotonic() + 1200
    while process.poll() is None:
        assert time.monotonic() < deadline, log.read_text()
        hosts |= {host.name for host in running.network if host.processes("MapWorker")}
        time.sleep(0.2)
    running.log(log.read_text(), indent="    ")
    assert process.returncode == 0, log.read_text()
    folder = Path(log.read_text().strip().splitlines()[-1])
    shards = len(list(folder.glob("*.arrow")))
    verified = running.on_head(f"python -m palenka_tune cache verify --storage {running.storage}").check()
    running.log(verified, indent="    ")
    running.log(f"{shards} shards, written on {', '.join(sorted(hosts))}")
    return {"hosts": sorted(hosts), "shards": shards}


def faults(running: Cluster) -> dict[str, Any]:
    """One worker's cable is pulled, then the other worker's plug: the search goes on and comes to the same."""
    first, second = running.names[:2]
    mine = Search(running, "faults")
    process = mine.start()
    kept = lambda name: [  # noqa: E731
        trial
        for trial, pulse in mine.look().items()
        if mine.nodes.get(running.network.address(name)) == pulse["node"]
        and (mine.folder / "checkpoints" / f"{trial}.pt").exists()
    ]
    try:
        mine.watch(lambda: process.poll() is not None or (kept(first) and kept(second)))
        assert process.poll() is None, mine.said()
        running.log(f"the cable of {first} is pulled; it runs {', '.join(kept(first))}")
        lost, address = mine.nodes[running.network.address(first)], running.network.address(first)
        running.network.cut(first)
        cut = time.monotonic()
        mine.watch(lambda: running.alive().get(address) != lost)
        running.log(f"Ray counts {first} as lost {time.monotonic() - cut:.0f} s later; its cable is plugged in again")
        running.network.mend(first)
        mine.watch(lambda: process.poll() is not None or address in running.alive())
        running.log(f"{first} is in the cluster again, by itself, {time.monotonic() - cut:.0f} s after it was cut")
        mine.watch(lambda: process.poll() is not None or kept(second))
        plug = process.poll() is None
        running.log(f"the plug of {second} is pulled; it runs {', '.join(kept(second)) or 'nothing'}")
        running.network[second].kill()
        mine.watch(lambda: process.poll() is not None)
        assert process.returncode == 0, mine.said()
    finally:
        if process.poll() is None:
            process.kill()
    return {"killed_in_mid_search": plug, **mine.report()}


def late(running: Cluster) -> dict[str, Any]:
    """The last worker is off when the search begins; once it is on, it gets trials."""
    last = running.names[-1]
    host = running.network[last]
    if host.alive:
        host.kill()
    running.wait_for_workers([name for name in running.names if name != last])
    mine = Search(running, "late")
    process = mine.start()
    try:
        mine.watch(lambda: process.poll() is not None or mine.seen)
        before = mine.hosts()
        running.log(f"the first trials run on {', '.join(before)}; {last} is switched on")
        running.network.boot(last)
        mine.watch(lambda: process.poll() is not None)
        assert process.returncode == 0, mine.said()
    finally:
        if process.poll() is None:
            process.kill()
    return {"hosts_at_first": before, **mine.report()}


EXPERIMENTS: dict[str, Callable[[Cluster], dict[str, Any]]] = {
    "search": search,
    "teachers": teachers,
    "cache": cache,
    "faults": faults,
    "late": late,
}


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def experiment(folder: Path, log: Path | None, only: Sequence[str]) -> dict[str, Any]:
    """Run the chosen ones on one cluster."""
    results: dict[str, Any] = {}
    with cluster(folder, log) as running:
        running.log.hide[str(CORPUS.parent)] = "../data"
        for name in only:
            running.log(f"== {name}: {(EXPERIMENTS[name].__doc__ or '').strip()}")
            results[name] = EXPERIMENTS[name](running)
        running.down()
        results["left_after_down"] = 0
    return results


def faulty(results: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    bad = []
    workers = ["host2", "host3"]
    for name in ("search", "teachers", "cache", "faults", "late"):
        if name in results and results[name]["hosts"] != workers:
            bad.append(f"{name} ran on {results[name]['hosts']}, not on {workers}")
        if results.get(name, {}).get("on_head"):
            bad.append(f"{name} ran trials on the head")
    if "search" in results:
        if not results["search"]["without_token"] or not results["search"]["wrong_token"]:
            bad.append("a job was accepted without the token")
        reference = results["search"]["trials"]
        if len(reference) != SAMPLES + 3 or any(state != "COMPLETE" for state, *_ in reference.values()):
            bad.append(f"the search is not complete: {reference}")
        for name in ("faults", "late"):
            if name in results and results[name]["trials"] != reference:
                bad.append(f"{name} has another ledger: {results[name]['trials']} instead of {reference}")
    if "faults" in results and not results["faults"]["killed_in_mid_search"]:
        bad.append("the search had ended before a worker was killed")
    if "late" in results and results["late"]["hosts_at_first"] != workers[:1]:
        bad.append(f"late began on {results['late']['hosts_at_first']}")
    return bad


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS), help="default: all")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the result there")
    parser.add_argument("--log", type=Path, default=None, metavar="FILE", help="write what was done and said there")
    args = parser.parse_args(argv)
    reason = missing()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="palenka_hosts-", ignore_cleanup_errors=True) as folder:
        results = experiment(Path(folder), args.log, args.only)
    bad = faulty(results)
    text = json.dumps({"cpus": available_cpus(), **results, "faulty": bad}, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
