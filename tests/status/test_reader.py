"""The status of a search, on real ledgers, locks, pulses and spools: what is said is what is so."""

from __future__ import annotations

import io
import os
import time

import pytest
import yaml
from rich.console import Console

from palenka_tune.config.sealed import Slate
from palenka_tune.runs.ahead import AHEAD, AfterTrials
from palenka_tune.runs.cost import SECONDS
from palenka_tune.runs.heartbeat import TrialPulse
from palenka_tune.runs.place import PLACE
from palenka_tune.runs.resume import Wanted
from palenka_tune.runs.run_folder import OWNER, locked
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.status.reader import StatusReader
from palenka_tune.status.trials import Speed
from palenka_tune.status.view import line, view
from palenka_tune.tracking.spool import Shipped, Spool
from palenka_tune.tracking.tags import PARENT
from palenka_tune.trials.arms import PROPOSED, STARTUP, never_paused, trials_of
from palenka_tune.trials.ledger import NEVER_PAUSED, PLANNED, TOTAL_STEPS
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED, TrialRow
from palenka_tune.trials.stopping import SuccessiveHalving
from palenka_tune.words import clock
from tests.trials.test_ledger import open_ledger

TOTAL = 40


@pytest.fixture
def ledger(tmp_path):
    """A search of 5 samples and three fixed settings in `tmp_path/runs/mine`, asked for and not yet begun."""
    folder = tmp_path / "runs" / "mine"
    (folder / "checkpoints").mkdir(parents=True)
    ledger = open_ledger(folder, samples=5)
    config = resolve("smoke", options={"search.samples": 5, "search.seeds": 2})
    Wanted(tree(config), search_yaml(config, "data"), "data", None).keep(ledger.study)
    ledger.study.set_user_attr(TOTAL_STEPS, TOTAL)
    ledger.study.set_user_attr(PLANNED, trials_of(ledger.arms.values()))
    ledger.study.set_user_attr(NEVER_PAUSED, never_paused(ledger.arms.values(), "tpe"))
    ledger.study.set_user_attr(PLACE, {"--concurrent": 2})
    ledger.folder = folder
    return ledger


def look(ledger):
    return StatusReader(ledger.folder, ledger.folder.parent).look()


def run_trial(ledger, steps: int, value: float, state: str, seconds: float = 10.0, reason=None):
    trial = ledger.ask().trial_id
    ledger.report(trial, steps, value)
    ledger.note(trial, steps=steps, tokens=100 * steps, seconds=seconds)
    if state != "RUNNING":
        ledger.finish(trial, state, reason)
    return trial


def beat(ledger, trial: str, step: int, ago: float = 0.0, waits_for: int = 0, **said) -> None:
    TrialPulse(ledger.folder / "checkpoints", trial, "0123456789abcdef").beat(step, waits_for, **said)
    at = time.time() - ago
    os.utime(ledger.folder / "checkpoints" / f"{trial}.pulse", (at, at))


