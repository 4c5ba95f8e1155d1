"""Rows of the poster as a user runs them: a corpus of a few hundred sentences, models of scale tiny."""

from __future__ import annotations

import json

import pytest

from palenka_tune.commands import options, reproduce
from tests.support.small_place import make_place
from tests.support.without_ray import without_ray

ROWS = "Llama-60M,DistilledGPT-44M"


@pytest.fixture
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    make_place(folder)
    (folder / "suites").mkdir()
    (folder / "pairs").rename(folder / "suites" / "blimp")
    return folder


def run(place, *more: str) -> int:
    argv = ["poster", "--rows", ROWS, "--data", str(place / "data"), "--storage", str(place / "runs"), "--name", "rows"]
    return options.run(reproduce.cli, [*argv, "--source", str(place / "suites"), *more])


def modified(place) -> dict[str, float]:
    files = [
        *(place / "runs" / "artifacts").rglob("manifest.json"),
        *(place / "runs" / "rows").rglob("model.safetensors"),
    ]
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.entry
def test_rows_are_trained_scored_and_kept(place, tmp_path, capsys):
    """Two rows, in one process."""
    with without_ray("palenka_tune.reproduce.poster"):
        check_two_rows(place, tmp_path, capsys)


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.entry
@pytest.mark.timeout(600)
def test_rows_are_trained_scored_and_kept_with_ray(place, tmp_path, capsys):
    check_two_rows(place, tmp_path, capsys)


def check_two_rows(place, tmp_path, capsys):
    """What comes out, that it is not made twice, and that a run is of one seed."""
    assert run(place, "--json", str(tmp_path / "first.json")) == 0
    shown = capsys.readouterr().out
    assert "alpha 0.5 per token" in shown
    assert "not published" in shown
    first = json.loads((tmp_path / "first.json").read_text())
    assert [row["name"] for row in first["rows"]] == ["Llama-60M", "DistilledGPT-44M"]
    assert len(first["artifacts"]["plain trainings"]) == 3  # Llama-60M with 10 epochs and as a teacher, and its fellow
    for row in first["rows"]:
        assert 0 < row["text"]["dev"]["nats_per_token"] < 8
        (suite,) = row["suites"].values()
        assert suite["accuracy"] is not None
    report = (place / "runs" / "rows" / "report.html").read_text()
    assert "DistilledGPT-44M" in report
    before = modified(place)
    assert run(place, "--json", str(tmp_path / "second.json")) == 0
    assert modified(place) == before
    second = json.loads((tmp_path / "second.json").read_text())
    assert [row["weights_sha256"] for row in second["rows"]] == [row["weights_sha256"] for row in first["rows"]]
    capsys.readouterr()
    assert run(place, "--seed", "1") == 2
    assert "holds rows of seed 0, and this is 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["poster", "--scale", "tinny"], "did you mean 'tiny'"),
        (["poster", "--rows", "GPT2-44"], "did you mean 'GPT2-44M'"),
        (["poster", "--rows", ","], "no row was named"),
        (["poster", "--concurrent", "0"], "it must be 1 or more"),
        (["poster", "--seed", "-1"], "seed is -1"),
        (["poster", "--name", "../x"], "cannot be a run's name"),
        (["poster", "--source", "nowhere"], "holds neither .jsonl files of pairs nor any of blimp/"),
        (["poster", "--data", "./nowhere"], "nowhere"),
        (["poster", "--dry-run", "--tflops", "0"], "tflops"),
        (["grid", "--rows", "GPT2-44M"], "belong to reproduce poster"),
        (["grid", "--dry-run"], "belongs to reproduce poster"),
        (["posters"], "did you mean 'poster'?"),
    ],
)
def test_bad_input_is_one_sentence_before_ray(argv, message, capsys, monkeypatch, tmp_path):
    import ray

    monkeypatch.setattr(ray, "init", lambda *args, **kw: pytest.fail("Ray was started"))
    monkeypatch.chdir(tmp_path)
    try:
        code = options.run(reproduce.cli, argv)
    except SystemExit as error:  # argparse
        code = error.code
    assert code == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_the_dry_run_names_all_ten_rows(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert options.run(reproduce.cli, ["poster", "--scale", "poster", "--dry-run", "--json", str(path)]) == 0
    assert "GPT2-705M" in capsys.readouterr().out
    rows = json.loads(path.read_text())["rows"]
    millions = {row["name"]: round(row["parameters"] / 1e6, 1) for row in rows}
    assert list(millions.values()) == [26.7, 38.7, 97.5, 704.9, 360.0, 26.7, 58.3, 58.3, 58.3, 58.3]
    assert next(iter(millions)) == "GPT2-44M"
    assert list(millions)[-1] == "PalenkaLlama1-58M-L0.1-H0.5"
