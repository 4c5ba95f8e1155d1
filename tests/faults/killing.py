"""Kill a part of a search at random moments, go on until it is done, compare with a search that nobody disturbed."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palenka_tune.distill.loop import load_checkpoint
from palenka_tune.runs.heartbeat import TrialPulse
from tests.faults.command import run as run_command
from tests.faults.searches import RECORD_STEPS, Place, kill, metrics_twice, outcome, run_again, undisturbed

Victim = Callable[[Place, int], list[int]]  # (place, process id of the driver) -> process ids to kill


def rounds_of(
    victim: Victim,
    rounds: int,
    seed: int,
    folder: Path,
    *,
    longest: float = 30.0,
    number: int = signal.SIGKILL,
    **search: Any,
) -> dict[str, Any]:
    """Send the signal `number` to what `victim` names `rounds` times, over as many searches as that takes.

    Returns what a user would want to know: `kills`, `searches`, `finished_run_again` (trials), `lost_trials`,
    `identical` (ids, states, steps and val_ce as in the undisturbed search), `metrics_twice`, `lost_steps_most` (steps
    of training that a kill cost) beside `checkpoint_steps`, the `exit_codes` of the searches and `left_running`
    (processes after the end).
    """
    generator = random.Random(seed)
    place = Place.make(folder, **search)
    expected = undisturbed()
    searches, kills, lost_steps = 0, 0, [0]
    again: list[str] = []
    lost: list[str] = []
    codes: Counter[str] = Counter()
    twice, identical = 0, True
    while kills < rounds:
        searches += 1
        name = f"search-{searches}"
        code: int | None = None
        while code != 0:
            process = place.start(name)
            while kills < rounds and not _ends_within(process, delay := generator.uniform(1.0, longest)):
                while not (pids := victim(place, process.pid)) and not _ends_within(process, 0.1):
                    pass
                killed = [pid for pid in pids if kill(pid, number)]
                kills += bool(killed)
                lost_steps.append(_lost_steps(place.run_folder(name)))
                print(f"kill {kills}/{rounds} in {name}, after {delay:.1f} s", flush=True)
                if process.pid in killed:
                    break
            code = process.wait(timeout=900)
            codes[str(code)] += 1
            assert code in (0, 1, 130, 143, -number), place.said(name)
            assert sum(codes.values()) < 4 * rounds + 4, place.said(name)
        run = place.run_folder(name)
        got = outcome(run)
        again += run_again(run)
        lost += sorted(set(expected) - set(got))
        twice += metrics_twice(run)
        identical = identical and got == expected
        if got != expected:
            print(f"{name} differs:\n  {expected}\n  {got}", flush=True)
    time.sleep(5.0)
    return {
        "kills": kills,
        "searches": searches,
        "finished_run_again": len(again),
        "lost_trials": len(lost),
        "identical": identical,
        "metrics_twice": twice,
        "lost_steps_most": max(lost_steps),
        "checkpoint_steps": RECORD_STEPS,
        "exit_codes": dict(codes),
        "left_running": place.kill_all(),
    }


def _ends_within(process: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return True
        time.sleep(0.02)
    return False


def _lost_steps(run: Path) -> int:
    """Steps that running trials had made and not kept, at most: a trial says where it is every `RECORD_STEPS` steps,
    just before it keeps them, so what it did since is less than that."""
    lost = 0
    for path in (run / "checkpoints").glob("trial-*.pulse"):
        state = TrialPulse(path.parent, path.stem).read()
        kept = path.with_suffix(".pt")
        if state is not None:
            step = load_checkpoint(kept)["loop"]["step"] if kept.exists() else 0
            lost = max(lost, state["step"] - step, RECORD_STEPS - 1)
    return lost


def good(result: dict[str, Any]) -> bool:
    """Whether nothing was lost."""
    return (
        result["identical"]
        and not result["finished_run_again"]
        and not result["lost_trials"]
        and not result["metrics_twice"]
        and not result["left_running"]
        and result["lost_steps_most"] <= result["checkpoint_steps"]
    )


def command(doc: str | None, victim: Victim, number: int = signal.SIGKILL, **search: Any) -> int:
    """A command that kills `victim`; 1 if anything was lost."""

    def experiment(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
        return rounds_of(victim, rounds, seed, folder, number=number, **search)

    return run_command(doc, experiment, good, rounds=20, seed=0)
