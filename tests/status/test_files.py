"""Who works in a run folder, seen without touching its lock; which folder is meant."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from palenka_tune.config.sealed import Slate
from palenka_tune.errors import UserError
from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.runs.run_folder import OWNER, find_run, locked
from palenka_tune.status.files import RunFiles

HOLDER = (
    "import sys; from pathlib import Path; from palenka_tune.runs.run_folder import locked\n"
    "with locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
)


def look(folder) -> bool | None:
    return RunFiles(folder, folder.parent).writer().holds


def test_a_process_holds_the_lock_until_it_dies(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=-1, stdout=-1, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        writer = RunFiles(tmp_path, tmp_path.parent).writer()
        assert (writer.pid, writer.holds) == (other.pid, True)
        # another look has not taken it away, nor been taken for it
        assert look(tmp_path) is True
    finally:
        other.kill()
        other.communicate()
    assert look(tmp_path) is False
    with locked(tmp_path):
        assert look(tmp_path) is True
    assert look(tmp_path) is False  # this process lives, but holds it no more


def test_looking_does_not_refuse_the_lock_to_a_search(tmp_path):
    with locked(tmp_path):
        pass
    before = os.stat(tmp_path / ".lock")
    assert look(tmp_path) is False
    assert os.stat(tmp_path / ".lock") == before


def test_on_another_machine_a_lock_cannot_be_seen_on_a_disk_of_ones_own(tmp_path):
    with locked(tmp_path):
        Slate(tmp_path / OWNER).write({"pid": 1, "host": "elsewhere"})
        assert look(tmp_path) is None


def test_nobody_has_worked_in_a_new_folder(tmp_path):
    writer = RunFiles(tmp_path, tmp_path.parent).writer()
    assert (writer.pid, writer.holds) == (None, False)
    assert RunFiles(tmp_path, tmp_path.parent).moved() is None


def test_a_pulse_says_where_a_trial_is(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    TrialPulse(tmp_path / "checkpoints", "trial-0003", "abcdef").beat(40, 7)
    os.utime(tmp_path / "checkpoints" / "trial-0003.pulse", (10**9, 10**9))
    files = RunFiles(tmp_path, tmp_path.parent)
    pulse = files.pulse("trial-0003")
    assert (pulse.step, pulse.waits_for, pulse.pid, pulse.node) == (40, 7, os.getpid(), "abcdef")
    assert pulse.time == 10**9
    assert pulse.age > 10**7
    assert files.pulse("trial-0004") is None


def test_teachers_caches_and_finalists_under_way_are_found(tmp_path):
    run, artifacts = tmp_path / "run", tmp_path / "artifacts"
    work = artifacts / "teachers" / ".GPT2-tiny-0123.work"
    partial = artifacts / "caches" / ".8e-14.partial"
    for folder in (work, partial, run / "finalists" / "a-seed1", run / "finalists" / "a-seed2"):
        folder.mkdir(parents=True)
    (work / "progress.jsonl").write_text('{"epoch": 1, "epochs": 4, "step": 5, "total_steps": 40}\n{"epo')
    (partial / "train-00000.arrow").touch()
    (run / "finalists" / "a-seed1" / "result.json").touch()
    (run / "finalists" / "a-seed2" / "progress.txt").write_text("step 3/10\n")
    files = RunFiles(run, tmp_path)
    assert [(w.name, w.progress) for w in files.preparing()] == [
        ("teacher GPT2-tiny-0123", "epoch 1 of 4, step 5 of 40"),
        ("cache 8e-14", "1 shard"),
    ]
    done, scored, others = files.finalists()
    assert (done, scored) == (1, 0)
    assert [(w.name, w.progress, w.done) for w in others] == [("a-seed2", "step 3/10", 0.3)]


def test_a_run_is_found_by_name_by_path_and_as_the_last(tmp_path, monkeypatch):
    for number, name in enumerate(("one", "two", "rows")):
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).touch()
        os.utime(tmp_path / name / OWNER, (number, number))
    (tmp_path / "rows" / "reproduce.json").touch()
    (tmp_path / "artifacts").mkdir()
    assert find_run(None, tmp_path) == tmp_path / "two"
    assert find_run("one", tmp_path) == tmp_path / "one"
    assert find_run(str(tmp_path / "one"), None) == tmp_path / "one"
    monkeypatch.chdir(tmp_path)
    assert find_run("one", None) == tmp_path / "one"
    for run, storage, message in (
        ("tow", tmp_path, r"there is no search 'tow' in .* \(did you mean 'two'\?\)"),
        ("rows", tmp_path, "holds rows of the poster"),
        ("artifacts", tmp_path, "is not the folder of a search"),
        (None, tmp_path / "artifacts", "there is no search in"),
        (None, tmp_path / "nowhere", "there is no folder"),
        ("nowhere", None, "there is no folder nowhere"),
    ):
        with pytest.raises(UserError, match=message):
            find_run(run, storage)
