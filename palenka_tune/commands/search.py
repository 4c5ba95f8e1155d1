"""`python -m palenka_tune.search [SPACE]`: search for the best way to distil a student, and keep it."""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.commands.options import Parser, add_experiment_options
from palenka_tune.config.build import parse_assignment
from palenka_tune.search import run
from palenka_tune.spaces.poster_method import METHODS
from palenka_tune.spaces.resolve import DEFAULT_SPACE, shipped_spaces

DESCRIPTION = """\
Search alpha, beta, temperature and the projection of hidden states for the student with the lowest dev cross-entropy.

Teachers are trained once and kept. Every search also trains two anchors, a student without distillation and one with
logits only (vanilla KD), so that its result can be compared. Trials that fall behind are stopped early (ASHA)."""

EXAMPLES = """\
  python -m palenka_tune.search
      the built-in corpus, a dozen trials, a few minutes on two CPU cores
  python -m palenka_tune.search dskd --data ../babylm_10M --scale small --samples 40
      a BabyLM folder (train*/, dev*/) on one GPU
  python -m palenka_tune.search alpha_beta --set projection.rank=32 --set beta='{log_uniform: [1, 30]}'
      fix one setting, search another over a range of your own
  python -m palenka_tune.search poster_grid --method as_published
      the poster's 25 points as the poster ran them, beside what they mean for the student
  python -m palenka_tune.search my_space.yaml --dry-run
      check a search space and print the plan
  python -m palenka_tune.search --resume
      go on with the search that ran last, whatever ended it; --samples 40 asks for more trials than before
  python -m palenka_tune.search dskd --name first --resume-or-start
      start a search or go on with it, whichever it takes: the line for a batch job"""


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("search", DESCRIPTION, EXAMPLES)
    names = ", ".join(path.stem for path in shipped_spaces())
    parser.add_argument(
        "space",
        nargs="?",
        default=None,
        metavar="SPACE",
        help=f"a YAML file, or one of {names} (default: {DEFAULT_SPACE})",
    )
    add_experiment_options(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the search --name (default: the one that ran last): what is finished is not run again",
    )
    parser.add_argument(
        "--resume-or-start",
        action="store_true",
        help="go on with the search --name if it was begun, else start it: one command for a scheduler that may run it "
        "again",
    )
    parser.add_argument("--name", default=None, help="the run's name (default: the space and the time)")
    parser.add_argument(
        "--samples",
        type=int,
        default=None,
        metavar="N",
        help="trials to propose besides the two anchors (default: the space's)",
    )
    parser.add_argument(
        "--finalists",
        type=int,
        default=None,
        metavar="K",
        help="best configurations to train again on all data over several seeds, with both anchors (default: the "
        "space's)",
    )
    parser.add_argument(
        "--seeds", type=int, default=None, metavar="S", help="seeds of each finalist (default: the space's, 3)"
    )
    parser.add_argument(
        "--concurrent",
        type=int,
        default=None,
        metavar="N",
        help="trials at a time (default: one per CPU core, or what GPUs hold)",
    )
    parser.add_argument(
        "--gpus-per-trial",
        type=float,
        default=None,
        metavar="X",
        help="share of a GPU for each trial (default: from its memory)",
    )
    parser.add_argument(
        "--method",
        default=None,
        choices=list(METHODS),
        help="as_published keeps the poster's three faults, to see what they do (default: as the space says)",
    )
    parser.add_argument(
        "--minimal-pairs", default=None, metavar="DIR", help="a BLiMP-format folder to score the models on"
    )
    parser.add_argument(
        "--cache-budget",
        type=float,
        default=None,
        metavar="GB",
        help="disk for the teachers' outputs (default: what is free)",
    )
    parser.add_argument(
        "--teachers-online",
        action="store_true",
        help="run the teachers on every batch instead of keeping their outputs",
    )
    parser.add_argument(
        "--address",
        default=None,
        metavar="HOST:PORT",
        help="a running Ray cluster (default: start Ray on this machine)",
    )
    parser.add_argument(
        "--study-storage",
        default=None,
        metavar="URL",
        help="a database for the study, such as postgresql://user@host/db (default: a file in the run's folder; the "
        "environment variable PALENKA_STUDY_STORAGE may hold a URL with a password)",
    )
    parser.add_argument(
        "--push-to-hub",
        default=None,
        metavar="OWNER/NAME",
        help="at the end, send the best student to the Hugging Face hub (needs HF_TOKEN or a saved login)",
    )
    parser.add_argument(
        "--register",
        default=None,
        metavar="NAME",
        help="at the end, make the best student a version of that model in MLflow's registry, as its champion if it is "
        "better on the same data, else as a challenger; with --resume, of a finished search too",
    )
    parser.add_argument(
        "--plain", action="store_true", help="a line per finished trial on a terminal too, no live view"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and print the plan")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = vars(parser().parse_args(argv))
    settings = dict(parse_assignment(text) for text in args.pop("overrides"))
    from palenka_tune.config.console import make_console  # with Optuna: only once the options are known

    run(**args, settings=settings, console=make_console())
    return 0
