"""The hidden term by groups: all pairs of a teacher in one batched product and one distance.

For linear projections of the student, one for each pair, which is the usual case. Others go pair by pair.

Shapes: P pairs, B windows, T tokens, N = B * T positions, D student width, R width of a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.static.compiling import compiled


def can_group(objective: DistillationObjective) -> bool:
    """Whether every pair has a linear projection of its own from the student's state to the target."""
    settings = objective.settings
    return (
        settings.projection.kind == "linear"
        and settings.projection.sharing == "per_pair"
        and settings.hidden_gradient
        and all(pair.direction == "student_to_teacher" for pair in objective.pairs.values())
    )


def hidden_term(
    objective: DistillationObjective, student: Sequence[Tensor], teachers: list[dict[int, Tensor]], mask_BT: Tensor
) -> tuple[Tensor, Tensor | None]:
    """What `DistillationObjective.hidden_term` gives, for an objective that `can_group`."""
    settings = objective.settings.projection
    mask_N = mask_BT.flatten().float()
    per_teacher = []
    for number, layer_map in enumerate(objective.maps):
        pairs: list[Any] = [objective.pairs[f"{number}:{theirs}:{ours}"] for theirs, ours in layer_map.items()]
        states_PND = torch.stack([student[ours].flatten(0, 1) for ours in layer_map.values()])
        weight_PRD = torch.stack([pair.projection.weight for pair in pairs])
        bias_P1R = torch.stack([pair.projection.bias for pair in pairs])[:, None]
        targets_PNR = torch.stack(
            [
                pair.transform(teachers[number][theirs]).flatten(0, 1)
                for pair, theirs in zip(pairs, layer_map, strict=True)
            ]
        )
        predictions_PNR = torch.baddbmm(bias_P1R, states_PND, weight_PRD.mT)
        distance = _distance(settings.normalize, settings.distance)
        per_teacher.append(distance(predictions_PNR, targets_PNR, mask_N).mean())
    return torch.stack(per_teacher).mean(), None


@cache
def _distance(normalize: str, distance: str) -> Any:
    """Function of predictions, targets (P,N,R) and mask (N,): each pair's mean over the positions (P,)."""

    def each(predictions: Tensor, targets: Tensor, mask_N: Tensor) -> Tensor:
        prediction, target = predictions.float(), targets.float()
        if normalize == "layer_norm":
            target = F.layer_norm(target, target.shape[-1:])
        elif normalize == "unit":
            target = F.normalize(target, dim=-1)
        if distance == "mse":
            each_PN = (prediction - target).square().mean(-1)
        else:
            each_PN = 1.0 - F.cosine_similarity(prediction, target, dim=-1)
        return (each_PN * mask_N).sum(-1) / mask_N.sum()

    return compiled(each)
