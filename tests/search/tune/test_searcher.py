"""What Tune tells the searcher, and what the ledger then knows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from palenka_tune.runs.heartbeat import SearchPulse, TrialPulse
from palenka_tune.runs.study import new_study, open_study
from palenka_tune.search.tune.retries import MEMORY_KILLS, NODES_LOST
from palenka_tune.search.tune.scheduler import RungScheduler
from palenka_tune.search.tune.searcher import LedgerSearcher
from palenka_tune.spaces.space import parse_space
from palenka_tune.trials.arms import HIDDEN, LOGITS, PLAIN, Arm
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.stopping import SuccessiveHalving


class Told:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []

    def started(self, proposal) -> None:
        self.heard.append(("started", proposal.trial_id))

    def reported(self, trial_id, result) -> None:
        self.heard.append(("reported", trial_id))

    def finished(self, trial_id, state, reason) -> None:
        self.heard.append(("finished", trial_id, state, reason))


@pytest.fixture
def make(tmp_path):
    def make(samples=4, **more):
        space = parse_space({"beta": {"log_uniform": [0.1, 10]}}, "x")
        nothing = space.without(("beta",))
        study = open_study(tmp_path, None, print) or new_study(tmp_path, None, print)
        ledger = Ledger(
            study,
            space=space,
            sampler="random",
            seed=0,
            arms=[
                Arm(PLAIN, nothing, {"alpha": 0.0, "beta": 0.0}, 0),
                Arm(LOGITS, nothing, {"beta": 0.0}, 0),
                Arm(HIDDEN, space, {}, samples, has_fixed=False),
            ],
            rules={HIDDEN: SuccessiveHalving([5, 10], 2)},
        )
        told = Told()
        searcher = LedgerSearcher(
            ledger,
            RungScheduler(ledger.judge),
            lambda proposal: {"trial_id": proposal.trial_id, "judged_until": proposal.judged_until},
            tmp_path,
            [told],
            **{"stopping": lambda: False, **more},
        )
        return searcher, ledger, told, tmp_path

    return make


def result(steps: int, **more):
    return {"steps": steps, "tokens": 10 * steps, "seconds": 1.0, "history": [], **more}


def test_an_interrupted_trial_stays_open_for_the_next_process(make):
    searcher, ledger, told, _ = make()
    searcher.suggest("tune-1")
    searcher.on_trial_complete("tune-1", result(7, interrupted=True, done=True))
    assert ledger.running == []
    assert ledger.rows() == []
    assert ("finished", "trial-0000", "FAILED", "x") not in told.heard
    assert [event[0] for event in told.heard] == ["started"]
    assert make()[1].waiting == ["trial-0000"]


def test_trials_begin_while_there_is_room(make):
    room = [1]
    searcher, ledger, _, _ = make(room=lambda: room[0])
    assert isinstance(searcher.suggest("tune-1"), dict)
    assert searcher.suggest("tune-2") is None
    room[0] = 2  # a node has joined
    assert isinstance(searcher.suggest("tune-2"), dict)
    room[0] = 1  # and has left, with its trial
    searcher.on_trial_complete("tune-2", result(7, interrupted=True, done=True))
    assert searcher.suggest("tune-3") is None
    assert ledger.running == ["trial-0000"]


def test_a_trial_whose_ray_has_died_has_not_failed(make):
    searcher, ledger, _, _ = make(is_up=lambda: False)
    searcher.suggest("tune-1")
    searcher.on_trial_complete("tune-1", error=True)
    assert ledger.rows() == []
    assert make()[1].waiting == ["trial-0000"]


def test_a_dead_process_fails_with_the_reason_that_it_left(make):
    searcher, ledger, _, folder = make()
    for number, reason in enumerate(("RuntimeError: boom", None)):
        searcher.suggest(f"tune-{number}")
        if reason:
            (folder / f"trial-{number:04d}.error").write_text(reason)
        searcher.on_trial_complete(f"tune-{number}", error=True)
    assert [row.reason for row in ledger.rows()] == ["RuntimeError: boom", "the trial's process died"]
    assert TrialPulse(folder, "trial-0000").last() is None


def test_a_trial_is_proposed_again_as_often_as_it_may_fail(make):
    searcher, ledger, told, folder = make(max_failures=1)
    for number in (1, 2):
        searcher.suggest(f"tune-{number}")
        TrialPulse(folder, "trial-0000", "node-a").beat(number)
        searcher.on_trial_complete(f"tune-{number}", error=True)
    assert [(row.trial_id, row.state) for row in ledger.rows()] == [("trial-0000", "FAILED")]
    assert [event[0] for event in told.heard] == ["started", "started", "finished"]


def test_a_node_that_goes_is_no_failure_of_its_trial(make):
    nodes = {"node-a", "node-b"}
    searcher, ledger, _, folder = make(max_failures=0, node_is_gone=lambda node: node not in nodes)
    searcher.suggest("tune-1")
    TrialPulse(folder, "trial-0000", "node-a").beat(7)
    nodes.remove("node-a")
    searcher.on_trial_complete("tune-1", error=True)
    assert ledger.rows() == []
    assert searcher.suggest("tune-2")["trial_id"] == "trial-0000"
    TrialPulse(folder, "trial-0000", "node-b").beat(9)
    searcher.on_trial_complete("tune-2", error=True)  # on a node that is up: its own fault
    assert [row.state for row in ledger.rows()] == ["FAILED"]


def test_a_trial_that_never_began_was_sent_to_a_node_that_is_gone(make):
    searcher, ledger, _, folder = make(node_is_gone=lambda node: False)
    searcher.suggest("tune-1")  # announced, and no word of a process
    searcher.on_trial_complete("tune-1", error=True)
    assert ledger.rows() == []
    searcher.suggest("tune-2")
    (folder / "trial-0000.error").write_text("ImportError: it did begin")
    searcher.on_trial_complete("tune-2", error=True)
    assert [row.reason for row in ledger.rows()] == ["ImportError: it did begin"]


RAY_SAYS = "ray.exceptions.OutOfMemoryError: Memory on the node was 3.9 GB / 4 GB, above the memory usage threshold"
RAY_GUESSES = "The actor died: (1) The process is killed by SIGKILL by OOM killer due to high memory usage."


def dies(searcher, tune_id, error):
    """A trial's process dies, of which Ray says `error`."""
    config = searcher.suggest(tune_id)
    trial = SimpleNamespace(trial_id=tune_id, config=config, get_error=lambda: error)
    searcher.scheduler.on_trial_error(None, trial)
    searcher.on_trial_complete(tune_id, error=True)
    return config["trial_id"]


