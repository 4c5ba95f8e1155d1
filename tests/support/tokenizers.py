"""Tokenizers of the kinds that people have, made small: byte-level BPE as Qwen's, SentencePiece's style as Llama's,
GPT-2's two files. Each maker writes a folder and returns it."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Qwen2Tokenizer

LINES = [
    f"The {a} sees a {b} near <s> the café, {n} times." for n in range(40) for a, b in [("cat", "dog"), ("ox", "elk")]
]


def byte_level(
    folder: Path, *, eos: str = "<|im_end|>", vocabulary: int = 400, highest: int | None = None, images: int = 0
) -> Path:
    """Qwen's kind: byte-level BPE, no start token, an end of turn beside an end of text. `highest` is its highest id,
    `images` so many special tokens beyond it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    # transformers gives a model of Qwen2 this one, whatever its tokenizer.json says
    tokenizer.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<|endoftext|>", eos)])
    if highest is not None:  # a vocabulary of a size that needs more than 16 bits; as added tokens it would load slowly
        rules = json.loads(tokenizer.to_str())
        rules["model"]["vocab"] |= {f"<extra_{n}>": n for n in range(tokenizer.get_vocab_size(), highest + 1)}
        tokenizer = Tokenizer.from_str(json.dumps(rules))
    tokenizer.add_special_tokens([AddedToken(f"<image_{n}>", special=True, normalized=False) for n in range(images)])
    return _write(tokenizer, folder, {"eos_token": eos, "pad_token": "<|endoftext|>"})


def sentencepiece(folder: Path) -> Path:
    """Llama 2's kind: spaces as U+2581, byte fallback, <s> put first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    tokenizer.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=500, special_tokens=special[:3], show_progress=False)
    )
    rules = json.loads(tokenizer.to_str())
    vocabulary = rules["model"]["vocab"]
    vocabulary.update({name: len(vocabulary) + n for n, name in enumerate(special[3:])})
    tokenizer = Tokenizer.from_str(json.dumps(rules))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return _write(tokenizer, folder, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def _write(tokenizer: Tokenizer, folder: Path, special: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def gpt2_files(folder: Path) -> Path:
    """GPT-2's two files and nothing else."""
    whole = byte_level(folder.with_name("whole"))
    rules = json.loads((whole / "tokenizer.json").read_text())["model"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(rules["vocab"] | {"<|endoftext|>": len(rules["vocab"])}))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in rules["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return folder
