"""What a model writes after the first words of a held-out text: more telling than a number, and shown on its card."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from palenka_tune.data.store import TokenStore
from palenka_tune.data.tokenizer import load_tokenizer

PROMPT, WRITTEN = 12, 40  # tokens
BEGINNING = 64  # windows of dev in which a text is looked for


def sample(model: PreTrainedModel, tokenizer_dir: str | Path, store: TokenStore) -> tuple[str, str]:
    """The first tokens of a text of dev, and the 40 that `model` finds most likely after them (greedily, but for the
    text's end), as text."""
    around = store.around
    start = _first_text(store)[:PROMPT]
    given = [around.start, *start] if around.start is not None else start
    room = min(WRITTEN, model.config.max_position_embeddings - len(given))
    pad = next((each for each in (around.pad, around.end) if each is not None), 0)
    ends = [each for each in (around.start, around.end) if each is not None]
    settings = GenerationConfig(max_new_tokens=max(1, room), do_sample=False, pad_token_id=pad, suppress_tokens=ends)
    training, ids = model.training, torch.tensor([given], device=model.device)
    model.eval()
    try:
        with torch.no_grad():
            found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings, use_cache=True)
    finally:
        model.train(training)
    tokenizer = load_tokenizer(tokenizer_dir)
    return tokenizer.decode(start), tokenizer.decode(found[0, len(given) :].tolist(), skip_special_tokens=True)


def _first_text(store: TokenStore) -> list[int]:
    """Tokens of the first text of dev that is no heading: of more than two prompts, or the longest of the beginning."""
    special = {store.around.start, store.around.end, store.around.pad}
    stream = store.windows("dev")[:BEGINNING].reshape(-1).tolist()
    texts = [list(text) for is_special, text in itertools.groupby(stream, special.__contains__) if not is_special]
    return next((text for text in texts if len(text) > 2 * PROMPT), max(texts, key=len, default=[]))
