"""Descriptions of runs in MLflow: every figure is one of the search's files, every command can be typed."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from palenka_tune.commands import search as command
from palenka_tune.search.mlflow import notes
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.resolve import resolve
from palenka_tune.teachers.spec import Teacher
from palenka_tune.trials.arms import arms_of
from palenka_tune.words import plural

TEACHERS = [
    Teacher("GPT2-tiny", Path("gpt2"), SimpleNamespace(), 1_088_256, 4.3820, "aaaa", 4096, 1.0),
    Teacher("Llama-tiny", Path("llama"), SimpleNamespace(), 1_377_408, None, "bbbb", 0, 0.0),
]
SUITE = {"accuracy": 0.53, "stderr": 0.002}
EVALUATION = {
    "suites": ["BLiMP"],
    "models": [
        {
            "name": "best of hidden",
            "role": "hidden",
            "parameters": 426_560,
            "val_ce": 4.538,
            "suites": {"BLiMP": SUITE},
        },
        {
            "name": "best of logits",
            "role": "logits",
            "parameters": 426_560,
            "val_ce": 5.016,
            "suites": {"BLiMP": SUITE},
        },
        {"name": "GPT2-tiny", "role": "teacher", "parameters": 1_088_256, "val_ce": 4.382, "suites": {}},
    ],
}
BEST = {
    "trial_id": "trial-0007",
    "arm": "hidden",
    "origin": "proposed",
    "params": {"alpha": 5.43, "beta": 20.0, "projection.rank": 32},
    "val_ce": 4.538,
}
FIXED = {"trial_id": "trial-0001", "arm": "logits", "origin": "fixed", "params": {"beta": 0.0}, "val_ce": 5.016}
SUMMARY = {
    "objective": {"metric": "val_ce"},
    "best": BEST,
    "arms": {
        "plain": {"trials": 1, "best": None},
        "logits": {"trials": 1, "best": FIXED},
        "hidden": {"trials": 16, "best": BEST},
    },
    "counts": {"complete": 9, "pruned": 8, "failed": 1},
    "budget": {"saved_fraction": 0.36},
    "wall_seconds": 390.2,
}


@pytest.fixture
def about(monkeypatch):
    monkeypatch.setattr(notes.provenance, "git_commit", lambda: "0123456789ab")
    place = SimpleNamespace(folder=Path("first"), prepared=SimpleNamespace(describe=lambda: "story: 9 words (fe01)"))
    options = SearchOptions(name="first", storage="./my runs", minimal_pairs="../blimp", register="babylm")
    return notes.about(place, TEACHERS, options)


def commands(note: str) -> list[list[str]]:
    return [shlex.split(block.partition("```")[0]) for block in note.split("```sh\n")[1:]]


def test_a_search_that_runs_says_what_it_searches_and_how_it_goes_on(about):
    config = resolve("alpha_beta")
    note = notes.begun(config, about)
    assert note.startswith("**This search has not ended.**")
    for name, values in config.space.to_dict().items():
        assert f"| `{name}` | `{values}` |" in note
    counts = {arm.name: arm.samples + arm.has_fixed for arm in arms_of(config)}
    assert sum(counts.values()) == config.search.samples + 3
    shown = ", ".join(f"{arm} {plural(n, 'trial')}" for arm, n in counts.items())
    assert f"in 3 arms, each tuned for itself: {shown}; " in note
    assert f"by {config.search.sampler}, seed {config.experiment.seed}." in note
    ((*module, resume, name, first, storage, folder, pairs, suite, register, model),) = commands(note)
    assert module == ["python", "-m", "palenka_tune.search"]
    assert (resume, name, first) == ("--resume", "--name", "first")
    assert (storage, folder, pairs, suite) == ("--storage", "./my runs", "--minimal-pairs", "../blimp")
    assert (register, model) == ("--register", "babylm")


def test_a_finished_search_begins_with_what_came_out(about):
    note = notes.finished(SUMMARY, EVALUATION, about)
    assert note.startswith(
        "**Of the trials, with one seed, the best of each arm by val/ce (nats per token): logits 5.0160 (trial-0001), "
        "hidden 4.5380 (trial-0007), plain did not finish.**"
    )
    assert "`hidden: α=5.43 β=20 r=32` ([trial-0007](#/experiments/{experiment}/runs/{run:trial-0007}))" in note
    assert "| **best of hidden** | 426,560 | 4.5380 | 93.5 | 53.0 ± 0.2 |" in note
    assert "| best of logits | 426,560 | 5.0160 | 150.8 | 53.0 ± 0.2 |" in note
    assert "| teacher GPT2-tiny | 1,088,256 | 4.3820 | 80.0 |  |" in note
    assert "Trials: 9 complete, 8 stopped early, 1 failed; 36 % of the steps saved; 6 min." in note
    assert "[GPT2-tiny](#/experiments/{experiment}/runs/{teacher:aaaa})" in note
    assert "commit `0123456789ab`" in note
    assert "not trained yet" not in note
    ((*_, name, again, pairs, suite),) = commands(note)
    assert (name, again, pairs, suite) == ("--name", "first-again", "--minimal-pairs", "../blimp")


def test_the_command_that_repeats_a_search_is_one(about, monkeypatch, tmp_path):
    """It is parsed, and its file resolved, as the command line would."""
    import yaml

    import palenka_tune.search.launch as run

    seen = []
    monkeypatch.setattr(run, "main", lambda config, options, console: seen.append((config, options)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(resolve("smoke").tree()))
    ((*_, _module, space, name, again, pairs, suite),) = commands(notes.finished(SUMMARY, EVALUATION, about))
    assert command.cli([space, name, again, pairs, suite]) == 0
    ((config, options),) = seen
    assert config.experiment == resolve("smoke").experiment
    assert (options.name, options.minimal_pairs) == ("first-again", "../blimp")


def test_the_verdict_comes_first_once_it_is_there(about):
    waiting = notes.finished(SUMMARY, EVALUATION, about, more=True)
    assert "The best of each arm are not trained again yet. If it was stopped" in waiting
    assert len(commands(waiting)) == 2
    verdict = "Best: logits (trial-0001), 4.9 nats per token on test (5 fresh seeds)."
    best = {"trial_id": "trial-0001", "arm": "logits", "params": FIXED["params"], "val_ce": 4.9, "seed": 1}
    summary = {**SUMMARY, "best": best, "verdict": {"sentence": verdict}}
    note = notes.finished(summary, EVALUATION, about, finalists="| arm |\n| --- |\n| logits |")
    assert note.startswith(f"**{verdict}**")
    assert "hidden 4.5380 (trial-0007), plain did not finish." in note
    assert "Best settings: `logits: fixed setting` ([trial-0001]" in note
    assert "### Trained again with fresh seeds\n\n| arm |" in note
    assert "| **best of logits** |" in note
    assert "| best of hidden |" in note


def test_a_search_by_the_posters_objective_says_so(about):
    note = notes.finished({**SUMMARY, "objective": {"metric": "val_total"}}, EVALUATION, about)
    assert note.startswith("**Chosen by val_total, as the poster chose.**")
    older = notes.finished({**SUMMARY, "objective": {"metric": "val/ce"}}, EVALUATION, about)
    assert "Chosen by" not in older


def test_what_is_too_long_makes_room_for_the_rest(about):
    note = notes.finished(SUMMARY, EVALUATION, about, finalists="| x |\n" * 3000)
    assert len(note) < notes.LONGEST
    assert "see the artifacts" in note
    assert "first-again" in note


def test_a_teacher_that_was_there_already_points_to_its_first_run():
    here, elsewhere = (notes.teacher(TEACHERS[0], trained_here=trained) for trained in (True, False))
    assert "dev CE 4.3820" in here
    assert "](" not in here
    assert "[first run](#/experiments/{experiment}/runs/{teacher:aaaa})" in elsewhere
    assert "](" not in notes.teacher(TEACHERS[1], trained_here=False)  # given as a folder: no training is known
    assert notes.teacher_runs(TEACHERS) == "{teacher:aaaa} {teacher:bbbb}"
