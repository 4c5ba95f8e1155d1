"""Search for the best way to distil a student: no teachers, their logits, or logits and hidden states.

Each of these three arms is tuned for itself: learning rate, weights, temperature, schedules, projection. Teachers are
trained once and kept. Trials that fall behind are paused (ASHA). The best of each arm is then trained again with fresh
seeds, for a verdict with intervals.

Examples:
  python -m palenka_tune.search
      the built-in corpus, a dozen trials, a few minutes on two CPU cores
  python -m palenka_tune.search dskd --data ../babylm_10M --scale small --samples 40
      a BabyLM folder (train*/, dev*/, test*/) on one GPU
  python -m palenka_tune.search alpha_beta --set projection.rank=32 --set beta='{log_uniform: [1, 30]}'
      fix one setting, search another over a range of your own
  python -m palenka_tune.search poster_grid --method as_published
      the poster's 25 points as the poster ran them, beside what they mean for the student
  python -m palenka_tune.search my_space.yaml --dry-run
      check a search space and print the plan
  python -m palenka_tune.search --resume
      resume the search that ran last, however it ended; --samples 40 asks for more trials than before, --seeds 8 for
      more seeds
  python -m palenka_tune.search dskd --name first --resume-or-start
      start a search, or resume it if it exists: the line for a batch job
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.commands.options import Parser
from palenka_tune.search import run
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.resolve import DEFAULT_SPACE, shipped_spaces


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("search", __doc__, options=SearchOptions)
    names = ", ".join(path.stem for path in shipped_spaces())
    text = f"a YAML file, or one of {names} (default: {DEFAULT_SPACE})"
    parser.add_argument("space", nargs="?", metavar="SPACE", help=text)
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    keywords = parser().keywords(argv)
    from palenka_tune.config.console import make_console  # with Optuna: only once the options are known

    run(**keywords, console=make_console())
    return 0
