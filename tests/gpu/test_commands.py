"""Whole commands on a GPU, as a user runs them: several students share it, teachers and cache use it, and a search that
was killed goes on there."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import yaml

from palenka_tune.commands import distill, evaluate, options, search
from tests.support.small_place import VOCABULARY, WINDOW, make_place

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.entry, pytest.mark.timeout(600)]

RECIPE = {"batch_size": 16, "epochs": 2, "warmup_steps": 2}
SPACE = {
    "description": "a test",
    "data": {"vocabulary": VOCABULARY, "window": WINDOW},
    "student": {"train_windows": 128, "dev_windows": 32},
    "recipe": RECIPE,
    "teachers": [{"preset": name, "recipe": RECIPE} for name in ("GPT2-tiny", "Llama-tiny")],
    "search": {"samples": 4, "rungs": [], "max_failures": 0, "sampler": "random", "seeds": 2},
    "parameters": {"beta": {"log_uniform": [0.3, 30]}, "projection.rank": {"choice": [8, None]}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    make_place(folder)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return folder


def run(place, capfd, share: str, *more: str) -> tuple[str, dict[str, float]]:
    name = f"share-{share}"
    argv = [str(place / "space.yaml"), "--data", str(place / "data"), "--storage", str(place / "runs")]
    argv += ["--name", name, "--gpus-per-trial", share, "--minimal-pairs", str(place / "pairs"), *more]
    assert options.run(search.cli, argv) == 0
    rows = pq.read_table(place / "runs" / name / "trials.parquet").to_pylist()
    assert all(row["state"] == "COMPLETE" for row in rows)
    assert json.loads((place / "runs" / name / "summary.json").read_text())["state"] == "finished"
    return capfd.readouterr().out, {row["trial_id"]: row["val_ce"] for row in rows}


def test_students_that_share_a_gpu_come_to_what_one_alone_comes_to(place, capfd):
    """Teachers trained, cache written, seven students and the best of them again, four at a time and one at a time."""
    said, shared = run(place, capfd, "0.25")
    assert "4 at a time" in said
    assert "0.25 GPU" in said
    said, alone = run(place, capfd, "1", "--seeds", "0")
    assert "1 at a time" in said
    assert shared == pytest.approx(alone, abs=2e-2)


def test_one_student_without_a_search(place, capfd):
    argv = ["--out", str(place / "student"), "--data", str(place / "data"), "--storage", str(place / "runs")]
    for setting in ("data.vocabulary=300", "data.window=16", "alpha=1", "beta=1", "projection.rank=8", "epochs=1"):
        argv += ["--set", setting]
    assert options.run(distill.cli, [*argv, "--device", "cuda", "--cached"]) == 0
    assert json.loads((place / "student" / "metrics.json").read_text())["val_ce"] < 6
    scored = [
        str(place / "student" / "student"),
        "--minimal-pairs",
        str(place / "pairs"),
        "--json",
        str(place / "scores.json"),
    ]
    assert options.run(evaluate.cli, [*scored, "--device", "cuda"]) == 0
    on_gpu = json.loads((place / "scores.json").read_text())
    assert options.run(evaluate.cli, [*scored, "--device", "cpu"]) == 0
    assert on_gpu == json.loads((place / "scores.json").read_text())
