"""`palenka-tune completion`: what bash offers, asked of bash itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from palenka_tune.commands import COMMANDS, completion, options
from palenka_tune.models.presets import PRESETS
from palenka_tune.models.scales import SCALES
from palenka_tune.spaces.resolve import shipped_spaces
from tests.commands.test_bad_input import refused

ASK = """
source "./$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p palenka-tune | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    """Asks bash what it would offer for the last word of a command line."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    folder = tmp_path_factory.mktemp("completion")
    (folder / "completion.bash").write_text(completion.script("bash"), encoding="utf-8")
    (folder / "mine.yaml").touch()
    (folder / "notes.txt").touch()
    (folder / "data").mkdir()
    for name in ("first", "second"):
        (folder / "palenka_runs" / name).mkdir(parents=True)
        (folder / "palenka_runs" / name / "search.yaml").touch()

    def offers(*words: str) -> set[str]:
        argv = ["bash", "-c", ASK, "ask", "completion.bash", "palenka-tune", *words]
        finished = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        return set(finished.stdout.split())

    return offers


def test_commands_options_and_choices(bash):
    assert bash("") >= set(COMMANDS)
    assert bash("re") == {"report", "reproduce"}
    assert bash("search", "--sc") == {"--scale"}
    assert bash("search", "--method", "") == {"corrected", "as_published"}
    assert bash("cache", "") == {"build", "verify", "info"}


def test_names_of_spaces_scales_and_presets(bash):
    spaces = {path.stem for path in shipped_spaces()}
    assert bash("search", "") == {*spaces, "mine.yaml", "data", "palenka_runs"}
    assert bash("doctor", "pro") == {"projections"}
    assert bash("cache", "build", "ds") == {"dskd"}
    assert bash("search", "dskd", "--scale", "") == set(SCALES)
    assert bash("train", "") == set(PRESETS)


def test_runs_settings_and_suites(bash):
    assert bash("report", "fi") == {"first"}
    assert bash("search", "--resume", "--name", "") >= {"first", "second"}
    assert bash("search", "--set", "recipe.l") == {"recipe.lr=", "recipe.lr_schedule="} & bash("search", "--set", "")
    assert "projection.rank=" in bash("search", "--set", "projection.")
    assert bash("evaluate", "best", "--suite", "ew") == {"ewok", "ewok_filtered"}


def test_folders_where_folders_go(bash):
    assert bash("search", "--data", "") == {"data", "palenka_runs"}
    assert bash("status", "--json", "n") == {"notes.txt"}


def test_zsh_gets_a_script_for_every_command_and_name():
    """Its words alone: no test here has a zsh."""
    script = completion.script("zsh")
    assert script.startswith("#compdef palenka-tune")
    for word in (*COMMANDS, "_palenka_tune_space", "poster_grid", "as_published"):
        assert word in script


def test_the_command_prints_it(capsys):
    assert options.run(completion.cli, ["bash"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == completion.script("bash").rstrip("\n")
    assert "bash|zsh is 'bsh' (did you mean 'bash'?)" in refused(capsys, completion, ["bsh"])
