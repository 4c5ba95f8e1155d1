"""A study: opened to write by one process, read by others without a change, and refused with a sentence."""

from __future__ import annotations

import optuna
import pytest

from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.runs.study import (
    STUDY_STORAGE,
    damage_of,
    is_finished,
    mark_finished,
    new_study,
    open_study,
    study_url,
)
from palenka_tune.tracking.store import sqlite_url
from palenka_tune.trials.rows import COMPLETE
from tests.trials.test_ledger import open_ledger


def nothing() -> None:
    """The disk is never full here."""


def snapshot(folder):
    """Every file with its contents and the time of its last change."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_what_another_process_adds_is_seen_at_the_next_look(tmp_path):
    ledger = open_ledger(tmp_path)
    study = open_study(tmp_path, None, read_only=True)
    assert study.trials == []
    proposal = ledger.ask()
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    ledger.report(proposal.trial_id, 10, 3.5)
    ledger.finish(proposal.trial_id, COMPLETE)
    assert [(trial.state.name, trial.value) for trial in study.trials] == [("COMPLETE", 3.5)]
    assert "id" in study.user_attrs


def test_looking_changes_nothing_and_cannot_write(tmp_path):
    open_ledger(tmp_path).ask()
    before = snapshot(tmp_path)
    study = open_study(tmp_path, None, read_only=True)
    with pytest.raises(PalenkaError, match="was opened to be read only"):
        study.set_user_attr("x", 1)
    assert snapshot(tmp_path) == before


def test_a_torn_line_is_left_where_it_is_and_read_once_it_is_whole(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.ask()
    path = tmp_path / "optuna.journal"
    whole = path.read_bytes()
    ledger.ask()
    grown = path.read_bytes()
    path.write_bytes(grown[: len(whole) + 20])
    (tmp_path / "optuna.journal.lines").unlink()  # written after the line
    before = snapshot(tmp_path)
    study = open_study(tmp_path, None, read_only=True)
    assert len(study.trials) == 1
    assert damage_of(study) is None
    assert snapshot(tmp_path) == before
    path.write_bytes(grown)
    assert len(study.trials) == 2


def test_damage_in_the_middle_is_said_and_nothing_after_it_is_read(tmp_path):
    ledger = open_ledger(tmp_path)
    for _ in range(3):
        ledger.ask()
    path = tmp_path / "optuna.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b"trial-0001", b"trial-0009")
    path.write_bytes(b"".join(lines))
    study = open_study(tmp_path, None, read_only=True)
    assert len(study.trials) == 1
    assert damage_of(study) == f"{path} is damaged at line {len(lines) - 1} of {len(lines)}"


def test_before_there_is_a_study_there_is_none_and_a_missing_one_is_asked_for(tmp_path):
    assert open_study(tmp_path, None, read_only=True) is None
    (tmp_path / "search.yaml").touch()
    with pytest.raises(UserError, match="give the --study-storage that the search was started with"):
        open_study(tmp_path, None, read_only=True)


@pytest.mark.parametrize("name", ["plain", "a b", "a%20b", "a#b", "a?b", "приём"])
def test_a_database_is_read_and_not_written(tmp_path, name):
    folder = tmp_path / name / "a"
    folder.mkdir(parents=True)
    url = sqlite_url(tmp_path / name / "studies.db")
    new_study(folder, url, nothing).set_user_attr("x", 1)
    before = snapshot(tmp_path)
    study = open_study(folder, url, read_only=True)
    assert study.user_attrs["x"] == 1
    with pytest.raises(optuna.exceptions.StorageInternalError):
        study.set_user_attr("x", 2)
    assert snapshot(tmp_path) == before


def test_a_database_without_this_search_is_refused_and_not_made(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(PalenkaError, match=r"cannot be used: .*unable to open database file"):
        open_study(folder, f"sqlite:///{tmp_path / 'no.db'}", read_only=True)
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "there" / "a").mkdir(parents=True)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    new_study(tmp_path / "there" / "a", url, nothing)
    with pytest.raises(UserError, match=r"the search a in .* was not started in"):
        open_study(folder, url, read_only=True)


def test_a_journal_whose_study_is_lost_says_so(tmp_path):
    open_ledger(tmp_path)
    (tmp_path / "search.yaml").touch()
    path = tmp_path / "optuna.journal"
    path.write_bytes(path.read_bytes().replace(b"study_name", b"study_nome", 1))
    with pytest.raises(PalenkaError, match="is damaged at line 1 of"):
        open_study(tmp_path, None, read_only=True)


def test_a_study_that_is_missing_or_of_another_name_is_not_begun_anew(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    assert open_study(folder, None, nothing) is None  # the process died before there was one
    (folder / "search.yaml").touch()
    with pytest.raises(UserError, match="give the --study-storage that the search was started with"):
        open_study(folder, None, nothing)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with pytest.raises(UserError, match="holds no search called a"):
        open_study(folder, url, nothing)
    new_study(folder, url, nothing)
    with pytest.raises(UserError, match="--name a is in use in the study storage"):
        new_study(folder, url, nothing)
    (folder / "search.yaml").unlink()
    assert open_study(folder, url, nothing).study_name == "a"


def test_a_study_in_a_database_belongs_to_one_folder(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for place in ("here", "there"):
        (tmp_path / place / "a").mkdir(parents=True)
    new_study(tmp_path / "here" / "a", url, nothing)
    with pytest.raises(UserError, match="was not started in"):
        open_study(tmp_path / "there" / "a", url, nothing)
    new_study(tmp_path / "there" / "a", None, nothing)
    with pytest.raises(UserError, match="was not started in"):
        open_study(tmp_path / "there" / "a", url, nothing)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@host/db", "was given with a password"),
        ("postgresql://me@host/db?password=secret", "was given with a password"),
        ("mysql+pymysql://me@host/db?passwd=secret", "was given with a password"),
        ("host/db", "give the URL of a database"),
        ("redis://host", "give the URL of a database"),
    ],
)
def test_a_study_storage_is_checked_and_its_password_not_repeated(url, message, monkeypatch):
    monkeypatch.delenv(STUDY_STORAGE, raising=False)
    with pytest.raises(UserError, match=message) as error:
        study_url(url)
    assert "secret" not in str(error.value)


def test_a_password_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(STUDY_STORAGE, "postgresql://me:secret@host/db")
    assert study_url(None) == "postgresql://me:secret@host/db"
    assert study_url("postgresql://me@other/db") == "postgresql://me@other/db"
    monkeypatch.delenv(STUDY_STORAGE)
    assert study_url(None) is None


def test_a_database_that_does_not_answer_is_said_without_its_password(tmp_path):
    pytest.importorskip("psycopg")
    pytest.importorskip("psycopg2")
    with pytest.raises(PalenkaError, match="cannot be used") as error:
        new_study(tmp_path, "postgresql://me:secret@127.0.0.1:9/db", nothing)
    assert "secret" not in str(error.value)


def test_a_finished_search_notices_a_damaged_file(tmp_path):
    study = optuna.create_study()
    assert not is_finished(study, tmp_path)
    (tmp_path / "best").mkdir()
    for name in ("summary.json", "best/model.safetensors"):
        (tmp_path / name).write_text("x")
    mark_finished(study, tmp_path)
    assert is_finished(study, tmp_path)
    (tmp_path / "best" / "model.safetensors").write_text("y")
    with pytest.raises(PalenkaError, match=r"model.safetensors of the finished search .* is missing or damaged"):
        is_finished(study, tmp_path)
