"""What a model writes after the first words of a held-out text: more telling than a number, and shown on its card."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from palenka_tune.data.store import TokenStore
from palenka_tune.data.tokenizer import load_tokenizer

PROMPT, WRITTEN = 12, 40  # tokens


def sample(model: PreTrainedModel, tokenizer_dir: str | Path, store: TokenStore) -> tuple[str, str]:
    """The first tokens of dev, and the 40 that `model` finds most likely after them (greedily), as text."""
    around = store.around
    window = store.windows("dev")[0].tolist()
    special = {around.start, around.end, around.pad}
    start = [token for token in window if token not in special][:PROMPT]
    given = [around.start, *start] if around.start is not None else start
    room = min(WRITTEN, model.config.max_position_embeddings - len(given))
    pad = next((each for each in (around.pad, around.end) if each is not None), 0)
    settings = GenerationConfig(max_new_tokens=max(1, room), do_sample=False, pad_token_id=pad, eos_token_id=around.end)
    training, ids = model.training, torch.tensor([given], device=model.device)
    model.eval()
    try:
        with torch.no_grad():
            found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings, use_cache=True)
    finally:
        model.train(training)
    tokenizer = load_tokenizer(tokenizer_dir)
    return tokenizer.decode(start), tokenizer.decode(found[0, len(given) :].tolist(), skip_special_tokens=True)
