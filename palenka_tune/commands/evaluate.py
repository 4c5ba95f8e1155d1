"""`python -m palenka_tune.evaluate MODEL...`: score models on suites of minimal pairs and on text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, TaskID

from palenka_tune.cluster.session import resolve_device
from palenka_tune.commands.options import Parser
from palenka_tune.config.files import check_writable, write_json
from palenka_tune.data.corpus import Corpus, open_corpus
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import Suite
from palenka_tune.evaluation.suites import filter_suite, read_suites
from palenka_tune.evaluation.vocabulary import MIN_COUNT, read_vocabulary
from palenka_tune.models.folder import check_model_folder, tokenizer_digest

if TYPE_CHECKING:
    from palenka_tune.evaluation.minimal_pairs import TokenisedSuite
    from palenka_tune.evaluation.suites import SuiteResults
    from palenka_tune.evaluation.text import TextResult, TokenisedText

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

SPLITS = ("dev", "test")


@dataclass(frozen=True)
class EvaluateConfig:
    """`models`: Hugging Face model folders; what they are scored on: `suites` by name from `source` (a folder that
    holds a folder a suite, or `hub`), `minimal_pairs` (a folder in BLiMP's format), `data` (a corpus folder).

    `filter_vocabulary` (a corpus folder or a list of words, with `filter_min_count` for a corpus) keeps the pairs whose
    words are known. `output` gets the harness's files, with `log_samples` a line a pair too; `json` everything in one.
    """

    models: tuple[str, ...]
    suites: tuple[str, ...] = ()
    source: str | None = None
    minimal_pairs: str | None = None
    filter_vocabulary: str | None = None
    filter_min_count: int = MIN_COUNT
    data: str | None = None
    per_set: bool = False
    output: str | None = None
    log_samples: bool = False
    json: str | None = None
    device: str = "auto"
    quiet: bool = False


@dataclass(frozen=True)
class ModelScores:
    """What one model scored: `suites` by name, `text` by split; `name` is what tables call it, `path` its folder."""

    name: str
    path: str
    suites: SuiteResults
    text: dict[str, TextResult]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        text = {split: result.to_dict() for split, result in self.text.items()}
        return {"name": self.name, "model": self.path, "suites": self.suites.to_dict(), "text": text}


def main(config: EvaluateConfig) -> list[ModelScores]:
    """Score, print and write; returns the scores in the order of `config.models`.

    Raises:
        UserError: for a model, a suite or a corpus that cannot be read or do not go together.
    """
    _check(config)
    suites, corpus = _read(config)  # before torch is loaded
    from palenka_tune.evaluation.tables import accuracy_table, suite_lines, text_table

    console = Console(highlight=False, soft_wrap=True)
    scores = _score(config, suites, corpus, console)
    by_name = {each.name: each for each in scores}
    found = {name: each.suites for name, each in by_name.items()}
    for line in suite_lines(suites, found):
        console.print(line, markup=False)
    if suites:
        per_set = config.per_set or len(suites) == len(scores) == 1
        console.print(accuracy_table(suites, found, per_set=per_set))
    if corpus:
        console.print(text_table({name: each.text for name, each in by_name.items()}))
    if config.json:
        write_json(config.json, _as_json(scores))
    return scores


def _check(config: EvaluateConfig) -> None:
    if not (config.suites or config.minimal_pairs or config.data):
        raise UserError("there is nothing to score on; give --suite with --source, --minimal-pairs or --data")
    if config.log_samples and not config.output:
        raise UserError("--log-samples needs a folder for the samples; give --output DIR")
    if config.log_samples and not (config.suites or config.minimal_pairs):
        raise UserError("--log-samples needs a suite; give --suite with --source, or --minimal-pairs")
    if config.filter_vocabulary and not (config.suites or config.minimal_pairs):
        raise UserError("--filter-vocabulary needs a suite to filter; give --suite with --source, or --minimal-pairs")
    if config.source and not config.suites:
        raise UserError("--source needs the names of suites; give --suite blimp,blimp_supplement,ewok or one of them")
    if config.output:
        check_writable(config.output)


def _read(config: EvaluateConfig) -> tuple[list[Suite], Corpus | None]:
    names = list(config.suites)
    if config.minimal_pairs:
        names.append(str(Path(config.minimal_pairs).expanduser().absolute()))
    corpus = open_corpus(config.data) if config.data else None
    suites = read_suites(names, config.source)
    for model in config.models:
        check_model_folder(model)
    if config.filter_vocabulary:  # last, as a corpus of 100 M words takes minutes
        vocabulary = read_vocabulary(config.filter_vocabulary, config.filter_min_count)
        suites = [filter_suite(suite, vocabulary) for suite in suites]
    return suites, corpus


def _score(config: EvaluateConfig, suites: list[Suite], corpus: Corpus | None, console: Console) -> list[ModelScores]:
    """Load the models one after another; what their tokenizers make of suites and text is shared where they agree."""
    from palenka_tune.evaluation.harness import write_harness
    from palenka_tune.evaluation.suites import evaluate, tokenise
    from palenka_tune.evaluation.text import evaluate_text, tokenise_text, training_window
    from palenka_tune.models.export import load_model

    device = resolve_device(config.device)
    tokenised: dict[object, tuple[list[TokenisedSuite], dict[str, TokenisedText]]] = {}
    scores = []
    for name, path in zip(_names(config.models), config.models, strict=True):
        started = time.time()
        model, tokenizer = load_model(path, device=device)
        key = (tokenizer_digest(Path(path).expanduser()), tokenizer.bos_token_id, tokenizer.eos_token_id)
        if key not in tokenised:
            splits = [split for split in SPLITS if corpus and split in corpus.splits]
            texts = {split: tokenise_text(tokenizer, corpus.lines(split)) for split in splits if corpus}
            tokenised[key] = tokenise(tokenizer, suites), texts
        ready, texts = tokenised[key]
        with Progress(console=console, transient=True, disable=config.quiet or not console.is_terminal) as bar:
            shown = partial(_show, bar, bar.add_task(f"scoring {name}", total=None))
            try:
                found = evaluate(model, ready, progress=shown, greedy=config.log_samples)
                text = {split: evaluate_text(model, each, training_window(model)) for split, each in texts.items()}
            except UserError as error:
                raise UserError(f"model {name}: {error}") from None
        scores.append(ModelScores(name, str(path), found, text))
        if config.output and suites:
            said = {"model": "palenka_tune", "model_args": f"pretrained={path}", "device": device, "limit": None}
            write_harness(config.output, name, found, said, started, samples=config.log_samples)
        if config.output and text:
            write_json(Path(config.output) / f"text_{name.replace('/', '__')}.json", scores[-1].to_dict()["text"])
    return scores


def _show(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _names(models: Sequence[str]) -> list[str]:
    """What tables call the models: the last parts of their paths, as many as tell them apart."""
    parts = [Path(model).expanduser().absolute().parts for model in models]
    if len(set(parts)) < len(parts):
        raise UserError("a model is given twice; give each model's folder once")
    depth = 1
    while len({path[-depth:] for path in parts}) < len(parts):
        depth += 1
    return ["/".join(path[-depth:]) for path in parts]


def _as_json(scores: Sequence[ModelScores]) -> dict[str, Any]:
    """All models; for one model and one suite its figures also stand at the top."""
    everything: dict[str, Any] = {"models": [each.to_dict() for each in scores]}
    if len(scores) == 1 and len(scores[0].suites) == 1:
        name, figures = next(iter(scores[0].suites.to_dict().items()))
        return {"model": scores[0].path, "suite": name, **figures, **everything}
    return everything


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("evaluate", DESCRIPTION, EXAMPLES)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a folder with a Hugging Face model and tokenizer")
    parser.add_argument("--suite", default=None, metavar="NAME[,NAME...]", help="blimp, blimp_supplement, ewok")
    parser.add_argument(
        "--source",
        default=None,
        metavar="DIR|hub",
        help="a folder that holds a folder a suite, or the Hugging Face hub",
    )
    parser.add_argument("--minimal-pairs", default=None, metavar="DIR", help="a folder of BLiMP-format .jsonl files")
    parser.add_argument(
        "--filter-vocabulary",
        default=None,
        metavar="DIR|FILE",
        help="keep the pairs whose every word is in this corpus's train split, or in this list (a word a line)",
    )
    parser.add_argument(
        "--filter-min-count",
        type=int,
        default=MIN_COUNT,
        metavar="N",
        help=f"how often a corpus must have a word (default: {MIN_COUNT}, as in the challenge)",
    )
    parser.add_argument(
        "--data", default=None, metavar="DIR", help="a corpus folder in BabyLM layout: nats per token on dev and test"
    )
    parser.add_argument("--per-set", action="store_true", help="a row for each phenomenon and each set")
    parser.add_argument("--output", default=None, metavar="DIR", help="write lm-evaluation-harness's result files")
    parser.add_argument("--log-samples", action="store_true", help="with --output: a line for each pair too")
    parser.add_argument("--json", default=None, metavar="FILE", help="write all results in one file")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: a GPU if there is one"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = vars(parser().parse_args(argv))
    suites = args.pop("suite")
    names = tuple(dict.fromkeys(name.strip() for name in suites.split(",") if name.strip())) if suites else ()
    main(EvaluateConfig(models=tuple(args.pop("models")), suites=names, **args))
    return 0
