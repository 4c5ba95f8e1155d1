"""Minimal pairs: does a language model find the acceptable text more probable than its unacceptable twin?

In: a model, its tokenizer, a suite (`suite.Suite`). Out: accuracy per paradigm and over the suite
(`evaluation.results`). A text's score is the summed log-probability of all its tokens after its context, which for
BLiMP is the start token alone; a pair is right if the acceptable text scores at least as high. Equal scores are thus
right, as in lm-evaluation-harness, which takes the first of equals; they are counted, and BLiMP has seven pairs whose
two sentences are the same.

Several models with one tokenizer share the reading and tokenising: `tokenise_suite` once, `evaluate_suite` for each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.errors import UserError
from palenka_tune.evaluation.prefix_tree import ROW_TOKENS, PrefixTree, build_tree
from palenka_tune.evaluation.requests import EncodedRequests, encode_requests
from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult
from palenka_tune.evaluation.scoring import Progress, score_tree, shares_prefixes
from palenka_tune.evaluation.suite import Paradigm, Suite, read_suite

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

    def _tree(self, row_tokens: int) -> PrefixTree:
        requests = self.requests
        return build_tree(requests.ids, row_tokens, starts=requests.starts, skips=requests.skips)


def tokenise_suite(tokenizer: PreTrainedTokenizerFast, suite: Suite | Sequence[Paradigm]) -> TokenisedSuite:
    """Tokenise a suite, or what `read_suite` read.

    Raises:
        UserError: if the tokenizer has no start token.
    """
    if not isinstance(suite, Suite):
        suite = Suite("minimal_pairs", tuple(suite))
    places: dict[tuple[str, str], int] = {}
    both = [
        np.array(
            [
                [
                    places.setdefault((context, DELIMITER + text), len(places))
                    for context, text in ((pair.good_context, pair.good), (pair.bad_context, pair.bad))
                ]
                for paradigm in paradigms
                for pair in paradigm.pairs
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        for paradigms in (suite.paradigms, suite.swapped_contexts)
    ]
    return TokenisedSuite(suite, encode_requests(tokenizer, list(places)), *both)


def evaluate_minimal_pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: str | Path,
    *,
    device: str | torch.device | None = None,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> MinimalPairResults:
    """Accuracy of `model` on the suite in `folder`.

    `device` moves the model there first (None: where it is); `batch_tokens` bounds the tokens per forward pass (None:
    chosen by device; it does not change the result); `progress` gets (texts done, texts).

    Raises:
        UserError: for a suite that cannot be read as meant (`suite.read_suite`), a sentence longer than the model's
            positions, or a tokenizer that is not the model's.
    """
    started = time.perf_counter()
    suite = tokenise_suite(tokenizer, read_suite(folder))
    if device is not None:
        model.to(device)
    results = evaluate_suite(model, suite, batch_tokens=batch_tokens, progress=progress)
    return replace(results, seconds=time.perf_counter() - started)


def evaluate_suite(
    model: PreTrainedModel,
    suite: TokenisedSuite,
    *,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    greedy: bool = False,
) -> MinimalPairResults:
    """Accuracy of `model` on a suite tokenised with its own tokenizer; `seconds` are those of scoring alone.

    With `greedy` the results also say of each text whether the model would have written it (`MinimalPairResults`).

    Raises:
        UserError: for a sentence longer than the model's positions, or a tokenizer that is not the model's.
    """
    started = time.perf_counter()
    _check_fit(model, suite)
    written = np.zeros(len(suite.requests.ids), dtype=bool) if greedy else None
    scores = score_tree(
        model, suite.tree_for(model), bos_id=0, batch_tokens=batch_tokens, progress=progress, greedy=written
    )
    results = _results(suite.suite.paradigms, suite.pairs, scores, written)
    if suite.suite.swapped_contexts:
        results = replace(
            results, swapped_contexts=_results(suite.suite.swapped_contexts, suite.swapped_contexts, scores, written)
        )
    return replace(results, seconds=time.perf_counter() - started)


def score_suite(
    model: PreTrainedModel,
    suite: TokenisedSuite,
    *,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Log-probabilities in nats, (pairs, 2) for each paradigm: the good text's and the bad one's."""
    scores = evaluate_suite(model, suite, batch_tokens=batch_tokens, progress=progress).scores
    return _by_paradigm(suite.suite.paradigms, scores)


def _results(
    paradigms: Sequence[Paradigm], pairs: np.ndarray, scores: np.ndarray, written: np.ndarray | None
) -> MinimalPairResults:
    counted = tuple(
        ParadigmResult(
            uid=paradigm.uid,
            term=paradigm.term,
            pairs=len(paradigm.pairs),
            correct=int((found[:, 0] >= found[:, 1]).sum()),
            ties=int((found[:, 0] == found[:, 1]).sum()),
        )
        for paradigm, found in zip(paradigms, _by_paradigm(paradigms, scores[pairs]), strict=True)
    )
    return MinimalPairResults(counted, 0.0, scores[pairs], None if written is None else written[pairs])


def _by_paradigm(paradigms: Sequence[Paradigm], values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum([len(paradigm.pairs) for paradigm in paradigms])[:-1])


def _check_fit(model: PreTrainedModel, suite: TokenisedSuite) -> None:
    """Raise `UserError` for ids outside the model's vocabulary and texts longer than its positions."""
    highest, requests = suite.requests.highest_id, suite.requests
    if highest >= model.config.vocab_size:
        raise UserError(
            f"the tokenizer gives token id {highest} but the model's vocabulary has {model.config.vocab_size} "
            "tokens; evaluate a model with the tokenizer that it was trained with"
        )
    # The model reads <s> and all tokens but the last, which is only predicted: as many positions as tokens.
    limit = int(model.config.max_position_embeddings)
    if requests.longest <= limit:
        return
    every_pair = [(paradigm.path, pair.line) for paradigm in suite.suite.paradigms for pair in paradigm.pairs]
    for (path, line), places in zip(every_pair, suite.pairs, strict=True):
        length = max(len(requests.ids[place]) for place in places)
        if length > limit:
            raise UserError(
                f"{path}, line {line}: a sentence of {length} tokens, but the model has {limit} positions; remove the "
                "pair or evaluate a model with more positions"
            )
