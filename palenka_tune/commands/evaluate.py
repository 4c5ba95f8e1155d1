"""`python -m palenka_tune.evaluate MODEL...`: the options of the command, which calls `evaluate.run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from rich.console import Console

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_json
from palenka_tune.data.texts import Unit
from palenka_tune.errors import UserError
from palenka_tune.evaluation.run import run
from palenka_tune.evaluation.vocabulary import MIN_COUNT

DESCRIPTION = """\
Score causal language models on the suites of the BabyLM challenge (blimp, blimp_supplement, ewok) and on text.

A pair of a suite is right if the model gives the acceptable text at least the summed log-probability of the other, as
lm-evaluation-harness counts it; a suite's score is the mean over its sets. On text: nats per token on dev and test as
in training, and bits per byte."""

EXAMPLES = """\
  python -m palenka_tune.evaluate palenka_runs/my_search/best --minimal-pairs ../blimp
  python -m palenka_tune.evaluate best vanilla --suite blimp,blimp_supplement --source ../eval_data --per-set
  python -m palenka_tune.evaluate best --suite blimp,ewok --source hub --filter-vocabulary ../babylm_10M
  python -m palenka_tune.evaluate best --suite blimp --source ../eval_data --data ../babylm_10M --output scores \\
    --log-samples"""


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("evaluate", DESCRIPTION, EXAMPLES)
    model = "a folder with a Hugging Face model and tokenizer, or that of a search, whose best student is meant"
    parser.add_argument("models", nargs="+", metavar="MODEL", help=model)
    parser.add_argument("--suite", metavar="NAME[,NAME...]", help="blimp, blimp_supplement, ewok")
    parser.add_argument("--source", metavar="DIR|hub", help="a folder with a folder a suite, or the Hugging Face hub")
    parser.add_argument("--minimal-pairs", metavar="DIR", help="a folder of BLiMP-format .jsonl files")
    words = "keep the pairs whose every word is in this corpus's train split, or in this list (a word a line)"
    parser.add_argument("--filter-vocabulary", metavar="DIR|FILE", help=words)
    count = f"how often a corpus must have a word (default: {MIN_COUNT}, as in the challenge)"
    parser.add_argument("--filter-min-count", type=int, default=MIN_COUNT, metavar="N", help=count)
    parser.add_argument("--data", metavar="DIR", help="a corpus in BabyLM layout: nats per token on dev and test")
    unit = "what one text of --data is (default: as the model was trained, else a line)"
    parser.add_argument("--unit", choices=get_args(Unit), help=unit)
    parser.add_argument("--per-set", action="store_true", help="a row for each phenomenon and each set")
    parser.add_argument("--output", metavar="DIR", help="write lm-evaluation-harness's result files")
    parser.add_argument("--log-samples", action="store_true", help="with --output: a line for each pair too")
    parser.add_argument("--json", metavar="FILE", help="write all results in one file")
    devices = ["auto", "cpu", "cuda"]
    parser.add_argument("--device", default="auto", choices=devices, help="default: a GPU if there is one")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = vars(parser().parse_args(argv))
    per_set, file = args.pop("per_set"), args.pop("json")
    scores = run(suites=args.pop("suite") or (), **args)
    scores.show(Console(highlight=False, soft_wrap=True), per_set=per_set)
    if file:
        write_json(file, scores.to_dict())
    if scores.failed:
        raise UserError("; ".join(scores.failed.values()))
    return 0
