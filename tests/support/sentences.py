"""Sentences of token ids, scored as those of a suite are: through the tree that the product chooses for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from palenka_tune.evaluation.encoding import EncodedRequests
from palenka_tune.evaluation.minimal_pairs import TokenisedSuite
from palenka_tune.evaluation.scoring import score_tree
from palenka_tune.evaluation.suite import Suite

NO_PAIRS = np.empty((0, 2), dtype=np.int64)


def score_sentences(model: PreTrainedModel, sentences: Sequence[list[int]], start: int = 1, **more: Any) -> np.ndarray:
    """Summed log-probabilities (sentences,) after the start token, without context."""
    starts, skips = np.full(len(sentences), start), np.zeros(len(sentences), dtype=np.int64)
    requests = EncodedRequests(tuple(sentences), starts, skips)
    tree = TokenisedSuite(Suite("sentences", ()), requests, NO_PAIRS, NO_PAIRS).tree_for(model)
    return score_tree(model, tree, **more)
