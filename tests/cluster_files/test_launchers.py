"""The files of Ray's cluster launcher, without a cloud: what is refused in them, and what each must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.launchers import findings

CLUSTERS = Path(__file__).resolve().parents[2] / "clusters"
CLOUDS = ("aws.yaml", "gcp.yaml")
LAUNCHERS = sorted(
    path.name for path in CLUSTERS.glob("*.yaml") if "cluster_name" in yaml.safe_load_all(path.read_text()).__next__()
)


def read(name: str) -> str:
    return (CLUSTERS / name).read_text(encoding="utf-8")


def config(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(read(name)))


def test_the_clouds_are_there() -> None:
    assert set(LAUNCHERS) >= set(CLOUDS)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_is_right(name: str) -> None:
    assert findings(read(name)) == []


# (file, what it says, what a slip of the hand makes of it, what the finding names)
TYPOS = [
    ("aws.yaml", "idle_timeout_minutes:", "idle_timeout_minute:", "idle_timeout_minute"),  # Ray itself refuses
    ("aws.yaml", "region: us-east-1", "regoin: us-east-1", "regoin"),
    ("aws.yaml", "cache_stopped_nodes:", "cache_stoped_nodes:", "cache_stoped_nodes"),
    ("aws.yaml", "GroupName:", "GroupNames:", "GroupNames"),
    ("aws.yaml", "pull_before_run:", "pull_before_runs:", "pull_before_runs"),
    ("aws.yaml", "    min_workers: 0\n    max_workers: 8", "    min_worker: 0\n    max_workers: 8", "min_worker"),
    ("aws.yaml", "InstanceMarketOptions:", "InstanceMarketOption:", "InstanceMarketOption"),
    ("aws.yaml", "MarketType: spot", "MarketType: spots", "spots"),
    ("aws.yaml", "SpotInstanceType:", "SpotInstanceTypes:", "SpotInstanceTypes"),
    (
        "aws.yaml",
        "IamInstanceProfile: {Name: palenka-worker}",
        "IamInstanceProfile: palenka-worker",
        "IamInstanceProfile",
    ),
    ("aws.yaml", "HttpTokens: required", "HttpToken: required", "HttpToken"),
    ("aws.yaml", "VolumeSize: 150", "VolumeSize: large", "VolumeSize"),
    ("aws.yaml", "--dashboard-host=", "--dashboard-hots=", "--dashboard-hots"),
    ("aws.yaml", "--env PALENKA_SCRATCH", "--env PALENKA_SCARTCH", "PALENKA_SCARTCH"),
    ("aws.yaml", "--env RAY_AUTH_TOKEN_PATH", "--env RAY_TOKEN_PATH", "RAY_TOKEN_PATH"),
    ("aws.yaml", "    fi;\n", "", "syntax error"),
    ("aws.yaml", "head_node_type: head", "head_node_type: heads", "head_node_type"),
    ("gcp.yaml", "project_id:", "project:", "project"),
    ("gcp.yaml", "machineType: n2", "machine_type: n2", "machine_type"),
    ("gcp.yaml", "provisioningModel: SPOT", "provisioningModel: SPOTS", "SPOTS"),
    ("gcp.yaml", "instanceTerminationAction:", "instanceTermination:", "instanceTermination"),
    ("gcp.yaml", "diskSizeGb:", "diskSizeGB:", "diskSizeGB"),
    ("gcp.yaml", "diskType:", "disktype:", "disktype"),
    ("gcp.yaml", "scopes:", "scope:", "scope"),
    ("gcp.yaml", '"GPU": 1}', '"GPU": 0.5}', "0.5"),
    ("gcp.yaml", "worker_start_ray_commands:", "worker_start_commands:", "worker_start_commands"),
    ("gcp.yaml", "--autoscaling-config=", "--autoscaling_config=", "--autoscaling_config"),
]
if "local.yaml" in LAUNCHERS:
    TYPOS += [
        ("local.yaml", "head_ip:", "head_ips:", "head_ip"),
        ("local.yaml", "worker_ips:", "workers_ips:", "worker_ips"),
        ("local.yaml", "ssh_user:", "ssh_username:", "ssh_username"),
        ("local.yaml", "--dashboard-host", "--dashboard-hots", "--dashboard-hots"),
        ("local.yaml", "export RAY_AUTH_MODE=token ", "export RAY_AUTH_MOD=token ", "RAY_AUTH_MOD "),
    ]


@pytest.mark.parametrize(("name", "right", "wrong", "named"), TYPOS, ids=[f"{t[0]}-{t[3]}" for t in TYPOS])
def test_a_typo_is_found(name: str, right: str, wrong: str, named: str) -> None:
    text = read(name)
    assert right in text, "the typo's original is no longer there"
    found = findings(text.replace(right, wrong))
    assert any(named in finding for finding in found), found


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_key_that_no_node_type_has_is_found(name: str) -> None:
    changed = config(name)
    if "available_node_types" not in changed:
        pytest.skip("Ray makes the node types of on-prem clusters itself")
    for node in changed["available_node_types"].values():
        node["node_configs"] = {}
    assert any("node_configs" in finding for finding in findings(yaml.safe_dump(changed)))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_opens_with_what_must_change(name: str) -> None:
    lines = read(name).splitlines()
    opening = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert any("CHANGE" in line for line in opening)
    marked = [line for line in lines[len(opening) :] if "CHANGE" in line]
    assert marked, "no line below is marked"


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_are_spot_and_come_from_zero(name: str) -> None:
    cluster = config(name)
    nodes = cluster["available_node_types"]
    head, workers = nodes.pop("head"), nodes
    assert "spot" not in str(head).lower()
    assert head["resources"] == {"CPU": 0, "GPU": 0}  # trials run on workers, the driver on the head
    assert workers
    assert all(worker["min_workers"] == 0 < worker["max_workers"] for worker in workers.values())
    assert all("spot" in str(worker["node_config"]).lower() for worker in workers.values())
    assert 0 < cluster["idle_timeout_minutes"] <= 30
    assert cluster["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", LAUNCHERS)
def test_only_who_has_the_token_may_speak_to_it(name: str) -> None:
    text, cluster = read(name), config(name)
    assert "0.0.0.0" not in text
    assert "RAY_AUTH_MODE=token" in text or 'RAY_AUTH_MODE="token"' in text
    # where Ray looks for it by itself, or where it is told to
    assert "~/.ray/auth_token" in cluster["file_mounts"] or "RAY_AUTH_TOKEN_PATH=" in text
    assert "RAY_AUTH_TOKEN=" not in text, "the token itself does not belong into a file"
    assert any("auth_token" in local for local in cluster["file_mounts"].values())
    heads = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]
    assert heads
    assert all("--dashboard-host=127.0.0.1" in head for head in heads)
    assert not any("dashboard" in command for command in cluster["worker_start_ray_commands"])


@pytest.mark.parametrize("name", CLOUDS)
def test_metrics_are_not_served_to_whoever_asks(name: str) -> None:
    """Ray serves them on all addresses and without a token; a port that is out of range makes it serve none."""
    options = config(name)["docker"]["run_options"]
    assert "--env RAY_enable_metrics_collection=0" in options
    for port in ("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT"):
        assert f"--env {port}=65536" in options


@pytest.mark.parametrize("name", CLOUDS)
def test_nodes_know_the_scratch_space_and_the_token(name: str) -> None:
    cluster = config(name)
    options = dict(
        option.split(" ", 1)[1].split("=", 1) for option in cluster["docker"]["run_options"] if "--env" in option
    )
    assert options["RAY_AUTH_TOKEN_PATH"] in cluster["file_mounts"]
    scratch = options["PALENKA_SCRATCH"]
    assert f"--volume {scratch}:{scratch}" in cluster["docker"]["run_options"]
    assert scratch in cluster["initialization_commands"][0]
