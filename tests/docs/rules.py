"""What becomes of each command in README and docs: it is run at a small size, its arguments are checked, or neither,
for a reason. A command for which there is no rule here fails `test_commands`.

A new command of palenka_tune needs nothing here if it runs in the world of `test_commands`: a corpus `my_corpus`,
suites, and in `palenka_runs` a finished search `first` and a stopped one `my_search`. Say in `REPLACED` what its page
calls other things, and in `SMALLER` what makes it quick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.docs.blocks import Command
from tests.support.small_place import VOCABULARY, WINDOW

# how a command begins, and why it is not run
NOT_RUN = {
    ("pip", "install"): ".ci/run installs the package in a fresh environment",
    ("python3", "-m", "venv"): ".ci/run makes a fresh environment",
    ("python3.11", "-m", "venv"): ".ci/run makes a fresh environment",
    ("source",): "belongs to a shell of one's own",
    ("cd",): "belongs to a shell of one's own",
    ("cp",): "belongs to a shell of one's own",
    ("sleep",): "belongs to a shell of one's own",
    ("editor",): "a person edits",
    ("pytest",): "would run this test again",
    ("ruff",): ".ci/run and pre-commit run the linters",
    ("mypy",): ".ci/run and pre-commit run the linters",
    ("lint-imports",): ".ci/run and pre-commit run the linters",
    ("pre-commit",): "changes the checkout's git hooks; it runs the linters of .ci/run",
    ("mkdocs", "serve"): "serves until it is ended; tests/docs/test_site.py builds the site",
    ("mlflow", "ui"): "serves until it is ended",
    ("python", "-m", "benchmarks.report_size"): "a benchmark; tests/report holds the size of the page",
    ("optuna-dashboard",): "serves until it is ended; tests/browser/test_optuna_dashboard.py looks at it",
    ("chromium",): "takes a picture of a page that tests/browser look at",
    ("docker",): "needs Docker and a registry",
    ("gcloud",): "needs an account",
    ("kubectl",): "needs a cluster; tests/cluster_files holds the manifest against its schemas",
    ("openssl",): "is openssl's",
    ("ray",): "needs a cluster; tests/cluster_files/test_readme.py checks its options",
    ("python", "clusters/prepare_aws.py"): "needs an account; tests/cluster_files run it against a simulation",
    ("sbatch",): "needs SLURM; tests/cluster/slurm.py runs the script",
    ("squeue",): "needs SLURM",
    ("tail",): "follows a log of SLURM",
}

# what a command of palenka_tune needs if it has such a word: its arguments are checked, and a search's whole plan
NEEDS = {
    "--address": "a cluster",
    "s3://": "a bucket",
    "gs://": "a bucket",
    "--scale small": "a GPU, or hours",
    "--scale poster": "GPUs",
    "first second": "two searches; tests/commands/test_report.py compares some",
    "tales.yaml": "a model of the hub, and two hours",
    "own.yaml": "a model that was trained for half an hour, and one hour",
    "teachers=[": "a model of one's own; tests/search/test_given_teacher.py has one",
    "palenka_tune.doctor": "half a minute; tests/doctor runs it",
    "palenka_tune.reproduce": "half an hour; tests/reproduce runs it",
}
# what trains nothing, whatever it is given
QUICK = ("palenka_tune.init",)
# pages whose commands made the figures on them, minutes or hours each
MEASURED = ("docs/storybook.md", "docs/poster.md")

# Of the commands that train, one of each kind is run: a whole search, a finished and a stopped one resumed, a student.
# The others differ from these in their arguments, which are checked; PALENKA_LONG runs them too.
TRAINING = {"palenka_tune.search", "palenka_tune.distill"}
RUN_WITH = ("--name first --seeds 1", "--out my_student")
RUN_AS = ("palenka_tune.search --resume", "palenka_tune.search --resume --name my_search")

# what pages call what the world has under another name
REPLACED = {
    "my_corpus": "small_corpus",
    "../babylm_10M": "small_corpus",
    "../blimp": "suites/blimp",
    "../evaluation_data": "suites",
    "palenka_runs/compared": "palenka_runs/first",
    "palenka_runs/NAME/best": "palenka_runs/first/best",
    "runs/my_search/best": "palenka_runs/first/best",
    "runs/my_search/finalists/trial-0001-seed1/student": "palenka_runs/first/finalists/trial-0001-seed1/student",
}

# what an option is given here: the small corpus does not have all words of any pair of EWoK's
GIVEN = {"--filter-vocabulary": "words.txt"}

TINY = (f"vocabulary={VOCABULARY}", f"window={WINDOW}", "batch_size=16", "warmup_steps=2", "epochs=1")
STUDENT = (*TINY, "train_windows=64", "dev_windows=16", "teachers=[./GPT2-tiny, ./Llama-tiny]")  # folders of the world
# what is added to a command, unless it goes on with something
SMALLER = {
    "search": ("--concurrent", "1", *(part for setting in (*STUDENT, "rungs=[]") for part in ("--set", setting))),
    "cache": tuple(part for setting in STUDENT for part in ("--set", setting)),
    "distill": tuple(part for setting in STUDENT for part in ("--set", setting)),
    "train": ("--workers", "1", *(part for setting in TINY for part in ("--set", setting))),
}
# the most that an option may ask for, and what is added where it is not given
MOST = {"--samples": 2, "--seeds": 2}
ADDED = {"search": {"--data": "small_corpus", "--samples": "2", "--seeds": "1"}}
ADDED |= {name: {"--data": "small_corpus"} for name in ("distill", "train")}


@dataclass(frozen=True)
class Rule:
    """`kind` is `run`, `check` or `not run`, and `why` says why it is not run. `shown` is what the page has, `command`
    what is run."""

    kind: str
    command: Command
    shown: Command
    why: str = ""

    @property
    def name(self) -> str:
        """The command of palenka_tune, such as `search`."""
        return self.command.argv[2].removeprefix("palenka_tune.")

    @property
    def arguments(self) -> list[str]:
        return list(self.command.argv[3:])

    @property
    def is_long(self) -> bool:
        """Whether it is one of those that train, and another of its kind is run."""
        line = " ".join(self.command.argv[2:])
        trains = self.kind == "run" and TRAINING & set(self.command.argv) and "--dry-run" not in line
        return bool(trains) and line not in RUN_AS and not any(words in line for words in RUN_WITH)


def rule_for(command: Command) -> Rule:
    """What becomes of a command; raises `LookupError` if there is no rule for it."""
    words, line = command.argv, " ".join(command.argv)
    if words[:2] == ("python", "-") and command.body:
        return Rule("run", command, command)
    if words[:2] == ("python", "-m") and words[2].startswith("palenka_tune."):
        quick = words[2] in QUICK or "--dry-run" in words
        needs = None if quick else next((what for word, what in NEEDS.items() if word in line), None)
        if needs is None and command.page in MEASURED:
            needs = "the time that its page says"
        return (
            Rule("run", smaller(command), command)
            if needs is None
            else Rule("check", command, command, f"needs {needs}")
        )
    for beginning, why in NOT_RUN.items():
        if words[: len(beginning)] == beginning:
            return Rule("not run", command, command, why)
    raise LookupError(f"{command}: there is no rule for this command; see tests/docs/rules.py")


def within(command: Command) -> Command | None:
    """The command of palenka_tune that another one starts after `--`."""
    if "--" not in command.argv:
        return None
    rest = command.argv[len(command.argv) - command.argv[::-1].index("--") :]
    return replace(command, argv=rest) if rest[:2] == ("python", "-m") else None


def smaller(command: Command) -> Command:
    """The same command for the world of the test, and quick."""
    argv = [REPLACED.get(word, word) for word in command.argv]
    for position, word in enumerate(argv[:-1]):
        if word in MOST:
            argv[position + 1] = str(min(int(argv[position + 1]), MOST[word]))
        argv[position + 1] = GIVEN.get(word, argv[position + 1])
    name = argv[2].removeprefix("palenka_tune.")
    goes_on, shows = "--resume" in argv, {"--list", "--dry-run", "info", "verify"} & set(argv)
    if not (goes_on or shows):
        for option, value in ADDED.get(name, {}).items():
            argv += [] if option in argv else [option, value]
        argv += SMALLER.get(name, ())
    return replace(command, argv=tuple(argv))
