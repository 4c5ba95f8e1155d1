"""What is wrong with a YAML file of Ray's cluster launcher, found without a cloud: Ray's own check first, then what it
lets through. In: the text of a file. Out: findings, none if it is right.

Ray's schema is closed (unknown keys refused where it allows any), node configurations are held against the clouds' own
descriptions of their APIs (botocore's of EC2's RunInstances; the discovery document of Compute Engine in
google-api-python-client), shell commands against bash's parser, and `ray start` against its own options.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import click
import jsonschema
import ray.autoscaler
import yaml
from botocore.validate import ParamValidator
from googleapiclient.discovery_cache import DISCOVERY_DOC_DIR
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start, stop

# of each provider, besides `type`: what Ray 2.60's code reads, for its schema takes any key there
PROVIDER_KEYS = {
    "aws": {"region", "availability_zone", "cache_stopped_nodes", "security_group", "key_pair", "use_internal_ips"},
    "gcp": {"region", "availability_zone", "project_id", "cache_stopped_nodes", "use_internal_ips"},
    "local": {"head_ip", "worker_ips", "external_head_ip"},
}
# environment variables that a node may be given; a misspelt one would be ignored in silence
VARIABLES = {
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_HEAD_IP",
    "RAY_enable_metrics_collection",
    "AUTOSCALER_METRIC_PORT",
    "AUTOSCALER_NODE_START_WAIT_S",
    "DASHBOARD_METRIC_PORT",
    "RAY_USAGE_STATS_ENABLED",
    "RAY_worker_niceness",
    "PALENKA_SCRATCH",
    "RAY_enable_autoscaler_v2",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "PATH",
    # for the commands of local.yaml itself
    "PALENKA_VENV",
    "PALENKA_CHECKOUT",
    "PALENKA_STORAGE",
}
SET = re.compile(r"(?:--env|-e|\bexport)((?:\s+\w+=[^\s;'\"]*)+)")
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def findings(text: str) -> list[str]:
    """What is wrong with a launcher file."""
    config = yaml.safe_load(text)
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except (ValueError, AssertionError, KeyError, jsonschema.ValidationError, click.ClickException) as error:
        return [f"Ray refuses it: {str(error).splitlines()[0]}"]
    found = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in _closed_schema(config).iter_errors(config)]
    kind = config["provider"]["type"]
    for name, node in config.get("available_node_types", {}).items():
        found += [f"{name}: {finding}" for finding in NODE_CONFIG[kind](node.get("node_config", {}))]
    commands = [command for key in COMMANDS for command in config.get(key, [])]
    found += [finding for command in commands for finding in _command_findings(command)]
    settings = SET.findall("\n".join([*config.get("docker", {}).get("run_options", []), *commands]))
    given = {assignment.split("=")[0] for setting in settings for assignment in setting.split()}
    found += [f"{name} is no variable that Ray or palenka_tune reads" for name in sorted(given - VARIABLES)]
    return found


def _closed_schema(config: dict[str, Any]) -> jsonschema.Draft7Validator:
    """Ray's schema, with no room for keys that it does not name."""
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
    node = schema["properties"]["available_node_types"]["patternProperties"][".*"]
    node["additionalProperties"] = False
    node["properties"]["docker"]["additionalProperties"] = False
    allowed = PROVIDER_KEYS.get(config["provider"]["type"], set())
    schema["properties"]["provider"]["propertyNames"] = {"enum": sorted({"type", *allowed})}
    return jsonschema.Draft7Validator(schema)


def _aws_findings(node: dict[str, Any]) -> list[str]:
    # what Ray's provider takes out again, or adds, before it calls RunInstances
    call = {key: value for key, value in node.items() if key != "SubnetIds"} | {"MinCount": 1, "MaxCount": 1}
    shape = _run_instances()
    report = ParamValidator().validate(call, shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + list(_not_in_enumeration(call, shape))


def _not_in_enumeration(value: Any, shape: Any) -> list[str]:
    """botocore checks names and types; EC2 itself would refuse the values."""
    if shape.type_name == "structure" and isinstance(value, dict):
        pairs = [(value[key], member) for key, member in shape.members.items() if key in value]
        return [finding for inner, member in pairs for finding in _not_in_enumeration(inner, member)]
    if shape.type_name == "list" and isinstance(value, list):
        return [finding for inner in value for finding in _not_in_enumeration(inner, shape.member)]
    # instance types are listed too, but new ones come each month
    if shape.type_name == "string" and shape.enum and shape.name != "InstanceType" and value not in shape.enum:
        return [f"{value} is no {shape.name}; there are {', '.join(shape.enum)}"]
    return []


@cache
def _run_instances() -> Any:
    return botocore.session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _gcp_findings(node: dict[str, Any]) -> list[str]:
    return [f"{'/'.join(map(str, e.path))}: {e.message}" for e in _instances_insert().iter_errors(node)]


@cache
def _instances_insert() -> jsonschema.Draft7Validator:
    """The body of Compute Engine's instances.insert as a JSON Schema that refuses unknown keys."""
    document = json.loads((Path(DISCOVERY_DOC_DIR) / "compute.v1.json").read_text(encoding="utf-8"))

    def close(part: Any) -> Any:
        if isinstance(part, list):
            return [close(item) for item in part]
        if not isinstance(part, dict):
            return part
        closed = {key: close(value) for key, value in part.items() if key not in ("id", "required", "format")}
        if isinstance(part.get("$ref"), str):
            return {"$ref": f"#/definitions/{part['$ref']}"}
        if part.get("type") == "object" and "properties" in part:
            closed["additionalProperties"] = False
        if part.get("format") in ("int64", "uint64"):
            closed["type"] = ["string", "integer"]  # JSON has no 64-bit integers: the API takes both
        return closed

    definitions = {name: close(schema) for name, schema in document["schemas"].items()}
    return jsonschema.Draft7Validator({"definitions": definitions, "$ref": "#/definitions/Instance"})


NODE_CONFIG = {"aws": _aws_findings, "gcp": _gcp_findings, "local": lambda node: [f"{key}?" for key in node]}


def _command_findings(command: str) -> list[str]:
    parsed = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    if parsed.returncode:
        return [f"{command[:40]}: {parsed.stderr.strip()}"]
    found = []
    for name, click_command in (("start", start), ("stop", stop)):
        known = {option for parameter in click_command.params for option in parameter.opts}
        for call in re.findall(rf"\bray {name}\b([^;&|]*)", command):
            words = [word for word in shlex.split(call, comments=True) if word.startswith("-")]
            found += [f"ray {name} has no {word}" for word in words if word.split("=")[0] not in known]
    return found
