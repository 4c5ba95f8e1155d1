"""The doctor's command: bad input is refused before anything is asked, and what it says is what it returns."""

from __future__ import annotations

import json
import socket

import pytest

from palenka_tune.commands import doctor, options


def refused(capsys, argv) -> str:
    assert options.run(doctor.cli, [str(part) for part in argv]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["dksd"], "did you mean 'dskd'"),
        (["--scale", "tinny"], "did you mean 'tiny'"),
        (["--gpus-per-trial", "2"], "give 0 to 1"),
        (["--concurrent", "0"], "1 or more"),
        (["--address", "ray://host:10001"], "give HOST:PORT"),
        (["--study-storage", "postgresql://me:secret@host/db"], "with a password"),
        (["--data", "./no_such_folder"], "no_such_folder"),
        (["--set", "beta=-1"], "0 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_refused(capsys, tmp_path, argv, message):
    said = refused(capsys, [*argv, "--storage", tmp_path / "runs"])
    assert message in said
    assert "secret" not in said
    assert not (tmp_path / "runs").exists()


def test_an_address_where_nobody_answers_ends_1_and_says_the_fix(capsys, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    argv = ["smoke", "--address", address, "--storage", str(tmp_path / "runs"), "--json", str(tmp_path / "found.json")]
    assert options.run(doctor.cli, argv) == 1
    printed = capsys.readouterr().out
    assert f"✗ ray        the Ray cluster at {address} is not reached" in printed
    assert "→ start it" in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["healthy"]
    assert [each["check"] for each in found["findings"] if each["state"] == "fault"] == ["ray"]
    assert "versions" in found["unchecked"]
    assert options.run(doctor.cli, [*argv, "--quiet"]) == 1
    quiet = capsys.readouterr().out.splitlines()
    assert [line[0] for line in quiet if line[0] in "✓!✗"] == ["✗"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.entry
def test_this_machine_is_healthy(capsys, tmp_path):
    argv = ["smoke", "--storage", str(tmp_path / "runs"), "--json", str(tmp_path / "found.json")]
    code = options.run(doctor.cli, argv)
    printed = capsys.readouterr().out
    assert code == 0, printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["unchecked"] == []
    assert {each["check"] for each in found["findings"]} >= {"ray", "nodes", "versions", "storage", "token"}
    assert list((tmp_path / "runs").iterdir()) == []
