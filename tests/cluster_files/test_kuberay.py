"""The manifest for the KubeRay operator, without Kubernetes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.rayjobs import findings

MANIFEST = Path(__file__).resolve().parents[2] / "clusters" / "kuberay.yaml"
TEXT = MANIFEST.read_text(encoding="utf-8")
CLAIM, JOB = yaml.safe_load_all(TEXT)
CLUSTER = JOB["spec"]["rayClusterSpec"]
HEAD = CLUSTER["headGroupSpec"]
WORKERS = CLUSTER["workerGroupSpecs"]


def test_is_right() -> None:
    assert findings(TEXT) == []


TYPOS = [
    ("accessModes:", "accessMode:", "accessMode"),
    ("storageClassName:", "storageClass:", "storageClass"),
    ("kind: PersistentVolumeClaim", "kind: PersistentVolumeClaims", "PersistentVolumeClaims"),
    ("kind: RayJob", "kind: RayJobs", "kind"),
    ("apiVersion: ray.io/v1", "apiVersion: ray.io/v2", "apiVersion"),
    ("entrypoint:", "entryPoint:", "entryPoint"),
    ("submissionMode: K8sJobMode", "submissionMode: K8SJobMode", "K8SJobMode"),
    ("shutdownAfterJobFinishes:", "shutdownAfterJobFinish:", "shutdownAfterJobFinish"),
    ("ttlSecondsAfterFinished:", "ttlSecondAfterFinished:", "ttlSecondAfterFinished"),
    ("rayClusterSpec:", "rayClusterSpecs:", "rayClusterSpecs"),
    ('rayVersion: "2.60.0"', "rayVersion: 2.60", "rayVersion"),
    ("secretName:", "secret:", "secret"),
    ("mode: token", "mode: tokens", "tokens"),
    ("enableInTreeAutoscaling:", "enableInTreeAutoScaling:", "enableInTreeAutoScaling"),
    ("idleTimeoutSeconds:", "idleTimeoutSecond:", "idleTimeoutSecond"),
    ("version: v2", "version: v3", "version"),
    ("limits: {cpu: 500m, memory: 1Gi}", "limit: {cpu: 500m, memory: 1Gi}", "limit"),
    ('num-cpus: "0"', "num-cpus: 0", "num-cpus"),
    ("groupName:", "groupname:", "groupname"),
    ("minReplicas:", "minReplica:", "minReplica"),
    ("tolerations:", "toleration:", "toleration"),
    ("effect: NoSchedule}", "efect: NoSchedule}", "efect"),
    ("operator: DoesNotExist", "operator: NotExists", "NotExists"),
    ("accessModes: [ReadWriteMany]", "accessModes: [ReadWriteMani]", "ReadWriteMani"),
    ("operator: Exists, effect: NoSchedule}", "operator: Exists, effect: NoSchedul}", "NoSchedul"),
    ("secretKeyRef:", "secretRef:", "secretRef"),
    ("containerPort: 8265", "containerport: 8265", "containerPort"),
    ("volumeMounts:", "volumeMount:", "volumeMount"),
    ("{name: shm, mountPath", "{name: shmm, mountPath", "shmm"),
    ("claimName:", "claim:", "claim"),
    ("terminationGracePeriodSeconds:", "terminationGraceSeconds:", "terminationGraceSeconds"),
]


@pytest.mark.parametrize(("right", "wrong", "named"), TYPOS, ids=[typo[1].split(":")[0][:24] for typo in TYPOS])
def test_a_typo_is_found(right: str, wrong: str, named: str) -> None:
    assert right in TEXT, "the typo's original is no longer there"
    found = findings(TEXT.replace(right, wrong))
    assert any(named in finding for finding in found), found


def containers() -> list[dict[str, Any]]:
    return [group["template"]["spec"]["containers"][0] for group in [HEAD, *WORKERS]]


def test_the_token_is_a_reference() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token", "secretName": "palenka-ray-token"}
    assert "kind: Secret" not in TEXT
    assert not re.search(r"[0-9a-f]{32}", TEXT)
    # KubeRay sets RAY_AUTH_MODE and RAY_AUTH_TOKEN itself from the Secret; a second source could contradict it
    names = {variable["name"] for container in containers() for variable in container["env"]}
    assert not {name for name in names if name.startswith("RAY_AUTH")}
    # and what else is secret comes from Secrets
    for container in containers():
        for variable in container["env"]:
            if variable["name"] in ("PALENKA_STUDY_STORAGE", "MLFLOW_TRACKING_URI"):
                assert set(variable["valueFrom"]["secretKeyRef"]) == {"name", "key", "optional"}


def test_head_on_demand_workers_on_spot_from_zero() -> None:
    assert HEAD["rayStartParams"]["num-cpus"] == "0"  # trials run on workers, the driver on the head
    assert "tolerations" not in HEAD["template"]["spec"]
    required = HEAD["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    avoided = {rule["key"] for rule in required["nodeSelectorTerms"][0]["matchExpressions"]}
    for worker in WORKERS:
        assert (worker["replicas"], worker["minReplicas"]) == (0, 0)
        assert avoided <= {toleration["key"] for toleration in worker["template"]["spec"]["tolerations"]}
    assert CLUSTER["enableInTreeAutoscaling"] is True
    assert 0 < CLUSTER["autoscalerOptions"]["idleTimeoutSeconds"] <= 1800
    assert JOB["spec"]["shutdownAfterJobFinishes"] is True


def test_all_pods_share_the_image_the_volume_and_the_path_of_scratch() -> None:
    assert len({container["image"] for container in containers()}) == 1
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for group in [HEAD, *WORKERS]
        for volume in group["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == [CLAIM["metadata"]["name"]] * len(containers())
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    for container in containers():
        (scratch,) = [variable["value"] for variable in container["env"] if variable["name"] == "PALENKA_SCRATCH"]
        assert scratch in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert HEAD["serviceType"] == "ClusterIP"  # no address outside the cluster


def test_the_entrypoint_stores_on_the_shared_volume() -> None:
    words = shlex.split(JOB["spec"]["entrypoint"])
    mounts = {mount["mountPath"] for mount in containers()[0]["volumeMounts"]}
    storage = Path(words[words.index("--storage") + 1])
    assert {str(parent) for parent in storage.parents} & mounts
    assert words[words.index("--address") + 1] == "auto"


def test_opens_with_what_must_change() -> None:
    opening = TEXT[: TEXT.index("---")]
    numbers = set(re.findall(r"^#   (\d)\.", opening, re.MULTILINE))
    assert numbers == set(re.findall(r"# CHANGE \((\d)\)", TEXT))
