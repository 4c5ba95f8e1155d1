import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.errors import UserError
from palenka_tune.evaluation.blimp import read_blimp
from palenka_tune.evaluation.minimal_pairs import TokenisedSuite, evaluate_suite, tokenise_suite


def write_suite(folder: Path, paradigms: dict[str, list[tuple[str, str]]]) -> Path:
    folder.mkdir(exist_ok=True)
    for uid, pairs in paradigms.items():
        lines = [json.dumps({"sentence_good": good, "sentence_bad": bad}) for good, bad in pairs]
        (folder / f"{uid}.jsonl").write_text("\n".join(lines))
    return folder


def open_suite(tokenizer: PreTrainedTokenizerFast, folder: Path) -> TokenisedSuite:
    return tokenise_suite(tokenizer, read_blimp(folder))


def slow_log_probability(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sentence: str) -> float:
    ids = torch.tensor([[1, *tokenizer(sentence, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        log_p = torch.log_softmax(model(ids[:, :-1]).logits.double(), -1)[0]
    return float(sum(log_p[position, token] for position, token in enumerate(ids[0, 1:])))


def test_blimp_predictions_equal_a_slow_reference(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, blimp: Path, tmp_path: Path
) -> None:
    for uid in ("passive_1", "anaphor_number_agreement", "wh_island"):
        lines = (blimp / f"{uid}.jsonl").read_text().splitlines()
        tied = [line for line in lines if json.loads(line)["sentence_good"] == json.loads(line)["sentence_bad"]]
        (tmp_path / f"{uid}.jsonl").write_text("\n".join(lines[:50] + tied))
    results = evaluate_suite(model, open_suite(tokenizer, tmp_path))
    scores = np.split(results.scores, np.cumsum([result.pairs for result in results.paradigms])[:-1])

    reference = model.double().eval()
    correct_somewhere = wrong_somewhere = 0
    for paradigm, pair_scores, result in zip(read_blimp(tmp_path).paradigms, scores, results.paradigms, strict=True):
        expected = np.array(
            [
                [slow_log_probability(reference, tokenizer, text) for text in (pair.good, pair.bad)]
                for pair in paradigm.pairs
            ]
        )
        np.testing.assert_allclose(pair_scores, expected, rtol=1e-5)
        predictions = expected[:, 0] >= expected[:, 1]
        assert (pair_scores[:, 0] >= pair_scores[:, 1]).tolist() == predictions.tolist()
        assert (result.uid, result.pairs, result.correct) == (paradigm.uid, len(predictions), predictions.sum())
        correct_somewhere += result.correct
        wrong_somewhere += result.pairs - result.correct
    assert [result.ties for result in results.paradigms] == [0, 2, 0]
    assert correct_somewhere > 10
    assert wrong_somewhere > 10


def test_batch_size_changes_nothing(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "s", {"a": [("The cats run.", "The cats runs."), ("Who?", "He is a happy, happy man.")] * 5}
    )
    first, *others = (
        evaluate_suite(model, open_suite(tokenizer, suite), batch_tokens=tokens).paradigms for tokens in (None, 1, 64)
    )
    assert others == [first, first]


def test_shorter_sentences_win_under_a_uniform_model_and_ties_are_right(
    uniform_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    suite = write_suite(
        tmp_path / "s",
        {
            "length": [("a b c", "a b c d"), ("a b c d", "a b c"), ("x", "x y")],
            "tie": [("a b c", "c b a"), ("the same", "the same")],
        },
    )
    results = evaluate_suite(uniform_model, open_suite(tokenizer, suite))
    length, tie = results.paradigms
    assert (length.correct, length.ties, length.pairs) == (2, 0, 3)
    assert (tie.correct, tie.ties, tie.pairs) == (2, 2, 2)
    assert results.accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert results.pair_weighted_accuracy == pytest.approx(4 / 5)
    assert results.correct.tolist() == [True, False, True, True, True]
    assert results.seconds > 0


def test_a_tokenised_suite_serves_several_models(
    model: PreTrainedModel, uniform_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = write_suite(
        tmp_path / "s", {"b": [("a b c", "a b c d"), ("same", "same")], "a": [("The cats.", "The cat.")] * 3}
    )
    suite = open_suite(tokenizer, folder)
    assert len(suite.requests.ids) == 5
    for each in (model, uniform_model, model):
        assert evaluate_suite(each, suite).paradigms == evaluate_suite(each, open_suite(tokenizer, folder)).paradigms
    assert [(p.uid, p.pairs, p.ties) for p in evaluate_suite(model, suite).paradigms] == [("a", 3, 0), ("b", 2, 1)]


def test_every_sentence_is_scored_once(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path / "s", {"a": [("one", "two"), ("two", "three")], "b": [("one", "three")]})
    calls: list[tuple[int, int]] = []
    evaluate_suite(model, open_suite(tokenizer, suite), progress=lambda *call: calls.append(call))
    assert calls[-1] == (3, 3)


def test_padding_and_truncation_of_an_earlier_call_do_not_leak_in(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path / "s", {"a": [("The cats are happy about it.", "Yes.")]})
    expected = evaluate_suite(model, open_suite(tokenizer, suite)).scores
    tokenizer(["The dogs were not", "No"], padding=True, truncation=True, max_length=2)
    np.testing.assert_array_equal(evaluate_suite(model, open_suite(tokenizer, suite)).scores, expected)


def test_a_sentence_beyond_the_positions_names_file_line_and_lengths(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    fits, too_long = "x" * 255, "x" * 256  # a token each, after the token of the prefixed space
    assert len(tokenizer(too_long)["input_ids"]) == 257
    suite = write_suite(tmp_path / "s", {"a": [("short", "shorter"), (fits, "short")]})
    evaluate_suite(model, open_suite(tokenizer, suite))
    write_suite(suite, {"b": [("short", "shorter"), ("short", too_long)]})
    with pytest.raises(UserError, match=r"b\.jsonl, line 2: a sentence of 257 tokens, but the model has 256 positions"):
        evaluate_suite(model, open_suite(tokenizer, suite))


def test_another_models_tokenizer_is_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path / "s", {"a": [("The cats", "The dogs")]})
    model.config.vocab_size = 100
    with pytest.raises(UserError, match="but the model's vocabulary has 100 tokens"):
        evaluate_suite(model, open_suite(tokenizer, suite))
    without_start = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    one_token = write_suite(tmp_path / "one", {"a": [("The cats", "The dogs"), ("The cats", "a")]})
    with pytest.raises(UserError, match=r"a.jsonl, line 2: the tokenizer leaves no token to score of ' a' after ''"):
        open_suite(without_start, one_token)
