"""Hugging Face folders: write a student that plain `from_pretrained` loads, and load one strictly.

An export holds `config.json`, `model.safetensors`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`
and the model card `README.md`; it appears complete or not at all. Nothing of the training is inside: no projections, no
optimiser. One key of `config.json` is ours, `palenka_tune`: the training `window` in tokens and a digest of the
tokenizer, so that an evaluation measures on the same windows and notices a tokenizer of another model. transformers
keeps the key and makes nothing of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from palenka_tune.config.files import read_json, share, temporary_folder, write_json, write_text
from palenka_tune.errors import PalenkaError, UserError, first_line
from palenka_tune.models.attention import quick_attention
from palenka_tune.models.folder import NOTE, TOKENIZER_FILES, check_model_folder, tokenizer_digest

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def export_student(model: PreTrainedModel, tokenizer_dir: str | Path, folder: str | Path, *, card: str) -> Path:
    """Write `model` with its tokenizer and model card to `folder`; returns the folder.

    The folder is built beside its place and renamed at the end, so that an earlier export is replaced only by a
    complete one. The model itself is left as it is (mode, device, cache setting).

    Raises:
        UserError: if the tokenizer is missing or larger than the model's vocabulary, or if `folder` holds something
            other than an earlier export.
    """
    tokenizer_config = _check_tokenizer(Path(tokenizer_dir), model)
    with _replacing(Path(folder).absolute()) as temporary:
        with _no_progress_bars():
            model.save_pretrained(temporary, max_shard_size="1TB")
        # Training turns the key-value cache off; generation with the export wants it.
        config = read_json(temporary / "config.json")
        note = (config.get(NOTE) or {}) | {"tokenizer_sha256": tokenizer_digest(tokenizer_dir)}
        write_json(temporary / "config.json", config | {"use_cache": True, NOTE: note})
        ids = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        GenerationConfig(**ids).save_pretrained(temporary)
        shutil.copyfile(Path(tokenizer_dir) / "tokenizer.json", temporary / "tokenizer.json")
        write_json(temporary / "tokenizer_config.json", tokenizer_config)
        write_text(temporary / "README.md", card)
    return Path(folder).absolute()


def copy_export(source: str | Path, folder: str | Path) -> Path:
    """Put a copy of the model folder `source` in `folder`, whole or not at all, in place of an earlier export."""
    with _replacing(Path(folder).absolute()) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    return Path(folder).absolute()


def load_model(
    path: str | Path, *, device: str | torch.device = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The causal language model (in evaluation mode) and the tokenizer of a local folder.

    Nothing is downloaded and no code from the folder is run; weights are read from safetensors only.

    Raises:
        UserError: if the folder is not a model folder (the message says what is missing), has no tokenizer or another
            model's, or if its weights do not fill the model that its configuration describes.
    """
    path = check_model_folder(path)
    model = load_weights(path, device=device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **_LOCAL)
    except Exception as error:
        raise UserError(f"the tokenizer in {path} does not load ({first_line(error)}); export it again") from error
    return model, tokenizer


DeviceMap = Mapping[str, str | int] | str | None  # {module: device}, or accelerate's word for a way to find it


