"""From texts to token ids, exactly as lm-evaluation-harness's `hf` model does it.

The rules are those of lm-evaluation-harness 0.4.13 (`TemplateLM.loglikelihood`, `HFLM.tok_encode`):

- An empty context stands for one token, the tokenizer's `<s>` (its `</s>` if it has none). The continuation is encoded
  without special tokens; if it begins with that very token, the token is the context and not asked for again.
- A tokenizer with neither start nor end token scores after its separator (`sep_token`, `cls_token`), and without one of
  those a text from its second token on, given the first: here we go beyond the harness, which refuses it.
- Otherwise spaces at the context's end move to the continuation, and the continuation's tokens are what the two texts
  together have beyond the number of tokens of the context alone. Both are encoded with the special tokens that the
  tokenizer puts by itself (ours: `<s>` first), unless the text begins with the start token spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from palenka_tune.errors import UserError


@dataclass(frozen=True)
class EncodedRequests:
    """`ids` of each request without its start token; `starts` (requests,) those; `skips` (requests,) the tokens of
    `ids` that are context."""

    ids: tuple[list[int], ...]
    starts: np.ndarray
    skips: np.ndarray

    @cached_property
    def highest_id(self) -> int:
        """The largest token id."""
        return max([int(self.starts.max(initial=0)), *(max(ids) for ids in self.ids if ids)])

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest request, without its start token: as many as a model must read."""
        return max(map(len, self.ids), default=0)

    @cached_property
    def empty(self) -> list[int]:
        """The requests of which no token is left to score."""
        skips = self.skips.tolist()
        return [number for number, ids in enumerate(self.ids) if not 0 <= skips[number] < len(ids)]


def encode_requests(tokenizer: PreTrainedTokenizerFast, requests: Sequence[tuple[str, str]]) -> EncodedRequests:
    """Encode (context, continuation) pairs; what has no token of its own is among `EncodedRequests.empty`."""
    prefix = start_token(tokenizer)
    ids: list[list[int]] = [[] for _ in requests]
    starts = np.full(len(requests), 0 if prefix is None else prefix, dtype=np.int64)
    skips = np.zeros(len(requests), dtype=np.int64)
    bare = [number for number, (context, _) in enumerate(requests) if not context]
    for number, text_ids in zip(bare, encode(tokenizer, [requests[n][1] for n in bare]), strict=True):
        if prefix is None:
            starts[number], ids[number] = (text_ids or [0])[0], text_ids[1:]
        else:
            ids[number] = text_ids[1:] if text_ids[:1] == [prefix] else text_ids
    after = [number for number, (context, _) in enumerate(requests) if context]
    contexts = _with_special(tokenizer, [requests[n][0].rstrip() for n in after], prefix)
    wholes = _with_special(tokenizer, ["".join(requests[n]) for n in after], prefix)
    for number, context, whole in zip(after, contexts, wholes, strict=True):
        skips[number] = len(context) - 1
        if context:
            starts[number], ids[number] = context[0], context[1:] + whole[len(context) :]
    return EncodedRequests(tuple(ids), starts, skips)


def start_token(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The token after which a text is scored: the start token, else one that ends or separates texts, if any."""
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.cls_token_id)
    return next((each for each in named if each is not None), None)


def start_note(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """What a reader of scores must know of a tokenizer without a start token; None if it has one."""
    if tokenizer.bos_token_id is not None:
        return None
    start = start_token(tokenizer)
    if start is None:
        return (
            "its tokenizer has no token that starts, ends or separates texts, so that a text is scored from its second "
            "token on"
        )
    return f"its tokenizer has no start token, so that a text is scored after {tokenizer.convert_ids_to_tokens(start)}"


def _with_special(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], prefix: int | None) -> list[list[int]]:
    """Ids with the tokenizer's own special tokens, for texts that do not spell the start token out themselves."""
    spelled = None if prefix is None else tokenizer.decode(prefix)
    distinct = list(dict.fromkeys(texts))  # an item's contexts come back with each of its targets
    ids: dict[str, list[int]] = {}
    for begun in (False, True):
        group = [text for text in distinct if (spelled is not None and text.startswith(spelled)) == begun]
        ids |= zip(group, encode(tokenizer, group, special=not begun), strict=True)
    return [ids[text] for text in texts]


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
    """Ids from the Rust tokenizer itself, three times as fast as the call around it; `special` lets it put its own
    special tokens."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()  # an earlier call may have left these on
    backend.no_truncation()
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=special)]


def check_vocabulary(model: PreTrainedModel, highest_id: int) -> None:
    """Raise `UserError` if a tokenizer gives ids, the highest of them `highest_id`, that the model does not have."""
    size = int(model.config.vocab_size)
    if highest_id >= size:
        raise UserError(
            f"the tokenizer gives token id {highest_id} but the model's vocabulary has {size} tokens; evaluate a model "
            "with the tokenizer that it was trained with"
        )
