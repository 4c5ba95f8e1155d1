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
from palenka_tune.distill.signals import OnlineSource
from palenka_tune.errors import UserError
from palenka_tune.models.export import load_weights
from palenka_tune.teachers.spec import Teacher


def online_source(
    teachers: Sequence[Teacher], store: TokenStore, sample: Tensor, *, device: str | torch.device = "cpu"
) -> OnlineSource:
    """Load `teachers` onto `device`; `sample` (N,T) are the train windows on which layer statistics are fitted.

    Raises `UserError` if a teacher's tokenizer or vocabulary is not the store's, or if it cannot read a whole window.
    """
    models: list[nn.Module] = []
    for teacher in teachers:
        check_teacher(teacher, store)
        models.append(load_weights(teacher.folder, device=device, vocabulary_size=store.vocabulary_size))
    return OnlineSource(models, [teacher.shape for teacher in teachers], sample, store.pad_id)


def _reads_as(folder: Path, store: TokenStore) -> bool:
    """Whether a teacher's tokenizer makes the ids of the store."""
    path = folder / "tokenizer.json"
    if path.is_file() and file_sha256(path) == store.manifest["shaped_by"]["tokenizer"]:
        return True
    rules = store.manifest.get("rules")
    return rules is not None and given_tokenizer.rules_digest(given_tokenizer.open_backend(folder)) == rules


def check_teacher(teacher: Teacher, store: TokenStore) -> None:
    """Raise `UserError` unless tokenizer, vocabulary and positions fit the store's windows; loads no model."""
    if not _reads_as(teacher.folder, store):
        raise UserError(
            f"teacher {teacher.name} has another tokenizer than the student's data, so their token ids differ; set "
            "data.tokenizer to teacher (teachers must share one tokenizer), or name a preset to train a teacher"
        )
    config = read_json(teacher.folder / "config.json")
    vocabulary = config.get("vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < store.vocabulary_size:
        raise UserError(
            f"teacher {teacher.name} has a vocabulary of {vocabulary} entries, and the tokenizer of the data gives ids "
            f"up to {store.vocabulary_size - 1}; use a teacher trained with this tokenizer"
        )
    positions = config.get("max_position_embeddings") or config.get("n_positions") or store.window
    if positions < store.window:
        raise UserError(
            f"teacher {teacher.name} reads {positions} tokens at most and the windows have {store.window}; "
            f"set window to {positions} or less, or use another teacher"
        )
