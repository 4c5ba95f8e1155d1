"""The bodies of Llama, Qwen3 and GPT-2 as functions of tensors, for steps that a CUDA graph holds.

A layer is a function of its input and of its weights alone. `torch.compile` makes it once, and every layer, student and
trial of a process with the same sizes uses what was made: no module is guarded, no hook is traced, no mask is built or
looked at. The weights are the Hugging Face model's own parameters. `trunk_of` gives what `heads.states_of` gives, for
models whose configuration it knows, and None for others.

Shapes: B windows, T tokens, D width, H heads, G heads of keys and values, S size of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palenka_tune.distill.static.compiling import compiled

Layer = Callable[..., Tensor]


@dataclass(frozen=True)
class Trunk:
    """`states(tokens_BT)` are all hidden states (B,T,D), the last one as the head reads it."""

    states: Callable[[Tensor], tuple[Tensor, ...]]


def trunk_of(model: nn.Module, dtype: torch.dtype, window: int, *, joined: bool | None = None) -> Trunk | None:
    """The body of `model` for windows of `window` tokens with products in `dtype`; None if its like is not known.

    `joined` makes one product of those that read the same (None: on a GPU); without it a Llama's states are Hugging
    Face's bit for bit.
    """
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    if kind in ("llama", "qwen3") and _is_plain_llama(config):
        if joined is None:
            joined = next(model.parameters()).device.type == "cuda"
        return _llama(model, config, dtype, window, normed_heads=kind == "qwen3", joined=joined)
    if kind == "gpt2" and _is_plain_gpt2(config):
        return _gpt2(model, config, dtype)
    return None


def _is_plain_llama(config: Any) -> bool:
    """Without biases, dropout, windows of attention, or positions that change with the length of the text."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        config.hidden_act == "silu"
        and not (config.attention_bias or getattr(config, "mlp_bias", False) or config.attention_dropout)
        and rope.get("rope_type", "default") in ("default", "linear", "llama3")
        and kinds == {"full_attention"}
    )


def _is_plain_gpt2(config: Any) -> bool:
    dropout = config.attn_pdrop or config.resid_pdrop or config.embd_pdrop
    scaled = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
    unusual = config.reorder_and_upcast_attn or config.add_cross_attention
    return config.activation_function == "gelu_new" and scaled and not (dropout or unusual)


# --- Llama and Qwen3


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    x_float = x.float()
    return weight * (x_float * torch.rsqrt(x_float.pow(2).mean(-1, keepdim=True) + eps))


