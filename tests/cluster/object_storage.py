"""A search in a bucket, killed on one node and gone on with on another: `python -m tests.cluster.object_storage`.

An S3 server (moto, on loopback) holds runs, artifacts and cache; PostgreSQL holds the study and MLflow's runs, or the
journal in the bucket does. A node here is a scratch folder of its own. The search is killed with SIGKILL after its
second trial; the second node has nothing but the bucket and the databases, and must come to the trials and values of
an undisturbed search in a plain folder.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from palenka_tune.storage.mirror import working_folder
from palenka_tune.storage.remote import Remote
from tests.faults.command import run as run_command
from tests.faults.mlflow_outage import arrived, compare, ended
from tests.faults.postgres import server as postgres
from tests.faults.searches import Outcome, Place, kill, outcome, run_again, undisturbed, wait_for
from tests.support.s3 import another_node, s3_server

URL = "s3://palenka/runs"


@dataclass
class Bucket(Place):
    """A place whose searches keep everything in `URL`; `node` is the scratch folder of the node that works."""

    node: str = "node1"

    @property
    def storage(self) -> Path:
        return self._of(self.node)

    def _of(self, node: str) -> Path:
        with another_node(self.folder / node):
            return working_folder(URL)

    def start(self, name: str, *more: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        begun = any((self._of(node.name) / name).exists() for node in self.folder.glob("node-*"))
        self.environment["PALENKA_SCRATCH"] = str(self.folder / self.node)
        argv = [sys.executable, "-m", "palenka_tune.search", str(self.folder / "space.yaml")]
        argv += ["--data", str(self.folder / "data"), "--storage", URL, "--name", name, "--concurrent", "1"]
        argv += ["--minimal-pairs", str(self.folder / "pairs"), *(["--resume"] if begun else []), *more]
        return self.start_command(argv, log or self.folder / f"{name}.log")


def in_the_bucket(remote: Remote, name: str) -> Outcome:
    """{trial id: (state, val_ce, steps)} as the bucket has it."""
    table = pq.read_table(io.BytesIO(remote.read(f"{name}/trials.parquet") or b""))
    return {row["trial_id"]: (row["state"], row["val_ce"], row["steps"]) for row in table.to_pylist()}


def needless_checkpoints(remote: Remote, name: str) -> list[str]:
    """Checkpoints in the bucket of trials that are neither an arm's best nor may be promoted."""
    rows = pq.read_table(io.BytesIO(remote.read(f"{name}/trials.parquet") or b"")).to_pylist()
    complete = sorted((row["val_ce"], row["trial_id"], row["arm"]) for row in rows if row["state"] == "COMPLETE")
    best = {arm: trial_id for _, trial_id, arm in reversed(complete)}
    needed = {*best.values(), *(row["trial_id"] for row in rows if row["state"] == "PRUNED")}
    return [key for key in remote.keys(name) if key.endswith(".pt") and Path(key).stem not in needed]


def killed_and_moved(place: Bucket, name: str) -> int | None:
    """Start a search, kill it after two trials, finish it on a second node; returns the kill's victim."""
    place.node = f"node-{name}-a"
    first = place.start(name)
    wait_for(lambda: first.poll() is not None or ended(place.run_folder(name)) >= 2, 600, "the end of two trials")
    killed = first.pid if kill(first.pid) else None
    first.wait()
    for pid in place.processes("raylet"):  # the node is gone, and all that ran on it
        kill(pid)
    place.node = f"node-{name}-b"
    place.finish(name)
    return killed


def experiment(folder: Path) -> dict[str, Any]:
    """The same search with databases beside the bucket, and with the bucket alone."""
    expected = undisturbed()
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(s3_server("palenka"))
        study, mlflow = stack.enter_context(postgres())
        place = Bucket.make(folder)
        assert isinstance(place, Bucket)
        place.environment |= environment
        os.environ.update(environment)  # this process looks into the bucket too
        remote = Remote.parse(URL)
        stack.callback(place.kill_all)
        killed_and_moved(place, "journal")
        journal = in_the_bucket(remote, "journal")
        place.environment |= {"PALENKA_STUDY_STORAGE": study, "MLFLOW_TRACKING_URI": mlflow}
        killed_and_moved(place, "databases")
        databases = in_the_bucket(remote, "databases")
        runs = compare(place.run_folder("databases"), mlflow, study)
        keys = remote.keys()
        needless = [key for name in ("journal", "databases") for key in needless_checkpoints(remote, name)]
        builds = {
            key.rpartition("/")[0]: key.endswith("manifest.json") for key in keys if key.startswith("artifacts/caches/")
        }
    return {
        "identical_with_journal": journal == expected,
        "identical_with_databases": databases == expected,
        "local_copy_is_the_same": outcome(place.run_folder("databases")) == databases,
        "finished_run_again": len(run_again(place.run_folder("databases"))),
        "best_in_bucket": "databases/best/model.safetensors" in keys,
        "caches_in_bucket": len(builds),
        "needless_checkpoints": needless,
        "claims_left": sum(key.startswith(".claims/") for key in keys),
        **runs,
    }


def good(result: dict[str, Any]) -> bool:
    """Whether the bucket is as good as a folder.

    MLflow may have metrics that the second node's spool does not know: the bucket had a copy of it that was some
    seconds old when the first node died.
    """
    yes = ("identical_with_journal", "identical_with_databases", "local_copy_is_the_same", "best_in_bucket")
    no = ("finished_run_again", "needless_checkpoints", "claims_left")
    kept = all(result[key] for key in yes) and not any(result[key] for key in no) and result["caches_in_bucket"] == 1
    return kept and arrived(result)


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
