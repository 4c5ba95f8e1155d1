"""From texts to token ids, exactly as lm-evaluation-harness's `hf` model does it.

The rules are those of lm-evaluation-harness 0.4.13 (`TemplateLM.loglikelihood`, `HFLM.tok_encode`):

- An empty context stands for one token, the tokenizer's `<s>` (its `</s>` if it has none). The continuation is encoded
  without special tokens; if it begins with that very token, the token is the context and not asked for again.
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


def encode_requests(tokenizer: PreTrainedTokenizerFast, requests: Sequence[tuple[str, str]]) -> EncodedRequests:
    """Encode (context, continuation) pairs.

    Raises:
        UserError: if the tokenizer has neither start nor end token, or a continuation has no token of its own.
    """
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if prefix is None:
        raise UserError(
            "the tokenizer has no start token (bos_token) and no end token; sentences are scored after it, so give it "
            "one"
        )
    ids: list[list[int]] = [[] for _ in requests]
    starts = np.full(len(requests), prefix, dtype=np.int64)
    skips = np.zeros(len(requests), dtype=np.int64)
    bare = [number for number, (context, _) in enumerate(requests) if not context]
    for number, text_ids in zip(bare, encode(tokenizer, [requests[n][1] for n in bare]), strict=True):
        ids[number] = text_ids[1:] if text_ids[:1] == [prefix] else text_ids
    after = [number for number, (context, _) in enumerate(requests) if context]
    contexts = _with_special(tokenizer, [requests[n][0].rstrip() for n in after], prefix)
    wholes = _with_special(tokenizer, ["".join(requests[n]) for n in after], prefix)
    for number, context, whole in zip(after, contexts, wholes, strict=True):
        starts[number], skips[number] = context[0] if context else prefix, len(context) - 1
        ids[number] = context[1:] + whole[len(context) :]
    for (before, text), text_ids, skipped in zip(requests, ids, skips.tolist(), strict=True):
        if not 0 <= skipped < len(text_ids):
            raise UserError(
                f"the tokenizer gives no token of its own to {text!r} after {before!r}; change the text or evaluate a "
                "model with another tokenizer"
            )
    return EncodedRequests(tuple(ids), starts, skips)


def _with_special(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], prefix: int) -> list[list[int]]:
    """Ids with the tokenizer's own special tokens, for texts that do not spell the start token out themselves."""
    spelled = tokenizer.decode(prefix)
    distinct = list(dict.fromkeys(texts))  # an item's contexts come back with each of its targets
    ids: dict[str, list[int]] = {}
    for begun in (False, True):
        group = [text for text in distinct if text.startswith(spelled) == begun]
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
