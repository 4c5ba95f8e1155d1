"""Teachers that run on every batch: opened folders become a `distill.signals.OnlineSource`.

The cache replaces it and answers the same questions. A teacher must read the student's token ids, so its tokenizer must
make the same ids of a text as the one of the token store, however its files are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from palenka_tune.config.files import file_sha256, read_json
from palenka_tune.data import given_tokenizer
from palenka_tune.data.store import TokenStore
from palenka_tune.distill.matmul import multiplies_bfloat16
from palenka_tune.distill.signals import OnlineSource
from palenka_tune.models.export import load_weights
from palenka_tune.models.given import check_positions, check_vocabulary
from palenka_tune.teachers.spec import Teacher


def online_source(
    teachers: Sequence[Teacher],
    store: TokenStore,
    sample: Tensor,
    *,
    device: str | torch.device = "cpu",
    half: bool = False,
    spread: bool = False,
) -> OnlineSource:
    """Load `teachers` onto `device`; `sample` (N,T) are the train windows on which layer statistics are fitted.

    With `half` a teacher whose weights are kept in 16 bits has them in bfloat16, where the device multiplies that: it
    takes half the memory, and on a CPU a third of the time. With `spread` each teacher's layers are spread over all
    GPUs that this process has.

    Raises:
        UserError: if a teacher's tokenizer or vocabulary is not the store's, or if it cannot read a whole window.
        torch.OutOfMemoryError: if the teachers do not fit.
    """
    models: list[nn.Module] = []
    for teacher in teachers:
        check_reader(teacher, store)
        dtype = kept_in(teacher.folder, torch.device(device)) if half else torch.float32
        models.append(
            load_weights(
                teacher.folder,
                device=device,
                vocabulary_size=store.vocabulary_size,
                dtype=dtype,
                device_map="auto" if spread else None,
            )
        )
    return OnlineSource(models, [teacher.shape for teacher in teachers], sample, store.pad_id)


def kept_in(folder: Path, device: torch.device) -> torch.dtype:
    """bfloat16 for a model whose weights are kept in 16 bits, on a device that multiplies it; else float32."""
    config = read_json(folder / "config.json")
    in_half = config.get("dtype", config.get("torch_dtype")) in ("bfloat16", "float16")
    return torch.bfloat16 if in_half and multiplies_bfloat16(device) else torch.float32


def _reads_as(folder: Path, store: TokenStore) -> bool:
    """Whether a teacher's tokenizer makes the ids of the store."""
    path = folder / "tokenizer.json"
    if path.is_file() and file_sha256(path) == store.manifest["shaped_by"]["tokenizer"]:
        return True
    rules = store.manifest.get("rules")
    return rules is not None and given_tokenizer.rules_digest(given_tokenizer.open_backend(folder)) == rules


def check_reader(teacher: Teacher, store: TokenStore, role: str = "teacher") -> None:
    """Raise `UserError` unless tokenizer, vocabulary and positions fit the store's windows; loads no model."""
    if not _reads_as(teacher.folder, store):
        raise given_tokenizer.another(role, teacher.name)
    check_vocabulary(role, teacher.name, teacher.folder, store.vocabulary_size)
    check_positions(role, teacher.name, teacher.folder, store.window)
