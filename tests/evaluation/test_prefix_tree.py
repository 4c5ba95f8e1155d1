import random

import numpy as np
import pytest

from palenka_tune.evaluation.prefix_tree import ROW_TOKENS, PrefixTree, build_tree

RANDOM = random.Random(9)
# Few different tokens, so that sentences share beginnings, repeat, and are beginnings of one another.
SENTENCES = [[RANDOM.randrange(3) for _ in range(RANDOM.randrange(9))] for _ in range(300)] + [[1] * 40, [1] * 41]


def tree_of(sentences: list[list[int]], row_tokens: int = ROW_TOKENS) -> PrefixTree:
    """Without context, after the start token 7."""
    return build_tree(sentences, np.full(len(sentences), 7), np.zeros(len(sentences), dtype=np.int64), row_tokens)


def ancestors(tree: PrefixTree, node: int) -> list[int]:
    """The nodes of its row that `node` may attend to, from the range rule alone."""
    start = max(first for first in tree.rows.tolist() if first <= node)
    return [other for other in range(start, node + 1) if node - start < tree.ends[other]]


@pytest.mark.parametrize("row_tokens", [1, 7, 64, 10_000])
def test_each_prediction_sees_its_prefix_and_nothing_else(row_tokens: int) -> None:
    tree = tree_of(SENTENCES, row_tokens)
    seen = [[int(tree.tokens[other]) for other in ancestors(tree, node)] for node in range(len(tree.tokens))]
    assert [len(prefix) - 1 for prefix in seen] == tree.depths.tolist()
    for number, sentence in enumerate(SENTENCES):
        predictions = tree.predictions[tree.owners == number]
        prefixes = [seen[node] for node in tree.nodes[predictions]]
        assert tree.targets[predictions].tolist() == sentence
        assert prefixes == [[7, *sentence[:length]] for length in range(len(sentence))]


@pytest.mark.parametrize("row_tokens", [1, 7, 64, 10_000])
def test_contexts_are_read_and_not_counted_and_start_tokens_may_differ(row_tokens: int) -> None:
    starts = np.array([7 + number % 3 for number in range(len(SENTENCES))])
    skips = np.array([min(len(sentence), number % 4) for number, sentence in enumerate(SENTENCES)])
    tree = build_tree(SENTENCES, starts, skips, row_tokens)
    seen = [[int(tree.tokens[other]) for other in ancestors(tree, node)] for node in range(len(tree.tokens))]
    assert [len(prefix) - 1 for prefix in seen] == tree.depths.tolist()
    for number, (sentence, start, skip) in enumerate(zip(SENTENCES, starts.tolist(), skips.tolist(), strict=True)):
        predictions = tree.predictions[tree.owners == number]
        assert tree.targets[predictions].tolist() == sentence[skip:]
        prefixes = [seen[node] for node in tree.nodes[predictions]]
        assert prefixes == [[start, *sentence[:length]] for length in range(skip, len(sentence))]
    if row_tokens == 10_000:  # one row holds all three beginnings
        assert len(tree.tokens) == sum(
            len(
                {
                    tuple(s[:n])
                    for s, start in zip(SENTENCES, starts, strict=True)
                    if start == each
                    for n in range(len(s))
                }
            )
            for each in (7, 8, 9)
        )


def test_within_a_row_no_prefix_and_no_prediction_occurs_twice() -> None:
    tree = tree_of(SENTENCES, 10_000)
    prefixes = {tuple(s[:n]) for s in SENTENCES for n in range(len(s))}
    predictions = {tuple(s[: n + 1]) for s in SENTENCES for n in range(len(s))}
    assert (len(tree.rows), len(tree.tokens), len(tree.nodes)) == (2, len(prefixes), len(predictions))


def test_rows_are_longest_first_within_their_limit_and_hold_every_sentence() -> None:
    tree = tree_of(SENTENCES, 20)
    lengths = np.diff(tree.rows)
    assert lengths[:2].tolist() == [41, 40]  # a sentence longer than a row has one of its own
    assert lengths[2] <= 20
    assert (np.diff(lengths) <= 0).all()
    assert len(lengths) > 10
    assert tree.row_sentences.sum() == len(SENTENCES)
    assert (np.diff(tree.nodes) >= 0).all()


def test_sums_are_per_sentence_in_the_order_given() -> None:
    tree = tree_of(SENTENCES)
    np.testing.assert_array_equal(tree.sums(np.ones(len(tree.nodes))), [len(sentence) for sentence in SENTENCES])
    np.testing.assert_array_equal(tree.sums(tree.targets), [sum(sentence) for sentence in SENTENCES])


@pytest.mark.parametrize("sentences", [[], [[]], [[], [], []]])
def test_nothing_to_read(sentences: list[list[int]]) -> None:
    tree = tree_of(sentences)
    assert len(tree.tokens) == len(tree.nodes) == 0
    np.testing.assert_array_equal(tree.sums(np.zeros(0)), np.zeros(len(sentences)))
