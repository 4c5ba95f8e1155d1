"""Train one student with fixed settings and write DIR/metrics.json, DIR/student (a Hugging Face model).

L = CE + alpha * KL(teachers, student) + beta * distance of hidden states; alpha=0 and beta=0 is plain training and
needs no teachers. The teachers run on every batch; --cached keeps their outputs first, as a search does, which pays for
several epochs or students. A command that was stopped resumes from its last checkpoint when it is given again.

Examples:
  python -m palenka_tune.distill --out my_student --set alpha=1 --set beta=3 --set projection.rank=64
  python -m palenka_tune.distill --out baseline --set alpha=0 --set beta=0
  python -m palenka_tune.distill --out long --data ../babylm_10M --scale small --set epochs=4 --set lr=1e-3
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.commands.options import Parser
from palenka_tune.students.distill import DistillOptions, run


def parser() -> Parser:
    """The options of the command."""
    return Parser("distill", __doc__, options=DistillOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    result = run(**parser().keywords(argv))
    print(f"val/ce {result.val_ce:.4f} nats per token; {result.folder / 'metrics.json'}, {result.student}")
    return 0
