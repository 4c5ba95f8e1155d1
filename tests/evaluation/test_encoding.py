"""Token ids of contexts and continuations, against the rules spelled out, and against lm-evaluation-harness itself."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from palenka_tune.evaluation.encoding import encode_requests, start_note

REQUESTS = [
    ("", " The cats are happy."),
    ("", "The cats are happy."),
    ("", " Who?\nHe is."),
    ("", "<s> The dogs"),
    ("", "<s>The dogs"),
    ("The dogs were not", " happy about the cats."),
    ("The dogs were not ", " happy"),
    ("The dogs were not  \n", "happy"),
    ("Who had", "ed"),
    ("<s> The cats", " think."),
    ("The cats", " are happy."),
    ("Ünï", " cödé 🙂"),
]


def with_specials(tokenizer: PreTrainedTokenizerFast, template: str | None, **tokens: str) -> PreTrainedTokenizerFast:
    """A copy of `tokenizer` that puts special tokens as `template` says."""
    copy = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    if template:
        copy.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=copy, **tokens)


@pytest.fixture(
    params=[
        ("<s> $A", {"bos_token": "<s>", "eos_token": "</s>"}),  # ours
        ("<s> $A </s>", {"bos_token": "<s>", "eos_token": "</s>"}),
        (None, {"bos_token": "</s>", "eos_token": "</s>"}),  # GPT-2's: a start token that it never puts
        (None, {"eos_token": "</s>"}),
    ],
    ids=["bos", "bos and eos", "bare", "eos alone"],
)
def kind(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    template, tokens = request.param
    return with_specials(tokenizer, template, **tokens)


def whole(encoded, number: int) -> tuple[list[int], list[int]]:
    """(context, continuation) of one request."""
    ids = [int(encoded.starts[number]), *encoded.ids[number]]
    cut = int(encoded.skips[number]) + 1
    return ids[:cut], ids[cut:]


def test_the_rules_by_hand(tokenizer: PreTrainedTokenizerFast) -> None:
    ours = with_specials(tokenizer, "<s> $A", bos_token="<s>", eos_token="</s>")
    encoded = encode_requests(ours, REQUESTS)

    def plain(text: str) -> list[int]:
        return ours(text, add_special_tokens=False)["input_ids"]

    assert whole(encoded, 0) == ([1], plain(" The cats are happy."))
    assert whole(encoded, 1) == whole(encoded, 0)  # the tokenizer's prefix space
    assert plain("<s> The dogs")[0] == 1  # the start token spelled out is the context, once
    assert whole(encoded, 3) == ([1], plain("<s> The dogs")[1:])
    together, context = plain("The dogs were not happy about the cats."), plain("The dogs were not")
    assert whole(encoded, 5) == ([1, *context], together[len(context) :])
    moved = plain("The dogs were not  happy")
    assert whole(encoded, 6) == ([1, *context], moved[len(context) :])
    spelled = plain("<s> The cats think.")
    assert whole(encoded, 9) == (plain("<s> The cats"), spelled[len(plain("<s> The cats")) :])
    assert encoded.longest == max(len(ids) for ids in encoded.ids)
    assert encoded.highest_id == max(max(ids) for ids in encoded.ids)


@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness (the extra `bench`) is not installed"
)
def test_the_same_tokens_as_the_harness(kind: PreTrainedTokenizerFast) -> None:
    from lm_eval.models.huggingface import HFLM

    class Encoder(HFLM):
        """The harness's own encoding, without its model."""

        def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
            self.tokenizer, self.backend = tokenizer, "causal"
            self.add_bos_token = self.custom_prefix_token_id = None  # the defaults
            self.enable_thinking = False  # as for models without a chat template

        def _loglikelihood_tokens(self, requests, **_):
            return [(context, continuation) for _, context, continuation in requests]

    theirs = Encoder(kind).loglikelihood([SimpleNamespace(args=request) for request in REQUESTS], disable_tqdm=True)
    encoded = encode_requests(kind, REQUESTS)
    assert [whole(encoded, number) for number in range(len(REQUESTS))] == theirs


def test_without_context_nothing_is_skipped_and_each_text_is_encoded_in_its_place(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    texts = [" one", " two", " one", " three"]
    encoded = encode_requests(tokenizer, [("", text) for text in texts])
    assert encoded.skips.tolist() == [0] * 4
    assert encoded.ids[0] == encoded.ids[2] != encoded.ids[1]
    np.testing.assert_array_equal(encoded.starts, [1] * 4)


def test_what_cannot_be_scored(tokenizer: PreTrainedTokenizerFast) -> None:
    neither = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    assert encode_requests(neither, [("", " a"), ("", " a b")]).empty == [0]
    assert encode_requests(neither, [("The cats", " run."), ("", " ")]).empty == [1]
    assert encode_requests(tokenizer, [("a", " b"), ("a", "")]).empty == [1]


def test_without_a_start_token_another_one_or_the_first_token_is_given(tokenizer: PreTrainedTokenizerFast) -> None:
    """The separator stands in for it; without one, a text's own first token is what the rest follows."""
    plain = tokenizer(" The cats are happy.", add_special_tokens=False)["input_ids"]
    separated = with_specials(tokenizer, None, sep_token="</s>")
    assert whole(encode_requests(separated, REQUESTS), 0) == ([2], plain)
    assert "after </s>" in str(start_note(separated))
    neither = with_specials(tokenizer, None)
    encoded = encode_requests(neither, REQUESTS)
    assert whole(encoded, 0) == (plain[:1], plain[1:])
    context, continuation = whole(encoded, 5)
    assert context + continuation == neither("The dogs were not happy about the cats.")["input_ids"]
    assert context == neither("The dogs were not")["input_ids"]
    assert "from its second token on" in str(start_note(neither))
    assert start_note(tokenizer) is None
