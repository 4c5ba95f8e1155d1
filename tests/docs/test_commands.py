"""Every command of README and docs is run, or its arguments are checked, or `rules.py` says why it is neither.

Of those that train, one of each kind is run and the others are checked; `PALENKA_LONG=1` runs them all.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from palenka_tune.cluster.session import ray_session
from palenka_tune.cluster.stop import Interrupted
from palenka_tune.commands import options
from palenka_tune.config.build import parse_assignment
from palenka_tune.evaluation.vocabulary import split_words
from palenka_tune.spaces.resolve import DEFAULT_SPACE
from palenka_tune.students.distill import DistillResult
from tests.docs.blocks import ROOT, Command, all_commands, all_snippets, commands_in
from tests.docs.rules import MEASURED, NEEDS, NOT_RUN, REPLACED, Rule, rule_for, smaller, within
from tests.support.small_place import WORDS, make_place


def commands() -> list[Command]:
    """Those that pages show, and those which they hand to another program."""
    found = all_commands()
    return [*found, *(inner for command in found if (inner := within(command)))]


def rules(kind: str) -> list[Rule]:
    found = []
    for command in commands():
        with contextlib.suppress(LookupError):  # which the first test tells
            found.append(rule_for(command))
    return [rule for rule in found if rule.kind == kind]


def test_there_is_a_rule_for_every_command() -> None:
    without = []
    for command in commands():
        try:
            rule_for(command)
        except LookupError as error:
            without.append(str(error))
    assert without == []


def test_no_rule_is_left_of_a_command_that_is_gone() -> None:
    lines = [command.argv for command in commands()]
    words = {word for line in lines for word in line}
    assert [start for start in NOT_RUN if not any(line[: len(start)] == start for line in lines)] == []
    assert [word for word in NEEDS if not any(word in " ".join(line) for line in lines)] == []
    assert [word for word in REPLACED if word not in words] == []
    assert [page for page in MEASURED if page not in {command.page for command in commands()}] == []


def test_a_command_without_a_rule_is_noticed() -> None:
    (unknown,) = commands_in("frobnicate --all", "README.md")
    with pytest.raises(LookupError, match=r"README\.md: frobnicate --all: there is no rule"):
        rule_for(unknown)
    (unknown,) = commands_in("python -m benchmarks.nothing", "README.md")
    with pytest.raises(LookupError):
        rule_for(unknown)


def test_blocks_are_read_as_bash_reads_them() -> None:
    block = """\
X=1 && python -m palenka_tune.search dskd --set beta='{choice: [1, 2]}' # a comment
for seed in 0 1; do MLFLOW_TRACKING_URI=http://h python -m x --seed $seed \\
  --quiet; done
(ray dashboard x.yaml &) && palenka-tune status first && python - <<'END'
print("hello")
END
"""
    found = commands_in(block, "x.md")
    assert {command.argv for command in found} == {
        ("python", "-m", "palenka_tune.search", "dskd", "--set", "beta={choice: [1, 2]}"),
        ("python", "-m", "x", "--seed", "0", "--quiet"),
        ("python", "-m", "x", "--seed", "1", "--quiet"),
        ("ray", "dashboard", "x.yaml"),
        ("python", "-m", "palenka_tune.status", "first"),
        ("python", "-"),
    }
    assert [command.body for command in found if command.body] == ['print("hello")\n']
    assert {command.variables for command in found if command.argv[2:3] == ("x",)} == {
        (("MLFLOW_TRACKING_URI", "http://h"),)
    }
    with pytest.raises(ValueError, match="No such file"):
        commands_in(".venv/bin/python -m palenka_tune.search", "x.md")
    with pytest.raises(ValueError, match="unexpected"):
        commands_in("for x in 1 2; do", "x.md")


@pytest.mark.parametrize(
    "rule",
    [*rules("check"), *(rule for rule in rules("run") if rule.is_long)],
    ids=lambda rule: str(rule.command),
)
def test_the_arguments_are_right(rule: Rule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They parse; of a search every setting and every corner of its space is checked too."""
    (tmp_path / "teacher").mkdir()
    sizes = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 12}
    (tmp_path / "teacher" / "config.json").write_text(json.dumps(sizes))
    monkeypatch.chdir(tmp_path)
    given = list(rule.shown.argv[3:])
    module = importlib.import_module(f"palenka_tune.commands.{rule.name}")
    assert vars(module.parser().parse_args(given))
    if rule.name == "search":
        reached = []
        monkeypatch.setattr("palenka_tune.search.launch.main", lambda *args: reached.append(args))
        here = [str(ROOT / "search_spaces" / "dskd.yaml") if word.endswith(".yaml") else word for word in given]
        assert options.run(module.cli, here) == 0
        assert reached


