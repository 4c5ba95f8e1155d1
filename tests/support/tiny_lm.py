"""A student and two teachers of a few thousand parameters, in plain torch: the core needs no transformers."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from palenka_tune.distill.shapes import ModelShape

VOCABULARY, WINDOW, PAD = 50, 12, 0


class TinyLM(nn.Module):
    """Causal by a running mean; returns logits and hidden states as Hugging Face models do."""

    def __init__(self, width: int, depth: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(VOCABULARY, width)
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.head = nn.Linear(width, VOCABULARY)
        self.calls: list[dict[str, object]] = []

    def get_output_embeddings(self) -> nn.Linear:
        return self.head

    def forward(
        self,
        tokens: Tensor,
        output_hidden_states: bool = False,
        use_cache: bool = False,
        logits_to_keep: Tensor | None = None,
    ):
        positions = None if logits_to_keep is None else logits_to_keep.tolist()
        self.calls.append({"hidden": output_hidden_states, "positions": positions})
        x = self.embedding(tokens)
        states = [x]
        count = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[None, :, None]
        for layer in self.layers:
            x = x + torch.tanh(layer(x.cumsum(1) / count))
            states.append(x)
        logits = self.head(x if logits_to_keep is None else x[:, logits_to_keep])
        return SimpleNamespace(logits=logits, hidden_states=tuple(states) if output_hidden_states else None)


STUDENT = ModelShape("student", "llama", 8, 2)
TEACHERS = [ModelShape("a", "gpt2", 16, 4), ModelShape("b", "llama", 12, 3)]


def windows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(3, VOCABULARY, (count, WINDOW), generator=generator)
    data[-1, WINDOW // 2 :] = PAD
    return data
