import math
import random

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedModel

from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.prefix_tree import build_tree
from palenka_tune.evaluation.scoring import evaluating, score_tree, shares_prefixes
from tests.support.sentences import score_sentences

RANDOM = random.Random(4)
SENTENCES = [[RANDOM.randrange(3, 320) for _ in range(RANDOM.choice([1, 2, 5, 9, 14, 30, 64]))] for _ in range(40)]
SENTENCES += [
    [*SENTENCES[n][: RANDOM.randrange(1, 30)], *SENTENCES[n + 1]][:64] for n in range(20)
]  # shared beginnings


def slow_score(model: PreTrainedModel, sentence: list[int]) -> float:
    """One sentence, one token at a time, in float64."""
    total = 0.0
    for position, token in enumerate(sentence):
        with torch.no_grad():
            logits = model(torch.tensor([[1, *sentence[:position]]])).logits[0, -1].double()
        total += float(logits[token] - torch.logsumexp(logits, 0))
    return total


def test_batched_scores_equal_a_loop_over_single_sentences(model: PreTrainedModel) -> None:
    scores = score_sentences(model, SENTENCES)
    assert scores.dtype == np.float64
    reference = model.double().eval()
    expected = [slow_score(reference, sentence) for sentence in SENTENCES]
    assert np.std([score / len(sentence) for score, sentence in zip(expected, SENTENCES, strict=True)]) > 0.1
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_shared_beginnings_change_nothing(model: PreTrainedModel, attention: str) -> None:
    model.set_attn_implementation(attention)
    assert shares_prefixes(model)
    starts, skips = np.ones(len(SENTENCES), dtype=np.int64), np.zeros(len(SENTENCES), dtype=np.int64)
    alone = score_tree(model, build_tree(SENTENCES, starts, skips, row_tokens=1))
    for row_tokens in (10, 64, 1000):
        shared = score_tree(model, build_tree(SENTENCES, starts, skips, row_tokens))
        np.testing.assert_allclose(shared, alone, rtol=0, atol=1e-4)


def test_an_unknown_architecture_is_read_sentence_by_sentence() -> None:
    torch.manual_seed(3)
    config = GPTNeoXConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    model = GPTNeoXForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    assert not shares_prefixes(model)
    scores = score_sentences(model, SENTENCES)
    reference = model.double().eval()
    np.testing.assert_allclose(scores, [slow_score(reference, sentence) for sentence in SENTENCES], rtol=0, atol=1e-3)


def test_repeated_sentences_score_exactly_alike(model: PreTrainedModel) -> None:
    scores = score_sentences(model, SENTENCES[:20] * 2)
    np.testing.assert_array_equal(scores[:20], scores[20:])


def test_the_batch_size_does_not_change_the_scores(model: PreTrainedModel) -> None:
    one_by_one = score_sentences(model, SENTENCES, batch_tokens=1)
    for batch_tokens in (7, 100, 100_000):
        scores = score_sentences(model, SENTENCES, batch_tokens=batch_tokens)
        np.testing.assert_allclose(scores, one_by_one, rtol=0, atol=1e-4)
    # Nothing read from the padding: another padding id, the same scores.
    np.testing.assert_array_equal(
        score_sentences(model, SENTENCES, batch_tokens=100, pad_id=0),
        score_sentences(model, SENTENCES, batch_tokens=100, pad_id=200),
    )


def test_contexts_start_tokens_and_greedy_equal_a_loop(model: PreTrainedModel) -> None:
    starts = np.array([1 + number % 2 for number in range(len(SENTENCES))])
    skips = np.array([min(len(sentence) - 1, number % 5) for number, sentence in enumerate(SENTENCES)])
    greedy = np.zeros(len(SENTENCES), dtype=bool)
    scores = score_tree(model, build_tree(SENTENCES, starts, skips), greedy=greedy)
    model.eval()
    written, expected = [], []
    for sentence, start, skip in zip(SENTENCES, starts.tolist(), skips.tolist(), strict=True):
        with torch.no_grad():
            log_p = torch.log_softmax(model(torch.tensor([[start, *sentence]])).logits[0, :-1].double(), -1)
        counted = range(skip, len(sentence))
        expected.append(sum(float(log_p[place, sentence[place]]) for place in counted))
        written.append(all(int(log_p[place].argmax()) == sentence[place] for place in counted))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    assert greedy.tolist() == written


def test_greedy_texts_are_found(model: PreTrainedModel) -> None:
    model.eval()
    sentence: list[int] = []
    for _ in range(6):
        with torch.no_grad():
            sentence.append(int(model(torch.tensor([[1, *sentence]])).logits[0, -1].argmax()))
    other = [*sentence[:-1], (sentence[-1] + 1) % 320]
    greedy = np.zeros(2, dtype=bool)
    score_sentences(model, [sentence, other], greedy=greedy)
    assert greedy.tolist() == [True, False]


def test_a_uniform_model_gives_every_token_log_v(uniform_model: PreTrainedModel) -> None:
    scores = score_sentences(uniform_model, [[5, 6, 7], [9], [], [8, 8]])
    np.testing.assert_allclose(scores, [-n * math.log(320) for n in (3, 1, 0, 2)], rtol=1e-6)


def test_an_evaluated_model_computes_the_same_and_is_left_as_it_was(model: PreTrainedModel) -> None:
    layer, other = model.get_output_embeddings(), model.get_input_embeddings()
    theirs = layer.forward = lambda inputs: type(layer).forward(layer, inputs)
    ids = torch.arange(3, 51).reshape(3, 16)
    expected = model.eval()(ids).logits.detach()
    with evaluating(model):
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-5, atol=1e-4)
    assert [module for module in model.modules() if "forward" in vars(module)] == [layer]
    assert layer.forward is theirs
    model(ids).logits.sum().backward()
    assert other.weight.grad is not None


def test_progress_and_mode(model: PreTrainedModel) -> None:
    calls: list[tuple[int, int]] = []
    model.train()
    score_sentences(model, SENTENCES, batch_tokens=200, progress=lambda *call: calls.append(call))
    assert model.training
    assert calls[-1] == (60, 60)
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_diverged_model_is_not_scored_as_wrong(model: PreTrainedModel) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(PalenkaError, match="60 of 60 sentences have a log-probability that is not a finite number"):
        score_sentences(model, SENTENCES)