def test_a_search_in_the_middle_of_its_trials(ledger):
    with locked(ledger.folder):
        began = time.time() - 3600
        os.utime(ledger.folder / OWNER, (began, began))
        ledger.study.set_user_attr(SECONDS, {"cache": 100.0, "trials": 3500.0})
        ledger.judge_by({"hidden": SuccessiveHalving([10, 40], 2)})
        run_trial(ledger, 40, 5.0, COMPLETE)
        run_trial(ledger, 40, 4.5, COMPLETE)
        run_trial(ledger, 40, 4.75, COMPLETE)
        run_trial(ledger, 10, 5.5, PRUNED, 5.0)
        best = run_trial(ledger, 40, 4.25, COMPLETE)
        ledger.pause(run_trial(ledger, 10, 5.75, "RUNNING", 5.0), 10)
        running = run_trial(ledger, 10, 4.75, "RUNNING", 5.0)
        beat(ledger, running, 25, ago=30)
        interrupted = ledger.ask().trial_id
        beat(ledger, interrupted, 5, ago=2 * 3600)  # of the process before this one
        status = look(ledger)
    assert (status.state, status.stage, status.is_running) == ("searching", "searching", True)
    assert status.why.startswith(f"process {os.getpid()} on ")
    assert status.trials == {
        "planned": 8,
        "complete": 4,
        "pruned": 1,
        "failed": 0,
        "running": 1,
        "paused": 1,
        "waiting": 1,
        "to_come": 0,
    }
    (trial,) = status.running
    assert (trial.trial_id, trial.step, trial.total_steps, trial.val_ce) == (running, 25, TOTAL, 4.75)
    assert trial.node.endswith(" 01234567")
    assert trial.age == pytest.approx(30, abs=10)
    assert (status.best["trial_id"], status.best["val_ce"]) == (best, 4.25)
    assert status.best["arm"] == "hidden"
    assert status.arms == {"plain": 5.0, "logits": 4.5, "hidden": 4.25}
    # 170 steps of those that ended, 10 of the one that rests
    assert status.budget == {"trial_steps_run": 180, "trial_steps_full_grid": 240, "saved_fraction": 0.25}
    # 40 steps of a start-up point, 30 expected of the only trial that is proposed; 25 are done, at 10 steps in 5 s
    assert status.left == pytest.approx((40 + 30 - 25) / 2)
    assert status.tokens_per_second == pytest.approx(200)
    assert status.elapsed == 3600
    assert status.resume is None
    assert status.warnings == []


def test_a_place_that_is_free_for_a_moment_counts_for_the_time_left(ledger):
    left = []
    for places in (1, 2, 9):
        ahead = AfterTrials(models=0, students=0, student_steps=0, score_steps=0.0, at_a_time=places)
        ledger.study.set_user_attr(AHEAD, ahead.to_dict())
        with locked(ledger.folder):
            if places == 1:
                for _ in range(4):
                    run_trial(ledger, 40, 5.0, COMPLETE)
                beat(ledger, run_trial(ledger, 10, 4.75, "RUNNING", 5.0), 30)
            left.append(look(ledger).left)
    # 120 steps, at 2 a second in the trial that runs and at the usual 4 in each place that the next ones take
    assert left == pytest.approx([120 / 2, 120 / (2 + 4), 120 / (2 + 3 * 4)])


def test_of_trials_that_may_be_paused_less_is_expected():
    """20 trials of 40 steps, of which the first 6 are never paused, half of the steps expected of the others."""

    def left(full: int, others: list[int]) -> float | None:
        rows = [TrialRow(f"f{n}", COMPLETE, "hidden", STARTUP, {}, steps=40) for n in range(full)]
        rows += [TrialRow(f"o{n}", PRUNED, "hidden", PROPOSED, {}, steps=steps) for n, steps in enumerate(others)]
        return Speed([], []).steps_left(rows, 20, 6, [10, 40], 0.5)

    assert left(0, []) == 6 * 40 + 14 * 20
    assert left(6, []) == 14 * 20  # not 14 * 40, though all that ended were trained to their ends
    assert left(6, [10, 10, 10, 10]) == 10 * (4 * 20 + 4 * 10) / 8
    assert left(6, [10] * 14) == 0
    assert Speed([], []).steps_left([], None, 6, [10, 40], 0.5) is None


