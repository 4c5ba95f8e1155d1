"""The benchmark of a day with a GPU, on a CPU at toy sizes: its stages run, and its checks can fail."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from benchmarks.gpu_day import __main__ as command
from benchmarks.gpu_day import right, search, speed
from benchmarks.gpu_day.online import TeachersByTrunk
from benchmarks.gpu_day.promises import answers, markdown
from benchmarks.gpu_day.work import Again, Plan, Work, make
from palenka_tune.commands.options import run
from palenka_tune.distill.signals import WindowBatch
from palenka_tune.distill.static import compiling
from palenka_tune.distill.statistics import statistics_sample
from palenka_tune.teachers.online import online_source

GOOD = {
    "plain": {
        "graph": [500_000.0],
        "share_of_peak": 0.15,
        "kernels_a_step": 700,
        "idle_share": 0.02,
        "launch_ms": 0.2,
        "first_step_s": 60,
        "next_trial_s": 0.3,
        "peak_gib": 4.0,
    },
    "exact": {"of_plain": [0.9, 0.88, 0.91], "kernels_a_step": 900, "next_trial_s": 0.3, "plain_first_step_s": 5.0},
    "right": {
        kind: {"float32": 1e-6, "bfloat16_ratio": 1.0, "resume_equal": True} for kind in ("plain", "exact", "sampled")
    },
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    plan = Plan(tmp_path_factory.mktemp("day"), "cpu", divisor=16, batch=2, windows=4, steps=1, rounds=1)
    plan.save()
    make(plan)
    return Work(plan)


@pytest.mark.parametrize("kind", ["plain", "sampled"])
def test_speed_is_measured_both_ways(work, kind):
    work.figures = {}
    speed.measure(work, kind)
    found = work.figures
    assert found["graph"][0] > 0
    assert found["gain"][0] == found["graph"][0] / found["one_by_one"][0]
    assert found["launch_ms"] > 0
    assert ("of_plain" in found) == (kind == "sampled")
    assert json.loads((work.plan.folder / "none.json").read_text()) == found  # as soon as it is there
    assert found["flops_a_step"] > 6 * work.plan.batch * 128 * 50_000  # some 6 for each of the student's parameters


def test_one_remedy_alone(work, monkeypatch):
    monkeypatch.setattr(compiling, "_off", [])
    work.figures = {}
    speed.parts(work)
    assert set(work.figures) == {"compiled_no_graph", "graph_not_compiled"}


def test_a_graph_that_trains_otherwise_is_seen(work, monkeypatch):
    good = right.compared(work, "exact")
    assert good["float32"] < 1e-4
    assert good["resume_equal"]

    class Twice(Again):
        def __init__(self, body, warm_up):
            super().__init__(body, warm_up)
            self.replay = lambda: (body(), body())

    monkeypatch.setattr(Plan, "capture", Twice)
    bad = right.compared(work, "plain")
    assert bad["float32"] > 1e-3


def test_states_are_compared_to_the_last_bit():
    state = {"model": {"w": torch.ones(2)}, "groups": [{"lr": 0.1}], "step": 3}
    assert right.same(state, {**state, "model": {"w": torch.ones(2)}})
    assert not right.same(state, {**state, "model": {"w": torch.tensor([1.0, 1.0000001])}})
    assert not right.same(state, {**state, "groups": [{"lr": 0.2}]})
    assert right.largest([1.0, float("nan")]) != right.largest([1.0, 2.0])
    assert not right.largest([1e-9, float("nan")]) <= 1e-4


def test_teachers_in_the_graph_say_what_teachers_say(work):
    source = online_source(work.place.teachers, work.place.prepared.store, statistics_sample(work.train))
    by_trunk = TeachersByTrunk(source, work.train.shape[1])
    request = work.loop(source, precision="float32").objective.request(1.0, 1.0)
    batch = WindowBatch("train", torch.arange(2), work.train[:2].long())
    ours, theirs = by_trunk.signal(batch, request), source.signal(batch, request)
    rows = slice(0, 20)
    torch.testing.assert_close(ours.targets.log_probs(rows), theirs.targets.log_probs(rows), rtol=0.05, atol=0.05)
    for here, there in zip(ours.hidden, theirs.hidden, strict=True):
        assert set(here) == set(there)
        for layer, state in there.items():
            torch.testing.assert_close(here[layer], state, rtol=0.05, atol=0.05)


def day(work, tmp_path, **more):
    args = argparse.Namespace(seconds=100.0, json=str(tmp_path / "day.json"), only=["plain"], data="babytalk", **more)
    return command.Day(work.plan, args)


def test_a_stage_that_hangs_ends_at_its_budget(work, tmp_path):
    (work.plan.folder / "parts.json").write_text('{"seen": 1}')
    found = day(work, tmp_path)._in_process("parts", 0.2)
    assert found["error"].startswith("took longer than 0 s")
    assert found["figures"] == {"seen": 1}  # what it had noted


def test_a_stage_that_fails_says_what_led_to_it(work, tmp_path):
    found = day(work, tmp_path)._in_process("nonsense", 60)
    assert found["error"].startswith("ended with 1\nTraceback")
    assert found["error"].endswith("KeyError: 'nonsense'")


def test_a_stage_that_fails_is_said_and_the_command_ends_with_1(work, tmp_path, monkeypatch, capsys):
    def taken(name, budget):
        return {"error": "no kernel image"} if name == "plain" else {"figures": {}}

    made = day(work, tmp_path)
    monkeypatch.setattr(made, "_in_process", taken)
    assert made.run() == 1
    assert "plain: no kernel image" in capsys.readouterr().out
    held = json.loads((tmp_path / "day.json").read_text())
    assert held["stages"]["plain"]["error"] == "no kernel image"
    assert run(command.main, ["--table", str(tmp_path / "day.json")]) == 0
    assert "| plain, tokens/s | ≥ 432,000 | not measured |  |" in capsys.readouterr().out


def test_promises_are_kept_or_missed():
    kept = {each.what: each.kept for each in answers(GOOD, judge=True)}
    assert kept["plain, tokens/s"] is True
    assert kept["exact : plain"] is True
    assert kept["sampled : plain"] is None  # which did not run
    assert False not in kept.values()
    for name, value in (("resume_equal", False), ("float32", 1e-3), ("bfloat16_ratio", 2.0)):
        bad = GOOD | {"right": GOOD["right"] | {"exact": GOOD["right"]["exact"] | {name: value}}}
        assert [each.kept for each in answers(bad, judge=True)].count(False) == 1
    without = {**GOOD, "plain": {name: value for name, value in GOOD["plain"].items() if name != "launch_ms"}}
    assert [each.what for each in answers(without, judge=True) if each.kept is False] == [
        "plain, CPU to launch a step, ms"
    ]
    slow = answers(GOOD | {"plain": GOOD["plain"] | {"graph": [100.0]}}, judge=True)
    assert "| plain, tokens/s | ≥ 432,000 | 100 | **missed** |" in markdown(slow)
    assert {each.kept for each in answers(GOOD, judge=False)} == {None}


def test_a_search_without_ray_is_left_out(tmp_path, monkeypatch):
    find = search.importlib.util.find_spec
    monkeypatch.setattr(search.importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    assert search.measure(tmp_path, "babytalk", 100.0)["left_out"].startswith("ray not installed here")
