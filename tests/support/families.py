"""Tiny random teachers of the families that people have, as plain transformers saves them: nothing of ours inside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
SIZES |= {"max_position_embeddings": 64}
SHARED = {"num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "gpt_neox": {**SIZES, "tie_word_embeddings": False},
    "opt": {**SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "llama": {**SIZES, **SHARED, "tie_word_embeddings": False},
    "mistral": {**SIZES, **SHARED, "sliding_window": 8},
    "qwen2": {**SIZES, **SHARED, "tie_word_embeddings": True},
    "qwen3": {**SIZES, **SHARED, "head_dim": 16, "tie_word_embeddings": True},
    "gemma": {**SIZES, **SHARED, "head_dim": 8},
    "gemma2": {**SIZES, **SHARED, "head_dim": 8, "final_logit_softcapping": 3.0},  # caps its logits after the head
    "gemma3_text": {**SIZES, **SHARED, "head_dim": 8},
    "phi": {**SIZES, "partial_rotary_factor": 0.5},
    "olmo": {**SIZES, **SHARED},
    "olmo2": {**SIZES, **SHARED},
    "smollm3": {**SIZES, **SHARED},
}
CAPPED = ("gemma2",)


def make_teacher(family: str, tokenizer: Path, folder: Path, vocabulary: int, **sizes: Any) -> Path:
    """A random model of `family` with `vocabulary` rows beside the files of `tokenizer`; its opinions are strong."""
    config = AutoConfig.for_model(family, **(FAMILIES[family] | sizes), vocab_size=vocabulary)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = AutoModelForCausalLM.from_config(config)
        for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
            weight.data.mul_(8)
    model.save_pretrained(folder)
    for path in tokenizer.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder
