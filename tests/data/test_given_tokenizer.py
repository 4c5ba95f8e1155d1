"""Tokenizers that exist: ids are transformers' own, whatever the kind; what cannot work is refused in a sentence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, GPT2Tokenizer

from palenka_tune.data.given_tokenizer import digest, open_tokenizer, rules_digest, stands_beside
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.data.store import NO_PADDING, Around
from palenka_tune.errors import UserError
from tests.support.tokenizers import LINES, byte_level, gpt2_files, sentencepiece


@pytest.fixture
def corpus(tmp_path):
    for split in ("train", "dev"):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        (tmp_path / "corpus" / split / f"a.{split}").write_text("\n".join(LINES) + "\n")
    return tmp_path / "corpus"


KINDS = {"qwen": byte_level, "llama": sentencepiece, "gpt2": gpt2_files}


@pytest.mark.parametrize("kind", KINDS)
def test_the_store_holds_transformers_own_ids_between_the_tokenizers_own_ends(kind, tmp_path, corpus):
    folder = KINDS[kind](tmp_path / kind)
    prepared = prepare(DataSettings(str(corpus), window=16, tokenizer=str(folder)), tmp_path / "runs")
    kept = AutoTokenizer.from_pretrained(prepared.tokenizer_dir)
    own = kept if kind == "gpt2" else AutoTokenizer.from_pretrained(folder)
    start, end = {"qwen": ([], [own.eos_token_id]), "llama": ([1], [2])}.get(kind, ([], [kept.eos_token_id]))
    ids: list[int] = []
    for line in LINES:
        ids += [*start, *own(line, add_special_tokens=False, split_special_tokens=True)["input_ids"], *end]
    store = prepared.store
    windows = store.windows("train")
    assert windows.reshape(-1)[: len(ids)].tolist() == ids[: windows.size]
    assert abs(len(ids) - windows.size) < 16  # padding, or what fills no window is left out
    pad = kept.pad_token_id if kind == "qwen" else None
    assert (store.tokens("train"), store.pad_id) == (len(ids), NO_PADDING if pad is None else pad)
    assert store.vocabulary_size == 1 + max(own.get_vocab().values())
    assert store.around == Around(start[0] if start else None, end[0], pad)
    assert (kept.bos_token_id, kept.eos_token_id) == (start[0] if start else None, end[0])
    for line in LINES[:3]:
        assert kept.decode(own(line, add_special_tokens=False, split_special_tokens=True)["input_ids"]) == line


def test_ids_beyond_16_bits(tmp_path, corpus):
    folder = byte_level(tmp_path / "large", highest=70_000)
    store = prepare(DataSettings(str(corpus), window=16, tokenizer=str(folder)), tmp_path / "runs").store
    assert store.windows("train").dtype == np.int32
    assert store.vocabulary_size == 70_001


def test_shifted_windows_without_padding_go_on_with_the_beginning(tmp_path, corpus):
    folder = sentencepiece(tmp_path / "llama")
    store = prepare(DataSettings(str(corpus), window=16, tokenizer=str(folder)), tmp_path / "runs").store
    whole = store.windows("dev").reshape(-1)
    assert store.shifted("dev", 2)[len(store.windows("dev")) :].reshape(-1).tolist() == [*whole[8:], *whole[:8]]


def test_a_separator_takes_the_place_of_both_ends(tmp_path, corpus):
    folder = byte_level(tmp_path / "qwen")
    settings = DataSettings(str(corpus), window=16, tokenizer=str(folder), separator="<|endoftext|>")
    store = prepare(settings, tmp_path / "runs").store
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert store.around == Around(None, tokenizer.convert_tokens_to_ids("<|endoftext|>"), None)
    with pytest.raises(UserError, match=r"'<\|endoftxt\|>' is no token of .* \(did you mean '<\|endoftext\|>'\?\)"):
        open_tokenizer(folder, "<|endoftxt|>")


def test_two_spellings_of_one_tokenizer_have_the_same_rules(tmp_path):
    one, other = byte_level(tmp_path / "one"), byte_level(tmp_path / "other", eos="<|end|>")
    rules = json.loads((other / "tokenizer.json").read_text())
    rules["padding"] = None
    (other / "tokenizer.json").write_text(json.dumps(rules))
    assert digest(one) != digest(other)
    assert rules_digest(open_tokenizer(one).backend) == rules_digest(open_tokenizer(other).backend)
    assert rules_digest(open_tokenizer(one).backend) != rules_digest(
        open_tokenizer(byte_level(tmp_path / "third", vocabulary=270)).backend
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "is not a folder; give one with a tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer: it holds neither"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be read"),
        (
            lambda folder: (folder / "tokenizer_config.json").write_text(
                '{"tokenizer_class": "PreTrainedTokenizerFast"}'
            ),
            "names neither a start nor an end token",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(fault, message, tmp_path):
    folder = byte_level(tmp_path / "qwen")
    fault(folder)
    with pytest.raises(UserError, match=message):
        open_tokenizer(folder)


def test_beside_a_qwen2_model_a_tokenizer_of_another_kind_stays_what_its_file_says(tmp_path):
    folder = sentencepiece(tmp_path / "llama")
    alone = open_tokenizer(folder).backend
    for family, stands in (("llama", True), ("qwen3", True), ("qwen2", False)):
        (folder / "config.json").write_text(json.dumps({"model_type": family}))
        backend = open_tokenizer(folder).backend
        assert [backend.encode(line).ids for line in LINES] == [alone.encode(line).ids for line in LINES]
        assert stands_beside(backend, family) == stands, family
    assert stands_beside(open_tokenizer(byte_level(tmp_path / "qwen")).backend, "qwen2")


REAL = "PALENKA_TOKENIZERS"
AROUND = {
    "gpt2": Around(None, 50256, None),
    "llama2": Around(1, 2, None),
    "qwen3": Around(None, 151645, 151643),
    "gemma3": Around(2, 106, 0),
}


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no folder of tokenizers that people have")
@pytest.mark.parametrize("name", ["gpt2", "llama2", "qwen3", "gemma3"])
def test_tokenizers_that_people_have(name, tmp_path, corpus):
    folder = Path(os.environ[REAL]) / name
    store = prepare(DataSettings(str(corpus), window=16, tokenizer=str(folder)), tmp_path / "runs").store
    assert store.around == AROUND[name]
    start, end = ([] if each is None else [each] for each in (store.around.start, store.around.end))
    own = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")) if name == "gpt2" else None
    own = own or AutoTokenizer.from_pretrained(folder)
    ids: list[int] = []
    for line in LINES:
        line_ids = own(line, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert own.decode(line_ids) == line
        ids += [*start, *line_ids, *end]
    windows = store.windows("train")
    assert windows.reshape(-1)[: len(ids)].tolist() == ids[: windows.size]
    assert windows.dtype == (np.uint16 if name in ("gpt2", "llama2") else np.int32)


def test_a_tokenizer_of_ours_gives_the_same_store(tmp_path, corpus):
    trained = prepare(DataSettings(str(corpus), vocabulary=400, window=16), tmp_path / "runs")
    settings = DataSettings(str(corpus), window=16, tokenizer=str(trained.tokenizer_dir))
    assert prepare(settings, tmp_path / "runs").store.folder == trained.store.folder


def test_a_word_that_reads_none_is_no_token_of_its_own(tmp_path):
    """A tokenizer without a start token has none, though "None" is a word of large vocabularies."""
    folder = byte_level(tmp_path / "qwen")
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["model"]["vocab"]["None"] = len(rules["model"]["vocab"]) + 10
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    assert open_tokenizer(folder).around.start is None
    assert open_tokenizer(gpt2_files(tmp_path / "gpt2")).around.pad is None


def test_code_that_a_folder_names_is_never_run(tmp_path):
    folder = byte_level(tmp_path / "qwen")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    planted = {"auto_map": {"AutoTokenizer": ["planted.Planted", None]}, "tokenizer_class": "Planted"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | planted))
    (folder / "planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    assert open_tokenizer(folder).around.end is not None
    assert not (tmp_path / "ran").exists()


def test_special_tokens_beyond_the_text_need_no_row(tmp_path, corpus):
    """As Gemma 3's for images, of which its text models know nothing."""
    folder = byte_level(tmp_path / "gemma", images=3)
    prepared = prepare(DataSettings(str(corpus), window=16, tokenizer=str(folder)), tmp_path / "runs")
    assert prepared.store.vocabulary_size < 400
    kept = AutoTokenizer.from_pretrained(prepared.tokenizer_dir)
    assert max(kept.get_vocab().values()) < prepared.store.vocabulary_size
