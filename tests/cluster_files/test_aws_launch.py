"""Ray's own AWS launcher launches the nodes of clusters/aws.yaml, against moto's simulation of EC2 and IAM in this
process: what is asked of EC2, not what EC2 makes of it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND

CLUSTERS = Path(__file__).resolve().parents[2] / "clusters"
pytestmark = pytest.mark.slow

REGION, BUCKET, ADDRESS = "us-east-1", "palenka-test", "203.0.113.7/32"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, CLUSTERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes the key of the nodes there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        aws_config.resource_cache.cache_clear()
        aws_config._get_subnets_or_die.cache_clear()
        yield
        aws_config.resource_cache.cache_clear()
        aws_config._get_subnets_or_die.cache_clear()


def prepare() -> None:
    assert script("prepare_aws").main(["--region", REGION, "--bucket", BUCKET, "--ssh-from", ADDRESS]) == 0


def launched(config: dict[str, Any], node_type: str, kind: str) -> dict[str, Any]:
    """The instance that EC2 is asked for, by its description."""
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    node_config = config["available_node_types"][node_type]["node_config"] | (
        config["head_node"] if kind == "head" else {}
    )
    created = provider.create_node(node_config, {TAG_RAY_NODE_KIND: kind}, 1)
    (identity,) = created
    client = boto3.client("ec2", region_name=REGION)
    instance: dict[str, Any] = client.describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"][0]
    return instance


def bootstrapped() -> dict[str, Any]:
    """clusters/aws.yaml with the lines changed that must be, as `ray up` completes it before it launches the head."""
    image = boto3.client("ec2", region_name=REGION).describe_images()["Images"][0]["ImageId"]
    text = (CLUSTERS / "aws.yaml").read_text(encoding="utf-8").replace("ami-CHANGE-ME", image)
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    return dict(aws_config.bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config)))


def test_the_launcher_asks_for_what_the_file_says(account: None) -> None:
    prepare()
    config = bootstrapped()
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0
    worker_resources = config["available_node_types"]["gpu_spot"]["resources"]
    assert (worker_resources["CPU"], worker_resources["GPU"]) == (8, 1)

    head = launched(config, "head", "head")
    worker = launched(config, "gpu_spot", "worker")

    assert "InstanceLifecycle" not in head  # on demand
    assert worker["InstanceLifecycle"] == "spot"
    assert head["InstanceType"] == "m7i.xlarge"
    assert worker["InstanceType"] == "g6e.2xlarge"
    for instance, profile in ((head, "palenka-head"), (worker, "palenka-worker")):
        assert instance["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
        assert [group["GroupName"] for group in instance["SecurityGroups"]] == ["palenka"]
        assert {"Key": "ray-cluster-name", "Value": "palenka"} in instance["Tags"]
    assert head["VpcId"] == worker["VpcId"]


def test_the_group_admits_ssh_from_one_address_and_its_own_members(account: None) -> None:
    prepare()
    bootstrapped()  # Ray adds nothing
    ec2 = boto3.client("ec2", region_name=REGION)
    (group,) = [group for group in ec2.describe_security_groups()["SecurityGroups"] if group["GroupName"] == "palenka"]
    opened = {rule.get("FromPort"): rule for rule in group["IpPermissions"]}
    assert [block["CidrIp"] for block in opened[22]["IpRanges"]] == [ADDRESS]
    (within,) = [rule for port, rule in opened.items() if port != 22]
    assert within["IpRanges"] == []
    assert [pair["GroupId"] for pair in within["UserIdGroupPairs"]] == [group["GroupId"]]


def test_workers_may_use_the_bucket_and_nothing_else(account: None) -> None:
    prepare()
    iam = boto3.client("iam")

    def actions(role: str) -> dict[str, Any]:
        document = iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
        document = json.loads(document) if isinstance(document, str) else document
        return {
            action: statement["Resource"]
            for statement in document["Statement"]
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        }

    worker, head = actions("palenka-worker"), actions("palenka-head")
    assert {action.split(":")[0] for action in worker} == {"s3"}
    assert all(BUCKET in resource for resource in worker.values())
    assert head["iam:PassRole"] == iam.get_role(RoleName="palenka-worker")["Role"]["Arn"]
    assert set(worker) < set(head)


def test_preparing_twice_changes_nothing(account: None) -> None:
    prepare()
    ec2, iam = boto3.client("ec2", region_name=REGION), boto3.client("iam")

    def state() -> Any:
        groups = [g for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"] == "palenka"]
        profiles = iam.list_instance_profiles()["InstanceProfiles"]
        return groups, sorted((p["InstanceProfileName"], [r["RoleName"] for r in p["Roles"]]) for p in profiles)

    before = state()
    prepare()
    assert state() == before
