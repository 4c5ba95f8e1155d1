"""Every promise that a command prints as broken makes it end with 1: `good` of a whole result with one thing broken."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.cluster import object_storage
from tests.faults import (
    bad_pairs,
    damage,
    frozen_trial,
    full_disk,
    fuzz,
    kill_cache_writer,
    kill_finalists,
    kill_teacher,
    killing,
    leaks,
    locked_database,
    mlflow_outage,
    no_locks,
    odd_tmpdir,
    postgres,
    small_machine,
    small_spaces,
    two_searches,
    unread_output,
)

ARRIVED = {
    **{"metrics": 213, "metrics_missing": 0, "metrics_twice": 0, "metrics_off_the_study": 0},
    **{"runs_in_wrong_state": 0, "runs_twice": 0},
}
IN_MLFLOW = {**ARRIVED, "metrics_unknown": 0}
ENDED_THE_SAME = {"identical": True, "finished_run_again": 0}
# what each command prints if all is well; a figure that promises nothing is left out
WHOLE: dict[ModuleType, dict[str, Any]] = {
    frozen_trial: {"said": ["trial-0001 did not move"], **ENDED_THE_SAME},
    full_disk: {"message": ["the disk of ... is full"], "waited": True, "torn_files": [], **ENDED_THE_SAME},
    fuzz: {"wrong": 0, "started": []},
    kill_cache_writer: {"kills": 5, "identical": True, "verified": True},
    kill_finalists: {
        **{"kills": 6, "students_identical": True, "students_trained_again": 0},
        **{"trials_identical": True, "finished_run_again": 0},
    },
    kill_teacher: {"kills": 3, "difference": 0.0, "epochs_lost": 0},
    killing: {
        **ENDED_THE_SAME,
        **{"lost_trials": 0, "metrics_twice": 0, "lost_steps_most": 3, "left_running": 0},
        "checkpoint_steps": 4,
    },
    leaks: {"listening": 10, "listening_beyond_loopback": [], "files_with_a_secret": []},
    bad_pairs: {"long": True, "surrogate": True},
    locked_database: {"said": ["database is locked"], **IN_MLFLOW},
    mlflow_outage: IN_MLFLOW,
    no_locks: {"identical": True, "said": ["the lock of ..."]},
    odd_tmpdir: {"long": True, "not_ascii": True},
    small_machine: {
        **{"core: at a time": 1, "core: identical": True, "core: killed for memory": []},
        **{"memory: at a time": 1, "memory: identical": True, "memory: killed for memory": []},
    },
    small_spaces: {"trials_of_the_small_space": 2, "said": ["holds no more"], "trials_that_a_sampler_repeats": 8},
    unread_output: {"pipe": 0, "terminal": 0, "full": 0},
    postgres: {**ENDED_THE_SAME, "journal_beside_it": False, "files_with_the_password": [], **IN_MLFLOW},
    two_searches: {"second_refused": True, "it_said": "--name x is being searched by process 1", **ENDED_THE_SAME},
    object_storage: {
        **{"identical_with_journal": True, "identical_with_databases": True, "local_copy_is_the_same": True},
        **{"finished_run_again": 0, "best_in_bucket": True, "caches_in_bucket": 1, "needless_checkpoints": []},
        **{"claims_left": 0, **ARRIVED},
    },
}


def broken(value: Any) -> Any:
    """The opposite of what is promised: something instead of nothing, nothing instead of something."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [] if value else ["something"]
    if isinstance(value, str):
        return ""
    return 0 if value else 17


@pytest.mark.parametrize("module", WHOLE, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_broken_promise_is_no_success(module):
    whole = WHOLE[module]
    assert module.good(whole)
    for name, value in whole.items():
        wrong = {"lost_steps_most": 5, "checkpoint_steps": 2}.get(name, broken(value))
        assert not module.good({**whole, name: wrong}), name


def test_damage_that_was_neither_repaired_nor_refused_is_no_success():
    repaired = damage.Finding("optuna.journal", "removed", "repaired", "")
    assert damage.good([repaired])
    assert not damage.good([repaired, damage.Finding("optuna.journal", "removed", "WRONG", "")])
    assert not damage.good([])  # nothing was damaged
