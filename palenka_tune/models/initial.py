"""A student that does not begin at random: with the weights of a model that exists, or with layers of its teacher.

Of N layers the student's n are taken at even distances, the first and the last among them, as DistilBERT takes every
other one (Sanh et al. 2019, arXiv:1910.01108, section 3). All other weights (embeddings, norms, head) are copied.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers import PreTrainedModel

from palenka_tune.errors import UserError
from palenka_tune.models.export import load_weights
from palenka_tune.models.given import even_layers

_LAYER = re.compile(r"\.(?P<kind>h|layers)\.(?P<number>\d+)\.")


def begin_with(student: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Give `student` the weights of the model in `folder`, which must be as wide as it; returns the student.

    Raises `UserError` if a weight has another shape there, or is missing.
    """
    source = load_weights(folder, vocabulary_size=student.config.vocab_size)
    layers = even_layers(student.config.num_hidden_layers, source.config.num_hidden_layers)
    weights = source.state_dict()
    with torch.no_grad():
        for name, weight in student.state_dict().items():
            origin = _LAYER.sub(lambda found: f".{found['kind']}.{layers[int(found['number'])]}.", name, count=1)
            found = weights.get(origin)
            if found is None or found.shape[1:] != weight.shape[1:] or len(found) < len(weight):
                has = "no such weight" if found is None else f"a weight of shape {tuple(found.shape)}"
                raise UserError(
                    f"the student's {name} has shape {tuple(weight.shape)}, and {folder} has {has}; a student begins "
                    "with a model of its own family and sizes: give student.preset that model, and student.layers"
                )
            weight.copy_(found[: len(weight)])  # a table of positions may be longer
    return student
