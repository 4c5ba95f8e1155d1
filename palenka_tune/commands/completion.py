"""Print the script with which a shell completes `palenka-tune`: commands, options, folders, names of search spaces,
scales, presets, suites, settings (after --set), and of the runs in ./palenka_runs. The script starts no Python as you
type; make it again after an update.

Examples:
  palenka-tune completion bash > ~/.local/share/bash-completion/completions/palenka-tune
      for every new bash (the package bash-completion reads that folder)
  eval "$(palenka-tune completion bash)"
      for this bash
  palenka-tune completion zsh > ~/.zfunc/_palenka-tune
      for every new zsh, with `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

import shtab

from palenka_tune.commands import COMMANDS, module_of
from palenka_tune.commands.options import Parser
from palenka_tune.evaluation.suites import SUITES
from palenka_tune.models.presets import PRESETS
from palenka_tune.models.scales import SCALES
from palenka_tune.runs.run_folder import SEARCH_YAML
from palenka_tune.spaces.resolve import setting_paths, shipped_spaces
from palenka_tune.storage.mirror import DEFAULT_STORAGE

SHELLS = ("bash", "zsh")
PROGRAM = "palenka-tune"
# functions of a shell: what completes a search space (a name, a YAML file, a folder), a run (a name, a folder), a
# setting and a suite
SPACE, RUN = "_palenka_tune_space", "_palenka_tune_run"
SETTING, SUITE = "_palenka_tune_setting", "_palenka_tune_suite"


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("completion", __doc__)
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS), help="the shell that will read it")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, print, return the exit code."""
    print(script(parser().parse_args(argv).shell))
    return 0


def script(shell: str) -> str:
    """The script for a shell."""
    spaces = " ".join(path.stem for path in shipped_spaces())
    settings = " ".join(f"{path.removeprefix('distill.')}=" for path in setting_paths())
    suites = " ".join(SUITES)
    functions = {
        "bash": f"""{SPACE}() {{
  compgen -W "{spaces}" -- "$1"
  compgen -f -X '!*.y*ml' -- "$1"
  compgen -d -- "$1"
}}
{RUN}() {{
  local file
  for file in {DEFAULT_STORAGE}/*/{SEARCH_YAML}; do
    file="${{file%/*}}"
    [ -d "$file" ] && compgen -W "${{file##*/}}" -- "$1"
  done
  compgen -d -- "$1"
}}
{SETTING}() {{
  compgen -W "{settings}" -- "$1"
}}
{SUITE}() {{
  compgen -W "{suites}" -- "$1"
}}""",
        "zsh": f"""{SPACE}() {{
  _alternative 'spaces:search space:({spaces})' 'files:file:_files -g "*.(yaml|yml)(-.)"'
}}
{RUN}() {{
  local -a runs
  runs=({DEFAULT_STORAGE}/*/{SEARCH_YAML}(N:h:t))
  _alternative "runs:run:(${{(j: :)runs}})" 'folders:folder:_files -/'
}}
{SETTING}() {{
  compadd -S '' -- {settings}
}}
{SUITE}() {{
  compadd -- {suites}
}}""",
    }
    return str(shtab.complete(every_command(), shell=shell, preamble=functions[shell]))


def every_command() -> argparse.ArgumentParser:
    """One parser of all commands, for completion only: each argument has what completes it."""
    every = argparse.ArgumentParser(PROGRAM)
    every.add_argument("--version", action="store_true", help="print the version")
    commands = every.add_subparsers()
    for name, what in COMMANDS.items():
        parser = module_of(name).parser()
        _add_completions(parser._actions)
        commands.add_parser(name, parents=[parser], add_help=False, help=what)
    return every


def _add_completions(actions: Iterable[argparse.Action]) -> None:
    """Choose what completes each argument by what stands for it in the help."""
    for action in actions:
        shown = str(action.metavar or "").split("|")
        if "SPACE" in shown:
            action.complete = dict.fromkeys(SHELLS, SPACE)  # type: ignore[attr-defined]
        elif "--scale" in action.option_strings:
            action.choices = list(SCALES)
        elif "PRESET" in shown:
            action.choices = list(PRESETS)
        elif "RUN" in shown or "--name" in action.option_strings:
            action.complete = dict.fromkeys(SHELLS, RUN)  # type: ignore[attr-defined]
        elif "--set" in action.option_strings:
            action.complete = dict.fromkeys(SHELLS, SETTING)  # type: ignore[attr-defined]
        elif "--suite" in action.option_strings:
            action.complete = dict.fromkeys(SHELLS, SUITE)  # type: ignore[attr-defined]
        elif {"DIR", "FOLDER", "MODEL"} & set(shown):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif "FILE" in shown:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
