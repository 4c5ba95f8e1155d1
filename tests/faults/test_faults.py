"""A few minutes of every fault; each module here is a command for the long one (`python -m tests.faults.NAME`)."""

from __future__ import annotations

import signal

import pytest

from tests.faults import (
    bad_pairs,
    damage,
    frozen_trial,
    full_disk,
    fuzz,
    kill_cache_writer,
    kill_driver,
    kill_raylet,
    kill_teacher,
    kill_trial,
    killing,
    leaks,
    locked_database,
    mlflow_outage,
    no_locks,
    odd_tmpdir,
    paused_machine,
    postgres,
    small_machine,
    small_spaces,
    two_searches,
    unread_output,
)

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("victim", "search"),
    [
        pytest.param(kill_driver.victim, {}, id="driver"),
        pytest.param(kill_trial.victim, {"max_failures": 1000}, id="trial"),
        pytest.param(kill_driver.victim, {"number": signal.SIGINT}, id="ctrl-c"),
        pytest.param(kill_raylet.victim, {"max_failures": 1000}, id="raylet"),
    ],
)
@pytest.mark.long  # in short: a driver is killed in tests/search/test_end_to_end.py, a trial in tune/test_trainable.py
def test_a_killed_search_comes_to_the_same(tmp_path, victim, search):
    result = killing.rounds_of(victim, 1, 3, tmp_path, longest=14.0, **search)
    assert result["kills"] == 1
    assert killing.good(result), result


@pytest.mark.long
def test_a_frozen_trial_is_ended_and_goes_on(tmp_path):
    result = frozen_trial.experiment(tmp_path)
    assert frozen_trial.good(result), result


@pytest.mark.long  # in short: clocks that are planted in tests/search/tune/test_watchdog.py and tests/storage
def test_a_paused_machine_judges_no_trial(tmp_path):
    result = paused_machine.experiment(tmp_path)
    assert paused_machine.good(result), result


@pytest.mark.long  # short forms of the next two are in tests/teachers and tests/cache
def test_a_killed_teacher_comes_to_the_same(tmp_path):
    result = kill_teacher.experiment(tmp_path, rounds=1, seed=0)
    assert kill_teacher.good(result), result


@pytest.mark.long
def test_a_killed_cache_writer_comes_to_the_same(tmp_path):
    result = kill_cache_writer.experiment(tmp_path, rounds=1, seed=0)
    assert kill_cache_writer.good(result), result


@pytest.mark.long
def test_mlflow_gets_everything_once_after_an_outage(tmp_path):
    result = mlflow_outage.experiment(tmp_path)
    assert mlflow_outage.good(result), result


@pytest.mark.long  # short forms: tests/runs/test_full_disk.py, tests/runs/test_journal.py, tests/commands/test_cache.py
def test_a_full_disk_is_waited_for(tmp_path):
    try:
        result = full_disk.experiment(tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert full_disk.good(result), result


@pytest.mark.long
def test_a_flipped_bit_is_repaired_or_refused(tmp_path):
    findings = damage.experiment(tmp_path, (damage.flip,), 0, "optuna.journal")
    assert damage.good(findings), findings


@pytest.mark.long
def test_a_name_has_one_search_and_a_dead_one_holds_nothing(tmp_path):
    result = two_searches.experiment(tmp_path)
    assert two_searches.good(result), result


@pytest.mark.long
def test_postgresql_is_as_good_as_the_journal(tmp_path):
    pytest.importorskip("psycopg2")
    try:
        postgres.programs()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    result = postgres.experiment(tmp_path)
    assert postgres.good(result), result


def test_random_input_is_accepted_or_refused(tmp_path):
    result = fuzz.experiment(tmp_path, inputs=100, seed=1)
    assert fuzz.good(result), result
    assert len(result["codes"]) == 2  # some of it is good


@pytest.mark.parametrize(
    ("command", "_short"),
    [
        (small_spaces, "tests/trials/test_repetitions.py"),
        (locked_database, "tests/tracking/test_ship.py"),
        (unread_output, "tests/config/test_console.py"),
        (bad_pairs, "tests/commands/test_bad_input.py"),
        (small_machine, "tests/cluster/test_machine.py"),
        (odd_tmpdir, "tests/cluster/test_session.py"),
        (no_locks, "tests/storage/test_file_lock.py"),
    ],
)
@pytest.mark.long
def test_what_users_meet_costs_no_search(tmp_path, command, _short):
    try:
        result = command.experiment(tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert command.good(result), result


@pytest.mark.long
def test_nothing_leaks(tmp_path):
    result = leaks.experiment(tmp_path)
    assert leaks.good(result), result
