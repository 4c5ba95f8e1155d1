"""Minimal pairs: does a language model find the acceptable sentence more probable than its unacceptable twin?

In: a model, its tokenizer, a folder in BLiMP's format. Out: accuracy per paradigm and over the suite
(`evaluation.results`). A sentence's score is the summed log-probability of all its tokens after `<s>`; a pair is
correct if the good sentence scores strictly higher. Ties are wrong and are counted: BLiMP has seven pairs whose two
sentences are the same. (lm-evaluation-harness 0.4 takes the first of two equal scores, which is the good sentence's,
and so counts a tie as right.)

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
from palenka_tune.evaluation.prefix_tree import PrefixTree, build_tree
from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult
from palenka_tune.evaluation.scoring import Progress, score_tree, shares_prefixes
from palenka_tune.evaluation.suite import Paradigm, read_suite


@dataclass(frozen=True)
class TokenisedSuite:
    """A suite under one tokenizer, for any number of models: each distinct sentence once, as `ids` without `<s>`.

    `pairs` (pairs, 2) are the places in `ids` of good and bad sentence, paradigm after paradigm.
    """

    paradigms: tuple[Paradigm, ...]
    ids: tuple[list[int], ...]
    pairs: np.ndarray
    bos_id: int

    @cached_property
    def tree(self) -> PrefixTree:
        """The sentences for models that read shared beginnings once."""
        return build_tree(self.ids)

    @cached_property
    def highest_id(self) -> int:
        """The largest token id."""
        return max((max(sentence) for sentence in self.ids if sentence), default=0)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sentence."""
        return max(map(len, self.ids), default=0)


def tokenise_suite(tokenizer: PreTrainedTokenizerFast, paradigms: Sequence[Paradigm]) -> TokenisedSuite:
    """Tokenise what `read_suite` read; a sentence that occurs more than once is kept once.

    Raises:
        UserError: if the tokenizer has no start token.
    """
    if tokenizer.bos_token_id is None:
        raise UserError("the tokenizer has no start token (bos_token); sentences are scored after it, so give it one")
    places: dict[str, int] = {}
    pairs = [
        [places.setdefault(text, len(places)) for text in (pair.good, pair.bad)]
        for paradigm in paradigms
        for pair in paradigm.pairs
    ]
    ids = tuple(tokenize(tokenizer, list(places)))
    return TokenisedSuite(tuple(paradigms), ids, np.array(pairs, dtype=np.int64), int(tokenizer.bos_token_id))


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
    chosen by device; it does not change the result); `progress` gets (sentences done, sentences).

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
) -> MinimalPairResults:
    """Accuracy of `model` on a suite tokenised with its own tokenizer; `seconds` are those of scoring alone.

    Raises:
        UserError: for a sentence longer than the model's positions, or a tokenizer that is not the model's.
    """
    started = time.perf_counter()
    scores = score_suite(model, suite, batch_tokens=batch_tokens, progress=progress)
    results = tuple(
        ParadigmResult(
            uid=paradigm.uid,
            term=paradigm.term,
            pairs=len(paradigm.pairs),
            correct=int((pair_scores[:, 0] > pair_scores[:, 1]).sum()),
            ties=int((pair_scores[:, 0] == pair_scores[:, 1]).sum()),
        )
        for paradigm, pair_scores in zip(suite.paradigms, scores, strict=True)
    )
    return MinimalPairResults(paradigms=results, seconds=time.perf_counter() - started)


def score_suite(
    model: PreTrainedModel,
    suite: TokenisedSuite,
    *,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Log-probabilities in nats, (pairs, 2) for each paradigm: the good sentence's and the bad one's."""
    _check_fit(model, suite)
    tree = suite.tree if shares_prefixes(model) else build_tree(suite.ids, row_tokens=1)
    scores = score_tree(model, tree, bos_id=suite.bos_id, batch_tokens=batch_tokens, progress=progress)
    return np.split(scores[suite.pairs], np.cumsum([len(paradigm.pairs) for paradigm in suite.paradigms])[:-1])


def tokenize(tokenizer: PreTrainedTokenizerFast, sentences: Sequence[str]) -> list[list[int]]:
    """Token ids without special tokens, from the Rust tokenizer itself (three times as fast as the call around it)."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()  # an earlier call may have left these on
    backend.no_truncation()
    return [encoding.ids for encoding in backend.encode_batch_fast(list(sentences), add_special_tokens=False)]


def _check_fit(model: PreTrainedModel, suite: TokenisedSuite) -> None:
    """Raise `UserError` for ids outside the model's vocabulary and sentences longer than its positions."""
    if suite.highest_id >= model.config.vocab_size:
        raise UserError(
            f"the tokenizer gives token id {suite.highest_id} but the model's vocabulary has {model.config.vocab_size} "
            "tokens; evaluate a model with the tokenizer that it was trained with"
        )
    # The model reads <s> and all tokens but the last, which is only predicted: as many positions as tokens.
    limit = int(model.config.max_position_embeddings)
    if suite.longest <= limit:
        return
    every_pair = ((paradigm.path, pair.line) for paradigm in suite.paradigms for pair in paradigm.pairs)
    for (path, line), places in zip(every_pair, suite.pairs, strict=True):
        length = max(len(suite.ids[place]) for place in places)
        if length > limit:
            raise UserError(
                f"{path}, line {line}: a sentence of {length} tokens, but the model has {limit} positions; remove the "
                "pair or evaluate a model with more positions"
            )
