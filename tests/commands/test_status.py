"""`python -m palenka_tune.status`: one look, many looks, JSON, mistakes; and a real search, watched and killed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from palenka_tune.commands import options, status
from palenka_tune.config.console import lasting_output
from palenka_tune.runs.run_folder import locked
from palenka_tune.storage.mirror import working_folder
from tests.faults.searches import REPOSITORY, Place, kill, wait_for
from tests.support.s3 import another_node
from tests.trials.test_ledger import open_ledger, run_all


@pytest.fixture
def storage(tmp_path):
    """Two ended searches, of which `two` was worked in last."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with locked(tmp_path / name):
            run_all(open_ledger(tmp_path / name, samples=2))
    return tmp_path


def test_the_last_search_is_shown_and_written_as_json(storage, tmp_path, capsys):
    file = tmp_path / "status.json"
    assert options.run(status.cli, ["--storage", str(storage), "--json", str(file)]) == 0
    assert "two  killed while searching" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert (written["run"], written["state"], written["is_running"]) == ("two", "killed", False)
    assert written["trials"]["complete"] == 5
    assert written["best"]["val_ce"] == 0.0


def test_a_search_is_given_by_its_name_or_its_folder(storage, capsys):
    assert options.run(status.cli, ["one", "--storage", str(storage)]) == 0
    assert options.run(status.cli, [str(storage / "one")]) == 0
    assert capsys.readouterr().out.count("one  killed while searching") == 2


def test_a_search_in_a_remote_storage_is_seen_from_anywhere(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "node1"))
    url = f"file://{tmp_path}/shared"
    folder = working_folder(url) / "far"
    folder.mkdir(parents=True)
    with locked(folder):
        run_all(open_ledger(folder, samples=2))
        with another_node(tmp_path / "node2"):
            assert options.run(status.cli, ["far", "--storage", url]) == 0
        assert "holds the lock of its folder" in capsys.readouterr().out
    with another_node(tmp_path / "node2"):
        assert options.run(status.cli, ["--storage", url]) == 0
        said = capsys.readouterr().out
        assert "far  killed while searching" in said
        assert f"--resume --name far --storage {url}" in said
        assert options.run(status.cli, ["near", "--storage", url]) == 2
        assert not (tmp_path / "node2").exists() or not list((tmp_path / "node2").rglob("*"))


def test_a_database_for_other_searches_is_not_asked(storage, capsys, monkeypatch):
    monkeypatch.setenv("PALENKA_STUDY_STORAGE", "postgresql://nobody@127.0.0.1:9/none")
    assert options.run(status.cli, ["one", "--storage", str(storage)]) == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_goes_on_until_the_search_has_ended(storage, monkeypatch, terminal):
    folder = storage / "one"
    ledger = open_ledger(folder, samples=4)
    holding = locked(folder)
    holding.__enter__()
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 1:
            ledger.ask()
        elif len(naps) == 3:
            holding.__exit__(None, None, None)

    monkeypatch.setattr(status.time, "sleep", nap)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    found = status.main(status.StatusOptions(run="one", storage=str(storage), watch=7.0), console)
    assert naps == [7.0] * 3
    assert found.state == "killed"
    assert "killed while searching" in out.getvalue()
    if not terminal:  # a line per change: searching, and the end, which is then shown in whole
        changes = [line for line in out.getvalue().splitlines() if " one searching" in line]
        assert len(changes) == 1


def test_watching_ends_where_nobody_can_see_it(storage, monkeypatch):
    """`status --watch | head -1`, or a closed terminal."""
    closed, watching = os.pipe()
    os.close(closed)
    with os.fdopen(watching, "w") as pipe, contextlib.suppress(BrokenPipeError):
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(status.time, "sleep", lambda seconds: pytest.fail("it looks again"))
        with locked(storage / "one"), lasting_output():
            found = status.main(status.StatusOptions(run="one", storage=str(storage), watch=1.0))
    assert found.is_running


def test_ctrl_c_ends_the_watching_and_nothing_else(storage, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", interrupted)
    with locked(storage / "one"):
        assert status.main(status.StatusOptions(run="one", storage=str(storage), watch=1.0)).is_running


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tow"], "there is no search 'tow' in"),
        (["--watch", "two"], "'two' is no number of seconds; give RUN before --watch"),
        (["--watch", "0"], "give more than 0"),
        (["two", "--study-storage", "postgresql://me:secret@host/db"], "was given with a password"),
        (["two", "--study-storage", "host/db"], "give the URL of a database"),
    ],
)
def test_mistakes_are_one_sentence_and_end_with_2(storage, capsys, argv, message):
    assert options.run(status.cli, [*argv, "--storage", str(storage)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.long  # its short form is in tests/search/test_end_to_end.py
@pytest.mark.ray
@pytest.mark.entry
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_search_is_seen_while_it_runs_and_after_kill_9(tmp_path):
    place = Place.make(tmp_path / "place")
    file = tmp_path / "status.json"

    def look() -> dict:
        argv = [sys.executable, "-m", "palenka_tune.status", "real", "--storage", str(place.storage)]
        finished = subprocess.run(
            [*argv, "--json", str(file)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return {**json.loads(file.read_text()), "shown": finished.stdout}

    process = place.start("real")
    try:
        journal = place.run_folder("real") / "optuna.journal"
        wait_for(lambda: journal.exists() or process.poll() is not None, 300, "the study")
        assert process.poll() is None, place.said("real")

        def training() -> dict | None:
            found = look()
            assert found["is_running"], found
            return found if any(trial["step"] for trial in found["running"]) else None

        found = wait_for(training, 600, "a step of a trial")
        assert found["state"] == "searching"
        assert found["writer"]["pid"] == process.pid
        assert found["running"][0]["total_steps"] == 400
        assert found["running"][0]["pid"] in place.processes()
        assert found["elapsed"] > 0
    finally:
        kill(process.pid)
        process.wait()
        place.kill_all()
    before = {path: path.read_bytes() for path in place.run_folder("real").rglob("*") if path.is_file()}
    found = look()
    assert (found["state"], found["stage"]) == ("killed", "searching")
    assert found["running"] == []
    assert found["trials"]["waiting"] == 1
    assert found["resume"].startswith(
        f"python -m palenka_tune.search --resume --name real --storage {place.storage} --concurrent 1"
    )
    assert found["resume"] in found["shown"]
    assert {path: path.read_bytes() for path in place.run_folder("real").rglob("*") if path.is_file()} == before
