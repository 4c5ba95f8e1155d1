"""Suites by name: what the BabyLM challenge scores a model on, read, filtered, tokenised and evaluated.

In: names from `SUITES` (or folders in BLiMP's format), where their files are, and perhaps a vocabulary to filter by.
Out, in three steps that several models share as far as they can: `read_suites` gives `Suite`s, `tokenise` what they are
under one tokenizer, `evaluate` the `SuiteResults` of one model.

A folder `source` holds a folder a suite: `blimp/`, `blimp_supplement/`, `ewok/`, and the challenge's own filtered ones
under their names; `hub` stands for the Hugging Face hub (`hub_suites`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.errors import UserError, nearest
from palenka_tune.evaluation.ewok import read_ewok
from palenka_tune.evaluation.hub_suites import HUB, load_blimp, load_ewok
from palenka_tune.evaluation.suite import Paradigm, Suite, read_suite
from palenka_tune.evaluation.vocabulary import Vocabulary

if TYPE_CHECKING:  # torch and transformers: only when a model is evaluated
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from palenka_tune.evaluation.minimal_pairs import TokenisedSuite
    from palenka_tune.evaluation.results import MinimalPairResults
    from palenka_tune.evaluation.scoring import Progress


@dataclass(frozen=True)
class SuiteSource:
    """Where a suite comes from: `read` takes its folder, which bears its name or `other_folder`; `load` fetches it from
    the hub (None: it is not there)."""

    name: str
    read: Callable[[Path, str], Suite]
    load: Callable[[], Suite] | None = None
    other_folder: str | None = None


FILTERED = "_filtered"
"""What a suite's name ends in if its items were filtered by a vocabulary."""


def _read_blimp(folder: Path, name: str) -> Suite:
    return Suite(name, tuple(read_suite(folder)))


SUITES: dict[str, SuiteSource] = {
    source.name: source
    for source in (
        SuiteSource("blimp", _read_blimp, load_blimp),
        SuiteSource("blimp_supplement", _read_blimp, other_folder="supplement_filtered"),
        SuiteSource("ewok", read_ewok, load_ewok),
        # as the challenge publishes them, filtered by its own vocabulary
        SuiteSource("blimp_filtered", _read_blimp),
        SuiteSource("ewok_filtered", read_ewok),
    )
}


def read_suites(
    names: Sequence[str], source: str | Path | None = None, vocabulary: Vocabulary | None = None
) -> list[Suite]:
    """The suites called `names`, in that order; a name may also be a folder in BLiMP's format.

    `source` is a folder with a folder a suite, or `hub`. With a `vocabulary` only the items whose every word it holds
    are kept, and a suite's name ends in `_filtered`.

    Raises:
        UserError: for an unknown name, one that is given twice, a suite that is not in `source` or cannot be read as
            meant, or a filter that keeps nothing of one.
    """
    suites = [_read(name, source) for name in names]
    twice = {suite.name for suite in suites if sum(other.name == suite.name for other in suites) > 1}
    if twice:
        raise UserError(f"suite {min(twice)!r} is given twice; give each suite once, folders under different names")
    return [filter_suite(suite, vocabulary) if vocabulary else suite for suite in suites]


def _read(name: str, source: str | Path | None) -> Suite:
    if name not in SUITES:
        folder = Path(name).expanduser()
        if folder.is_dir() or len(folder.parts) > 1:
            return _read_blimp(folder, folder.resolve().name)
        raise UserError(f"there is no suite {name!r}{nearest(name, SUITES)}; give a known one or a folder of pairs")
    suite = SUITES[name]
    if source is None:
        raise UserError(f"suite {name!r} needs its files; give --source a folder that holds {name}/, or --source {HUB}")
    if str(source) == HUB:
        if suite.load is None:
            raise UserError(f"suite {name!r} is not on the hub; give --source a folder that holds {name}/")
        return suite.load()
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(f"--source {source} is not a folder; give a folder that holds {name}/, or {HUB}")
    for inside in (name, suite.other_folder):
        if inside and (folder / inside).is_dir():
            return suite.read(folder / inside, name)
    held = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())[:8]) or "no folder"
    raise UserError(f"--source {source} has no folder {name}/ (it holds {held}); put the suite's files there")


