"""What is wrong with a manifest for the KubeRay operator, found without Kubernetes. In: the text of a file with one or
more documents. Out: findings, none if it is right.

Core objects and pod templates are held against Kubernetes' own schemas (kubernetes-validate, strict). We know of no
Python package that carries KubeRay's CRD, so the layer of RayJob above the pod templates is modelled here by hand,
after the field reference of KubeRay 1.7 (ray.io/v1): every field that it documents for the types below is accepted, and
nothing else.
"""

from __future__ import annotations

from typing import Any, Literal

import kubernetes_validate
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

KUBERNETES = "1.33"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AuthOptions(Strict):
    mode: Literal["disabled", "token"] = "token"
    secretName: str | None = None
    enableK8sTokenAuth: bool | None = None


class AutoscalerOptions(Strict):
    resources: dict[str, Any] | None = None
    image: str | None = None
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] | None = None
    securityContext: dict[str, Any] | None = None
    idleTimeoutSeconds: int | None = None
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] | None = None
    version: Literal["v1", "v2"] | None = None
    env: list[dict[str, Any]] | None = None
    envFrom: list[dict[str, Any]] | None = None
    volumeMounts: list[dict[str, Any]] | None = None
    command: list[str] | None = None
    args: list[str] | None = None


class PodTemplate(Strict):
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: dict[str, Any]


class Group(Strict):
    """What head and worker groups have in common."""

    rayStartParams: dict[str, str]
    resources: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    template: PodTemplate


class HeadGroup(Group):
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] | None = None
    headService: dict[str, Any] | None = None
    enableIngress: bool | None = None
    ingressOptions: dict[str, Any] | None = None


class WorkerGroup(Group):
    groupName: str
    replicas: int | None = Field(None, ge=0)
    minReplicas: int = Field(0, ge=0)
    maxReplicas: int = Field(..., ge=0)
    idleTimeoutSeconds: int | None = None
    priority: int | None = None
    numOfHosts: int | None = None
    suspend: bool | None = None
    scaleStrategy: dict[str, Any] | None = None


class RayClusterSpec(Strict):
    rayVersion: str
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]
    authOptions: AuthOptions | None = None
    enableInTreeAutoscaling: bool | None = None
    autoscalerOptions: AutoscalerOptions | None = None
    headServiceAnnotations: dict[str, str] | None = None
    gcsFaultToleranceOptions: dict[str, Any] | None = None
    historyServerOptions: dict[str, Any] | None = None
    networkPolicy: dict[str, Any] | None = None
    tlsOptions: dict[str, Any] | None = None
    upgradeStrategy: dict[str, Any] | None = None
    managedBy: str | None = None
    suspend: bool | None = None


class SubmitterConfig(Strict):
    backoffLimit: int | None = None


class RayJobSpec(Strict):
    entrypoint: str
    rayClusterSpec: RayClusterSpec | None = None
    clusterSelector: dict[str, str] | None = None
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"] = "K8sJobMode"
    submitterPodTemplate: PodTemplate | None = None
    submitterConfig: SubmitterConfig | None = None
    runtimeEnvYAML: str | None = None
    jobId: str | None = None
    metadata: dict[str, str] | None = None
    entrypointNumCpus: float | None = None
    entrypointNumGpus: float | None = None
    entrypointResources: str | None = None
    activeDeadlineSeconds: int | None = Field(None, gt=0)
    preRunningDeadlineSeconds: int | None = Field(None, gt=0)
    backoffLimit: int | None = Field(None, ge=0)
    ttlSecondsAfterFinished: int | None = Field(None, ge=0)
    shutdownAfterJobFinishes: bool | None = None
    deletionStrategy: dict[str, Any] | None = None
    managedBy: str | None = None
    suspend: bool | None = None


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: dict[str, Any]
    spec: RayJobSpec


def findings(text: str) -> list[str]:
    """What is wrong with a manifest."""
    found = []
    for document in yaml.safe_load_all(text):
        if str(document.get("apiVersion", "")).startswith("ray.io/"):
            found += _rayjob_findings(document)
        else:
            found += _kubernetes_findings(document)
    return found


def _rayjob_findings(document: dict[str, Any]) -> list[str]:
    try:
        job = RayJob.model_validate(document)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']} ({e['input']!r:.40})" for e in error.errors()]
    # metadata by the rules for every object: a ConfigMap has nothing else that is required
    found = _kubernetes_findings({"apiVersion": "v1", "kind": "ConfigMap", "metadata": job.metadata})
    cluster = job.spec.rayClusterSpec
    if cluster is None:
        return found
    for group in [cluster.headGroupSpec, *cluster.workerGroupSpecs]:
        name = getattr(group, "groupName", "head")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": group.template.metadata, "spec": group.template.spec}
        found += [f"{name}: {finding}" for finding in [*_kubernetes_findings(pod), *_volume_findings(pod["spec"])]]
    if options := cluster.autoscalerOptions:
        container = {
            "name": "autoscaler",
            "image": "x",
            **({"resources": options.resources} if options.resources else {}),
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [container]}}
        found += [f"autoscalerOptions: {finding}" for finding in _kubernetes_findings(pod)]
    return found


def _volume_findings(spec: dict[str, Any]) -> list[str]:
    """Kubernetes refuses a mount of a volume that is not there; its schema does not."""
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    mounts = {mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])}
    return [f"no volume is named {name}" for name in sorted(mounts - volumes)] + [
        f"nothing mounts the volume {name}" for name in sorted(volumes - mounts)
    ]


# values that Kubernetes' API server checks, but no schema of it
VALUES = {
    "operator": {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal"},
    "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    "medium": {"", "Memory"},
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
}


def _value_findings(part: Any) -> list[str]:
    if isinstance(part, list):
        return [finding for item in part for finding in _value_findings(item)]
    if not isinstance(part, dict):
        return []
    found = [finding for value in part.values() for finding in _value_findings(value)]
    for key in part.keys() & VALUES.keys():
        given = part[key] if isinstance(part[key], list) else [part[key]]
        found += [f"{value} is no {key}" for value in given if value not in VALUES[key]]
    return found


def _kubernetes_findings(document: dict[str, Any]) -> list[str]:
    return [*_schema_findings(document), *_value_findings(document)]


def _schema_findings(document: dict[str, Any]) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error).splitlines()[0]]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"Kubernetes {KUBERNETES} has no {document['kind']} in {document['apiVersion']}"]
    return []
