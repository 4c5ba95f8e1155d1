"""The journal: readable by Optuna's own backend, whole after any crash, never silently shorter or different."""

from __future__ import annotations

import errno
import os

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from palenka_tune.errors import PalenkaError
from palenka_tune.runs.journal import SealedJournal


def never() -> None:
    raise AssertionError("the disk is not full")


def written(path, count=5):
    journal = SealedJournal(path, never)
    for number in range(count):
        journal.append_logs([{"op_code": number, "text": "x" * number}])
    return journal


def test_another_process_reads_what_was_appended(tmp_path):
    journal = written(tmp_path / "j")
    again = SealedJournal(tmp_path / "j", never)
    assert again.read_logs(2) == journal.read_logs(2) == [{"op_code": n, "text": "x" * n} for n in (2, 3, 4)]


def test_optunas_own_backend_reads_the_file(tmp_path):
    path = tmp_path / "optuna.journal"
    study = optuna.create_study(storage=JournalStorage(SealedJournal(path, never)), study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    theirs = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [trial.value for trial in theirs.trials] == [trial.value for trial in study.trials]


def test_a_line_that_was_torn_by_a_crash_goes(tmp_path):
    journal = written(tmp_path / "j")
    with journal.path.open("ab") as file:
        file.write(b'{"op_code":9,"te')
    again = SealedJournal(tmp_path / "j", never)
    assert len(list(again.read_logs(0))) == 5
    again.append_logs([{"op_code": 5}])
    assert len(list(SealedJournal(tmp_path / "j", never).read_logs(0))) == 6


def test_every_flipped_byte_and_every_cut_is_refused(tmp_path):
    path = written(tmp_path / "j").path
    data = path.read_bytes()
    for at in range(len(data)):
        for damaged in (data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], data[:at]):
            path.write_bytes(damaged)
            with pytest.raises(PalenkaError, match=r"is damaged at line \d of 5"):
                SealedJournal(path, never)
    path.write_bytes(data)
    assert len(list(SealedJournal(path, never).read_logs(0))) == 5


def test_a_damaged_count_of_lines_is_made_anew(tmp_path):
    path = written(tmp_path / "j").path
    count = tmp_path / "j.lines"
    for damaged in (b"", b"garbage", count.read_bytes().replace(b"5", b"9", 1)):
        count.write_bytes(damaged)
        assert len(list(SealedJournal(path, never).read_logs(0))) == 5


def test_a_line_written_before_its_count_is_kept(tmp_path):
    journal = written(tmp_path / "j")
    count = (tmp_path / "j.lines").read_bytes()
    journal.append_logs([{"op_code": 5}])
    (tmp_path / "j.lines").write_bytes(count)  # the process died between the two
    assert len(list(SealedJournal(tmp_path / "j", never).read_logs(0))) == 6


def test_a_full_disk_is_waited_for_and_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    waits = []
    journal = SealedJournal(tmp_path / "j", lambda: waits.append(journal.path.read_bytes()))
    journal.append_logs([{"op_code": 0}])
    whole, real = journal.path.read_bytes(), os.write

    def full(handle, data):
        offset = os.lseek(handle, 0, os.SEEK_CUR)
        if len(waits) < 2 and len(data) > 20 and offset:
            if offset == len(whole):
                return real(handle, data[:7])  # a part of it goes through
            raise OSError(errno.ENOSPC, "no space")
        return real(handle, data)

    monkeypatch.setattr(os, "write", full)
    journal.append_logs([{"op_code": 1, "text": "x" * 40}])
    assert waits == [whole, whole]
    assert len(list(SealedJournal(tmp_path / "j", never).read_logs(0))) == 2


def test_a_reader_notices_missing_lines_and_that_they_are_back(tmp_path):
    written(tmp_path / "j", 3)
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    reader = SealedJournal(tmp_path / "j", read_only=True)
    assert len(list(reader.read_logs(0))) == 2
    assert reader.damage == f"{tmp_path / 'j'} is damaged at line 3 of 3"
    (tmp_path / "j").write_bytes(whole)
    assert len(list(reader.read_logs(0))) == 3
    assert reader.damage is None
