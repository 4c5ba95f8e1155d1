"""`python -m palenka_tune.evaluate MODEL...`, and `evaluate.run(models)`: scores on minimal pairs and on text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

from palenka_tune.cluster.session import resolve_device
from palenka_tune.commands.options import Parser
from palenka_tune.config.environment import calm_libraries
from palenka_tune.config.files import check_writable, write_json
from palenka_tune.data.corpus import Corpus, open_corpus
from palenka_tune.errors import UserError
from palenka_tune.evaluation.model_scores import EvaluationResult, ModelScores
from palenka_tune.evaluation.suite import Suite
from palenka_tune.evaluation.suites import filter_suite, read_suites
from palenka_tune.evaluation.vocabulary import MIN_COUNT, read_vocabulary
from palenka_tune.models.folder import check_model_folder, tokenizer_digest

if TYPE_CHECKING:
    from palenka_tune.evaluation.minimal_pairs import TokenisedSuite
    from palenka_tune.evaluation.text import TokenisedText

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
    words are known. `output` gets the harness's files, with `log_samples` a line a pair too.
    """

    models: tuple[str, ...]
    suites: tuple[str, ...] = ()
    source: str | None = None
    minimal_pairs: str | None = None
    filter_vocabulary: str | None = None
    filter_min_count: int = MIN_COUNT
    data: str | None = None
    output: str | None = None
    log_samples: bool = False
    device: str = "auto"
    quiet: bool = False


def run(
    models: str | Path | Sequence[str | Path],
    *,
    suites: str | Sequence[str] = (),
    source: str | Path | None = None,
    minimal_pairs: str | Path | None = None,
    filter_vocabulary: str | Path | None = None,
    filter_min_count: int = MIN_COUNT,
    data: str | Path | None = None,
    output: str | Path | None = None,
    log_samples: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> EvaluationResult:
    """Score causal language models on minimal pairs and on text.

        scores = evaluate.run("palenka_runs/my_search/best", suites=["blimp"], source="evaluation_data")
        print(scores["best"].suites["blimp"].accuracy)

    Args:
        models: Hugging Face model folders, or one.
        suites: `blimp`, `blimp_supplement`, `ewok`, `blimp_filtered`, `ewok_filtered`, from `source`.
        source: A folder that holds a folder a suite, or `hub`.
        minimal_pairs: A folder of `.jsonl` files in BLiMP's format, as one suite more.
        filter_vocabulary: A corpus folder or a list of words: only pairs whose every word is there are kept.
        filter_min_count: How often a corpus must have a word.
        data: A corpus folder in BabyLM layout: nats per token on dev and test.
        output: A folder for lm-evaluation-harness's result files.
        log_samples: Write a line for each pair there too.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.
        quiet: Show nothing; False shows a progress bar.

    Raises:
        UserError: for a model, a suite or a corpus that cannot be read or do not go together.
    """
    names = suites.split(",") if isinstance(suites, str) else suites
    return main(
        EvaluateConfig(
            models=tuple(str(each) for each in ([models] if isinstance(models, str | Path) else models)),
            suites=tuple(dict.fromkeys(name.strip() for name in names if name.strip())),
            source=_text(source),
            minimal_pairs=_text(minimal_pairs),
            filter_vocabulary=_text(filter_vocabulary),
            filter_min_count=filter_min_count,
            data=_text(data),
            output=_text(output),
            log_samples=log_samples,
            device=device,
            quiet=quiet,
        )
    )


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def main(config: EvaluateConfig) -> EvaluationResult:
    """Score and write; the models are in the order of `config.models`.

    Raises:
        UserError: for a model, a suite or a corpus that cannot be read or do not go together.
    """
    _check(config)
    calm_libraries()
    suites, corpus = _read(config)  # before torch is loaded
    scores = _score(config, suites, corpus, Console(highlight=False, soft_wrap=True))
    return EvaluationResult(tuple(scores), tuple(suites))


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
    per_set, file = args.pop("per_set"), args.pop("json")
    scores = run(suites=args.pop("suite") or (), **args)
    scores.show(Console(highlight=False, soft_wrap=True), per_set=per_set)
    if file:
        write_json(file, scores.to_dict())
    return 0