def filter_suite(suite: Suite, vocabulary: Vocabulary) -> Suite:
    """Keep the items whose every word is in `vocabulary`; raises `UserError` if none is left."""

    def keep(paradigm: Paradigm) -> Paradigm:
        return replace(paradigm, pairs=tuple(pair for pair in paradigm.pairs if vocabulary.covers(*pair.texts)))

    kept, swapped = ([keep(p) for p in paradigms] for paradigms in (suite.paradigms, suite.swapped_contexts))
    left_out = tuple(paradigm.uid for paradigm in kept if not paradigm.pairs)
    if len(left_out) == len(kept):
        raise UserError(
            f"suite {suite.name!r}: none of its {suite.pairs:,} pairs has all its words in {vocabulary.source}; give a "
            "larger corpus or list to --filter-vocabulary, or leave it out"
        )
    return Suite(
        suite.name.removesuffix(FILTERED) + FILTERED,
        tuple(paradigm for paradigm in kept if paradigm.pairs),
        suite.pairs,
        left_out,
        tuple(paradigm for paradigm in swapped if paradigm.pairs),
    )


def tokenise(tokenizer: PreTrainedTokenizerFast, suites: Sequence[Suite]) -> list[TokenisedSuite]:
    """The suites under one tokenizer, for any number of models that share it.

    Raises:
        UserError: if the tokenizer has no start token.
    """
    from palenka_tune.evaluation.minimal_pairs import tokenise_suite

    return [tokenise_suite(tokenizer, suite) for suite in suites]


@dataclass(frozen=True)
class SuiteResults(Mapping[str, "MinimalPairResults"]):
    """One model's results by the suite's name; `suites` are what was scored, with what a filter left of them."""

    suites: tuple[Suite, ...]
    results: tuple[MinimalPairResults, ...]

    def __getitem__(self, name: str) -> MinimalPairResults:
        return dict(zip(self, self.results, strict=True))[name]

    def __iter__(self) -> Iterator[str]:
        return (suite.name for suite in self.suites)

    def __len__(self) -> int:
        return len(self.suites)

    def correct(self, name: str) -> dict[str, np.ndarray]:
        """Which pairs of a suite are correct: one bool array (pairs,) a set, by the set's name."""
        result = self[name]
        ends = [sum(p.pairs for p in result.paradigms[: n + 1]) for n in range(len(result.paradigms))]
        starts = [0, *ends[:-1]]
        return {
            paradigm.uid: result.correct[start:end]
            for paradigm, start, end in zip(result.paradigms, starts, ends, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: a suite's results, and how many of its pairs were read, kept and filtered out."""
        return {
            suite.name: {
                **result.to_dict(),
                "read": suite.pairs + suite.filtered_out,
                "kept": suite.pairs,
                "filtered_out": suite.filtered_out,
                "left_out": list(suite.left_out),
            }
            for suite, result in zip(self.suites, self.results, strict=True)
        }


def evaluate(
    model: PreTrainedModel,
    tokenised: Sequence[TokenisedSuite],
    *,
    progress: Progress | None = None,
    greedy: bool = False,
) -> SuiteResults:
    """Score one model, where it is, on suites tokenised with its own tokenizer.

    `progress` gets (texts done, texts) of all suites together; `greedy` is as in `minimal_pairs.evaluate_suite`.

    Raises:
        UserError: for a text longer than the model's positions, or a tokenizer that is not the model's.
    """
    from palenka_tune.evaluation.minimal_pairs import evaluate_suite

    total = sum(len(suite.requests.ids) for suite in tokenised)
    done, results = 0, []
    for suite in tokenised:
        report = None if progress is None else _shifted(progress, done, total)
        results.append(evaluate_suite(model, suite, progress=report, greedy=greedy))
        done += len(suite.requests.ids)
    return SuiteResults(tuple(suite.suite for suite in tokenised), tuple(results))


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
