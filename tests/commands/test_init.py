"""`palenka-tune init`: two files, the next commands, and no file of anybody's lost."""

from __future__ import annotations

import json
import shlex

import pytest

from palenka_tune.commands import init, options, search
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.schema import space_schema
from tests.commands.test_bad_input import corpus, refused


def test_a_space_and_its_schema_are_written_and_the_next_command_works(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert options.run(init.cli, ["my search"]) == 0
    folder = tmp_path / "my search"
    assert sorted(path.name for path in folder.iterdir()) == ["search_space.schema.json", "search_space.yaml"]
    assert json.loads((folder / "search_space.schema.json").read_text(encoding="utf-8")) == space_schema()
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "--dry-run" in line]
    words = shlex.split(line.partition("    ")[0])
    assert words[:3] == ["python", "-m", "palenka_tune.search"]
    args = search.parser().parse_args(words[3:])
    assert args.dry_run
    assert resolve(args.space).tree() == resolve("dskd").tree()


def test_a_corpus_and_a_scale_are_checked_and_put_in(tmp_path, monkeypatch):
    corpus(tmp_path / "data", train=4000, dev=2000)
    monkeypatch.chdir(tmp_path)
    assert options.run(init.cli, ["mine", "--data", "data", "--scale", "small"]) == 0
    experiment = resolve(str(tmp_path / "mine" / "search_space.yaml")).experiment
    assert experiment.data.source == str(tmp_path / "data")  # whichever folder the search is started in
    assert experiment.scale == "small"


def test_a_single_file_and_what_is_set_are_put_in(tmp_path, capsys, monkeypatch):
    (tmp_path / "book.txt").write_text("".join(f"The old cat sees dog {n} .\n" for n in range(3000)))
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, init, ["mine", "--data", "book.txt"])
    assert "book.txt is a file; --set data.dev_fraction=0.05 keeps a twentieth" in message
    more = [
        "--set",
        "data.dev_fraction=0.1",
        "--set",
        "epochs=3",
        "--set",
        "search.samples=7",
        "--set",
        "beta=2",
        "--seed",
        "4",
    ]
    more += ["--set", "teachers=[{preset: GPT2-tiny}]"]
    assert options.run(init.cli, ["mine", "--data", "book.txt", *more]) == 0
    config = resolve(str(tmp_path / "mine" / "search_space.yaml"))
    asked = [("data.dev_fraction", 0.1), ("epochs", 3), ("search.samples", 7), ("beta", 2)]
    asked += [("teachers", [{"preset": "GPT2-tiny"}])]
    wanted = resolve("dskd", options={"data.source": str(tmp_path / "book.txt"), "seed": 4}, assignments=asked)
    assert config.tree() == wanted.tree()
    assert config.experiment.data.dev_fraction == 0.1


@pytest.mark.parametrize("name", ["search_space.yaml", "search_space.schema.json"])
def test_a_file_that_is_there_stays(tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    assert "exists and may hold your changes" in refused(capsys, init, [tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data", "./no_such_folder"], "no_such_folder"),
        (["--scale", "tinny"], "did you mean 'tiny'"),
        (["--dta", "x"], "did you mean '--data'"),
    ],
)
def test_mistakes_write_nothing(tmp_path, capsys, argv, message):
    assert message in refused(capsys, init, [tmp_path / "mine", *argv])
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "is not a folder" in refused(capsys, init, [tmp_path / "file"])
