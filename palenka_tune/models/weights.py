"""The weights of a Hugging Face model folder, looked at by the headers of their files: no number is read, no code run.

What cannot teach is told before anything else is done: files that are not there, or are not what their name says, and
models that were saved without the head of a language model.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from palenka_tune.config.files import check_no_pointer, read_model_json
from palenka_tune.errors import UserError
from palenka_tune.models.folder import WEIGHT_FILES

OTHER_TASKS = re.compile(
    r"For(SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|MaskedLM|PreTraining)$"
)
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads: the one whole file, or the shards that the index names."""
    whole, index = (folder / name for name in WEIGHT_FILES)
    if whole.is_file() or not index.is_file():
        return [whole] if whole.is_file() else []
    return [folder / name for name in sorted(set(read_model_json(index)["weight_map"].values()))]


def check_weights(folder: Path, depth: int) -> int:
    """How many numbers the weights of the model of `depth` layers in `folder` are.

    Raises:
        UserError: if there are none, a file is missing or damaged, they are quantized, belong to a model with another
            head, or have fewer layers.
    """
    config = read_model_json(folder / "config.json")
    _check_kind(folder, config)
    files = weight_files(folder)
    if not files:
        raise UserError(_no_weights(folder))
    shapes = {name: shape for path in files for name, shape in _header(path).items()}
    tables = sum(len(shape) == 2 and shape[0] == config.get("vocab_size") for shape in shapes.values())
    if config.get("tie_word_embeddings") is False and tables == 1:
        raise UserError(
            f"{folder} has an embedding and no head that gives the next token; give a causal language model "
            "(...ForCausalLM), saved with its head"
        )
    deepest = max((int(number) for name in shapes for number in LAYER.findall(name)[:1]), default=-1)
    if 0 <= deepest < depth - 1:
        raise UserError(
            f"{folder}/config.json says {depth} layers, and its weights have {deepest + 1}; the two are not of one "
            "model: copy both files again"
        )
    return sum(map(math.prod, shapes.values()))


def _check_kind(folder: Path, config: Mapping[str, Any]) -> None:
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method", "a method that it does not name")
        raise UserError(
            f"{folder} has its weights quantized ({method}), and its numbers are needed whole; give the model that it "
            "was made from, or save a dequantized copy"
        )
    named = config.get("architectures") or []
    if named and all(OTHER_TASKS.search(str(name)) for name in named):
        raise UserError(
            f"{folder} is a {named[0]}, which has no head that gives the next token; give a causal language model "
            "(...ForCausalLM)"
        )


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")):
        path = str(folder)
        convert = f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({path!r})"
        return (
            f"{folder} has its weights as pickles only (*.bin), which can run code; convert them once: "
            f"{shlex.join(['python', '-c', f'{convert}.save_pretrained({path!r})'])}"
        )
    has = "weights as GGUF only, which is for inference" if any(folder.glob("*.gguf")) else "no model.safetensors"
    return f"{folder} has {has}; give a Hugging Face model folder with safetensors weights"


def _header(path: Path) -> dict[str, list[int]]:
    """The shapes of a safetensors file's tensors by their names."""
    if not path.is_file():
        raise UserError(f"{path} is not there, and {WEIGHT_FILES[1]} names it; copy all files of the model")
    check_no_pointer(path)
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(
            f"{path} is no whole safetensors file ({error}); copy it again, or export the model again"
        ) from None
