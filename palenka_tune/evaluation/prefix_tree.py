"""Sentences as a tree of prefixes, so that a language model reads what they share once.

A `PrefixTree` has rows of nodes for the model to read, and for every token of every sentence the prediction that gives
its probability. A node is a prefix `<s> x_1 ... x_d` of depth d and reads its last token; a prediction is a node with
one token that follows it. Minimal pairs share most of their words, the sentences of a paradigm many of their
beginnings: in BLiMP four tokens of ten need not be read. Where a sentence has a context, its first tokens are read but
their predictions do not count, and sentences may start from other tokens than `<s>`.

Sentences are sorted by their tokens and cut into rows of about `row_tokens` nodes. Each row is a tree of its own with
its nodes in preorder, so a node's subtree is the range from the node to its `end`, and node a may attend to node b if
b <= a < end_b. With `row_tokens=1` each row is one sentence (or several that are read alike), which needs no other mask
than the causal one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROW_TOKENS = 64
"""Longer rows share more, but attention looks at all pairs of a row; measured on a CPU with widths of 64 to 160."""


@dataclass(frozen=True)
class PrefixTree:
    """Rows, longest first, of nodes in preorder; predictions by node; sentences in the tree's own order.

    Per node: `tokens` (the id that it reads), `depths`, `ends` (where in its row its subtree ends). Row r holds nodes
    `rows[r]` to `rows[r + 1]` and completes `row_sentences[r]` sentences.
    Prediction e asks node `nodes[e]` for token `targets[e]`; `nodes` ascends. `predictions` names, for one sentence of
    the tree after another, the prediction of each token that counts, and `owners` the sentence, by its place among the
    `sentences` given.
    """

    tokens: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    row_sentences: np.ndarray
    nodes: np.ndarray
    targets: np.ndarray
    predictions: np.ndarray
    owners: np.ndarray
    sentences: int

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum over each sentence's tokens that count (sentences,) float64 of `values`, one per prediction."""
        return np.bincount(self.owners, weights=values[self.predictions], minlength=self.sentences)


def build_tree(
    sentences: Sequence[Sequence[int]], starts: np.ndarray, skips: np.ndarray, row_tokens: int = ROW_TOKENS
) -> PrefixTree:
    """The tree of `sentences` (without start token; empty ones and repetitions are allowed).

    `starts` (sentences,) are their start tokens; `skips` (sentences,) says how many of their first tokens are context,
    which is read and not counted. A row has at most `row_tokens` nodes, unless a single sentence is longer.
    """
    starting = starts.tolist()
    order = np.array(sorted(range(len(sentences)), key=lambda i: (starting[i], list(sentences[i]))), dtype=np.int64)
    lengths = np.array([len(sentences[i]) for i in order], dtype=np.int64)
    in_order = itertools.chain.from_iterable(sentences[i] for i in order)
    flat = np.fromiter(in_order, dtype=np.int64, count=lengths.sum())
    shared = _shared_with_previous(flat, lengths)
    shared[1:][np.diff(starts[order]) != 0] = -1  # not even the start token
    row = _cut(lengths, shared, row_tokens)
    first = np.diff(row, prepend=-1) > 0
    shared[first] = 0
    # A sentence of n tokens reads depths 0 to n - 1 and has read in common with its predecessor those up to `shared`,
    # as far as that one went.
    fresh = np.where(first, 0, np.minimum(shared, np.roll(lengths, 1) - 1) + 1)
    shared = np.maximum(shared, 0)

    row_nodes = np.bincount(row, weights=lengths - fresh).astype(np.int64)
    place = np.argsort(-row_nodes, kind="stable")  # the largest batch first: too little memory shows at once
    rank = np.empty_like(place)
    rank[place] = np.arange(len(place))
    moved = np.argsort(rank[row], kind="stable")
    flat = flat[_ranges(_starts(lengths)[moved], lengths[moved])]
    order, lengths, shared, fresh = order[moved], lengths[moved], shared[moved], fresh[moved]

    node_of_token = _inherit(lengths, fresh)
    prediction_of_token = _inherit(lengths, shared)
    depth_of_token = _ranges(np.zeros_like(lengths), lengths)
    before = np.roll(flat, 1)
    before[depth_of_token == 0] = starts[order[lengths > 0]]
    tokens, depths, ends = (np.empty(int((lengths - fresh).sum()), dtype=np.int64) for _ in range(3))
    tokens[node_of_token] = before
    depths[node_of_token] = depth_of_token
    # Of repeated indices the last assignment counts: the last sentence through a node closes its subtree.
    ends[node_of_token] = np.repeat(np.cumsum(lengths - fresh), lengths)
    rows = np.concatenate([[0], np.cumsum(row_nodes[place])])
    ends -= np.repeat(rows[:-1], np.diff(rows))
    nodes, targets = (np.empty(int((lengths - shared).sum()), dtype=np.int64) for _ in range(2))
    nodes[prediction_of_token] = node_of_token
    targets[prediction_of_token] = flat
    by_node = np.argsort(nodes, kind="stable")
    position = np.empty_like(by_node)
    position[by_node] = np.arange(len(by_node))
    predictions, owners = position[prediction_of_token], np.repeat(order, lengths)
    counted = depth_of_token >= skips[owners]
    return PrefixTree(
        tokens=tokens,
        depths=depths,
        ends=ends,
        rows=rows,
        row_sentences=np.bincount(row)[place],
        nodes=nodes[by_node],
        targets=targets[by_node],
        predictions=predictions[counted],
        owners=owners[counted],
        sentences=len(sentences),
    )


def _shared_with_previous(flat: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Tokens that each sentence begins with in common with the one before it; 0 for the first."""
    starts = _starts(lengths)
    shared = np.zeros_like(lengths)
    alike = np.arange(1, len(lengths))
    depth = 0
    while len(alike):
        alike = alike[(lengths[alike] > depth) & (lengths[alike - 1] > depth)]
        alike = alike[flat[starts[alike] + depth] == flat[starts[alike - 1] + depth]]
        depth += 1
        shared[alike] = depth
    return shared


def _cut(lengths: np.ndarray, shared: np.ndarray, row_tokens: int) -> np.ndarray:
    """The row of each sentence: a new one where the next sentence's own nodes would not fit."""
    row, nodes, before = 0, 0, 0
    rows = []
    for length, common in zip(lengths.tolist(), shared.tolist(), strict=True):
        own = length - (min(common, before - 1) + 1)
        if nodes and nodes + own > row_tokens:
            row, nodes, own = row + 1, 0, length
        nodes += own
        rows.append(row)
        before = length
    return np.array(rows, dtype=np.int64)


def _inherit(lengths: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Ids for the tokens of all sentences: from position `own` on new ones, before that those of the sentence before.

    New ids count up from sentence to sentence and token to token, so at each position the highest so far is inherited.
    """
    ids = np.empty(int(lengths.sum()), dtype=np.int64)
    starts, first = _starts(lengths), _starts(lengths - own)
    for depth in range(int(lengths.max(initial=0))):
        reach = np.flatnonzero(lengths > depth)
        new = np.where(own[reach] <= depth, first[reach] + depth - own[reach], 0)
        ids[starts[reach] + depth] = np.maximum.accumulate(new)
    return ids


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Counting up from each start for its length, one after another."""
    return np.repeat(starts - _starts(lengths), lengths) + np.arange(lengths.sum())
