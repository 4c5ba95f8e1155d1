"""Every check on plain facts: a healthy cluster is good to all of them, and each fault is found, with its fix."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.data.prepare import Notes
from palenka_tune.doctor.checks import CHECKS
from palenka_tune.doctor.examination import judge
from palenka_tune.doctor.facts import Access, Disk, Listener, Service
from palenka_tune.students.headroom import Headroom
from tests.doctor.healthy import HEAD, HERE, PROBE, STORAGE, WORKERS, facts, spoilt


@pytest.mark.parametrize("name", CHECKS)
def test_a_healthy_cluster_is_good(name):
    finding = CHECKS[name](facts())
    assert finding is not None
    assert finding.state == "ok", finding
    assert not finding.fix


@pytest.mark.parametrize("name", CHECKS)
def test_without_nodes_a_check_is_left_out_or_has_its_say(name):
    lost = facts(access=Access("10.0.0.1:6379", refused="nothing answers there"), nodes=None, free=None)
    finding = CHECKS[name](lost)
    assert finding is None or finding.state == ("fault" if name == "ray" else "ok")


def alone(**changes):
    return (dataclasses.replace(HEAD, **changes),)


def lost(node, reason=""):
    return dataclasses.replace(node, alive=False, probe=None, died_of=reason)


BUCKET = Disk("s3://lab/runs", free=10**12, total=10**12, kind="object store")
EVERYWHERE = Listener("gcs_server", "0.0.0.0", 6379)
NO_HEADROOM = Headroom((("Llama-tiny", 4.0),), logit_average=3.99, probability_average=4.0, plain=4.0)
AUTOSCALER = dataclasses.replace(PROBE, autoscaler={"gpu": 8})

CASES = {
    "no answer": (
        "ray",
        {"access": Access("a:1", refused="nothing answers there")},
        "fault",
        "nothing answers",
        "ray up",
    ),
    "token": (
        "ray",
        {"access": Access("a:1", refused="it refuses", by_token=True)},
        "fault",
        "refuses",
        "RAY_AUTH_TOKEN",
    ),
    "no start": ("ray", {"access": Access(None, refused="no room")}, "fault", "no room", "reason"),
    "silent": (
        "nodes",
        {"nodes": (HEAD, dataclasses.replace(WORKERS[0], probe=None, silence="it does not answer within 20 s"))},
        "fault",
        "10.0.0.2 is listed as up but does nothing: it does not answer within 20 s",
        "restart Ray",
    ),
    "lost": (
        "nodes",
        {"nodes": (HEAD, WORKERS[0], lost(WORKERS[1], "killed"))},
        "warning",
        "10.0.0.3 was lost (killed)",
        "start",
    ),
    "only a head": ("nodes", {"nodes": alone(cpus=0)}, "fault", "no worker has joined", "ray start --address"),
    "a head with cores": ("nodes", {"nodes": alone()}, "warning", "no worker has joined", "go on with the head"),
    "from zero": ("nodes", {"nodes": alone(cpus=0, probe=AUTOSCALER)}, "warning", "up to 8 × gpu", "min_workers"),
    "version": (
        "versions",
        {"nodes": spoilt(versions=HERE | {"torch": "2.6.0"})},
        "fault",
        "on 10.0.0.2 torch is 2.6.0 there, 2.13.0 here",
        "same versions",
    ),
    "package": ("versions", {"nodes": spoilt(versions={**HERE, "ray": None})}, "fault", "ray is missing there", "same"),
    "gpus": (
        "places",
        {"nodes": (HEAD,), "options": {"gpus_per_trial": 0.5}},
        "fault",
        "6 trials × 0.5 GPU asked, 4 CPU cores and 0 GPUs in the cluster",
        "start workers with GPUs",
    ),
    "no cores": ("places", {"nodes": alone(cpus=0)}, "fault", "6 trials × 1 CPU core asked, 0 CPU", "--num-cpus"),
    "gpus without cores": (
        "places",
        {"nodes": (HEAD, dataclasses.replace(WORKERS[0], cpus=0)), "options": {"gpus_per_trial": 0.5}},
        "fault",
        "no node that has a GPU has a CPU core",
        "with CPU cores too",
    ),
    "too many": (
        "places",
        {"options": {"gpus_per_trial": 0.5, "concurrent": 12}},
        "warning",
        "12 trials at",
        "--concurrent 4",
    ),
    "taken": ("places", {"free": (36.0, 0.0)}, "warning", "0 of 2 GPUs are free", "ray list jobs"),
    "gpu memory": (
        "memory",
        {"nodes": spoilt(gpus=[10**8]), "options": {"gpus_per_trial": 0.5}},
        "fault",
        "0.5 of the GPU on 10.0.0.2",
        "recipe.accumulate",
    ),
    "driver": (
        "memory",
        {"nodes": spoilt(gpus=[], gpu_error="no devices")},
        "fault",
        "Ray counts 1 GPU on 10.0.0.2",
        "nvidia-smi",
    ),
    "memory": (
        "memory",
        {"nodes": spoilt(memory_free=10**9), "options": {"gpus_per_trial": 0.0}},
        "fault",
        "1.00 GB are free there",
        "--concurrent",
    ),
    "driver's storage": (
        "storage",
        {"storage": dataclasses.replace(STORAGE, error="Read-only")},
        "fault",
        "Read-only",
        "give a",
    ),
    "another folder": (
        "storage",
        {"nodes": spoilt(marker=None)},
        "fault",
        "10.0.0.2 does not find in /nfs/runs",
        "mount",
    ),
    "no folder": (
        "storage",
        {"nodes": spoilt(marker=None, storage=dataclasses.replace(STORAGE, error="the folder does not exist"))},
        "fault",
        "there the folder does not exist",
        "mount",
    ),
    "read only": (
        "storage",
        {"nodes": spoilt(storage=dataclasses.replace(STORAGE, error="Read-only file system"))},
        "fault",
        "can read /nfs/runs but not write to it: Read-only file system",
        "mount it writable",
    ),
    "bucket": (
        "storage",
        {"storage": BUCKET, "nodes": spoilt(storage=dataclasses.replace(BUCKET, error="ACCESS_DENIED"))},
        "fault",
        "10.0.0.2 cannot read and write s3://lab/runs: ACCESS_DENIED",
        "credentials",
    ),
    "no scratch": (
        "storage",
        {"storage": BUCKET, "nodes": spoilt(work=Disk("scratch", error="Permission denied"))},
        "fault",
        "10.0.0.2 cannot keep a copy of s3://lab/runs in scratch: Permission denied",
        "PALENKA_SCRATCH",
    ),
    "another bucket": (
        "storage",
        {"storage": BUCKET, "nodes": spoilt(marker="another")},
        "fault",
        "10.0.0.2 finds another s3://lab/runs",
        "AWS_ENDPOINT_URL",
    ),
    "disk": (
        "cache",
        {"nodes": spoilt(work=dataclasses.replace(STORAGE, free=10**6))},
        "fault",
        "as 10.0.0.2 sees",
        "larger disk",
    ),
    "study": ("study", {"study": Service("the study", "there", "away", "start it")}, "fault", "away", "start it"),
    "mlflow": ("mlflow", {"mlflow": Service("MLflow", "there", "away", "start it")}, "fault", "away", "start it"),
    "sqlite": (
        "mlflow",
        {"mlflow": Service("MLflow", "x", file="/nfs/runs/mlflow.db")},
        "warning",
        "SQLite file on nfs4",
        "MLFLOW",
    ),
    "open": (
        "token",
        {"access": Access("a:1", open=True)},
        "fault",
        "raylet on 10.0.0.2 at 10.0.0.2:4000",
        "get-auth-token",
    ),
    "open here": (
        "token",
        {
            "access": Access("a:1", open=True),
            "nodes": (dataclasses.replace(HEAD, probe=dataclasses.replace(PROBE, listeners=[])),),
        },
        "warning",
        "every user of this machine",
        "get-auth-token",
    ),
    "unknown": ("token", {"access": Access("a:1", open=None)}, "warning", "not known", "RAY_AUTH_MODE"),
    "dashboard": (
        "dashboard",
        {"nodes": spoilt(0, listeners=[Listener("dashboard", "::", 8265)])},
        "fault",
        "at :::8265",
        "--dashboard-host",
    ),
    "clock": ("clocks", {"nodes": spoilt(2, clock=-3600.0)}, "fault", "10.0.0.3 is 3,600 s behind", "time service"),
    "clock a little": ("clocks", {"nodes": spoilt(clock=5.0)}, "warning", "5 s ahead of", "time service"),
    "ray's disk": (
        "ray disk",
        {"nodes": spoilt(temporary=Disk("t", 10**9, 10**11))},
        "fault",
        "99 % full",
        "--temp-dir",
    ),
    "nothing to distil": (
        "headroom",
        {"needs": dataclasses.replace(facts().needs, headroom=NO_HEADROOM, headroom_said=("0.0100 nats",))},
        "warning",
        "0.0100 nats",
        "train the teachers longer",
    ),
    "text that is not read": (
        "data",
        {"needs": dataclasses.replace(facts().needs, data=Notes(("train: 1 file",), ("not read: a.csv",)))},
        "warning",
        "train: 1 file; not read: a.csv",
        "move what is not text",
    ),
    "shared memory": (
        "ray disk",
        {"nodes": spoilt(shared_memory=64 * 10**6)},
        "warning",
        "/dev/shm of 10.0.0.2 has 64.0 MB",
        "--shm-size=10g",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_found_with_its_fix(case):
    name, changes, state, found, fix = CASES[case]
    finding = CHECKS[name](facts(**changes))
    assert finding is not None
    assert finding.state == state, finding
    assert found in finding.found
    assert fix in finding.fix


def test_every_check_has_a_case():
    assert {name for name, *_ in CASES.values()} == set(CHECKS)


def test_a_slow_way_is_no_skew():
    far = facts(nodes=spoilt(clock=8.0, clock_error=7.0))
    finding = CHECKS["clocks"](far)
    assert finding is not None
    assert finding.state == "ok"


def test_a_dashboard_in_a_pod_may_listen_behind_a_token():
    nodes = spoilt(0, listeners=[EVERYWHERE, Listener("dashboard", "0.0.0.0", 8265)], kubernetes=True)
    states = {}
    for is_open in (False, True):
        finding = CHECKS["dashboard"](facts(nodes=nodes, access=Access("a:1", open=is_open)))
        assert finding is not None
        states[is_open] = finding.state
    assert states == {False: "ok", True: "fault"}


def test_a_node_that_came_back_is_not_lost():
    finding = CHECKS["nodes"](facts(nodes=(HEAD, *WORKERS, lost(WORKERS[0]))))
    assert finding is not None
    assert finding.state == "ok"


def test_a_cache_that_could_hold_less_is_a_warning():
    needs = facts("dskd").needs
    assert needs.cache_bytes is not None
    whole, least = needs.cache_bytes
    assert least < whole
    tight = dataclasses.replace(STORAGE, free=int((whole + least) / 2 / 0.8))
    finding = CHECKS["cache"](facts("dskd", storage=tight))
    assert finding is not None
    assert finding.state == "warning"
    assert "fewer components" in finding.found


def test_a_report_hides_passwords_and_names_what_it_left_out():
    bad = judge(facts(mlflow=Service("MLflow", "m", "no", "see postgresql://me:secret@db/x")), "it", 0.0)
    assert not bad.healthy
    assert "secret" not in str(bad.as_json()) + "\n".join(bad.lines())
    assert "postgresql://db/x" in bad.findings["mlflow"].fix
    assert [line[0] for line in bad.lines()[1:]].count("✗") == 1
    assert judge(facts(), "it", 0.0).healthy
    blind = judge(facts(nodes=None, access=Access("a:1", refused="no")), "it", 0.0)
    assert "versions" in blind.unchecked