@pytest.mark.parametrize(("error", "kernel"), [(RAY_SAYS, False), (RAY_GUESSES, True), (None, True)])
@pytest.mark.parametrize("gone", [None, lambda node: False])
def test_a_kill_for_lack_of_memory_is_named_and_no_failure_of_its_trial(make, logged, error, kernel, gone):
    kills = [3]
    searcher, ledger, _, _ = make(max_failures=0, memory_kills=lambda: kills[0], node_is_gone=gone)
    for number in range(MEMORY_KILLS):
        kills[0] += kernel
        assert dies(searcher, f"tune-{number}", error) == "trial-0000"
    assert ledger.rows() == []
    said = "trial-0000: its process was killed for lack of memory; it continues from its last checkpoint, beside fewer"
    assert logged == [f"{said} others"] * MEMORY_KILLS
    kills[0] += kernel
    dies(searcher, "tune-last", error)
    assert [row.reason for row in ledger.rows()] == ["its process was killed for lack of memory"]


def test_after_a_kill_for_lack_of_memory_fewer_trials_run_but_one(make):
    searcher, _, _, _ = make(room=lambda: 3)
    dies(searcher, "tune-1", RAY_SAYS)
    assert isinstance(searcher.suggest("tune-2"), dict)
    assert isinstance(searcher.suggest("tune-3"), dict)
    assert searcher.suggest("tune-4") is None
    searcher.on_trial_complete("tune-2", result(7, interrupted=True, done=True))
    searcher.on_trial_complete("tune-3", result(7, interrupted=True, done=True))
    for number in range(4):
        dies(searcher, f"tune-again-{number}", RAY_SAYS)
    assert isinstance(searcher.suggest("tune-5"), dict)
    assert searcher.suggest("tune-6") is None


