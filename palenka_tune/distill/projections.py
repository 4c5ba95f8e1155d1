"""Projections of hidden states and the targets they are compared with.

A projection turns a student's state (or, with `teacher_to_student`, a teacher's) into the other's space. Before that a
teacher's state may be centred, reduced to its leading principal components and whitened; after that it may be
normalised. Shapes: B windows, T tokens, D student width, E teacher width, R width of the target.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from palenka_tune.distill.settings import ProjectionSettings
from palenka_tune.distill.statistics import LayerStatistics
from palenka_tune.errors import PalenkaError


def _mlp(inputs: int, outputs: int) -> nn.Module:
    hidden = max(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


# kind -> module of (input width, output width)
PROJECTIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "mlp": _mlp,
    "orthogonal": lambda inputs, outputs: orthogonal(nn.Linear(inputs, outputs, bias=False)),
    "identity": lambda inputs, outputs: nn.Identity(),
}

# name -> function of a projected or fixed target; a fixed target is whitened by its transform, before this step
NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "unit": lambda x: F.normalize(x, dim=-1),
    "whiten": lambda x: x,
}


def standardise(target_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Each dimension with mean 0 and variance 1 over the positions of the batch.

    `whiten` does this to a target that trained weights have projected. The statistics then move with the weights, and
    no weights can make the target constant, which would be the trivial optimum.
    """
    weight_BT1 = mask_BT[..., None].float()
    count = weight_BT1.sum().clamp_min(1.0)
    mean_D = (target_BTD * weight_BT1).sum((0, 1)) / count
    centred_BTD = target_BTD - mean_D
    variance_D = (centred_BTD.square() * weight_BT1).sum((0, 1)) / count
    return centred_BTD / (variance_D + 1e-5).sqrt()


class TargetTransform(nn.Module):
    """The fixed part of a target: centre, reduce to the leading components, whiten. (B,T,E) -> (B,T,R).

    `components` is how many leading components the source gives in place of the whole state (None: the state itself).
    They are centred and rotated already, so only the first R are taken, and whitened.
    """

    mean: Tensor | None
    matrix: Tensor | None
    scale: Tensor | None

    def __init__(
        self, settings: ProjectionSettings, statistics: LayerStatistics | None, components: int | None = None
    ) -> None:
        super().__init__()
        for name in ("mean", "matrix", "scale"):
            self.register_buffer(name, None, persistent=False)
        self.rank: int | None = None
        if components is not None and (settings.rank is None or settings.rank > components):
            raise PalenkaError(
                f"{components} components of a teacher's hidden state are kept, but projection.rank is "
                f"{settings.rank}; use a rank of at most {components}, or a cache that holds more"
            )
        if not self.needs_statistics(settings):
            return
        assert statistics is not None
        if settings.rank is not None or settings.normalize == "whiten":
            self.rank = settings.rank or len(statistics.variances)
        if components is None:
            self.mean = statistics.mean
            if self.rank is not None:
                self.matrix = statistics.components[:, : self.rank]
        if settings.normalize == "whiten":
            # a floor keeps directions without variance from being blown up into noise
            floor = 1e-5 * float(statistics.variances[0])
            self.scale = (statistics.variances[: self.rank] + floor).rsqrt()

    @staticmethod
    def needs_statistics(settings: ProjectionSettings) -> bool:
        return settings.center or settings.rank is not None or settings.normalize == "whiten"

    def forward(self, state_BTE: Tensor) -> Tensor:
        state = state_BTE.float()
        if self.mean is not None:
            state = state - self.mean
        if self.matrix is not None:
            state = state @ self.matrix
        elif self.rank is not None:
            state = state[..., : self.rank]
        return state if self.scale is None else state * self.scale


class PairProjection(nn.Module):
    """One (teacher state, student state) pair: gives (prediction, target), both (B,T,R) or both (B,T,D)."""

    def __init__(
        self, settings: ProjectionSettings, direction: str, transform: TargetTransform, projection: nn.Module
    ) -> None:
        super().__init__()
        self.direction, self.transform, self.projection = direction, transform, projection
        self.whiten = settings.normalize == "whiten"
        self.normalize = NORMALIZATIONS[settings.normalize]

    def forward(self, student_BTD: Tensor, teacher_BTE: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        target = self.transform(teacher_BTE)
        if self.direction == "student_to_teacher":
            return self.projection(student_BTD), self.normalize(target)
        # normalised after the projection, or W = 0 would be the trivial optimum
        projected = self.projection(target)
        return student_BTD, standardise(projected, mask_BT) if self.whiten else self.normalize(projected)


def make_projection(kind: str, inputs: int, outputs: int, seed: int) -> nn.Module:
    """A projection initialised from `seed`, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PROJECTIONS[kind](inputs, outputs)


def target_spread(target_BTR: Tensor, mask_BT: Tensor) -> Tensor:
    """Standard deviation of a target over positions, averaged over dimensions: 0 if it has collapsed."""
    weight_BT1, values_BTR = mask_BT[..., None].float(), target_BTR.detach().float()
    count = weight_BT1.sum()
    centred_BTR = (values_BTR - (values_BTR * weight_BT1).sum((0, 1)) / count) * weight_BT1
    return (centred_BTR.square().sum((0, 1)) / (count - 1)).sqrt().mean()  # NaN for one position
