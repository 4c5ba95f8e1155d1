"""What a node says of itself, on this machine."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import TypeAdapter
from ray import cloudpickle

import palenka_tune
from palenka_tune.doctor.facts import Listener, Probe, probe
from palenka_tune.doctor.facts.nodes import BY_VALUE
from tests.support.s3 import s3_server


def imported(nodes) -> set[str]:
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    sent = {module.__name__ for module in BY_VALUE}
    return {name.partition(".")[0] for name in names - sent}


@pytest.mark.parametrize("module", BY_VALUE, ids=lambda module: module.__name__.rpartition(".")[2])
def test_what_is_sent_needs_the_standard_library_alone(module):
    """A node whose packages are missing must be able to say so. psutil and yaml come with Ray, pyarrow may be missing:
    they are imported where they are used."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    assert imported(tree.body) <= set(sys.stdlib_module_names)
    assert imported(ast.walk(tree)) <= {*sys.stdlib_module_names, "psutil", "yaml", "pyarrow"}


def test_a_node_without_our_package_answers(tmp_path):
    for module in BY_VALUE:
        cloudpickle.register_pickle_by_value(module)
    try:
        sent = tmp_path / "prober"
        sent.write_bytes(cloudpickle.dumps(probe.Prober))
    finally:
        for module in BY_VALUE:
            cloudpickle.unregister_pickle_by_value(module)
    code = f"""
import pickle, sys
sys.modules["palenka_tune"] = None  # importing it fails
prober = pickle.load(open({str(sent)!r}, "rb"))()
print(prober.examine({str(tmp_path)!r}, {str(tmp_path)!r}, "marker")["memory_free"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_ray_brings_what_it_imports():
    code = "import ray, psutil; print(psutil.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout).is_relative_to(Path(importlib.util.find_spec("ray").origin).parent)
    assert "pyyaml" in importlib.metadata.requires("ray")


def test_it_fills_every_field_of_a_probe(tmp_path):
    (tmp_path / "mark").write_text("content")
    plain = probe.examine(str(tmp_path), str(tmp_path), "mark")
    assert {*plain, "clock", "clock_error"} == {field.name for field in dataclasses.fields(Probe)}
    said = TypeAdapter(Probe).validate_python(plain)
    assert said.marker == "content"
    assert said.storage.error is None
    assert 0 < said.storage.free <= said.storage.total
    assert 0 < said.memory_free <= psutil.virtual_memory().total
    assert said.versions["python"] == sys.version.split()[0]
    assert said.autoscaler is None
    assert list(tmp_path.iterdir()) == [tmp_path / "mark"]


def test_a_storage_that_is_missing_or_a_file(tmp_path):
    missing = probe.examine(str(tmp_path / "a" / "b"), str(tmp_path), "mark")
    assert (missing["storage"]["error"], missing["marker"]) == ("the folder does not exist", None)
    assert missing["storage"]["total"] > 0
    (tmp_path / "file").write_text("")
    assert probe.examine(str(tmp_path / "file"), str(tmp_path), "mark")["storage"]["error"] == "it is not a folder"


def test_our_version_tells_other_code_apart(tmp_path):
    copy = tmp_path / "palenka_tune"
    copy.mkdir()
    (copy / "__init__.py").write_text('__version__ = "9.9"\n')
    code = Path(probe.__file__).read_text() + "\nprint(versions()['palenka_tune'])"
    said = []
    for more in ("", "# a line more\n"):
        (copy / "module.py").write_text(more)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.strip())
    assert all(line.startswith("9.9 (code ") for line in said)
    assert said[0] != said[1]
    assert str(probe.versions()["palenka_tune"]).startswith(palenka_tune.__version__)


def test_a_package_that_is_missing_has_no_version(monkeypatch):
    monkeypatch.setattr(probe, "PACKAGES", ("torch", "no-such-package"))
    found = probe.versions()
    assert found["torch"]
    assert found["no-such-package"] is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", "10.0.0.1"])
def test_an_address_is_loopback_or_beyond(address):
    assert Listener("raylet", address, 1).beyond_loopback == (address in ("0.0.0.0", "::", "10.0.0.1"))


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [
        (socket.AF_INET, "127.0.0.2", "127.0.0.2"),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "::"),
        (socket.AF_INET6, "::ffff:127.0.0.2", "127.0.0.2"),
    ],
)
def test_a_listening_port_is_seen(family, address, shown):
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"no socket at {address}: {error}")
        server.listen()
        listener = {"process": "raylet", "address": shown, "port": server.getsockname()[1]}
        assert listener in probe._listeners({os.getpid(): [""]}, None, os.getpid())
        assert probe._listeners({os.getpid(): [""]}, None, 1) == []


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/ray/gcs/gcs_server", "--session-dir=/r/session_1"], "gcs_server"),
        (["python", "/ray/dashboard/dashboard.py", "--session-dir=/r/session_1"], "dashboard"),
        (["ray::DashboardHead", ""], "dashboard"),
        (["/ray/gcs/gcs_server", "--session-dir=/r/session_2"], None),
        (["python", "/ray/_private/log_monitor.py", "--session-dir=/r/session_1"], None),
        ([""], None),
    ],
)
def test_the_heads_services_are_told_by_their_command_lines(argv, name):
    assert probe._service(argv, "/r/session_1") == name


def test_the_autoscaler_of_the_session_is_found(tmp_path):
    config = tmp_path / "bootstrap.yaml"
    config.write_text("available_node_types: {gpu: {max_workers: 4, resources: {CPU: 8, GPU: 1}}}\n")
    monitor = ["python", "/x/monitor.py", "--logs-dir=/r/session_1/logs", f"--autoscaling-config={config}"]
    assert probe._autoscaler({1: monitor}, "/r/session_1") == {"gpu": 4}
    assert probe._autoscaler({1: monitor}, "/r/session_2") is None
    assert probe._autoscaler({1: monitor[:3]}, "/r/session_1") is None
    config.write_text("{")
    assert probe._autoscaler({1: monitor}, "/r/session_1") == {}


def test_a_bucket_is_read_and_written(tmp_path, monkeypatch):
    pytest.importorskip("moto")
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        from pyarrow import fs

        files, base = fs.FileSystem.from_uri("s3://palenka/runs")
        with files.open_output_stream(f"{base}/mark") as stream:
            stream.write(b"content")
        good = probe.examine("s3://palenka/runs", str(tmp_path), "mark")
        assert (good["marker"], good["storage"]["error"]) == ("content", None)
        assert [info.base_name for info in files.get_file_info(fs.FileSelector(base))] == ["mark"]
        bad = probe.examine("s3://another/runs", str(tmp_path), "mark")
        assert bad["marker"] is None
        assert bad["storage"]["error"]
