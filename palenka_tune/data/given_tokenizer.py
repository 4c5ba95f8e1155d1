"""A tokenizer that exists: any fast one of the Hugging Face world, read from a folder and kept as it stands.

`tokenizer.json` is read as transformers reads it, so that ids are those of the model that it belongs to; without one
`vocab.json` and `merges.txt` (GPT-2's form) or `tokenizer.model` (SentencePiece's) will do. No code of the folder is
run. Between texts stand its own start and end token, whichever exist, or the one token that `separator` names: an
instruct model's end of turn is not its end of text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from palenka_tune.config.files import check_no_pointer, file_sha256, fingerprint, read_model_json, write_json
from palenka_tune.data import sentencepiece_file
from palenka_tune.data.store import Around
from palenka_tune.errors import UserError, first_line, nearest

GIVEN_VERSION = 1
SOURCES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json")
SAVED_AS = "PreTrainedTokenizerFast"  # does what tokenizer.json says, in transformers 4 and 5
GENERIC = ("PreTrainedTokenizer", "TokenizersBackend")  # what such a class is called, without "Fast"
END_OF_TEXT = "<|endoftext|>"  # the one special token of GPT-2's form, which has no file that says so
ENDS = ("bos_token", "eos_token", "pad_token")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")  # of an added token
SHOWN = 8  # special tokens that a message lists


@dataclass(frozen=True)
class GivenTokenizer:
    """`backend` turns texts into ids; `around` are the ids around a text and that of padding, `size` is one more than
    its highest id. `file` is the tokenizer.json that says the same as the backend, if there is one."""

    backend: Tokenizer
    around: Around
    size: int
    file: Path | None = None

    def describe_ends(self) -> str:
        """What stands between two texts, for a line of the log."""
        ends = (self.around.end, self.around.start)
        names = [repr(self.backend.id_to_token(each)) for each in ends if each is not None]
        return f"{' '.join(names)} between texts"

    def save(self, folder: Path) -> None:
        """Write it for `AutoTokenizer.from_pretrained(folder)`; its start and end are those that training puts."""
        folder.mkdir(parents=True, exist_ok=True)
        rules = json.loads(self.backend.to_str())
        beyond = [token for token in rules["added_tokens"] if token["id"] >= self.size]
        if self.file is not None and not beyond:
            shutil.copyfile(self.file, folder / "tokenizer.json")
        else:  # a model with `size` rows has none for tokens beyond it
            rules["added_tokens"] = [token for token in rules["added_tokens"] if token not in beyond]
            (folder / "tokenizer.json").write_text(json.dumps(rules, ensure_ascii=False), encoding="utf-8")
        around = self.around
        pads = (around.pad, around.end, around.start)  # a batch of texts must be padded with something
        named = {
            "bos_token": around.start,
            "eos_token": around.end,
            "pad_token": next(n for n in pads if n is not None),
        }
        config = {
            "tokenizer_class": SAVED_AS,
            **{name: self.backend.id_to_token(number) for name, number in named.items() if number is not None},
            "clean_up_tokenization_spaces": False,
            "padding_side": "right",
            "model_input_names": ["input_ids", "attention_mask"],
        }
        write_json(folder / "tokenizer_config.json", config)


def digest(folder: str | Path) -> str:
    """16 hex digits over the files that make the tokenizer in `folder`; raises `UserError` if it has none."""
    folder = check(folder)
    files = [name for name in (*SOURCES, *SETTINGS) if (folder / name).is_file()]
    reader = {"sentencepiece": sentencepiece_file.VERSION} if _is_sentencepiece(folder) else {}
    hashes = [(name, file_sha256(folder / name)) for name in files]
    return fingerprint({"version": GIVEN_VERSION, "files": hashes, **reader})


def check(folder: str | Path) -> Path:
    """The folder, if it holds a tokenizer; raises `UserError` if not. Nothing is loaded."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.tokenizer {folder} is not a folder; give one with a tokenizer.json, or 'train'")
    has = {name for name in SOURCES if (folder / name).is_file()}
    if not (has & {"tokenizer.json", "tokenizer.model"} or {"vocab.json", "merges.txt"} <= has):
        raise UserError(
            f"{folder} has no tokenizer: it holds neither tokenizer.json, nor tokenizer.model, nor vocab.json with "
            "merges.txt; copy the tokenizer's files there, or give another folder as data.tokenizer"
        )
    return folder