def test_one_kill_explains_one_death_and_no_error_that_a_trial_left(make):
    kills = [0]
    searcher, ledger, _, folder = make(max_failures=0, memory_kills=lambda: kills[0])
    kills[0] = 1  # of another process, while a trial fails by itself
    searcher.suggest("tune-1")
    (folder / "trial-0000.error").write_text("RuntimeError: boom")
    searcher.on_trial_complete("tune-1", error=True)
    assert [row.reason for row in ledger.rows()] == ["RuntimeError: boom"]
    dies(searcher, "tune-2", RAY_GUESSES)
    dies(searcher, "tune-3", RAY_GUESSES)
    assert [row.reason for row in ledger.rows()] == ["RuntimeError: boom", "the trial's process died"]


def test_a_trial_that_keeps_losing_its_node_ends_at_last(make):
    searcher, ledger, _, folder = make(node_is_gone=lambda node: True)
    for number in range(NODES_LOST + 1):
        assert ledger.rows() == []
        searcher.suggest(f"tune-{number}")
        TrialPulse(folder, "trial-0000", "gone").beat(number)
        searcher.on_trial_complete(f"tune-{number}", error=True)
    assert [row.state for row in ledger.rows()] == ["FAILED"]


def test_while_a_trial_runs_the_search_is_not_over(make):
    searcher, _, _, _ = make()
    ids = [f"tune-{number}" for number in range(6)]
    for key in ids:
        assert isinstance(searcher.suggest(key), dict)
    assert searcher.suggest("tune-6") is None  # one of those six may fail and have to be run again
    for key in ids:
        searcher.on_trial_complete(key, result(5, **{"val_ce": 2.0}, done=True))
    assert searcher.suggest("tune-7") == "FINISHED"


def test_nothing_begins_once_the_search_is_to_stop(make):
    stop = []
    searcher, _, _, _ = make(stopping=lambda: bool(stop))
    assert isinstance(searcher.suggest("tune-1"), dict)
    stop.append(True)
    assert searcher.suggest("tune-2") == "FINISHED"


def test_a_search_whose_first_trials_fail_alike_stops_with_the_reason(make):
    searcher, _, _, folder = make(abort_after=2)
    searcher.suggest("plain")  # a student without teachers that works says nothing about the teachers
    searcher.on_trial_complete("plain", result(5, **{"val_ce": 2.0}, done=True))
    for number in range(3):
        searcher.suggest(f"tune-{number}")
        searcher.on_trial_complete(f"tune-{number}", result(5, failed=f"diverged: nan in step {number}", done=True))
        assert (searcher.aborted is None) == (number < 2)
    assert searcher.aborted == "diverged: nan in step 2"
    assert SearchPulse(folder).stopping
    assert searcher.suggest("tune-9") == "FINISHED"


def test_different_reasons_or_a_success_do_not_stop_it(make):
    searcher, _, _, _ = make(abort_after=2)
    for number, reason in enumerate(("a", "b", "c", "a")):
        searcher.suggest(f"tune-{number}")
        searcher.on_trial_complete(f"tune-{number}", result(5, failed=reason, done=True))
    assert searcher.aborted is None
    searcher.suggest("tune-4")
    searcher.on_trial_complete("tune-4", result(5, **{"val_ce": 2.0}, done=True))
    searcher.suggest("tune-5")
    searcher.on_trial_complete("tune-5", result(5, failed="a", done=True))
    assert searcher.aborted is None


