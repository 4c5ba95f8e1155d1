"""A study read while another process writes it: whole as far as it goes, never changed, never repaired."""

from __future__ import annotations

import optuna
import pytest

from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.runs.journal import JournalReader, SealedJournal
from palenka_tune.runs.study import new_study, read_study
from palenka_tune.trials.rows import COMPLETE
from tests.trials.test_ledger import open_ledger


def nothing() -> None:
    """The disk is never full here."""


def snapshot(folder):
    """Every file with its contents and the time of its last change."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_what_another_process_adds_is_seen_at_the_next_look(tmp_path):
    ledger = open_ledger(tmp_path)
    study, _ = read_study(tmp_path, None)
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
    study, _ = read_study(tmp_path, None)
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
    study, reader = read_study(tmp_path, None)
    assert len(study.trials) == 1
    assert reader.damage is None
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
    study, reader = read_study(tmp_path, None)
    assert len(study.trials) == 1
    assert reader.damage == f"{path} is damaged at line {len(lines) - 1}; what follows is not shown"


def test_missing_lines_are_noticed(tmp_path):
    journal = SealedJournal(tmp_path / "j", nothing)
    for number in range(3):
        journal.append_logs([{"op_code": number}])
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(lines[:2]))
    reader = JournalReader(tmp_path / "j")
    assert len(list(reader.read_logs(0))) == 2
    assert reader.damage == f"{tmp_path / 'j'} has 2 of its 3 lines"


def test_before_there_is_a_study_there_is_none_and_a_missing_one_is_asked_for(tmp_path):
    assert read_study(tmp_path, None) == (None, None)
    (tmp_path / "search.yaml").touch()
    with pytest.raises(UserError, match="give the --study-storage that it was started with"):
        read_study(tmp_path, None)


def test_a_database_is_read_and_not_written(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    new_study(folder, url, nothing).set_user_attr("x", 1)
    before = snapshot(tmp_path)
    study, _ = read_study(folder, url)
    assert study.user_attrs["x"] == 1
    with pytest.raises(optuna.exceptions.StorageInternalError):
        study.set_user_attr("x", 2)
    assert snapshot(tmp_path) == before


def test_a_database_without_this_search_is_refused_and_not_made(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(PalenkaError, match=r"cannot be read: .*unable to open database file"):
        read_study(folder, f"sqlite:///{tmp_path / 'no.db'}")
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "there" / "a").mkdir(parents=True)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    new_study(tmp_path / "there" / "a", url, nothing)
    with pytest.raises(UserError, match="holds no search a that was started in"):
        read_study(folder, url)
