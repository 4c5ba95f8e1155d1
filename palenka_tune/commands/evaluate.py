"""`python -m palenka_tune.evaluate MODEL --minimal-pairs DIR`: score a model on minimal pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from palenka_tune.cluster.session import resolve_device
from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_json
from palenka_tune.evaluation.suite import read_suite

if TYPE_CHECKING:
    from palenka_tune.evaluation.results import MinimalPairResults

DESCRIPTION = """\
Score a causal language model on minimal pairs in BLiMP's format: the summed log-probability of each whole sentence
after the start token; a pair is right if the acceptable sentence scores strictly higher."""

EXAMPLES = """\
  python -m palenka_tune.evaluate palenka_runs/my_search/best --minimal-pairs ../blimp
  python -m palenka_tune.evaluate my_student/student --minimal-pairs ../blimp --json scores.json"""


@dataclass(frozen=True)
class EvaluateConfig:
    """`model`: a Hugging Face model folder; `minimal_pairs`: a folder of BLiMP-format .jsonl files."""

    model: str
    minimal_pairs: str
    json: str | None = None
    device: str = "auto"
    quiet: bool = False


def main(config: EvaluateConfig) -> MinimalPairResults:
    """Score and print; raises `UserError` for a model or a suite that cannot be read."""
    paradigms = read_suite(config.minimal_pairs)  # before torch is loaded
    from palenka_tune.evaluation.minimal_pairs import evaluate_minimal_pairs
    from palenka_tune.models.export import load_model

    model, tokenizer = load_model(config.model, device=resolve_device(config.device))
    console = Console(highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True, disable=config.quiet or not console.is_terminal) as bar:
        task = bar.add_task(f"scoring {sum(len(p.pairs) for p in paradigms):,} pairs", total=None)
        results = evaluate_minimal_pairs(
            model,
            tokenizer,
            config.minimal_pairs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if config.json:
        write_json(config.json, {"model": str(config.model), "suite": config.minimal_pairs, **results.to_dict()})
    console.print(_table(results, Path(config.minimal_pairs).name))
    return results


def _table(results: MinimalPairResults, suite: str) -> Table:
    shown = Table(
        title=f"{suite}: {results.pairs:,} pairs, {results.ties} ties (counted as wrong)", title_justify="left"
    )
    shown.add_column("paradigm")
    for column in ("pairs", "accuracy (%)", "s.e."):
        shown.add_column(column, justify="right")
    for paradigm in results.paradigms:
        shown.add_row(paradigm.uid, f"{paradigm.pairs:,}", f"{100 * paradigm.accuracy:.1f}", _percent(paradigm.stderr))
    shown.add_section()
    shown.add_row(
        "mean over paradigms", f"{results.pairs:,}", f"{100 * results.accuracy:.2f}", _percent(results.stderr)
    )
    shown.add_row("mean over pairs", f"{results.pairs:,}", f"{100 * results.pair_weighted_accuracy:.2f}", "")
    return shown


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    parser = Parser("evaluate", DESCRIPTION, EXAMPLES)
    parser.add_argument("model", help="a folder with a Hugging Face model and its tokenizer")
    parser.add_argument("--minimal-pairs", required=True, metavar="DIR", help="a folder of BLiMP-format .jsonl files")
    parser.add_argument("--json", default=None, metavar="FILE", help="write the results per paradigm")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: a GPU if there is one"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    main(EvaluateConfig(args.model, args.minimal_pairs, args.json, args.device, args.quiet))
    return 0
