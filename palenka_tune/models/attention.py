"""Causal attention in bfloat16 on a CPU.

PyTorch's fused attention multiplies in blocks, in float32 by MKL; in bfloat16 its backward pass takes three to eight
times as long as in float32. Under autocast to bfloat16 this one makes the weights (T,T) of every head whole instead, by
oneDNN's batched products, and keeps them for the backward pass (`python -m benchmarks.products` shows the gain). It is
a function of transformers' `AttentionInterface`, and leaves whatever is not plain causal attention to PyTorch's.

Shapes: B windows, H heads, G heads of keys and values, T tokens, S size of a head; N = B * H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_or_bfloat16"
MOST_WEIGHTS = 2**25  # of all heads of a batch: 64 MiB are kept of each layer


def quick_attention(model: PreTrainedModel) -> None:
    """Let a model on a CPU compute through this attention, if it does through PyTorch's; its files do not change."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


class _Causal(torch.autograd.Function):
    """Attention and its gradients, by products in bfloat16 and a softmax in float32."""

    @staticmethod
    def forward(ctx: Any, query_BHTS: Tensor, key_BHTS: Tensor, value_BHTS: Tensor, scaling: float) -> Tensor:
        query_NTS, key_NTS, value_NTS = (_flat(each) for each in (query_BHTS * scaling, key_BHTS, value_BHTS))
        heads, tokens, _ = query_NTS.shape
        future_TT = query_NTS.new_full((tokens, tokens), -torch.inf).triu_(1)
        scores_NTT = torch.baddbmm(future_TT.expand(heads, -1, -1), query_NTS, key_NTS.mT)
        weights_NTT = torch.softmax(scores_NTT.float(), -1).bfloat16()
        ctx.save_for_backward(query_NTS, key_NTS, value_NTS, weights_NTT)
        ctx.scaling, ctx.dtype = scaling, query_BHTS.dtype
        return (weights_NTT @ value_NTS).view(query_BHTS.shape).to(ctx.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        query_NTS, key_NTS, value_NTS, weights_NTT = ctx.saved_tensors
        by_output_NTS = _flat(upstream[0])
        by_weights_NTT = by_output_NTS @ value_NTS.mT
        by_scores_NTT = torch._softmax_backward_data(by_weights_NTT, weights_NTT, -1, torch.bfloat16)
        shape = upstream[0].shape
        by_query = (by_scores_NTT @ key_NTS).view(shape).to(ctx.dtype) * ctx.scaling
        by_key = (by_scores_NTT.mT @ query_NTS).view(shape).to(ctx.dtype)
        by_value = (weights_NTT.mT @ by_output_NTS).view(shape).to(ctx.dtype)
        return by_query, by_key, by_value, None


def _flat(each_BHTS: Tensor) -> Tensor:
    return each_BHTS.to(torch.bfloat16, memory_format=torch.contiguous_format).flatten(0, 1)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Queries (B,H,T,S), keys and values (B,G,T,S) -> (B,T,H,S), as transformers' `sdpa` gives it."""
    batch, heads, tokens, size = query.shape
    plain = (
        query.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and attention_mask is None
        and dropout == 0.0
        and getattr(module, "is_causal", True)
        and others.get("is_causal") in (None, True)
        and others.get("position_bias") is None
        and key.shape[2] == tokens > 1
        and key.shape[3] == value.shape[3] == size
        and batch * heads * tokens**2 <= MOST_WEIGHTS
    )
    if not plain:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    if key.shape[1] != heads:
        key, value = (each.repeat_interleave(heads // each.shape[1], 1) for each in (key, value))
    out: Tensor = _Causal.apply(query, key, value, size**-0.5 if scaling is None else scaling)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