def _rotated(x_BHTS: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x_BHTS.shape[-1] // 2
    return x_BHTS * cos + torch.cat((-x_BHTS[..., half:], x_BHTS[..., :half]), dim=-1) * sin


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B,H,T,S), (B,G,T,S) twice -> (B,T,H*S)."""
    grouped = query.shape[1] != key.shape[1]
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
    return mixed.transpose(1, 2).flatten(2)


@cache
def _llama_layer(size: int, eps: float, dtype: torch.dtype, normed_heads: bool, joined: bool) -> Layer:
    def linears(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        """x @ weight.T for each; `joined`, one product of the weights laid end to end inside what is compiled."""
        if not joined:
            return tuple(F.linear(x, weight.to(dtype)) for weight in weights)
        return F.linear(x, torch.cat(weights).to(dtype)).split([len(weight) for weight in weights], dim=-1)

    def layer(x_BTD: Tensor, cos: Tensor, sin: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        norm1, query_w, key_w, value_w, out_w, norm2, gate_w, up_w, down_w, *head_norms = weights
        batch, tokens, _ = x_BTD.shape
        normed = _rms(x_BTD, norm1, eps).to(dtype)
        each = linears(normed, query_w, key_w, value_w)
        query, key, value = (part.view(batch, tokens, -1, size) for part in each)
        if normed_heads:
            query, key = _rms(query, head_norms[0], eps).to(dtype), _rms(key, head_norms[1], eps).to(dtype)
        query, key = (_rotated(each.transpose(1, 2), cos, sin).to(dtype) for each in (query, key))
        x_BTD = x_BTD + F.linear(_attended(query, key, value.transpose(1, 2)), out_w.to(dtype))
        normed = _rms(x_BTD, norm2, eps).to(dtype)
        gate, up = linears(normed, gate_w, up_w)
        return x_BTD + F.linear(F.silu(gate) * up, down_w.to(dtype))

    return compiled(layer)


@cache
def _final_rms(eps: float) -> Layer:
    def norm(x_BTD: Tensor, weight_D: Tensor) -> Tensor:
        return _rms(x_BTD, weight_D, eps)

    return compiled(norm)


def _llama(model: Any, config: Any, dtype: torch.dtype, window: int, *, normed_heads: bool, joined: bool) -> Trunk:
    body = model.model
    norm_w, eps = body.norm.weight, config.rms_norm_eps
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layer, last = _llama_layer(size, eps, dtype, normed_heads, joined), _final_rms(eps)
    with torch.no_grad():
        places = torch.arange(window, device=norm_w.device)[None]
        cos, sin = (each[:, None].clone() for each in body.rotary_emb(norm_w.detach(), places))  # (1,1,T,S)
    weights = [
        (
            each.input_layernorm.weight,
            each.self_attn.q_proj.weight,
            each.self_attn.k_proj.weight,
            each.self_attn.v_proj.weight,
            each.self_attn.o_proj.weight,
            each.post_attention_layernorm.weight,
            each.mlp.gate_proj.weight,
            each.mlp.up_proj.weight,
            each.mlp.down_proj.weight,
            *((each.self_attn.q_norm.weight, each.self_attn.k_norm.weight) if normed_heads else ()),
        )
        for each in body.layers
    ]

    def states(tokens_BT: Tensor) -> tuple[Tensor, ...]:
        # the embedding stays outside of what is compiled: its gradient would add in any order there
        found = [body.embed_tokens(tokens_BT)]
        found += _through(layer, found[0], ((cos, sin, each) for each in weights))
        return (*found[:-1], last(found[-1], norm_w))

    return Trunk(states)


# --- GPT-2


@cache
def _gpt2_layer(heads: int, eps: float, dtype: torch.dtype) -> Layer:
    def layer(x_BTD: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        norm1_w, norm1_b, all_w, all_b, out_w, out_b, norm2_w, norm2_b, up_w, up_b, down_w, down_b = weights
        batch, tokens, width = x_BTD.shape

        def linear(x: Tensor, weight_DK: Tensor, bias_K: Tensor) -> Tensor:
            out = torch.addmm(bias_K.to(dtype), x.to(dtype).flatten(0, 1), weight_DK.to(dtype))
            return out.view(batch, tokens, -1)

        normed = F.layer_norm(x_BTD, (width,), norm1_w, norm1_b, eps)
        each = (
            part.view(batch, tokens, heads, -1).transpose(1, 2) for part in linear(normed, all_w, all_b).chunk(3, -1)
        )
        x_BTD = x_BTD + linear(_attended(*each), out_w, out_b)
        normed = F.layer_norm(x_BTD, (width,), norm2_w, norm2_b, eps)
        return x_BTD + linear(F.gelu(linear(normed, up_w, up_b), approximate="tanh"), down_w, down_b)

    return compiled(layer)


def _gpt2(model: Any, config: Any, dtype: torch.dtype) -> Trunk:
    body = model.transformer
    layer = _gpt2_layer(config.n_head, config.layer_norm_epsilon, dtype)
    weights = [
        tuple(
            parameter
            for module in (each.ln_1, each.attn.c_attn, each.attn.c_proj, each.ln_2, each.mlp.c_fc, each.mlp.c_proj)
            for parameter in (module.weight, module.bias)
        )
        for each in body.h
    ]

    def states(tokens_BT: Tensor) -> tuple[Tensor, ...]:
        found = [body.wte(tokens_BT) + body.wpe.weight[: tokens_BT.shape[1]]]
        found += _through(layer, found[0], ((each,) for each in weights))
        return (*found[:-1], body.ln_f(found[-1]))

    return Trunk(states)


def _through(layer: Layer, x_BTD: Tensor, arguments: Any) -> list[Tensor]:
    """What each layer gives to the next."""
    found = []
    for each in arguments:
        x_BTD = layer(x_BTD, *each)
        found.append(x_BTD)
    return found
