"""What a search shows of itself: a live view on a terminal, lines elsewhere, and nothing that could end it."""

from __future__ import annotations

import dataclasses
import io
import re
import time

import pytest
from rich.console import Console

from palenka_tune.errors import PalenkaError
from palenka_tune.runs.run_folder import locked
from palenka_tune.status.reader import StatusReader
from palenka_tune.status.view import Descent, Display, best_so_far, finished_line, sparkline, view
from palenka_tune.trials.rows import COMPLETE, FAILED, PRUNED
from palenka_tune.words import clock
from tests.status.test_reader import beat, ledger, look, run_trial  # noqa: F401 - `ledger` is a fixture

COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-7][0-9;]*m")


def console(**options) -> Console:
    return Console(file=io.StringIO(), width=160, highlight=False, **options)


def shown(status, **options) -> str:
    drawn = console()
    drawn.print(view(status, **options))
    return drawn.file.getvalue()


@pytest.fixture
def running(ledger):  # noqa: F811
    """A search in which three trials have ended and one runs on a GPU."""
    with locked(ledger.folder):
        for value in (5.2, 5.0, 4.8):
            run_trial(ledger, 40, value, COMPLETE)
        trial = run_trial(ledger, 20, 4.9, "RUNNING")
        beat(ledger, trial, 30, tokens_per_second=12345, gpu_bytes=3_200_000_000, gpu_total=80_000_000_000)
        yield ledger


def test_a_running_trial_shows_its_rung_its_speed_and_its_gpu(running):
    seen = look(running)
    (trial,) = seen.running
    assert (trial.rung, trial.tokens_per_second, trial.gpu_bytes) == (1, 12345, 3_200_000_000)
    (line,) = [line for line in shown(seen).splitlines() if trial.trial_id in line]
    ago = f" {clock(trial.age)} ago"
    for text in (" 1/2 ", " 30/40 ", " 4.9000 ", " 12,345 ", " 3.2/80 ", ago, "01234567", "hidden: α="):
        assert text in line
    assert line.count("━") == 5  # of ten: 10 of the 20 steps from rung to rung


def test_on_cpus_there_is_no_column_for_gpus(running):
    beat(running, look(running).running[0].trial_id, 30)
    assert "GPU" not in shown(look(running))
    assert look(running).tokens_per_second == pytest.approx(200)  # its average, until it says more


def test_the_view_within_a_search_leaves_out_what_its_terminal_has(running):
    outside, within = shown(look(running)), shown(look(running), within=True)
    for text in ("holds the lock", "  folder  ", " moved "):
        assert (text in outside, text in within) == (True, False)
    for text in ("best       trial-0002", "so far     █▅▁  best val/ce 5.2000 to 4.8000 over 3 trials", "the best"):
        assert text in within


def test_a_live_view_of_many_trials_fits_a_terminal(running):
    status = look(running)
    many = dataclasses.replace(status, running=status.running * 500)
    within, whole = shown(many, within=True), shown(many)
    assert len(within.splitlines()) < 40
    assert "and 484 more" in within
    assert whole.count("12,345  ") == 500


def test_the_best_trials_are_listed_in_order(running):
    listed = shown(look(running)).partition("\n  the best ")[2]
    assert re.findall(r"trial-\d+", listed) == ["trial-0002", "trial-0001", "trial-0000"]
    assert re.findall(r"\d\.\d{4}", listed) == ["4.8000", "5.0000", "5.2000"]


def test_the_best_so_far_only_falls(ledger):  # noqa: F811
    with locked(ledger.folder):
        for state, value in ((FAILED, 1.0), (COMPLETE, 5.0), (PRUNED, 4.0), (COMPLETE, 4.5), (COMPLETE, 4.7)):
            run_trial(ledger, 40, value, state)
        status = look(ledger)
    assert best_so_far(status) == [5.0, 5.0, 4.5, 4.5]
    assert [trial.rank for trial in status.ended] == [None, 3, None, 1, 2]


