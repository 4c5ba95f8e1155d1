"""`tokenizer.model`, a SentencePiece model, as a tokenizer of Hugging Face's `tokenizers`.

What the file says is built (unigram or BPE, bytes for unknown characters, its normalisation, the space in front of a
text) and then held against SentencePiece itself: one that gives other ids for any of its probes is refused.
transformers' own conversion leaves out the space in front of a text where no `tokenizer_config.json` names a class.

What the probes do not show: under `nmt_nfkc` a letter with a combining mark may lose it where the two are no letter of
their own, as in every fast tokenizer; pieces of equal score are joined in the order of their ids, not from the left.

Source: Kudo and Richardson, 2018, "SentencePiece"; the fields are those of its `sentencepiece_model.proto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from palenka_tune.errors import UserError, first_line

VERSION = 1  # of what is made of a file; text that another version prepared is not taken for this one's
AGAIN = "save the tokenizer again as a fast one (tokenizer.json)"
UNIGRAM, BPE = 1, 2  # TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5  # SentencePiece.Type
SPACE = "▁"  # stands for a space in a piece
PROBE_PIECES = 2000  # pieces that the comparison spells, spread over the vocabulary
PROBE_LENGTH = 20  # pieces in one of its texts
PROBES = ("", " a", "two  spaces ", "a\tb\nc", "Zürich — 12345", "ﬁ Ⅷ １", "日本 🙂", "naïve…", "x = [1, 2]\n\n    y")
BYTE = "<0x41>"  # spells a byte's piece


def read(file: Path, prefix: bool | None = None) -> tuple[Tokenizer, dict[str, str | None]]:
    """The tokenizer in `file`, and its special tokens by name (`bos_token`, `eos_token`, `pad_token`; None: has none).

    `prefix` says whether a space stands in front of a text (None: as the file says).

    Raises:
        UserError: if it is no SentencePiece model, or none that `tokenizers` can do exactly.
    """
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

    model: Any = vars(sentencepiece_model_pb2)["ModelProto"]()  # protobuf makes the class when it is imported
    try:
        model.ParseFromString(file.read_bytes())
        if prefix is not None:
            model.normalizer_spec.add_dummy_prefix = prefix
        reference = SentencePieceProcessor(model_proto=model.SerializeToString())
    except Exception as error:  # protobuf's and SentencePiece's own
        raise UserError(f"{file} is no SentencePiece model ({first_line(error)}); {AGAIN}") from None
    backend = _build(model, file, reference.unk_id())
    backend.encode_special_tokens = True
    for text in _probes(model):
        if backend.encode(text, add_special_tokens=False).ids != reference.encode(text):
            raise UserError(f"{file} makes of {text[:40]!r} what a fast tokenizer does not; {AGAIN}")
    backend.encode_special_tokens = False
    ids = {"bos_token": reference.bos_id(), "eos_token": reference.eos_id(), "pad_token": reference.pad_id()}
    return backend, {name: reference.id_to_piece(number) if number >= 0 else None for name, number in ids.items()}


def _pieces(model: Any, *types: int) -> list[str]:
    """The pieces of these types, in the order of their ids."""
    return [each.piece for each in model.pieces if each.type in types]


def _build(model: Any, file: Path, unknown: int) -> Tokenizer:
    spec, rules = model.trainer_spec, model.normalizer_spec
    # longest first, as one may begin with another
    whole = sorted(_pieces(model, USER_DEFINED), key=len, reverse=True)
    if _pieces(model, UNUSED):
        raise UserError(f"{file} holds pieces that are not to be used; {AGAIN}")
    if spec.model_type == UNIGRAM:
        scores = [(each.piece, each.score) for each in model.pieces]
        kind: models.Model = models.Unigram(scores, unk_id=unknown, byte_fallback=spec.byte_fallback)
    elif spec.model_type == BPE:
        numbers = {each.piece: number for number, each in enumerate(model.pieces)}
        joined = {each.piece: each.score for each in model.pieces if each.type == NORMAL}
        kind = models.BPE(
            numbers,
            list(_merges(joined)),
            unk_token=model.pieces[unknown].piece,
            fuse_unk=True,
            byte_fallback=spec.byte_fallback,
            ignore_merges=bool(whole),  # each of these is found as it stands
        )
    else:
        raise UserError(f"{file} is a SentencePiece model of words or characters, not of unigrams or BPE; {AGAIN}")
    backend = Tokenizer(kind)
    steps: list[Any] = [normalizers.Precompiled(rules.precompiled_charsmap)] if rules.precompiled_charsmap else []
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
        back.append(decoders.Strip(" ", left=1))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    backend.decoder = decoders.Sequence(back)
    # not as added tokens, between which a text would be normalised piece by piece
    splits = [pre_tokenizers.Split(Regex("|".join(map(re.escape, whole))), "isolated")] if whole else []
    control = _pieces(model, UNKNOWN, CONTROL)
    if spec.model_type == UNIGRAM or whole:  # a text that spells one stays text; no merge of BPE leads to one
        rest = [f"{re.escape(piece[0])}(?={re.escape(piece[1:])})" for piece in control]
        rest += ["<(?=0x[0-9A-F]{2}>)"] if spec.byte_fallback else []
        splits.append(pre_tokenizers.Split(Regex("|".join(rest)), "merged_with_previous"))
    if splits:
        backend.pre_tokenizer = pre_tokenizers.Sequence(splits)
    backend.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in control])
    return backend


def _merges(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Each two pieces that make a third, best first: SentencePiece joins the two whose whole scores best."""
    for piece in sorted(scores, key=lambda each: -scores[each]):
        for cut in range(1, len(piece)):
            if piece[:cut] in scores and piece[cut:] in scores:
                yield piece[:cut], piece[cut:]


def _probes(model: Any) -> Iterator[str]:
    """`PROBES`, and texts that spell control pieces, pieces of the user, and others from all over the vocabulary."""
    yield from PROBES
    user, control = _pieces(model, USER_DEFINED), _pieces(model, UNKNOWN, CONTROL)
    yield from (f"a {piece}b {piece}" for piece in user)
    if model.trainer_spec.byte_fallback:  # else a row of unknown letters may be another number of tokens
        yield from (f"a {piece}b {piece}" for piece in [*control, BYTE])
    yield from (piece for piece in control if len(piece) == 1)
    pieces = [piece.replace(SPACE, " ") for piece in _pieces(model, NORMAL)]
    chosen = pieces[:: max(1, len(pieces) // PROBE_PIECES)]
    if user:  # what stands between two of these is looked up whole
        yield from (f"{user[0]}{piece}{user[0]}" for piece in chosen)
    for begin in range(0, len(chosen), PROBE_LENGTH):
        yield "".join(chosen[begin : begin + PROBE_LENGTH])
