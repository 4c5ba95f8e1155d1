"""How far the student's next-token distribution p is from the teachers' q, and which way the logits should move.

`DIVERGENCES` has each divergence by its name in `DistillSettings.divergence`. A divergence takes the logits of q (which
it may overwrite) and of p, both already divided by the temperature, and a weight that only `jensen_shannon` uses. It
gives its value (C,) in nats per token and its gradient (C,V) by the student's logits, in closed form, so that no graph
for autograd is kept. No value is negative, and only p = q gives 0.

Shapes: C positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def normalised(logits_CV: Tensor) -> tuple[Tensor, Tensor]:
    """softmax (C,V) and log-sum-exp (C,), with one exponential per logit instead of two."""
    p_CV = torch.softmax(logits_CV, dim=-1)
    return p_CV, logits_CV.amax(-1) - p_CV.amax(-1).log_()


def forward_kl(teacher_CV: Tensor, student_CV: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """KL(q || p) = sum_v q_v (log q_v - log p_v); gradient p - q (Hinton et al. 2015, arXiv:1503.02531).

    The student has to cover everything that the teachers find likely.
    """
    q_CV, log_sum_q_C = normalised(teacher_CV)
    p_CV, log_sum_p_C = normalised(student_CV)
    value_C = torch.linalg.vecdot(q_CV, teacher_CV.sub_(student_CV)) + (log_sum_p_C - log_sum_q_C)
    return value_C, p_CV.sub_(q_CV)


def reverse_kl(teacher_CV: Tensor, student_CV: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """KL(p || q) = sum_v p_v (log p_v - log q_v); gradient p_v (log p_v - log q_v - KL(p || q)) (Gu et al. 2024,
    MiniLLM, arXiv:2306.08543).

    The student has to avoid what the teachers find unlikely, and may leave out some of what they find likely.
    """
    log_p_CV = F.log_softmax(student_CV, dim=-1)
    p_CV = log_p_CV.exp()
    log_ratio_CV = log_p_CV.sub_(F.log_softmax(teacher_CV, dim=-1))
    value_C = torch.linalg.vecdot(p_CV, log_ratio_CV)
    return value_C, log_ratio_CV.sub_(value_C[:, None]).mul_(p_CV)


def jensen_shannon(teacher_CV: Tensor, student_CV: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """JSD_w = w KL(q || m) + (1 - w) KL(p || m) with m = w q + (1 - w) p; gradient
    (1 - w) p_v (log p_v - log m_v - KL(p || m)) (Agarwal et al. 2024, GKD, arXiv:2306.13649).

    `weight` is w, above 0 and below 1, and belongs to the teachers: it is the share of q in the mixture m and of
    KL(q || m) in the sum. The divergence is symmetric at w = 0.5, never above the entropy of (w, 1 - w), and vanishes
    towards both ends: JSD_w / w becomes the forward KL as w falls to 0, JSD_w / (1 - w) the reverse KL as w rises to 1.
    The value is not divided by either, so near an end `alpha` has to make up for its size.
    """
    log_q_CV, log_p_CV = F.log_softmax(teacher_CV, dim=-1), F.log_softmax(student_CV, dim=-1)
    q_CV, p_CV = log_q_CV.exp(), log_p_CV.exp()
    # where m underflows, so do p and q, and their terms are 0 with any finite logarithm of m
    log_m_CV = torch.lerp(p_CV, q_CV, weight).clamp_min_(torch.finfo(p_CV.dtype).tiny).log_()
    from_q_C = torch.linalg.vecdot(q_CV, log_q_CV.sub_(log_m_CV))
    log_ratio_CV = log_p_CV.sub_(log_m_CV)
    from_p_C = torch.linalg.vecdot(p_CV, log_ratio_CV)
    gradient_CV = log_ratio_CV.sub_(from_p_C[:, None]).mul_(p_CV).mul_(1 - weight)
    return weight * from_q_C + (1 - weight) * from_p_C, gradient_CV


# name -> (logits of q, logits of p, weight) -> (value, gradient by the logits of p)
DIVERGENCES: dict[str, Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
}
