"""Weak scaling at toy size: what is timed is the same work for each process, and the arithmetic of efficiency."""

from __future__ import annotations

import json

import pytest

from benchmarks import weak_scaling
from benchmarks.harness import Ratio
from benchmarks.weak_scaling import CACHE, TEACHERS, TRIALS, efficiency, ideal, report

SIZES = ["--divisor", "16", "--batch", "4", "--steps", "1", "--teacher-steps", "1", "--shard", "8"]


def test_efficiency_is_speed_over_so_many_times_that_of_one_within_a_round():
    assert efficiency([100.0, 90.0, 40.0], [50.0, 50.0, 40.0], 2) == Ratio(0.9, 0.5, 1.0)
    assert efficiency([50.0], [50.0], 1) == Ratio(1.0, 1.0, 1.0)


@pytest.mark.parametrize(("processes", "cores", "possible"), [(1, 2, 1.0), (2, 2, 1.0), (4, 2, 0.5), (3, 2, 2 / 3)])
def test_no_more_is_possible_than_there_are_cores(processes, cores, possible):
    assert ideal(processes, cores) == pytest.approx(possible)


def test_the_report_has_what_is_possible_beside_what_was_reached():
    figures = {(TRIALS, 1): [50.0, 40.0], (TRIALS, 2): [100.0, 60.0], (TRIALS, 4): [100.0, 60.0]}
    found = report(figures, [1, 2, 4], {"divisor": 8}, cores=2, load=9.0)
    assert [row[1:] for row in found.rows] == [
        ("1", "45", "45", "1 (1 to 1)", "1"),
        ("2", "80", "40", "0.875 (0.75 to 1)", "1"),
        ("4", "80", "20", "0.438 (0.375 to 0.5)", "0.5"),
    ]
    assert "4 processes on 2 cores cannot do more than 2 do: an efficiency of 0.5" in found.notes[0]
    assert "load over the last five minutes: 9.0" in found.notes[1]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_has_a_pulse(tmp_path, capsys):
    file = tmp_path / "found.json"
    assert weak_scaling.main([*SIZES, "--processes", "1", "2", "--rounds", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    speeds = found["details"]["tokens_per_second"]
    assert set(speeds) == {f"{kind}, {n}" for kind in (TRIALS, TEACHERS, CACHE) for n in (1, 2)}
    assert all(speed > 0 for each in speeds.values() for speed in each)
    assert set(found["ratios"]) == {f"{kind}: efficiency of 2" for kind in (TRIALS, TEACHERS, CACHE)}