def test_the_time_left_counts_every_stage(ledger):
    ledger.study.set_user_attr(
        AHEAD, AfterTrials(models=3, students=6, student_steps=40, score_steps=5.0, at_a_time=2).to_dict()
    )
    with locked(ledger.folder):
        for _ in range(7):
            run_trial(ledger, 40, 5.0, COMPLETE)
        beat(ledger, run_trial(ledger, 10, 4.75, "RUNNING", 5.0), 30)
        # 10 steps of the last trial (nothing for the second place), 6 students, 9 models, at 2 steps per second
        assert look(ledger).left == pytest.approx((10 + 6 * 40 + 9 * 5) / 2)
        ledger.finish("trial-0007", PRUNED, None)
        ledger.study.set_user_attr(SECONDS, {"trials": 145.0})  # for 290 steps
        status = look(ledger)
        assert (status.stage, status.left) == ("scoring", pytest.approx((6 * 40 + 9 * 5) / 2))
        ledger.study.set_user_attr("finished", True)
        finalists = ledger.folder / "finalists"
        for name, files in {
            "trial-0001-seed1": {"result.json": "{}", "scores.json": "{}"},
            "trial-0001-seed2": {"result.json": "{}"},
            "trial-0002-seed1": {"progress.txt": "step 10/40  loss 5.0"},
        }.items():
            (finalists / name).mkdir(parents=True)
            for file, text in files.items():
                (finalists / name / file).write_text(text)
        status = look(ledger)
        assert (status.stage, status.finalists_done) == ("finalists", 2)
        assert status.left == pytest.approx(((6 - 2.25) * 40 + 5 * 5) / 2)
        assert [cost.stage for cost in status.costs] == ["trials", "all"]
        console = Console(file=io.StringIO(), width=120)
        console.print(view(status))
    assert "where the time went" in console.file.getvalue()
    assert look(ledger).left is None  # nobody works on it


def test_stalled_waiting_and_failed_trials_are_warned_of(ledger):
    with locked(ledger.folder):
        began = time.time() - 7200
        os.utime(ledger.folder / OWNER, (began, began))
        run_trial(ledger, 10, 5.0, FAILED, reason="diverged: nan")
        for seconds, waits_for in ((900, 0), (10, 2_500_000)):
            beat(ledger, run_trial(ledger, 10, 5.0, "RUNNING"), 10, ago=seconds, waits_for=waits_for)
        status = look(ledger)
    assert len(status.warnings) == 3
    assert "trial-0001 has not moved for 15 min; after 20 min it is ended" in status.warnings[0]
    assert "trial-0002 waits until 2.5 MB are free" in status.warnings[1]
    assert "1 failed, the last one (trial-0000) because diverged: nan" in status.warnings[2]


def spool_of(ledger, *events) -> None:
    spool = Spool(ledger.folder)
    spool.append({"op": "start_run", "key": PARENT, "name": "mine", "parent": None, "tags": {}, "params": {}})
    for event in events:
        spool.append(event)
    spool.close()
    Shipped("sqlite:///mlflow.db", "palenka_tune", seq=0, offset=0).save(ledger.folder)


@pytest.mark.parametrize(("status", "state"), [(None, "killed"), ("KILLED", "stopped"), ("FAILED", "failed")], ids=str)
def test_a_search_that_is_over_says_how_and_the_way_on(ledger, status, state):
    run_trial(ledger, 40, 5.0, COMPLETE)
    run_trial(ledger, 10, 5.0, "RUNNING")
    spool_of(ledger, *([{"op": "end_run", "key": PARENT, "status": status}] if status else []))
    with locked(ledger.folder):
        assert look(ledger).state == "searching"  # its next process
    found = look(ledger)
    assert (found.state, found.stage, found.is_running) == (state, "searching", False)
    assert found.trials["waiting"] == 1
    assert found.resume == (
        f"python -m palenka_tune.search --resume --name mine --storage {ledger.folder.parent} --concurrent 2"
    )
    assert found.left is None
    assert found.mlflow.behind == (2 if status else 1)
    assert any(f"python -m palenka_tune.track replay {ledger.folder}" in warning for warning in found.warnings)


