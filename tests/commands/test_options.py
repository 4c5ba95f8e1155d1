"""What all commands share: examples that parse, the nearest option, and errors that stand out on a terminal alone."""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
import sys

import pytest
from pydantic import TypeAdapter

from palenka_tune import __main__ as program
from palenka_tune.commands import COMMANDS, module_of, options
from palenka_tune.commands.init import InitOptions
from palenka_tune.commands.report import ReportOptions
from palenka_tune.commands.reproduce import ReproduceOptions
from palenka_tune.commands.status import StatusOptions
from palenka_tune.commands.train import TrainOptions
from palenka_tune.errors import UserError
from palenka_tune.search.options import SearchOptions
from palenka_tune.students.distill import DistillOptions


def examples(command: str) -> list[list[str]]:
    """The command lines of a command's examples, as words after the command."""
    text = module_of(command).parser().examples.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.match(r"  \S", line)]
    started = rf"(?:python -m palenka_tune\.|palenka-tune ){command}\b([^>)]*)"
    return [shlex.split(found[1].rstrip('"')) for line in lines if (found := re.search(started, line))]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_parse(command):
    found = examples(command)
    lines = [line for line in module_of(command).parser().examples.splitlines() if re.match(r"  \S", line)]
    assert len(found) == len(lines) > 0
    for words in found:
        module_of(command).parser().parse_args(words)


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal_with_whole_words(command, width, monkeypatch):
    """Only examples, which are to be copied, and words that are longer may stand out."""
    monkeypatch.setenv("COLUMNS", "1000")
    wide = module_of(command).parser().format_help()
    monkeypatch.setenv("COLUMNS", str(width))
    help = module_of(command).parser().format_help()
    assert help.split() == wide.split()
    description = help.partition("\n\n")[2].partition("\noptions:")[0]
    assert [line for line in description.splitlines() if len(line) > width] == []


def test_a_misspelt_example_would_be_seen():
    with pytest.raises(UserError, match="did you mean '--samples'"):
        module_of("search").parser().parse_args(["dskd", "--sampels", "4"])


@pytest.mark.parametrize(
    ("command", "argv", "message"),
    [
        ("search", ["--sampels", "4"], "there is no option --sampels (did you mean '--samples'?)"),
        ("search", ["--samples=4", "--sed=1"], "there is no option --sed (did you mean '--seed'?)"),
        ("search", ["--zzz"], "there is no option --zzz; see python -m palenka_tune.search --help"),
        ("search", ["-n", "x"], "there is no option -n"),
        ("search", ["--method", "as_publshed"], "--method is 'as_publshed' (did you mean 'as_published'?)"),
        ("search", ["--method", "zzz"], "--method is 'zzz' (known: corrected, as_published)"),
        ("search", ["dskd", "smoke"], "'smoke' is more than the command takes"),
        ("search", ["--samples"], "--samples: expected one argument"),
        ("search", ["--samples", "many"], "invalid int value: 'many'"),
        ("distill", ["--ot", "x"], "there is no option --ot (did you mean '--out'?)"),
        ("distill", [], "arguments are required: --out"),
        ("cache", ["biuld"], "build|verify|info is 'biuld' (did you mean 'build'?)"),
    ],
)
def test_mistakes_on_the_command_line_name_the_nearest(capsys, command, argv, message):
    assert options.run(module_of(command).cli, argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert line.endswith(f"; see python -m palenka_tune.{command} --help")


def test_values_that_look_like_options_are_values():
    parser = module_of("search").parser()
    assert parser.parse_args(["--seed", "-4"]).seed == -4
    assert parser.parse_args(["--set=--x"]).overrides == ["--x"]
    assert parser.parse_args(["--gpus-per-trial", "-0.5"]).gpus_per_trial == -0.5


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(),
        DistillOptions(out="x"),
        InitOptions(folder="x"),
        ReportOptions(),
        ReproduceOptions(what="grid"),
        StatusOptions(),
        TrainOptions(),
    ],
    ids=lambda options: type(options).__name__,
)
def test_every_default_is_of_its_type(options):
    assert TypeAdapter(type(options)).validate_python(dataclasses.asdict(options)) == options


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def complained(monkeypatch, stream: io.StringIO, **environment) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", stream)
    options.complain("there is no scale 'tinny' (did you mean 'tiny'?); it is one of [tiny]; give one of them")
    return stream.getvalue()


PLAIN = "error: there is no scale 'tinny' (did you mean 'tiny'?); it is one of [tiny]; give one of them\n"


def test_a_terminal_shows_the_error_and_its_fix_apart(monkeypatch):
    said = complained(monkeypatch, Terminal())
    assert "\x1b[1;31merror:\x1b[0m there is no scale" in said
    assert "\x1b[1;32m'tiny'\x1b[0m" in said
    assert "\x1b[1m; give one of them\x1b[0m" in said
    assert re.sub(r"\x1b\[[0-9;]*m", "", said) == PLAIN


@pytest.mark.parametrize(
    ("stream", "environment"),
    [(io.StringIO, {}), (Terminal, {"NO_COLOR": "1"}), (io.StringIO, {"NO_COLOR": "1"})],
    ids=["no terminal", "NO_COLOR", "both"],
)
def test_nothing_is_coloured_where_it_should_not_be(monkeypatch, stream, environment):
    assert complained(monkeypatch, stream(), **environment) == PLAIN


def test_a_stream_of_another_age_gets_what_it_can_show(monkeypatch):
    bytes_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding="ascii"))
    assert options.run(lambda argv: print("α = 1 ▁▂█", flush=True), []) == 0
    assert bytes_out.getvalue().split() == [b"?", b"=", b"1", b"???"]


def test_an_unknown_command_names_the_nearest(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["palenka-tune", "serach"])
    assert program.main() == 2
    assert "there is no command 'serach' (did you mean 'search'?)" in capsys.readouterr().err
