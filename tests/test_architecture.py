"""The house rules that a machine can check: what may import what, what is loaded when, and what no file may hold."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from palenka_tune.commands import COMMANDS, module_of

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "palenka_tune").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LONGEST = 600
LINTERS = {"ruff check", "ruff format --check", "mypy", "lint-imports"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter of its own, in the repository."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )


def tracked_files() -> list[Path]:
    """The files under version control, as they are in the working tree."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def test_core_distils_without_ray_or_transformers() -> None:
    """Three steps with logits and hidden states, with no dependency installed but torch and what torch needs."""
    absent = ["ray", "transformers", "mlflow", "optuna", "pyarrow", "pydantic", "yaml", "pandas", "numpy", "tokenizers"]
    finished = run_python("-m", "tests.support.distil_alone", *absent)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert report["loaded"] == []
    assert report["step"] == 3
    assert report["moved"] > 1e-3
    assert report["terms"]["kl"] > 0
    assert report["terms"]["hidden"] > 0
    assert 0 < report["val_ce"] < 10


def test_what_is_absent_cannot_be_imported() -> None:
    """The process above would notice: `config.build`, which the core must not import, needs YAML."""
    finished = run_python("-m", "tests.support.distil_alone", "--also", "palenka_tune.config.build", "yaml")
    assert finished.returncode != 0
    assert "No module named 'yaml'" in finished.stderr


