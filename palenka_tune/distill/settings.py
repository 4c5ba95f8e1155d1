"""What a student is distilled with: the loss weights and the projection of hidden states (standard library only).

    L = ce_weight * CE + alpha(t) * KL_tau + beta(t) * H          (nats per token, nats per token, distance)

KL_tau is the forward KL or another of `palenka_tune.distill.divergences`. Every field can be fixed in a YAML file,
overridden by `--set` or searched. It is checked when the object is made, so that a search refuses bad values before any
work starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from palenka_tune.errors import UserError
from palenka_tune.limits import Limits, Strict, check_fields

Schedule = Literal["constant", "linear_decay", "cosine_decay", "warmup"]
HiddenSchedule = Literal["constant", "linear_decay", "cosine_decay", "warmup", "hint"]
Reduction = Literal["token", "sequence"]
Ensemble = Literal["logits", "probabilities"]
Divergence = Literal["forward_kl", "reverse_kl", "jensen_shannon"]
Direction = Literal["student_to_teacher", "teacher_to_student", "toward_larger"]
Kind = Literal["linear", "mlp", "orthogonal", "identity"]
Normalize = Literal["none", "layer_norm", "unit", "whiten"]
Distance = Literal["mse", "cosine"]
Sharing = Literal["per_pair", "per_teacher"]

LayerMap = str | dict[int, int] | list[dict[int, int]]


@dataclass(frozen=True)
class ProjectionSettings(Strict):
    """How hidden states of teacher and student are compared.

    `direction` says whose states are projected to the other's width, `kind` by what; `identity` needs equal widths.
    `rank` r keeps the r leading principal components of a teacher's layer (None: full width) and implies centring;
    `center` subtracts the layer's mean over train. `normalize` and `distance` say what is compared and how. `layer_map`
    is `poster`, `uniform`, `last`, `every:N`, one {teacher: student} map for all teachers, or a list with one map per
    teacher. `sharing` gives each pair of layers its own projection, or each teacher one. `lr_multiplier` times the
    recipe's learning rate is the projections'.
    """

    direction: Direction = "student_to_teacher"
    kind: Kind = "linear"
    rank: Annotated[int, Limits(ge=1, hint=", or null for the full width")] | None = None
    center: bool = False
    normalize: Normalize = "layer_norm"
    distance: Distance = "mse"
    layer_map: LayerMap = "uniform"
    sharing: Sharing = "per_pair"
    lr_multiplier: Annotated[float, Limits(ge=0)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "projection.")


@dataclass(frozen=True)
class DistillSettings(Strict):
    """The loss. `alpha` weighs the KL to the teachers' average, `beta` the hidden states, per token unless
    `kl_reduction` is `sequence` (the poster's units: the KL is summed over a window's positions). `ce_weight` weighs
    the student's own cross-entropy where there are teachers. `temperature` divides the logits of teachers and student
    before they are compared. `alpha_schedule` and `beta_schedule` say how the weights change over the training;
    `hint` has the hidden states for its first part only, the share `beta_until` of the steps.
    `ensemble` averages the teachers' logits or their probabilities.

    `divergence` is what the KL term measures: `forward_kl`, KL(teachers || student), `reverse_kl`, KL(student ||
    teachers), or `jensen_shannon`, between the two. `divergence_weight`, above 0 and below 1, is the teachers' share in
    `jensen_shannon`, which is close to a small multiple of the forward KL near 0 and of the reverse KL near 1; both
    KLs ignore it.

    `hidden_gradient` false keeps the poster's fault for comparison: the hidden term is evaluated without a gradient
    and its projections do not train, so that beta adds to the loss and changes no student.

    `teacher_weights` (None: equal) are normalised to sum to 1.
    """

    alpha: Annotated[float, Limits(ge=0)] = 1.0
    beta: Annotated[float, Limits(ge=0)] = 3.0
    temperature: Annotated[float, Limits(gt=0, hint=" (1 leaves the logits as they are)")] = 2.0
    alpha_schedule: Schedule = "constant"
    beta_schedule: HiddenSchedule = "constant"
    beta_until: Annotated[float, Limits(gt=0, le=1)] = 0.2
    ce_weight: Annotated[float, Limits(ge=0)] = 1.0
    hidden_gradient: bool = True
    kl_reduction: Reduction = "token"
    ensemble: Ensemble = "logits"
    divergence: Divergence = "forward_kl"
    divergence_weight: Annotated[float, Limits(gt=0, lt=1)] = 0.5
    teacher_weights: list[float] | None = None
    projection: ProjectionSettings = field(default_factory=ProjectionSettings)

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.ce_weight or self.alpha or (self.beta and self.hidden_gradient)):
            raise UserError("ce_weight, alpha and beta leave nothing that a student could learn from; set one above 0")
        given = self.teacher_weights
        if given is not None and not (all(0 <= w < math.inf for w in given) and 0 < sum(given) < math.inf):
            raise UserError(f"teacher_weights are {given}; they must be finite, 0 or more, and not all 0")

    def weights(self, teachers: int) -> list[float]:
        """One weight per teacher, summing to 1."""
        given = self.teacher_weights or [1.0] * teachers
        if len(given) != teachers:
            raise UserError(f"teacher_weights has {len(given)} values for {teachers} teachers; give one per teacher")
        return [weight / sum(given) for weight in given]
