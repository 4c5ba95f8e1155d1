"""The architecture of a Hugging Face model folder, from its `config.json` alone: nothing is loaded, no code is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.files import fingerprint, read_model_json
from palenka_tune.errors import UserError
from palenka_tune.models.folder import NOTE
from palenka_tune.models.presets import ModelPreset

# keys that do not shape the weights
PASSING = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", NOTE)
ADAPTER = "adapter_config.json"


def read_architecture(folder: str | Path) -> ModelPreset:
    """The architecture in `folder`; raises `UserError` if it is none of a causal language model, or wants code of its
    own."""
    folder = Path(folder).expanduser().absolute()
    config = _config(folder)
    width, depth = _size(config, "hidden_size", "n_embd"), _size(config, "num_hidden_layers", "n_layer")
    if width is None or depth is None:
        if isinstance(config.get("text_config"), dict):
            raise UserError(
                f"{folder} is a multimodal model ({config.get('model_type')}): only a part of it is a language model; "
                "save that part alone (its language_model and its head) as a causal language model, and give that "
                "folder"
            )
        raise UserError(
            f"{folder}/config.json ({config.get('model_type')}) names no hidden size or number of layers; give a "
            "causal language model such as gpt2 or llama"
        )
    if not _known(str(config.get("model_type"))):
        raise UserError(
            f"{folder}/config.json has model_type {config.get('model_type')!r}, of which this transformers has "
            "no causal language model; correct it, or give a model of a family that it has"
        )
    return ModelPreset(
        name=model_name(folder),
        family=str(config.get("model_type")),
        width=width,
        layers=depth,
        heads=_size(config, "num_attention_heads", "n_head") or 1,
        ffn=_size(config, "intermediate_size", "n_inner"),
        positions=position_limit(config) or 1,
        kv_heads=_size(config, "num_key_value_heads"),
        head_dim=_size(config, "head_dim"),
        config=str(folder),
    )


def position_limit(config: Mapping[str, Any]) -> int | None:
    """Tokens that a model with this config.json reads at most; None if its family has no such limit (BLOOM, Mamba)."""
    return _size(config.get("text_config") or config, "max_position_embeddings", "n_positions", "max_seq_len")


def positions_in(folder: str | Path) -> int | None:
    """`position_limit` of the model in `folder`."""
    return position_limit(_config(Path(folder).expanduser()))


def check_positions(role: str, name: str, folder: str | Path, window: int) -> None:
    """Raise `UserError` if the model in `folder`, called `role` and `name`, reads fewer tokens than a window has."""
    positions = positions_in(folder)
    if positions is not None and positions < window:
        raise UserError(
            f"{role} {name} reads {positions} tokens at most and the windows have {window}; "
            f"set window to {positions} or less, or use another {role}"
        )


def check_vocabulary(role: str, name: str, folder: str | Path, ids: int) -> None:
    """Raise `UserError` if the model in `folder`, called `role` and `name`, has fewer entries than there are ids."""
    config = _config(Path(folder).expanduser())
    has = config.get("vocab_size")
    if not isinstance(has, int) or has < ids:
        raise UserError(
            f"{role} {name} has a vocabulary of {has} entries, and the tokenizer gives ids up to {ids - 1}; give a "
            f"{role} whose embeddings were resized with its tokenizer, or the tokenizer that it was trained with"
        )


def architecture_digest(folder: str | Path) -> str:
    """16 hex digits over what shapes the weights, wherever the folder is."""
    config = _config(Path(folder).expanduser())
    return fingerprint({name: value for name, value in config.items() if name not in PASSING})


def even_layers(taken: int, depth: int) -> list[int]:
    """Which of `depth` layers `taken` are, at even distances; raises `UserError` if there are fewer."""
    if taken > depth:
        raise UserError(
            f"student.layers is {taken}, and the model that the student begins with has {depth}; take fewer"
        )
    return [round(each * (depth - 1) / (taken - 1)) for each in range(taken)] if taken > 1 else [depth - 1]


def layers_of(teacher: ModelPreset, student: ModelPreset) -> ModelPreset:
    """The architecture of a student that begins with layers of `teacher`: the teacher's, with the student's number.

    Raises `UserError` unless family, width, heads and feed-forward size are equal, and for more layers than there are.
    """
    for name in ("family", "width", "heads", "kv_heads", "head_dim", "ffn"):
        has, wants = getattr(teacher, name), getattr(student, name)
        if has != wants and not (name in ("kv_heads", "head_dim", "ffn") and None in (has, wants)):
            raise UserError(
                f"student.init is teacher, but the student {student.name} has {name} {wants} and the teacher "
                f"{teacher.name} {has}; give student.preset the teacher's own name, and student.layers"
            )
    even_layers(student.layers, teacher.layers)
    name = f"{student.layers} layers of {teacher.name}"
    return dataclasses.replace(teacher, name=name, layers=student.layers)


def hub_name(folder: Path) -> str | None:
    """`OWNER/NAME` of a model in the hub's cache, which keeps it in `models--OWNER--NAME/snapshots/REVISION`; else
    None."""
    kind, _, name = folder.parent.parent.name.partition("--")
    if folder.parent.name != "snapshots" or kind != "models":
        return None
    return name.replace("--", "/", 1)


def model_name(folder: Path) -> str:
    """The folder's name; of a search's best student the search's, of the hub's cache the repository's."""
    name = hub_name(folder)
    if name is not None:
        return name.rpartition("/")[2]
    return folder.parent.name if folder.name == "best" else folder.name


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        if (folder / ADAPTER).is_file():
            base = read_model_json(folder / ADAPTER).get("base_model_name_or_path") or "its base model"
            raise UserError(
                f"{folder} is a LoRA adapter of {base} and no model by itself; merge it (merge_and_unload of peft), "
                "save the merged model, and give its folder"
            )
        inner = sorted(each.parent.name for each in folder.glob("*/config.json"))
        instead = f"one of the models in it, such as {folder / inner[-1]}" if inner else "a Hugging Face model folder"
        raise UserError(f"{folder} is not a model: it has no config.json; give {instead}")
    config: dict[str, Any] = read_model_json(path)
    if config.get("auto_map") and not _known(str(config.get("model_type"))):
        raise UserError(
            f"{path} asks for code of its own (auto_map), which is never run; give a model of a family that "
            "transformers itself knows"
        )
    return config


def _known(model_type: str) -> bool:
    """Whether transformers has a causal language model of that type itself."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _size(config: Mapping[str, Any], *names: str) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