def test_only_checkpoints_that_are_needed_stay(make):
    searcher, _, _, folder = make()
    for number, value in enumerate((3.0, 3.1, 2.9, 2.8, 2.85)):
        searcher.suggest(f"tune-{number}")
        (folder / f"trial-{number:04d}.pt").touch()
        searcher.on_trial_complete(f"tune-{number}", result(5, **{"val_ce": value}, done=True))
    assert sorted(path.stem for path in folder.glob("*.pt")) == ["trial-0000", "trial-0001", "trial-0003"]


def run_to_the_rung(searcher, tune_id, value):
    """A trial that reports at the rung, as Tune has it: the scheduler decides, and the end is told if it is to stop."""
    config = searcher.suggest(tune_id)
    trial = SimpleNamespace(trial_id=tune_id, config=config)
    found = result(5, val_ce=value, done=False)
    decision = searcher.scheduler.on_trial_result(None, trial, found)
    if decision == "STOP":
        searcher.on_trial_complete(tune_id, found)
        return config["trial_id"]
    searcher.on_trial_result(tune_id, found)
    searcher.on_trial_complete(tune_id, result(10, val_ce=value, done=True))
    return config["trial_id"]


def search_with_a_pause(make):
    """Two fixed settings, four start-up points, and one that was proposed and rests at the rung."""
    searcher, ledger, told, folder = make(samples=9)
    for number, value in enumerate((3.0, 3.1, 2.5, 2.6, 2.7, 2.8, 2.75)):
        path = folder / f"trial-{number:04d}.pt"
        path.touch()
        assert run_to_the_rung(searcher, f"tune-{number}", value) == path.stem
    assert ledger.paused == ["trial-0006"]
    return searcher, ledger, told, folder


def test_a_trial_that_is_paused_rests_with_its_checkpoint_and_is_told_so(make):
    searcher, ledger, told, folder = search_with_a_pause(make)
    assert told.heard[-1] == ("finished", "trial-0006", "PAUSED", None)
    assert "trial-0006" not in [row.trial_id for row in ledger.rows()]
    assert searcher.scheduler.paused == {}
    run_to_the_rung(searcher, "tune-7", 2.9)  # its end is when checkpoints are pruned
    assert (folder / "trial-0006.pt").exists()
    assert not (folder / "trial-0003.pt").exists()


def test_a_promoted_trial_is_proposed_again_and_goes_on_from_where_it_was_judged(make):
    searcher, ledger, told, _ = search_with_a_pause(make)
    for number in range(3):
        ledger._rules[HIDDEN].report(f"other-{number}", 5, 9.0)
    config = searcher.suggest("tune-8")
    assert config == {"trial_id": "trial-0006", "judged_until": 5}
    assert told.heard[-1] == ("started", "trial-0006")
    trial = SimpleNamespace(trial_id="tune-8", config=config)
    again = result(5, val_ce=2.75)
    for number in range(9):
        ledger._rules[HIDDEN].report(f"better-{number}", 5, 1.0)
    assert searcher.scheduler.on_trial_result(None, trial, again) == "CONTINUE"
    searcher.on_trial_result("tune-8", again)
    searcher.on_trial_complete("tune-8", result(10, val_ce=2.7, done=True))
    assert {row.trial_id: row.state for row in ledger.rows()}["trial-0006"] == "COMPLETE"


def test_what_still_rests_at_the_end_is_told_as_pruned(make):
    searcher, ledger, told, _ = search_with_a_pause(make)
    searcher.settle()
    assert told.heard[-1] == ("finished", "trial-0006", "PRUNED", "ASHA paused it at step 5")
    assert {row.trial_id: row.state for row in ledger.rows()}["trial-0006"] == "PRUNED"
