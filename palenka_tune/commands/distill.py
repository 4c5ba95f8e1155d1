"""`python -m palenka_tune.distill --out DIR`: one student with fixed settings, no search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from palenka_tune.commands.options import Parser, add_experiment_options
from palenka_tune.config.build import parse_assignment
from palenka_tune.students.distill import run

if TYPE_CHECKING:
    pass

DESCRIPTION = """\
Train one student with fixed settings and write DIR/metrics.json, DIR/student (a Hugging Face model).

L = CE + alpha * KL(teachers, student) + beta * distance of hidden states; alpha=0 and beta=0 is plain training and
needs no teachers. The teachers run on every batch; --cached keeps their outputs first, as a search does, which pays for
several epochs or students. A command that was stopped goes on from its last checkpoint when it is given again."""

EXAMPLES = """\
  python -m palenka_tune.distill --out my_student --set alpha=1 --set beta=3 --set projection.rank=64
  python -m palenka_tune.distill --out baseline --set alpha=0 --set beta=0
  python -m palenka_tune.distill --out long --data ../babylm_10M --scale small --set epochs=4 --set lr=1e-3"""


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("distill", DESCRIPTION, EXAMPLES)
    add_experiment_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for metrics.json and the student")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: a GPU if there is one"
    )
    parser.add_argument("--cached", action="store_true", help="run the teachers once and train from their cache")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = vars(parser().parse_args(argv))
    settings = dict(parse_assignment(text) for text in args.pop("overrides"))
    result = run(**args, settings=settings)
    print(f"val/ce {result.val_ce:.4f} nats per token; {result.folder / 'metrics.json'}, {result.student}")
    return 0
