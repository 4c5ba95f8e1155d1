"""Output heads: how the last hidden state of a model becomes logits.

The losses work on hidden states and head instead of logits, because (B,T,V) logits are the largest tensors of a
training step and are never needed whole. `states_of` runs a model up to its head, `head_of` gives the head itself.

Shapes: B windows, T tokens, V vocabulary, D a model's width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from palenka_tune.distill.matmul import in_bfloat16


@dataclass(frozen=True)
class OutputHead:
    """`logits = hidden @ weight.T + bias` with weight (V,D) and bias (V,) or None."""

    weight: Tensor
    bias: Tensor | None = None
    _cast: dict[torch.dtype, tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False, compare=False)

    def to(self, device: torch.device) -> OutputHead:
        """This head on `device`."""
        return OutputHead(self.weight.to(device), None if self.bias is None else self.bias.to(device))

    def at(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in `dtype`; a head that does not train (a teacher's) is converted once."""
        if dtype in self._cast:
            return self._cast[dtype]
        cast = self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)
        if not self.weight.requires_grad:
            self._cast[dtype] = cast
        return cast


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, or the model itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def head_of(model: nn.Module) -> OutputHead:
    """The output head of a Hugging Face causal language model (or one with its `get_output_embeddings`)."""
    inner: Any = unwrap(model)
    layer = inner.get_output_embeddings()
    return OutputHead(layer.weight, getattr(layer, "bias", None))


def states_of(model: nn.Module, tokens_BT: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """All hidden states (B,T,D), the last one as the head reads it, and the logits (B,1,V) of the last position."""
    # logits of one position instead of T: the smallest number that a model can be asked for. By its index, since the
    # slice that a number makes is not contiguous, and for such a one PyTorch's matmul copies a frozen head B times
    last = _last_position(tokens_BT.shape[1], tokens_BT.device)
    out = model(tokens_BT, output_hidden_states=True, use_cache=False, logits_to_keep=last)
    return out.hidden_states, out.logits


@cache
def _last_position(tokens: int, device: torch.device) -> Tensor:
    """Made once, since a tensor from a number makes the host wait for a GPU."""
    return torch.tensor([tokens - 1], device=device)


def hidden_states_of(model: nn.Module, tokens_BT: Tensor) -> tuple[Tensor, ...]:
    """The first of `states_of`."""
    return states_of(model, tokens_BT)[0]


def head_explains(head: OutputHead, last_BTD: Tensor, logits_B1V: Tensor) -> bool:
    """Whether a model's logits are its head applied to its last hidden state, without scaling or capping after it."""
    last_BD, bias = last_BTD[:, -1].float(), head.bias
    expected = last_BD @ head.weight.float().T + (0.0 if bias is None else bias.float())
    given = logits_B1V[:, -1].float()
    narrow = logits_B1V.dtype is not torch.float32 or in_bfloat16(logits_B1V)
    tolerance = 3e-2 if narrow else 1e-4
    return bool((expected - given).abs().max() <= tolerance * given.abs().max().clamp_min(1.0))