def open_tokenizer(folder: str | Path, separator: str | None = None) -> GivenTokenizer:
    """Read the tokenizer in `folder`; `separator` names the token that stands between texts (None: its own).

    Raises:
        UserError: if there is none, it cannot be read or would run code, or has no token to stand between texts.
    """
    folder = check(folder)
    backend, special = _read(folder, digest(folder))
    vocabulary = backend.get_vocab(with_added_tokens=True)
    start, end, pad = (_id(special.get(name), vocabulary) for name in ENDS)
    if separator is not None:
        if separator not in vocabulary:
            known = [token.content for token in backend.get_added_tokens_decoder().values()]
            raise UserError(
                f"data.separator {separator!r} is no token of {folder}{nearest(separator, known)}; it has "
                f"{', '.join(known[:SHOWN])}"
            )
        start, end = None, vocabulary[separator]
    if start is None and end is None:
        raise UserError(
            f"the tokenizer in {folder} names neither a start nor an end token, and texts need one between them; give "
            "data.separator, the token that ends a text"
        )
    # one token that is both, as GPT-2's, stands once between two texts, and one that ends texts is no padding
    around = Around(None if start == end else start, end, None if pad in (start, end) else pad)
    file = folder / "tokenizer.json"
    same = file.is_file() and Tokenizer.from_file(str(file)).to_str() == backend.to_str()
    return GivenTokenizer(backend, around, _size(backend, around), file if same else None)


def _id(token: str | None, vocabulary: Mapping[str, int]) -> int | None:
    return None if token is None else vocabulary.get(token)


def _size(backend: Tokenizer, around: Around) -> int:
    """One more than the highest id that a text or what stands around it can have. Special tokens beyond it, as for
    images, are no text."""
    special = {number for number, token in backend.get_added_tokens_decoder().items() if token.special}
    ids = set(backend.get_vocab(with_added_tokens=True).values()) - special
    return 1 + max(ids | {each for each in (around.start, around.end, around.pad) if each is not None})


def open_backend(folder: str | Path) -> Tokenizer:
    """What makes ids of a text, whatever stands between texts; raises `UserError` if it cannot be read."""
    return _read(check(folder), digest(folder))[0]


def size_of(folder: str | Path) -> int:
    """Entries of the tokenizer in `folder`, special tokens included, from its files alone where they say it; raises as
    `open_backend` does."""
    folder = check(folder)
    if not (folder / "tokenizer.json").is_file():
        return int(open_backend(folder).get_vocab_size())
    rules = read_model_json(folder / "tokenizer.json")
    vocabulary = rules.get("model", {}).get("vocab", {})
    return len(
        {*vocabulary, *(token["content"] for token in rules.get("added_tokens", []))}
        if isinstance(vocabulary, dict)
        else vocabulary
    )


def another(role: str, name: str) -> UserError:
    """What is said of a model, called `role` and `name`, whose tokenizer is not the one of the data."""
    return UserError(
        f"{role} {name} has another tokenizer than the student's data, so their token ids differ; set "
        "data.tokenizer to teacher (teachers must share one tokenizer), or name a preset to train a teacher"
    )


def rules_digest(backend: Tokenizer) -> str:
    """16 hex digits over what makes ids of a text: equal for two folders of one tokenizer, however they are written.

    Tokens that were added for a chat, the special ones, the template around a text and the way back do not count.
    """
    rules = json.loads(backend.to_str())
    added = [token["content"] for token in rules["added_tokens"] if not token["special"]]
    parts = {name: rules[name] for name in ("normalizer", "pre_tokenizer")}
    # transformers writes "" for what another writer leaves out
    parts["model"] = {name: None if value == "" else value for name, value in rules["model"].items()}
    return hashlib.sha256(json.dumps([parts, added], sort_keys=True).encode()).hexdigest()[:16]


