"""The model of the poster's search against arithmetic done by hand, and the command as a whole."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks import scale_model
from benchmarks.scale_phases import Assumptions, Search, phases, play, scores, teachers, training_hours, trials, waves
from palenka_tune.commands import options
from palenka_tune.errors import UserError

HOUR = 3600.0
NINTHS = (1 / 9, 1 / 3)


@pytest.fixture(scope="module")
def search() -> Search:
    return Search.make(Assumptions())


@pytest.fixture(scope="module")
def round_search(search) -> Search:
    """The same with round numbers: 6 epochs of 10^9 tokens, 60,000 operations and 6 bytes a token of a student."""
    return dataclasses.replace(search, tokens=10**9, bytes_per_trial_token=6.0, student_flops=6e4)


def test_the_poster_in_numbers(search):
    # 64 components of 17 states of both teachers in float16, and the last ones in full, which give the logits
    assert search.plan.bytes_per_token() == 17 * 2 * 64 * 2 + 2560 * 2
    # of the space's two layer maps: uniform reads all of them, last the last ones
    assert search.bytes_per_trial_token == ((17 * 2 * 64 * 2 + 5120) + (2 * 64 * 2 + 5120)) / 2
    body = 16 * (4 * 512**2 + 3 * 512 * 1024) + 512 * 16_000
    heads, projections = 2 * 2560 * 16_000, 6 * 9 * 512 * 2560
    assert search.student_flops == 6 * body + 12 * 16 * 512 * 128 + heads + projections
    assert search.dev_tokens == 8192 * 128
    assert search.steps == round(6 * search.tokens / (32 * 128))
    assert search.cache_bytes == 9_472 * (search.tokens + search.dev_tokens)


def test_more_components_make_a_larger_cache(search):
    large = Search.make(Assumptions(rank=128))
    assert large.plan.bytes_per_token() == 17 * 2 * 128 * 2 + 2560 * 2
    assert large.bytes_per_trial_token == ((17 * 2 * 128 * 2 + 5120) + (2 * 128 * 2 + 5120)) / 2
    assert large.cache_bytes > search.cache_bytes


def test_a_small_disk_gets_fewer_components_and_a_tiny_one_is_refused(search):
    assert Search.make(Assumptions(disk_tb=0.1)).plan.bytes_per_token() < search.plan.bytes_per_token()
    with pytest.raises(UserError, match="--disk-tb is 1e-06, which holds no cache"):
        Search.make(Assumptions(disk_tb=1e-6))


def test_trials_on_places_without_early_stopping_are_waves():
    found = play(((0, 4),), places=2, rungs=(), reduction=3)
    assert (found.makespan, found.work) == (2.0, 4.0)
    assert play(((0, 4),), places=8, rungs=(), reduction=3).makespan == 1.0


def test_unselected_trials_are_never_paused_and_the_first_at_a_rung_goes_on():
    assert play(((2, 0),), places=2, rungs=NINTHS, reduction=3).work == 2.0
    assert play(((0, 1),), places=1, rungs=NINTHS, reduction=3).work == 1.0
    # an arm is judged by itself: the first of each goes on
    assert play(((0, 1), (0, 1)), places=1, rungs=NINTHS, reduction=3).work == 2.0
    # of two the better one goes on, whichever comes first; the other one only if it is the first
    assert play(((0, 2),), places=1, rungs=(0.5,), reduction=2).work == pytest.approx(1.75, abs=0.06)


def test_early_stopping_saves_less_than_in_theory_and_more_than_nothing():
    theory = 300 * (1 / 9 + 2 / 9 / 3 + 6 / 9 / 9)
    found = play(((0, 300),), places=8, rungs=NINTHS, reduction=3, games=3)
    assert theory < found.work < 1.2 * theory
    assert found.makespan == pytest.approx(found.work / 8, rel=0.1)
    # a search of few trials saves less, and none ends before a whole training
    few = play(((2, 10),), places=64, rungs=NINTHS, reduction=3)
    assert few.makespan == 1.0
    assert 12 * 0.26 < few.work < 12


def test_a_student_by_each_of_its_limits(round_search):
    assumed = Assumptions(student_tflops=1, gather=1, disk=4, memory=round_search.cache_bytes / 1e9)
    found = training_hours(round_search, assumed, on_node=8)
    assert found["students' compute"] == pytest.approx(6e9 * 6e4 / 1e12 / HOUR)  # 360 s
    assert found["steps too short for the GPU"] == pytest.approx(round(6e9 / 4096) * 0.02 / HOUR)
    assert found["gathering the cache from memory"] == pytest.approx(6e9 * 6 / 1e9 / HOUR)  # 36 s
    # memory holds all: the disk is read in the first of 6 epochs, by 8 trials
    assert found["reading the cache from local disk"] == pytest.approx(1e9 * 6 * 8 / 4e9 / HOUR)  # 12 s
    half = dataclasses.replace(assumed, memory=assumed.memory / 2)
    again = training_hours(round_search, half, on_node=8)
    assert again["reading the cache from local disk"] == pytest.approx((1 + 5 / 2) * 12 / HOUR)


def test_teachers_share_gpus_as_the_trainer_does(search):
    assumed = Assumptions(pass_ms=1000, teacher_tflops=1e6, nvlink=1e6, network=1e6)
    steps = 4 * search.tokens / (128 * 128)
    few, many, most = (teachers(search, assumed, gpus) for gpus in (8, 64, 512))
    assert few.name == "teachers (DDP, 8 GPUs each, 1 at a time)"
    assert few.hours == pytest.approx(2 * steps * 4 / HOUR)  # one after the other, four passes of a second a step
    assert many.name == most.name == "teachers (DDP, 32 GPUs each, 2 at a time)"
    assert many.hours == pytest.approx(steps * 4 / HOUR)
    assert many.limit == "passes too short for the GPU"


def test_gradients_go_over_the_network_once_a_teacher_leaves_its_node(search):
    parameters = 704_900_000
    steps = 4 * search.tokens / (128 * 128)
    assumed = Assumptions(pass_ms=0, teacher_tflops=1e6, network=10)
    found = teachers(search, assumed, 64)
    assert found.limit == "adding up gradients"
    assert found.hours == pytest.approx(steps * 2 * 31 / 32 * 4 * parameters / 10e9 / HOUR, rel=0.01)


def test_the_cache_goes_up_in_parts_and_down_in_whole(search):
    assumed = Assumptions(object_storage=5, object_requests=1e9, teacher_tflops=1e9, disk=1e9)
    parts = {gpus: phases(search, assumed, gpus) for gpus in (8, 64)}
    up, down = ({gpus: found[number] for gpus, found in parts.items()} for number in (3, 4))
    assert up[8].hours == pytest.approx(search.cache_bytes / 5e9 / HOUR)
    assert up[64].hours == pytest.approx(search.cache_bytes / 8 / 5e9 / HOUR)
    assert down[8].hours == 0  # one node has written all of it
    assert down[64].hours == pytest.approx(search.cache_bytes * 7 / 8 / 5e9 / HOUR)


def test_more_gpus_than_trials_stand_idle(search):
    assumed = Assumptions(
        gather=1e9, disk=1e9, step_ms=0, start_seconds=0, proposal_seconds=0, tracking_ms=0, study_ms=0
    )
    one = search.trial_tokens * search.student_flops / 100e12 / HOUR
    many, most = (trials(search, assumed, gpus) for gpus in (64, 512))
    assert many.hours == most.hours == pytest.approx(one)
    assert most.limit == "43 trials for 512 GPUs; students' compute"
    assert trials(search, assumed, 8).hours > 1.5 * one
    assert waves("finalists", 15, search, assumed, 8).hours == pytest.approx(2 * one)


def test_the_driver_scores_alone(search):
    assumed = Assumptions(driver_tflops=1, scored_tokens=0, score_minutes=0)
    per_token = {"student": 2 * (16 * (4 * 512**2 + 3 * 512 * 1024) + 512 * 16_000) + 4 * 16 * 512 * 128}
    per_token["gpt2"] = 2 * (24 * 12 * 1536**2 + 1536 * 16_000) + 4 * 24 * 1536 * 128
    per_token["llama"] = 2 * (24 * (4 * 1024**2 + 3 * 1024 * 3072) + 1024 * 16_000) + 4 * 24 * 1024 * 128
    flops = 3 * per_token["student"] + per_token["gpt2"] + per_token["llama"]
    found = scores(search, assumed, 64, 15)
    assert found.limit == "the driver alone"
    assert found.hours == pytest.approx(8192 * 128 * flops / 1e12 / HOUR)


def test_the_command_shows_hours_bottlenecks_and_every_assumption(tmp_path, capsys):
    file = tmp_path / "found.json"
    assert options.run(scale_model.main, ["--gpus", "8", "64", "--student-tflops", "50", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    for name in (field.name for field in dataclasses.fields(Assumptions)):
        assert f"--{name.replace('_', '-')} " in shown
    assert "--student-tflops 50:" in shown
    assert shown.count("GPUs: first bottleneck ") == 2
    found = json.loads(file.read_text())
    for gpus in ("8", "64"):
        parts = found["details"]["phases"][gpus]
        assert found["details"]["hours"][gpus] == pytest.approx(sum(max(p["limits"].values()) for p in parts))


@pytest.mark.parametrize("argv", [["--gpus", "0"], ["--network", "0"], ["--samples", "0"], ["--pass-ms", "-1"]])
def test_impossible_assumptions_are_refused(argv, capsys):
    assert options.run(scale_model.main, argv) == 2
    assert f"{argv[0]} is {argv[1]}; give" in capsys.readouterr().err
