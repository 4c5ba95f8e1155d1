"""`evaluate.run(models)`: scores on minimal pairs and on text, for the command `evaluate` and for Python."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID

from palenka_tune.cluster.session import resolve_device
from palenka_tune.config.console import lasting_output
from palenka_tune.config.environment import calm_libraries
from palenka_tune.config.files import check_writable, write_json
from palenka_tune.data.corpus import Corpus, open_corpus
from palenka_tune.data.hub import is_dataset_id
from palenka_tune.data.prepare import BABYTALK
from palenka_tune.data.texts import Unit
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation.results import MEASURED, EvaluationResult, ModelScores
from palenka_tune.evaluation.suite import Suite
from palenka_tune.evaluation.suites import filter_suite, read_suites
from palenka_tune.evaluation.vocabulary import MIN_COUNT, read_vocabulary
from palenka_tune.models.folder import check_model_folder, find_model, tokenizer_digest


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
    unit: Unit | None = None,
    device: str = "auto",
    quiet: bool = True,
) -> EvaluationResult:
    """Score causal language models on minimal pairs and on text.

        scores = evaluate.run("palenka_runs/my_search/best", suites=["blimp"], source="evaluation_data")
        print(scores["best"].suites["blimp"].accuracy)

    Args:
        models: Hugging Face model folders, or one; the folder of a search stands for its best student.
        suites: `blimp`, `blimp_supplement`, `ewok`, `blimp_filtered`, `ewok_filtered`, from `source`.
        source: A folder that holds a folder a suite, or `hub`.
        minimal_pairs: A folder of `.jsonl` files in BLiMP's format, as one suite more.
        filter_vocabulary: A corpus folder or a list of words: only pairs whose every word is there are kept.
        filter_min_count: How often a corpus must have a word.
        data: A corpus folder in BabyLM layout: nats per token on dev and test.
        output: A folder for lm-evaluation-harness's result files.
        log_samples: Write a line for each pair there too.
        unit: What one text of `data` is: a line, a paragraph or a document (None: as the model was trained).
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.
        quiet: Show nothing; False shows a progress bar.

    A model that cannot be scored is left out, and `failed` of the result says why.

    Raises:
        UserError: for a model, a suite or a corpus that cannot be read, or if no model goes together with them.
    """
    given = [str(each) for each in ([models] if isinstance(models, str | Path) else models)]
    folders = [str(find_model(each)) for each in given]
    asked = suites.split(",") if isinstance(suites, str) else suites
    names = list(dict.fromkeys(name.strip() for name in asked if name.strip()))
    has_suites, give = bool(names or minimal_pairs), "give --suite with --source, or --minimal-pairs"
    mistakes = {
        "there is nothing to score on; give --suite with --source, --minimal-pairs or --data": not (has_suites or data),
        "--log-samples needs a folder for the samples; give --output DIR": log_samples and not output,
        f"--log-samples needs a suite; {give}": log_samples and not has_suites,
        "--unit says what a text of --data is; give --data DIR, or leave it out": unit and not data,
        f"--filter-vocabulary needs a suite to filter; {give}": filter_vocabulary and not has_suites,
        "--source needs the names of suites; give --suite blimp,blimp_supplement,ewok or one of them": (
            source and not names
        ),
    }
    for mistake, made in mistakes.items():
        if made:
            raise UserError(mistake)
    if output:
        check_writable(output)
    calm_libraries()
    if minimal_pairs:
        names.append(str(Path(minimal_pairs).expanduser().absolute()))
    corpus = _open_text(data) if data else None
    read = read_suites(names, source)
    for folder in folders:
        check_model_folder(folder)
    if filter_vocabulary:  # last, as a corpus of 100 M words takes minutes
        vocabulary = read_vocabulary(filter_vocabulary, filter_min_count)
        read = [filter_suite(suite, vocabulary) for suite in read]

    device = resolve_device(device)
    scores: list[ModelScores] = []
    failures: dict[str, PalenkaError] = {}
    score = _scorer(read, corpus, unit, device, quiet=quiet, greedy=log_samples)
    for name, asked_for, folder in zip(_names(folders), given, folders, strict=True):
        started = time.time()
        try:
            scored = score(name, folder)
        except PalenkaError as error:  # the other models' scores are none the worse
            failures[name] = error
            continue
        if Path(folder) != Path(asked_for).expanduser():
            scored = replace(
                scored, notes=(f"{asked_for} is the folder of a search; its best student is scored", *scored.notes)
            )
        scores.append(scored)
        if output:
            _write(Path(output), scored, device, started, samples=log_samples)
    failed = {name: str(error) for name, error in failures.items()}
    if not scores:
        raise next(iter(failures.values())) if len(failed) == 1 else UserError("; ".join(failed.values()))
    return EvaluationResult(tuple(scores), tuple(read), failed)


def _open_text(folder: str | Path) -> Corpus:
    """The corpus to measure models on; raises `UserError` if it cannot be read or a split of it holds no word."""
    if is_dataset_id(str(folder)) or (str(folder) == BABYTALK and not Path(folder).exists()):
        raise UserError(
            f"--data {folder} is no folder; give one in BabyLM layout (of babytalk and datasets, a search keeps the "
            "text in a folder of STORAGE/artifacts/corpora/)"
        )
    corpus = open_corpus(folder)
    for split in MEASURED:
        if split in corpus.splits and next(corpus.texts(split, "line"), None) is None:
            raise UserError(
                f"the {split} split of {folder} holds no word (its lines are blank, or cleaning leaves nothing of "
                "them); add text to it or remove it"
            )
    return corpus


def _scorer(
    suites: Sequence[Suite], corpus: Corpus | None, unit: Unit | None, device: str, *, quiet: bool, greedy: bool
) -> Callable[[str, str], ModelScores]:
    """A function that scores the model of a name and folder; what tokenizers make of suites and text is shared where
    they agree. It raises `PalenkaError`, which names the model."""
    # torch and transformers: only now, when the input is known to be good
    from palenka_tune.evaluation.encoding import start_note, start_token
    from palenka_tune.evaluation.minimal_pairs import TokenisedSuite, evaluate, tokenise_suite
    from palenka_tune.evaluation.perplexity import (
        TokenisedText,
        evaluate_text,
        tokenise_corpus,
        training_unit,
        training_window,
    )
    from palenka_tune.models.export import load_model

    console = Console(highlight=False, soft_wrap=True)
    tokenised: dict[object, tuple[list[TokenisedSuite], dict[str, TokenisedText]]] = {}

    def score(name: str, folder: str) -> ModelScores:
        model, tokenizer = load_model(folder, device=device)
        text_unit = unit or training_unit(model)
        ends = tokenizer.bos_token_id, tokenizer.eos_token_id, start_token(tokenizer)
        key = (tokenizer_digest(folder), *ends, text_unit)
        if key not in tokenised:
            texts = tokenise_corpus(tokenizer, corpus, text_unit) if corpus else {}
            tokenised[key] = [tokenise_suite(tokenizer, suite) for suite in suites], texts
        ready, texts = tokenised[key]
        with (
            lasting_output(),
            Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar,
        ):
            show = functools.partial(_show, bar, bar.add_task(f"scoring {name}", total=None))
            results = evaluate(model, ready, progress=show, greedy=greedy)
            text = {split: evaluate_text(model, each, training_window(model)) for split, each in texts.items()}
        note = start_note(tokenizer)
        return ModelScores(name, folder, results, text, () if note is None else (note,))

    def named(name: str, folder: str) -> ModelScores:
        try:
            return score(name, folder)
        except PalenkaError as error:
            raise type(error)(f"model {name}: {error}") from None

    return named


def _show(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _write(folder: Path, scored: ModelScores, device: str, date: float, *, samples: bool) -> None:
    """The files of one model: lm-evaluation-harness's for its suites, and `text_<model>.json`."""
    from palenka_tune.evaluation.harness import write_harness

    if scored.suites:
        config = {"model": "palenka_tune", "model_args": f"pretrained={scored.path}", "device": device, "limit": None}
        write_harness(folder, scored.name, scored.suites, config, date, samples=samples)
    if scored.text:
        write_json(folder / f"text_{scored.name.replace('/', '__')}.json", scored.to_dict()["text"])


def _names(folders: Sequence[str]) -> list[str]:
    """What tables call the models: the last parts of their paths, as many as tell them apart."""
    parts = [Path(folder).expanduser().absolute().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UserError("a model is given twice; give each model's folder once")
    depth = 1
    while len({path[-depth:] for path in parts}) < len(parts):
        depth += 1
    return ["/".join(path[-depth:]) for path in parts]