def imported_names(path: Path) -> list[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append("." * node.level + (node.module or ""))
    return names


def test_core_imports_torch_alone() -> None:
    """Standard library, torch, and of our own only the errors, the limits, the recipe and the core itself; not its
    command line."""
    own = ("palenka_tune.errors", "palenka_tune.limits", "palenka_tune.config.recipe", "palenka_tune.distill.")
    found = [
        f"{relative(path)} imports {name}"
        for path in (ROOT / "palenka_tune" / "distill").glob("*.py")
        if path.name != "__main__.py"
        for name in imported_names(path)
        if not (name.partition(".")[0] in {"torch", *sys.stdlib_module_names} or f"{name}.".startswith(own))
    ]
    assert found == []


@pytest.mark.parametrize(
    "module",
    ["palenka_tune", "palenka_tune.__main__", "palenka_tune.search", "palenka_tune.distill", "palenka_tune.evaluate"],
)
def test_importing_is_cheap(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'ray', 'mlflow', 'transformers'}} & set(sys.modules)))"
    finished = run_python("-c", code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []


# what scripts rely on, and may not go; options are added where they are defined, not here
PROMISED = {
    "init": "DIR --data --scale",
    "search": "SPACE --data --scale --set --seed --storage --quiet --name --samples --concurrent --gpus-per-trial "
    "--minimal-pairs --cache-budget --teachers-online --address --resume --resume-or-start --study-storage "
    "--seeds --method --push-to-hub --plain --register --dry-run",
    "distill": "--out --data --scale --set --seed --storage --quiet --device --cached",
    "train": "PRESET --data --scale --set --seed --storage --quiet --list --workers --address",
    "cache": "build verify info --cache-budget --data --scale --set --seed --storage --quiet --address",
    "reproduce": "poster|grid --scale --rows --method --dry-run --json --source",
    "evaluate": "MODEL --suite --source --minimal-pairs --filter-vocabulary --filter-min-count --data --per-set "
    "--output --log-samples --json --device",
    "status": "RUN --storage --study-storage --watch --plain --json",
    "completion": "bash|zsh",
    "report": "RUN --storage --study-storage --out",
    "doctor": "SPACE --address --storage --study-storage --gpus-per-trial --concurrent --json",
    "track": "replay RUN MLFLOW_TRACKING_URI",
}

# one interpreter, forked for each command: what they share is imported once, our own modules by each for itself
HELP = """
import os, runpy, sys, traceback
import numpy, optuna, pydantic, yaml
folder, *commands = sys.argv[1:]
for command in commands:
    child = os.fork()
    if child:
        (os.waitpid(child, 0)[1] == 0) or sys.exit(f"palenka_tune.{command} --help ended badly")
        continue
    sys.argv[1:], code = ["--help"], 1
    try:
        with open(f"{folder}/{command}", "w", encoding="utf-8") as sys.stdout:
            try:
                runpy.run_module(f"palenka_tune.{command}", run_name="__main__", alter_sys=True)
            except SystemExit as ended:
                code = ended.code or 0
            finally:
                print("loaded:", *sorted({"ray", "mlflow"} & set(sys.modules)))
    except BaseException:
        traceback.print_exc()
    os._exit(code)
"""


@pytest.fixture(scope="module")
def help_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command shows with --help, and then what it loaded for that."""
    folder = tmp_path_factory.mktemp("help")
    finished = run_python("-c", HELP, str(folder), *PROMISED)
    assert finished.returncode == 0, finished.stderr
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_every_command_is_covered_here() -> None:
    assert set(PROMISED) == set(COMMANDS)


@pytest.mark.parametrize("command", PROMISED)
def test_help_names_the_options_and_starts_nothing(command: str, help_of: dict[str, str]) -> None:
    shown, _, loaded = help_of[command].rpartition("loaded:")
    assert loaded.split() == []
    assert f"usage: python -m palenka_tune.{command}" in shown
    assert "examples:" in shown
    actions = module_of(command).parser()._actions
    options = {name for action in actions for name in (*action.option_strings, action.metavar) if name}
    assert {option for option in {*PROMISED[command].split(), *options} if option.lower() not in shown.lower()} == set()


def test_help_lists_the_commands() -> None:
    finished = run_python("-m", "palenka_tune")
    assert finished.returncode == 0
    for command in COMMANDS:
        assert f"palenka-tune {command} " in finished.stdout


def test_modules_open_with_what_they_are_for() -> None:
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert [relative(path) for path in silent] == []


def test_files_stay_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*MODULES, *TESTS]}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


# written in pieces, so that this file does not hold what it looks for
FORBIDDEN = {
    "an absolute path of somebody's machine": re.compile(r"(?<![\w.:/~}])/(?:work|root|home|Users|tmp|opt)/\w"),
    "code of a model's repository that would be run": re.compile(r"trust_remote" + r"_code\s*=\s*True"),
    "a checkpoint whose pickle would be run": re.compile(r"weights" + r"_only\s*=\s*False"),
    "YAML that could make objects": re.compile(
        r"yaml\.(?:unsafe_|full_)" + r"load|Loader=yaml\.(?:Unsafe|Full)?Loader\b"
    ),
    "YAML without a loader": re.compile(r"yaml\." + r"load\((?!.*Loader=)"),
}


def forbidden_in(text: str) -> list[str]:
    return [
        f"line {number} has {what}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


def test_no_file_holds_what_is_forbidden() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{relative(path)}: {finding}" for finding in forbidden_in(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "open('/" + "home/me/corpus.txt')",
        "--storage /" + "tmp/runs",
        "AutoModel.from_pretrained(name, trust_remote" + "_code=True)",
        "torch.load(path, weights" + "_only=False)",
        "yaml.unsafe_" + "load(text)",
        "yaml." + "load(text)",
        "yaml." + "load(text, Loader=yaml." + "Loader)",
    ],
)
def test_the_scan_finds(line: str) -> None:
    assert len(forbidden_in(line)) == 1


@pytest.mark.parametrize("line", ["https://host/home/page", "~/work/x", "a/tmp/b", "yaml.load(t, Loader=_UniqueKeys)"])
def test_the_scan_leaves_alone(line: str) -> None:
    assert forbidden_in(line) == []


CONTRACTS = {
    "Imports go one way",
    "The stages of a search go one way",
    "No circles",
    "Ray only at the edges",
    "The distillation core needs torch alone",
}


def test_the_contracts_of_imports_are_there() -> None:
    """The order of packages, Ray at the edges, the core with torch alone; `.ci/run` and pre-commit hold them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert {contract["name"] for contract in settings["contracts"]} == CONTRACTS


@pytest.mark.long
def test_imports_go_one_way() -> None:
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed: pip install -e '.[dev]'")
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    finished = run_python("-c", code)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert [contract for contract in CONTRACTS if f"{contract} KEPT" not in finished.stdout] == []


def test_ray_tune_is_imported_in_its_room_alone() -> None:
    found = {relative(path) for path in MODULES for name in imported_names(path) if f"{name}.".startswith("ray.tune.")}
    ours = {relative(path) for path in MODULES if "from ray import tune" in path.read_text(encoding="utf-8")} | found
    assert ours
    assert all(name.startswith("palenka_tune/search/tune/") for name in ours)


def test_pre_commit_and_ci_run_the_same_linters() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    phases = re.findall(r'^phase "[^"]+" (.+)$', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert {hook["entry"] for hook in hooks} == LINTERS
    assert set(phases) >= LINTERS