def load_weights(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    vocabulary_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device_map: DeviceMap = None,
) -> PreTrainedModel:
    """The causal language model (in evaluation mode) of a local folder, whatever its tokenizer.

    Embeddings and head are cut to `vocabulary_size` rows, if they have more: many models are padded to a round number
    that their tokenizer does not reach. With a `device_map` accelerate puts the model's layers on several devices, by
    "auto" on the GPUs that this process has; their outputs come to the device of the tokens.

    Raises:
        UserError: as `load_model` does, or if a `device_map` is given and accelerate is not installed.
        torch.OutOfMemoryError: if it does not fit.
    """
    path = Path(path)
    if device_map is not None and importlib.util.find_spec("accelerate") is None:
        raise UserError(
            f"{path} takes several GPUs, over which accelerate spreads it; pip install 'palenka-tune[large]'"
        )
    try:
        with _no_progress_bars():
            model, report = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, device_map=device_map, use_safetensors=True, output_loading_info=True, **_LOCAL
            )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # transformers raises what its parts raise; all of it means a folder that cannot load
        reason = first_line(error)
        raise UserError(f"{path} does not load as a causal language model ({reason}); export it again") from error
    if report["missing_keys"]:  # transformers would only warn and leave these at random values
        names = sorted(report["missing_keys"])
        raise UserError(f"{path} lacks {len(names)} of the model's weights, such as {names[0]}; export it again")
    if vocabulary_size is not None and model.get_output_embeddings().weight.shape[0] > vocabulary_size:
        model.resize_token_embeddings(vocabulary_size)
    model.eval()
    if _reads_ahead(model):
        raise UserError(
            f"{path} is a {model.config.model_type} that reads the tokens after a position too, so that it cannot say "
            "what comes next; give a causal language model (...ForCausalLM)"
        )
    if device_map is None:
        model.to(device)
        quick_attention(model)
        return model
    if device_map == "auto" and {"cpu", "disk"} & {str(place) for place in model.hf_device_map.values()}:
        raise torch.OutOfMemoryError(f"{path} does not fit on {torch.cuda.device_count()} GPUs")
    return model


@torch.no_grad()
def _reads_ahead(model: PreTrainedModel) -> bool:
    """Whether another last token changes the logits before it, as in an encoder with a head (BERT)."""
    size = model.get_input_embeddings().weight.shape[0]
    one = torch.arange(8) % size
    other = torch.cat([one[:-1], (one[-1:] + 1) % size])
    both = torch.stack([one, other])
    before = model(both, attention_mask=torch.ones_like(both), use_cache=False).logits[:, :-1].float()
    if not before.isfinite().all():
        return False  # nothing can be said of it; its cross-entropy will tell
    tolerance = 1e-4 if model.dtype is torch.float32 else 3e-2
    return bool((before[0] - before[1]).abs().max() > tolerance * before.abs().max().clamp_min(1e-6))


def _check_tokenizer(tokenizer_dir: Path, model: PreTrainedModel) -> dict[str, Any]:
    """The tokenizer's settings as the export keeps them; raises `UserError` if it cannot serve the model."""
    missing = [name for name in TOKENIZER_FILES if not (tokenizer_dir / name).is_file()]
    if missing:
        raise UserError(
            f"{tokenizer_dir} has no tokenizer: {', '.join(missing)} not found; give the tokenizer's folder"
        )
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir, local_files_only=True, trust_remote_code=False)
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"the tokenizer in {tokenizer_dir} has {len(tokenizer)} tokens but the model's vocabulary is "
            f"{model.config.vocab_size}; give the tokenizer that the model was trained with"
        )
    settings: dict[str, Any] = read_json(tokenizer_dir / "tokenizer_config.json")
    settings.pop("backend", None)
    # The class name that transformers 4 and 5 both know, and no token_type_ids, which `generate` would refuse.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    settings["model_max_length"] = model.config.max_position_embeddings
    return settings


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill beside `folder`; on success it takes the place of `folder`, an earlier export or nothing.

    What is in the place is moved aside first and comes back if the rename fails.
    """
    if folder.exists():
        earlier_export = folder.is_dir() and ((folder / "config.json").is_file() or not any(folder.iterdir()))
        if not earlier_export:
            raise UserError(f"{folder} exists and is not a model folder; give a new folder to export to, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_folder(folder)
    try:
        yield temporary
        share(temporary)
        if not folder.exists():
            temporary.replace(folder)
            return
        aside = temporary_folder(folder)
        folder.replace(aside)  # an empty folder may be renamed over
        try:
            temporary.replace(folder)
        except OSError as error:
            aside.replace(folder)
            raise PalenkaError(
                f"{folder} could not be replaced ({error}); the earlier export is still there"
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Silence transformers' progress bars, which would cut into the search's own display."""
    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            transformers_logging.enable_progress_bar()
