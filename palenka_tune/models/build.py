"""Models from presets: randomly initialised Hugging Face models whose weights depend on the seed alone.

A model is a `GPT2LMHeadModel`, `LlamaForCausalLM` or `Qwen3ForCausalLM` without dropout (the poster's setting), with
scaled-dot-product attention and no key-value cache while training. On the `meta` device it costs no memory and still
has its true parameter count.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from palenka_tune.data.store import TokenStore
from palenka_tune.data.tokenizer import BOS_ID, EOS_ID, PAD_ID
from palenka_tune.errors import UserError
from palenka_tune.models.attention import quick_attention
from palenka_tune.models.folder import NOTE
from palenka_tune.models.given import even_layers
from palenka_tune.models.presets import ModelPreset


def build_model(
    preset: ModelPreset,
    *,
    vocabulary_size: int,
    window: int,
    pad_id: int | None = PAD_ID,
    bos_id: int | None = BOS_ID,
    eos_id: int | None = EOS_ID,
    seed: int | None = None,
    device: str | torch.device = "cpu",
) -> PreTrainedModel:
    """A freshly initialised float32 model in training mode.

    `window` is the number of tokens T of a training window; the model has max(preset.positions, 2 * window) positions.
    With a `seed` the weights are the same on every device and torch's global generator is left as it was; without one
    they are drawn from the global generator. Weights are always drawn on the CPU and then moved to `device`.

    Raises:
        UserError: if the vocabulary or the window is empty or a special id lies outside the vocabulary.
    """
    if vocabulary_size < 1 or window < 1:
        raise UserError(
            f"model {preset.name}: vocabulary_size {vocabulary_size} and window {window} must both be 1 or more"
        )
    for name, token_id in (("pad_id", pad_id), ("bos_id", bos_id), ("eos_id", eos_id)):
        if token_id is not None and not 0 <= token_id < vocabulary_size:
            raise UserError(
                f"model {preset.name}: {name} {token_id} lies outside the vocabulary of {vocabulary_size} tokens; "
                "give the id that the tokenizer has"
            )
    ids = {"pad_token_id": pad_id, "bos_token_id": bos_id, "eos_token_id": eos_id}
    positions = preset.positions_for(window)
    settings: dict[str, Any] = {
        "hidden_size": preset.width,
        "num_hidden_layers": preset.layers,
        "num_attention_heads": preset.heads,
        "max_position_embeddings": positions,
        "vocab_size": vocabulary_size,
        **ids,
        "tie_word_embeddings": preset.tied,
        "use_cache": False,
        "attn_implementation": "sdpa",
        NOTE: {"window": window},
    }
    device = torch.device(device)
    with contextlib.ExitStack() as stack:
        if device.type == "meta":
            stack.enter_context(device)
        elif seed is not None:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
        model: PreTrainedModel
        if preset.config is not None:
            kept = {name: settings[name] for name in ("max_position_embeddings", "vocab_size", *ids, "use_cache", NOTE)}
            model = _of_config(preset, kept)
        elif preset.family == "gpt2":
            no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout"), 0.0)
            model = GPT2LMHeadModel(GPT2Config(**settings, **no_dropout))
        else:
            sizes = {
                "intermediate_size": preset.ffn,
                "num_key_value_heads": preset.kv_heads or preset.heads,
                "head_dim": preset.head_size,
                "attention_dropout": 0.0,
            }
            if preset.family == "qwen3":
                model = Qwen3ForCausalLM(Qwen3Config(**settings, **sizes))
            else:
                model = LlamaForCausalLM(LlamaConfig(**settings, **sizes))
    model.train().to(device)
    quick_attention(model)
    return model


def _of_config(preset: ModelPreset, settings: dict[str, Any]) -> PreTrainedModel:
    """A fresh model of the config.json that `preset` names, with its number of layers, `settings`, and no dropout."""
    config = AutoConfig.from_pretrained(preset.config, local_files_only=True, trust_remote_code=False)
    kinds = getattr(config, "layer_types", None)  # of families whose layers differ
    if kinds:
        config.layer_types = [kinds[each] for each in even_layers(preset.layers, len(kinds))]
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    config.num_hidden_layers = preset.layers
    for name, value in settings.items():
        setattr(config, name, value)
    # scaled-dot-product attention, unless the family has none
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return model


def build_for_store(
    preset: ModelPreset, store: TokenStore, *, seed: int, device: str | torch.device = "cpu"
) -> PreTrainedModel:
    """A fresh model for the windows of `store`: its vocabulary, special ids and window."""
    around, size = store.around, store.vocabulary_size
    ids: dict[str, int | None] = {"pad_id": around.pad, "bos_id": around.start, "eos_id": around.end}
    model = build_model(preset, vocabulary_size=size, window=store.window, seed=seed, device=device, **ids)
    if store.unit != "line":
        getattr(model.config, NOTE)["unit"] = store.unit
    return model


def count_parameters(model: torch.nn.Module) -> int:
    """Parameters of `model`, each shared (tied) tensor counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