def stands_beside(backend: Tokenizer, model_type: str) -> bool:
    """Whether `AutoTokenizer` makes `backend`'s ids in a folder with a model of `model_type`, as an export is one."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend.save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": SAVED_AS})
        write_json(folder / "config.json", {"model_type": model_type})
        read = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return rules_digest(read.backend_tokenizer) == rules_digest(backend)


@functools.lru_cache(maxsize=4)  # large ones take seconds, and several checks of a command want them
def _read(folder: Path, _digest: str) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer as its files say, by transformers where it reads them rightly, and its special tokens by name."""
    for name in SOURCES:
        check_no_pointer(folder / name)
    config = read_model_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if _is_sentencepiece(folder):
        return _sentencepiece(folder, config)
    if not (folder / "tokenizer.json").is_file():
        return _bpe(folder), {"eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT}
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    named = config.get("tokenizer_class")
    own = named and not config.get("auto_map")  # code of a folder is never run
    kind = AutoTokenizer if own else PreTrainedTokenizerFast
    safely = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = kind.from_pretrained(folder, **safely)
        if type(tokenizer).__name__.removesuffix("Fast") not in (*GENERIC, str(named).removesuffix("Fast")):
            # beside a qwen2 model transformers 5 builds Qwen2's, whatever the files of the tokenizer say
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **safely)
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # transformers raises what its parts raise
        raise UserError(
            f"the tokenizer in {folder} cannot be read ({first_line(error)}); save it again as a fast tokenizer "
            "(tokenizer.json)"
        ) from None
    backend.no_padding()
    backend.no_truncation()
    return backend, {name: getattr(tokenizer, name) for name in ENDS}


def _is_sentencepiece(folder: Path) -> bool:
    return not (folder / "tokenizer.json").is_file() and (folder / "tokenizer.model").is_file()


def _sentencepiece(folder: Path, config: Any) -> tuple[Tokenizer, dict[str, Any]]:
    """What `tokenizer.model` says, with the tokens that the files beside it add and the special ones that they name."""
    beside = ("added_tokens.json", "special_tokens_map.json")
    files = {name: read_model_json(folder / name) if (folder / name).is_file() else {} for name in beside}
    try:
        numbers = {token: int(number) for token, number in files["added_tokens.json"].items()}
        added = {number: AddedToken(token, normalized=False) for token, number in numbers.items()}
        for number, token in config.get("added_tokens_decoder", {}).items():
            added[int(number)] = AddedToken(token["content"], **{name: token[name] for name in FLAGS if name in token})
        named = {**config, **files["special_tokens_map.json"]}
        chosen = {name: _content(named[name]) for name in ENDS if name in named}
        prefix = config.get("add_prefix_space")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"tokenizer_config.json, {' or '.join(beside)} in {folder} is not as transformers writes it ("
            f"{first_line(error)}); copy it again, or {sentencepiece_file.AGAIN}"
        ) from None
    backend, special = sentencepiece_file.read(folder / "tokenizer.model", prefix)
    for number, token in sorted(added.items()):
        if backend.token_to_id(token.content) is None:
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])
        if backend.token_to_id(token.content) != number:
            raise UserError(
                f"{folder} gives its token {token.content!r} the id {number}, and tokenizer.model leads to "
                f"{backend.token_to_id(token.content)}; {sentencepiece_file.AGAIN}"
            )
    missing = [token for token in chosen.values() if token is not None and backend.token_to_id(token) is None]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in dict.fromkeys(missing)])
    return backend, special | chosen


def _content(token: Any) -> str | None:
    """A special token's text, which files write as such or as a mapping with its flags."""
    text = token["content"] if isinstance(token, Mapping) else token
    if not (text is None or isinstance(text, str)):
        raise ValueError(f"{text!r} is no token")
    return text


def _bpe(folder: Path) -> Tokenizer:
    """GPT-2's byte-level BPE from `vocab.json` and `merges.txt`."""
    try:
        backend = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    except Exception as error:  # tokenizers raises a bare Exception
        raise UserError(
            f"{folder}/vocab.json and merges.txt cannot be read ({first_line(error)}); copy them again"
        ) from None
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    return backend