def test_sparklines():
    assert sparkline([5.0, 4.0, 3.0]) == "█▅▁"
    assert sparkline([2.0, 2.0]) == "▁▁"
    long = sparkline([float(-i) for i in range(1000)], widest=20)
    assert (len(long), long[0], long[-1]) == (20, "█", "▁")


def test_a_terminal_without_blocks_gets_the_numbers():
    old = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=100)
    old.print(Descent([5.0, 4.0]))
    old.file.flush()
    assert b"best val/ce 5.0000 to 4.0000 over 2 trials" in old.file.buffer.getvalue()


def finish_one(folder, to: Console, trials, **options) -> str:
    with Display(StatusReader(folder, folder.parent), to, **options) as display:
        trial = run_trial(trials, 40, 4.6, COMPLETE)
        display.finished(trial, COMPLETE, None)
    return to.file.getvalue()


def test_a_log_gets_a_line_per_finished_trial(running):
    said = finish_one(running.folder, console(), running)
    assert said.startswith("[4/8] trial-0004 COMPLETE val/ce 4.6000  step 40/40  hidden: α=")
    assert "best 4.6000, -0.6000 vs plain, -0.4000 vs logits, about" in said
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said


def test_a_log_says_where_long_trials_stand(running, monkeypatch):
    monkeypatch.setattr("palenka_tune.status.view.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("palenka_tune.status.view.SILENT_SECONDS", 0.1)
    log = console()
    with Display(StatusReader(running.folder, running.folder.parent), log):
        began = time.monotonic()
        while len(log.file.getvalue().splitlines()) < 2 and time.monotonic() - began < 20:
            time.sleep(0.02)
    after = log.file.getvalue()
    assert "mine searching, 3/8 trials, trial-0003 30/40, best trial-0002 val/ce 4.8000" in after.splitlines()[0]
    time.sleep(0.3)
    assert log.file.getvalue() == after  # it has ended


def test_a_log_that_says_enough_gets_no_more(running, monkeypatch):
    monkeypatch.setattr("palenka_tune.status.view.LOOK_SECONDS", 0.01)
    said = finish_one(running.folder, console(), running)
    assert len(said.splitlines()) == 1


def test_why_a_trial_failed_stands_in_its_line(ledger):  # noqa: F811
    with locked(ledger.folder):
        trial = run_trial(ledger, 10, 9.0, FAILED, reason="diverged: nan")
        assert "(diverged: nan)" in finished_line(look(ledger), trial)


@pytest.mark.parametrize(("options", "dumb"), [({"plain": True}, False), ({}, True)], ids=["--plain", "TERM=dumb"])
def test_a_terminal_gets_lines_too_if_it_is_asked_for_or_can_no_more(running, options, dumb):
    environment = {"TERM": "dumb"} if dumb else {}
    said = finish_one(running.folder, console(force_terminal=True, _environ=environment), running, **options)
    assert said.startswith("[4/8] trial-0004 COMPLETE")


def test_quiet_is_quiet(running):
    for terminal in (True, False):
        assert finish_one(running.folder, console(force_terminal=terminal), running, quiet=True) == ""


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_terminal_gets_a_view_that_ends_with_how_it_ended(running, no_colour):
    environment = {"TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_colour else {})}
    said = finish_one(running.folder, console(force_terminal=True, _environ=environment), running)
    last = said[said.rindex("mine  ") :]
    assert "4 complete, 1 running" in last
    assert "trial-0004" in last
    assert "[4/8]" not in said
    assert bool(COLOUR.search(said)) != no_colour


def test_a_study_that_cannot_be_read_for_a_moment_ends_nothing(running):
    class Away(StatusReader):
        def look(self):
            raise PalenkaError("the study storage cannot be read")

    drawn = console(force_terminal=True)
    with Display(Away(running.folder, running.folder.parent), drawn) as display:
        display.finished("trial-0004", COMPLETE, None)