def test_from_another_machine_movement_decides(ledger):
    run_trial(ledger, 10, 5.0, "RUNNING")
    with locked(ledger.folder):
        pass
    Slate(ledger.folder / OWNER).write({"pid": 1, "host": "elsewhere"})
    found = look(ledger)
    assert found.state == "searching"
    assert "whether process 1 on elsewhere still lives cannot be seen from here" in found.why
    long_ago = time.time() - 3600
    for path in [*ledger.folder.iterdir(), *ledger.folder.glob("checkpoints/*")]:
        os.utime(path, (long_ago, long_ago))
    found = look(ledger)
    assert (found.state, found.stage) == ("silent", "searching")
    assert "its files moved 60 min ago" in found.why
    assert found.resume


def test_the_stages_of_a_search_one_after_another(ledger):
    with locked(ledger.folder):
        assert look(ledger).state == "preparing"
        for _ in range(8):
            assert look(ledger).state in ("preparing", "searching")
            run_trial(ledger, 40, 5.0, COMPLETE)
        assert look(ledger).state == "scoring"
        ledger.study.set_user_attr("finished", {})
        assert look(ledger).state == "finalists"
        ledger.study.set_user_attr("finalists", {"seeds": 1})
        assert look(ledger).state == "finalists"  # of more seeds
        ledger.study.set_user_attr("finalists", {"seeds": 2})
        assert look(ledger).state == "finished"
    found = look(ledger)
    assert (found.state, found.is_running, found.resume) == ("finished", False, None)


def test_a_search_of_a_version_with_anchors_and_finalists_is_what_it_was(ledger):
    run_trial(ledger, 40, 5.0, COMPLETE)
    asked = dict(ledger.study.user_attrs["search"])
    asked["yaml"] = yaml.safe_dump({"search": {"samples": 4, "rungs": 2, "finalists": 0, "seeds": 5}})
    ledger.study.set_user_attr("search", asked)
    ledger.study.set_user_attr("finished", {})
    found = look(ledger)
    assert (found.state, found.rungs) == ("finished", [TOTAL])


def test_a_process_that_died_before_there_was_a_study(tmp_path):
    with locked(tmp_path):
        pass
    found = StatusReader(tmp_path, tmp_path.parent).look()
    assert (found.state, found.stage, found.trials["planned"]) == ("killed", "preparing", None)
    assert found.best is None


def test_the_same_reader_sees_what_is_new_and_changes_nothing(ledger):
    spool_of(ledger)
    reader = StatusReader(ledger.folder, ledger.folder.parent)
    with locked(ledger.folder):
        assert reader.look().trials["complete"] == 0
        run_trial(ledger, 40, 5.0, COMPLETE)
        before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in ledger.folder.rglob("*") if p.is_file()}
        assert reader.look().trials["complete"] == 1
        assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in ledger.folder.rglob("*") if p.is_file()} == before


def test_what_a_person_sees(ledger):
    run_trial(ledger, 40, 5.0, COMPLETE)
    run_trial(ledger, 40, 4.5, COMPLETE)
    spool_of(ledger)
    with locked(ledger.folder):
        trial = run_trial(ledger, 10, 4.75, "RUNNING")
        beat(ledger, trial, 20)
        status = look(ledger)
    out = io.StringIO()
    Console(file=out, width=200).print(view(status))
    shown = out.getvalue()
    for text in (
        "mine  searching",
        "8 planned: 2 complete, 1 running, 5 to come",
        "best       trial-0001 val/ce 4.5000, -0.5000 against plain  (logits: fixed setting)",
        "arms       the best so far: plain 5.0000, logits 4.5000",
        "0 % saved by pausing (80 of 80 steps)",
        f"{trial}   1/2",
        "20/40  4.7500",
        "mlflow ui --backend-store-uri sqlite:///mlflow.db",
    ):
        assert text in shown
    assert f"mine searching, 2/8 trials, {trial} 20/40, best trial-0001 val/ce 4.5000" in line(status)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.4, "7 s"), (119, "119 s"), (240, "4 min"), (7200, "2 h 00 min"), (11100, "3 h 05 min"), (187200, "2 days 4 h")],
)
def test_times_are_told_as_people_tell_them(seconds, text):
    assert clock(seconds) == text
