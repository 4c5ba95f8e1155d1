"""How teacher signals become the few bytes that the cache keeps, and floats again.

Hidden states become float16, or int8 with one float32 scale per vector. Log-probabilities become a handful of sampled
token ids whose expected frequencies are the teacher's distribution, and an entropy that turns a cross-entropy against
them into a KL. All of it runs on the device of its input, over blocks of rows, and draws randomness only from a
generator that the caller gives.

Shapes: N windows (or positions), T tokens, E width of a state, V vocabulary, K samples per position.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palenka_tune.errors import PalenkaError

MAX_CODE = 127
MAX_VOCABULARY = 2**31 - 1  # ids are stored as int32 at most
BLOCK_ELEMENTS = 2**19  # 4 MiB of float64: a block's passes stay in the processor's cache


def to_float16(values: Tensor, what: str = "values") -> Tensor:
    """`values` as float16 (relative error up to 2⁻¹¹ in its normal range), any shape.

    Raises `PalenkaError` that names `what` and the largest magnitude if a value is beyond ±65,504, and one for NaN.
    """
    limit = torch.finfo(torch.float16).max
    if values.numel():
        lowest, highest = values.aminmax()  # several times faster than to look for inf in the result; passes NaN on
        largest = max(-lowest.item(), highest.item())
        if not largest <= limit:
            _refuse_nan(values, what)
            raise PalenkaError(
                f"{what} reach {largest:.4g}, beyond float16's largest number {limit:.0f}; "
                "use the int8 encoding, whose scales are float32"
            )
    return values.to(torch.float16)


def quantise(states_NTE: Tensor, what: str = "hidden states") -> tuple[Tensor, Tensor]:
    """Codes int8 (N,T,E) and scales float32 (N,T): symmetric, one scale = max|x| / 127 per vector.

    `codes · scale` is within scale / 2 of the state (plus float32 rounding); a vector of zeros has scale 0. Raises
    `PalenkaError` that names `what` for NaN or infinite states.
    """
    x_NTE = states_NTE.float()
    scale_NT = torch.maximum(x_NTE.amax(-1), -x_NTE.amin(-1)) / MAX_CODE
    if not scale_NT.isfinite().all():
        _refuse_nan(x_NTE, what)
        raise PalenkaError(f"{what} hold infinite numbers; check the teacher, whose training has probably diverged")
    divisor_NT = torch.where(scale_NT > 0, scale_NT, 1.0)
    # the clamp matters only for subnormal vectors, whose scale cannot be represented exactly
    codes_NTE = (x_NTE / divisor_NT[..., None]).round_().clamp_(-MAX_CODE, MAX_CODE).to(torch.int8)
    return codes_NTE, scale_NT


def dequantise(codes: Tensor, scale: Tensor) -> Tensor:
    """float32 (...,E) states from int8 codes (...,E) and float32 scales (...)."""
    return codes.float().mul_(scale[..., None])


def systematic_sample(log_probs_NV: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """(N,K) int64 token ids, ascending in each row, drawn from softmax(`log_probs_NV`) with K = `samples`.

    Random-sampling distillation (Anshumann et al. 2025, Sparse Logit Sampling, arXiv:2503.16870) replaces a teacher's
    distribution q by the frequencies of K ids drawn from it, so that the expected loss and gradient stay those of q.
    They draw the ids independently. Here the draws of a row are systematic (Madow 1949): one uniform u, and K points
    (u + i) / K, i = 0 … K−1, looked up in the cumulative distribution. Token j owns an interval of length q_j, which
    holds ⌊K q_j⌋ or ⌈K q_j⌉ of such evenly spaced points and K q_j of them on average: the expectation of a frequency
    is q_j as before, while its variance, f (1 − f) / K² with f the fractional part of K q_j, is never above the
    q_j (1 − q_j) / K of independent draws. A token whose log-probability is −inf is never drawn.

    Each row is normalised here. One number per row is drawn from
    `generator`, in row order. Beside its input and its output the call holds a few blocks of rows, 4 MiB each in
    float64, however large N is. Raises `PalenkaError` for a row that is no distribution (NaN, or nothing above −inf).
    """
    vocabulary = log_probs_NV.shape[1]
    if samples < 1 or not 1 <= vocabulary <= MAX_VOCABULARY:
        raise ValueError(f"samples={samples}, V={vocabulary}: need samples ≥ 1 and 1 ≤ V ≤ {MAX_VOCABULARY}")
    uniform_N1 = torch.rand(len(log_probs_NV), 1, dtype=torch.float64, device=generator.device, generator=generator)
    steps_K = torch.arange(samples, dtype=torch.float64, device=generator.device)
    points_NK = ((uniform_N1 + steps_K) / samples).to(log_probs_NV.device)
    ids_NK = torch.empty(points_NK.shape, dtype=torch.int64, device=log_probs_NV.device)
    rows = max(1, BLOCK_ELEMENTS // vocabulary)
    for block_NV, points, ids in zip(log_probs_NV.split(rows), points_NK.split(rows), ids_NK.split(rows), strict=True):
        cdf_NV = _at_least_float32(block_NV).exp().double()
        torch.cumsum(cdf_NV, dim=1, out=cdf_NV)
        total_N1 = cdf_NV[:, -1:]
        if not ((total_N1 > 0) & total_N1.isfinite()).all():
            raise PalenkaError("the teacher's logits hold NaN or no finite value; check the teacher")
        # scaling K points costs less than dividing V sums; a point may not round up onto the end of the last interval
        below_total_N1 = torch.nextafter(total_N1, torch.zeros_like(total_N1))
        torch.searchsorted(cdf_NV, torch.minimum(points * total_N1, below_total_N1), right=True, out=ids)
    return ids_NK


def entropy(log_probs_NV: Tensor) -> Tensor:
    """(N,) float32 entropies in nats of normalised `log_probs_NV`, with 0 · log 0 = 0; one block of rows at a time."""
    entropy_N = torch.empty(len(log_probs_NV), dtype=torch.float32, device=log_probs_NV.device)
    rows = max(1, BLOCK_ELEMENTS // max(1, log_probs_NV.shape[1]))
    for block_NV, out_N in zip(log_probs_NV.split(rows), entropy_N.split(rows), strict=True):
        log_NV = _at_least_float32(block_NV)
        finite_NV = log_NV.clamp_min(torch.finfo(log_NV.dtype).min)  # exp(−inf) · lowest number = −0, not NaN
        out_N.copy_(-log_NV.exp().mul_(finite_NV).sum(1))
    return entropy_N


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _refuse_nan(values: Tensor, what: str) -> None:
    if values.isnan().any():
        raise PalenkaError(f"{what} hold NaN; check the teacher, whose training has probably diverged")
