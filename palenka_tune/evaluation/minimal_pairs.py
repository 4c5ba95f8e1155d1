"""Minimal pairs: does a language model find the acceptable text more probable than its unacceptable twin?

A text's score is the summed log-probability of all its tokens after its context, which for BLiMP is the start token
alone; a pair is right if the acceptable text scores at least as high. Equal scores are thus right, as in
lm-evaluation-harness, which takes the first of equals; they are counted, and BLiMP has seven pairs whose two sentences
are the same.

Several models with one tokenizer share the tokenising: `tokenise_suite` once, `evaluate` for each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.errors import UserError
from palenka_tune.evaluation.encoding import EncodedRequests, check_vocabulary, encode_requests
from palenka_tune.evaluation.prefix_tree import ROW_TOKENS, PrefixTree, build_tree
from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult, SuiteResults
from palenka_tune.evaluation.scoring import Progress, score_tree, shares_prefixes
from palenka_tune.evaluation.suite import MinimalPair, Paradigm, Suite
from palenka_tune.models.given import position_limit
from palenka_tune.words import plural

DELIMITER = " "
"""Stands between a context, also an empty one, and what follows it: lm-evaluation-harness's default."""


@dataclass(frozen=True)
class TokenisedSuite:
    """A suite under one tokenizer, for any number of models; each distinct request is kept once.

    `pairs` (pairs, 2) are the places in `requests` of good and bad text, paradigm after paradigm; `swapped_contexts`
    the same for the suite's other reading, if it has one.
    """

    suite: Suite
    requests: EncodedRequests
    pairs: np.ndarray
    swapped_contexts: np.ndarray

    @cached_property
    def tree(self) -> PrefixTree:
        """The requests for models that read shared beginnings once."""
        return self._tree(ROW_TOKENS)

    def tree_for(self, model: PreTrainedModel) -> PrefixTree:
        """The tree that `model` can read."""
        return self.tree if shares_prefixes(model) else self._tree(1)

    def pair_of(self, request: int) -> tuple[Path, MinimalPair]:
        """The first pair that a request is of, and its file."""
        rows = np.concatenate([self.pairs, self.swapped_contexts])
        both = (*self.suite.paradigms, *self.suite.swapped_contexts)
        pairs = [(paradigm.path, pair) for paradigm in both for pair in paradigm.pairs]
        return pairs[int((rows == request).any(axis=1).argmax())]

    def _tree(self, row_tokens: int) -> PrefixTree:
        return build_tree(self.requests.ids, self.requests.starts, self.requests.skips, row_tokens)


def tokenise_suite(tokenizer: PreTrainedTokenizerFast, suite: Suite) -> TokenisedSuite:
    """A suite under one tokenizer; raises `UserError` for a pair of which it leaves no token to score."""
    places: dict[tuple[str, str], int] = {}

    def place(context: str, text: str) -> int:
        return places.setdefault((context, DELIMITER + text), len(places))

    def places_of(paradigms: Sequence[Paradigm]) -> np.ndarray:
        pairs = [pair for paradigm in paradigms for pair in paradigm.pairs]
        both = [(place(pair.good_context, pair.good), place(pair.bad_context, pair.bad)) for pair in pairs]
        return np.array(both, dtype=np.int64).reshape(-1, 2)

    pairs, swapped_contexts = places_of(suite.paradigms), places_of(suite.swapped_contexts)
    tokenised = TokenisedSuite(suite, encode_requests(tokenizer, list(places)), pairs, swapped_contexts)
    if empty := tokenised.requests.empty:
        (path, pair), before, text = tokenised.pair_of(empty[0]), *list(places)[empty[0]]
        raise UserError(
            f"{path}, line {pair.line}: the tokenizer leaves no token to score of {text!r} after {before!r}; change "
            "the text or evaluate a model with another tokenizer"
        )
    return tokenised


def evaluate(
    model: PreTrainedModel,
    tokenised: Sequence[TokenisedSuite],
    *,
    progress: Progress | None = None,
    greedy: bool = False,
) -> SuiteResults:
    """Score one model, where it is, on suites tokenised with its own tokenizer.

    `progress` gets (texts done, texts) of all suites together. With `greedy` the results also say of each text whether
    the model would have written it (`MinimalPairResults`).

    Raises:
        UserError: for a text longer than the model's positions, or a tokenizer that is not the model's.
    """
    total = sum(len(suite.requests.ids) for suite in tokenised)
    done, results = 0, []
    for suite in tokenised:
        report = None if progress is None else _shifted(progress, done, total)
        results.append(evaluate_suite(model, suite, progress=report, greedy=greedy))
        done += len(suite.requests.ids)
    return SuiteResults(tuple(suite.suite for suite in tokenised), tuple(results))


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def evaluate_suite(
    model: PreTrainedModel,
    suite: TokenisedSuite,
    *,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    greedy: bool = False,
) -> MinimalPairResults:
    """One suite as of `evaluate`; `batch_tokens` is as in `score_tree`, `seconds` of the results are those of scoring.

    Raises:
        UserError: as `evaluate`.
    """
    started = time.perf_counter()
    _check_fit(model, suite)
    written = np.zeros(len(suite.requests.ids), dtype=bool) if greedy else None
    scores = score_tree(model, suite.tree_for(model), batch_tokens=batch_tokens, progress=progress, greedy=written)
    other = suite.suite.swapped_contexts
    swapped = _results(other, suite.swapped_contexts, scores, written) if other else None
    results = _results(suite.suite.paradigms, suite.pairs, scores, written)
    return replace(results, swapped_contexts=swapped, seconds=time.perf_counter() - started)


def _results(
    paradigms: Sequence[Paradigm], pairs: np.ndarray, scores: np.ndarray, written: np.ndarray | None
) -> MinimalPairResults:
    ends = np.cumsum([len(paradigm.pairs) for paradigm in paradigms])
    counted = []
    for paradigm, values in zip(paradigms, np.split(scores[pairs], ends[:-1]), strict=True):
        good, bad = values.T
        correct, ties = int((good >= bad).sum()), int((good == bad).sum())
        counted.append(ParadigmResult(paradigm.uid, paradigm.term, len(paradigm.pairs), correct, ties))
    return MinimalPairResults(tuple(counted), 0.0, scores[pairs], None if written is None else written[pairs])


def _check_fit(model: PreTrainedModel, suite: TokenisedSuite) -> None:
    """Raise `UserError` for ids outside the model's vocabulary and texts longer than its positions."""
    check_vocabulary(model, suite.requests.highest_id)
    check_length(suite, position_limit(model.config.to_dict()), "evaluate a model with more positions")


def check_length(suite: TokenisedSuite, limit: int | None, fix: str) -> None:
    """Raise `UserError` with the first text longer than `limit` tokens (None: any length will do); `fix` is what helps
    besides removing the pairs."""
    # A model reads <s> and all tokens but the last, which is only predicted: as many positions as tokens.
    requests = suite.requests
    if limit is None or requests.longest <= limit:
        return
    lengths = np.array([len(ids) for ids in requests.ids])
    too_long = np.flatnonzero((lengths[suite.pairs] > limit).any(axis=1))
    longest = suite.pairs[too_long[0]][lengths[suite.pairs[too_long[0]]].argmax()]
    path, pair = suite.pair_of(int(longest))
    pairs = "the pair" if len(too_long) == 1 else f"the {len(too_long):,} pairs that are too long"
    raise UserError(
        f"{path}, line {pair.line}: a sentence of {plural(lengths[longest], 'token')}, but the model has "
        f"{plural(limit, 'position')}; remove {pairs} or {fix}"
    )
