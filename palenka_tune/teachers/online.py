"""Teachers that run on every batch: opened folders become a `distill.signals.OnlineSource`.

The cache replaces it and answers the same questions. A teacher must read the student's token ids, so its tokenizer is
compared byte for byte with the one of the token store.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from palenka_tune.config.files import file_sha256, read_json
from palenka_tune.data.store import TokenStore
from palenka_tune.distill.signals import OnlineSource
from palenka_tune.errors import UserError
from palenka_tune.models.export import load_model
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
        model, _ = load_model(teacher.folder, device=device)
        models.append(model)
    return OnlineSource(models, [teacher.shape for teacher in teachers], sample, store.pad_id)


def check_teacher(teacher: Teacher, store: TokenStore) -> None:
    """Raise `UserError` unless tokenizer, vocabulary and positions fit the store's windows; loads no model."""
    path = teacher.folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"teacher {teacher.name} has no tokenizer ({path} not found); export it with its tokenizer")
    theirs, ours = file_sha256(path), store.manifest["shaped_by"]["tokenizer"]
    if theirs != ours:
        raise UserError(
            f"teacher {teacher.name} has another tokenizer ({theirs[:12]}) than the student's data ({ours[:12]}), so "
            "their token ids differ; use a teacher trained on this data, or name a preset to train one"
        )
    config = read_json(teacher.folder / "config.json")
    vocabulary = config.get("vocab_size")
    if vocabulary != store.vocabulary_size:
        raise UserError(
            f"teacher {teacher.name} has a vocabulary of {vocabulary} entries and the student's data has "
            f"{store.vocabulary_size}; use a teacher trained with the same tokenizer"
        )
    positions = config.get("max_position_embeddings") or config.get("n_positions") or store.window
    if positions < store.window:
        raise UserError(
            f"teacher {teacher.name} reads {positions} tokens at most and the windows have {store.window}; "
            f"set window to {positions} or less, or use another teacher"
        )
