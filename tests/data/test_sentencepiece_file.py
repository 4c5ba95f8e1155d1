"""A `tokenizer.model` alone: the ids are SentencePiece's own, and what cannot be exact is refused."""

from __future__ import annotations

import itertools
import json

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from palenka_tune.data import sentencepiece_file
from palenka_tune.data.given_tokenizer import open_tokenizer
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.data.sentencepiece_file import read
from palenka_tune.errors import UserError
from tests.support.tokenizers import LINES

ODD = ["", " ", "two  spaces ", "\tx\n\ny", "Zürich — 12345", "ﬁ Ⅷ", "日本 🙂", "a <mask>b<mask> <x>", "▁a", "<s>"]
SPELLED = ["<s> and </s>", "<unk> <0x41><s>"]

WORDS = ["".join(each) for each in itertools.product("bcdfg", "aeiou", "lmnrst")]


def train(file, lines, **options):
    with open(file, "wb") as writer:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=writer, vocab_size=400, minloglevel=2, **options
        )
    return file


@pytest.fixture(scope="module")
def lines():
    """Lines with more letters than the vocabulary has pieces for."""
    return [*LINES, *(f"{word} {word}s the{word} and {word}ing" for word in WORDS)]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("bytes_for_unknown", [True, False])
@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("strip", [True, False])
def test_ids_are_sentencepieces_own(kind, bytes_for_unknown, rule, prefix, strip, tmp_path, lines):
    file = train(
        tmp_path / "tokenizer.model",
        lines,
        model_type=kind,
        byte_fallback=bytes_for_unknown,
        normalization_rule_name=rule,
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=strip,
        user_defined_symbols=["<mask>", "<x>"],
        hard_vocab_limit=False,
    )
    backend, special = read(file)
    own = SentencePieceProcessor(model_file=str(file))
    assert special == {"bos_token": "<s>", "eos_token": "</s>", "pad_token": None}
    backend.encode_special_tokens = True
    for text in [*lines, *ODD, *(SPELLED if bytes_for_unknown else [])]:
        ids = backend.encode(text, add_special_tokens=False).ids
        assert ids == own.encode(text), text
        if rule == "identity" and bytes_for_unknown and not strip and "▁" not in text:
            assert backend.decode(ids) == text


def test_a_corpus_is_prepared_and_the_export_says_the_same(tmp_path, lines):
    folder = tmp_path / "llama"
    folder.mkdir()
    file = train(folder / "tokenizer.model", lines, model_type="bpe", byte_fallback=True, pad_id=3)
    for split in ("train", "dev"):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        (tmp_path / "corpus" / split / f"a.{split}").write_text("\n".join(LINES) + "\n")
    prepared = prepare(DataSettings(str(tmp_path / "corpus"), window=16, tokenizer=str(folder)), tmp_path / "runs")
    own = SentencePieceProcessor(model_file=str(file))
    ids = [number for line in LINES for number in (1, *own.encode(line), 2)]
    windows = prepared.store.windows("train")
    assert windows.reshape(-1)[: len(ids)].tolist() == ids[: windows.size]
    exported = open_tokenizer(prepared.tokenizer_dir)
    assert exported.around == open_tokenizer(folder).around
    exported.backend.encode_special_tokens = True
    assert [exported.backend.encode(line).ids for line in LINES] == own.encode(LINES)


def test_what_the_files_beside_it_add_and_name(tmp_path, lines):
    train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    size = open_tokenizer(tmp_path).size
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|end|>": size}))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "<|end|>"}, "bos_token": None})
    )
    with_end = open_tokenizer(tmp_path)
    assert (with_end.around.start, with_end.around.end, with_end.size) == (None, size, size + 1)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|end|>": size + 7}))
    with pytest.raises(UserError, match=r"gives its token '<\|end\|>' the id \d+, and tokenizer.model leads to"):
        open_tokenizer(tmp_path)


def test_a_named_token_that_is_nowhere_is_added(tmp_path, lines):
    """As transformers does it: its id is the next."""
    train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    size = open_tokenizer(tmp_path).size
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    assert open_tokenizer(tmp_path).around.end == size


def test_no_space_in_front_if_the_configuration_says_so(tmp_path, lines):
    train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    assert open_tokenizer(tmp_path).backend.encode("The").tokens[0].startswith("▁")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": False}))
    assert open_tokenizer(tmp_path).backend.encode("The").tokens[0].startswith("T")


def test_an_added_token_has_the_flags_of_its_entry(tmp_path, lines):
    train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    size = open_tokenizer(tmp_path).size
    entry = {"content": "<code>", "lstrip": True, "normalized": False, "special": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {str(size): entry}}))
    backend = open_tokenizer(tmp_path).backend
    backend.encode_special_tokens = True  # as text is read; this token is none
    assert backend.encode("dog  <code>", add_special_tokens=False).ids[-1] == size
    assert backend.encode("dog  <code>").tokens[-2].endswith("g")  # its spaces are the token's


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("added_tokens.json", ["a"]),
        ("added_tokens.json", {"<b>": None}),
        ("special_tokens_map.json", ["bos_token"]),
        ("special_tokens_map.json", {"eos_token": ["</s>"]}),
        ("special_tokens_map.json", {"eos_token": {}}),
        ("tokenizer_config.json", {"eos_token": 2}),
        ("tokenizer_config.json", {"added_tokens_decoder": []}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "<a>"}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"400": {}}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"400": {"content": "<a>", "special": "yes"}}}),
    ],
)
def test_files_beside_it_that_are_damaged_are_refused(name, tree, tmp_path, lines):
    train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    (tmp_path / name).write_text(json.dumps(tree))
    with pytest.raises(UserError, match="is not as transformers writes it"):
        open_tokenizer(tmp_path)


def test_what_is_no_sentencepiece_model_is_refused(tmp_path):
    file = tmp_path / "tokenizer.model"
    file.write_text("IQ== 0\nIg== 1\n")  # tiktoken's form, under the same name
    with pytest.raises(UserError, match=r"tokenizer.model is no SentencePiece model .*save the tokenizer again"):
        open_tokenizer(tmp_path)


def test_what_a_fast_tokenizer_cannot_do_is_refused(tmp_path, lines):
    file = train(tmp_path / "words.model", lines, model_type="char")
    with pytest.raises(UserError, match="of words or characters"):
        read(file)
    file = train(tmp_path / "suffix.model", lines, model_type="bpe", treat_whitespace_as_suffix=True)
    with pytest.raises(UserError, match=r"makes of .* what a fast tokenizer does not"):
        read(file)


def test_other_ids_are_found(tmp_path, lines, monkeypatch):
    """The comparison catches what is built wrongly: here merges in the opposite order."""
    file = train(tmp_path / "tokenizer.model", lines, model_type="bpe")
    read(file)
    built = sentencepiece_file._merges
    monkeypatch.setattr(sentencepiece_file, "_merges", lambda scores: reversed(list(built(scores))))
    with pytest.raises(UserError, match="makes of"):
        read(file)