@dataclass
class World:
    """A working folder in which commands find what their pages speak of."""

    folder: Path
    done: set[str] = field(default_factory=set)

    def run(self, rule: Rule) -> str:
        """Run a command of palenka_tune here, unless the same was run for another page; returns what it printed."""
        module = importlib.import_module(f"palenka_tune.commands.{rule.name}")
        asked = meaning(rule.name, vars(module.parser().parse_args(rule.arguments)))
        if asked in self.done:
            return ""
        self.done.add(asked)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = options.run(module.cli, rule.arguments)
        assert code == 0, f"{rule.command}\n{said.getvalue()}"
        return said.getvalue()

    def first(self) -> Path:
        """The finished search that pages call `first`, as the tutorial makes it."""
        folder = self.folder / "palenka_runs" / "first"
        if not (folder / "summary.json").exists():
            (rule,) = [rule for rule in rules("run") if _makes(rule.command, "first")]
            self.run(rule)
            # as the search of docs/mlflow.md is, whose student a snippet there loads
            register = ["--resume", "--name", "first", "--register", "babytalk-student", "--quiet"]
            assert importlib.import_module("palenka_tune.commands.search").cli(register) == 0
        return folder

    def stopped(self, name: str) -> None:
        """A search that was stopped before its first trial, in place of one of that name."""
        shutil.rmtree(self.folder / "palenka_runs" / name, ignore_errors=True)
        command = Command(
            "", ("python", "-m", "palenka_tune.search", "dskd", "--name", name, "--samples", "1", "--seeds", "0")
        )
        module = importlib.import_module("palenka_tune.commands.search")
        with pytest.MonkeyPatch.context() as patch:

            def stop(*args: object) -> None:
                raise Interrupted(15)

            patch.setattr("palenka_tune.search.launch.run_stages", stop)
            with contextlib.redirect_stdout(io.StringIO()):
                assert options.run(module.cli, smaller(command).argv[3:]) == 143


def meaning(command: str, arguments: dict[str, Any]) -> str:
    """What a command asks for, however it is written; a new search is the same under another name."""
    asked = {**arguments, "overrides": dict(parse_assignment(text) for text in arguments.get("overrides", []))}
    if command == "search" and not asked["resume"]:
        asked |= {"name": None, "space": asked["space"] or DEFAULT_SPACE}
    return f"{command} {sorted(asked.items())}"


def _makes(command: Command, name: str) -> bool:
    argv = command.argv
    return "--name" in argv and argv[argv.index("--name") + 1] == name and "--resume" not in argv


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from benchmarks.ewok_items import items, write_items

    folder = tmp_path_factory.mktemp("world")
    make_place(folder)
    (folder / "data").rename(folder / "small_corpus")
    for suite in ("blimp", "blimp_supplement"):
        shutil.copytree(folder / "pairs", folder / "suites" / suite)
    write_items(folder / "suites" / "ewok")
    shutil.copytree(folder / "pairs", folder / "runs" / "artifacts" / "minimal_pairs")  # the notebook looks for them
    words = {word for item in items() for text in item.values() for word in split_words(text)} | {"the", "saw"}
    (folder / "words.txt").write_text("\n".join(sorted(words | set(WORDS))), encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        with ray_session():  # one for all commands, of which each would start its own
            yield World(folder)
    finally:
        os.chdir(before)


runs = pytest.mark.parametrize(
    "rule",
    [pytest.param(rule, marks=pytest.mark.long if rule.is_long else ()) for rule in rules("run")],
    ids=lambda rule: str(rule.command),
)
whole = [pytest.mark.slow, pytest.mark.ray, pytest.mark.entry, pytest.mark.timeout(300)]


class TestRun:
    """In the order of the pages, of which the tutorial is the first."""

    pytestmark = whole

    @runs
    def test_the_command_runs(self, rule: Rule, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in rule.command.variables:
            monkeypatch.setenv(name, value)
        line = " ".join(rule.command.argv)
        if "first" in line or "--resume" in rule.arguments:
            world.first()
        if "--name my_search" in line:
            world.stopped("my_search")
        if "--promote" in line:  # for a search that has ended
            argv = ["--resume", "--name", "my_search", "--quiet"]
            assert options.run(importlib.import_module("palenka_tune.commands.search").cli, argv) == 0
        if rule.command.body:
            exec(compile(rule.command.body, str(rule.command), "exec"), {"__name__": "__main__"})
        else:
            world.run(rule)

    @pytest.mark.parametrize(("page", "code"), all_snippets(), ids=lambda value: value if "\n" not in value else "")
    def test_the_python_runs(self, page: str, code: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Searches and trainings are checked up to their beginning, and give back what is there."""
        from palenka_tune import search

        first = search.load(world.first())
        monkeypatch.setattr("palenka_tune.search.launch.main", lambda *args: first)
        monkeypatch.setattr("palenka_tune.search.api.load", lambda name: first)
        student = world.folder / "student_of_a_snippet"
        if not student.exists():
            shutil.copytree(first.folder / "best", student / "student")
        monkeypatch.setattr("palenka_tune.students.distill.main", lambda *args: DistillResult(student, {"val_ce": 5}))
        # `mlflow.set_tracking_uri` holds for the process and its children, which are this test's too
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///palenka_runs/mlflow.db")
        monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
        code = code.replace('"my_corpus"', '"small_corpus"')
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, page, "exec"), {"__name__": "__main__"})
