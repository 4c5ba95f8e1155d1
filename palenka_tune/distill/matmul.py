"""Matrix products in float32 on CPUs where PyTorch takes the slower of the two libraries it ships.

PyTorch multiplies float32 matrices with Intel's MKL, which uses AVX2 at most on processors that are not Intel's.
oneDNN, which PyTorch ships too, uses AVX-512 on every processor that has it (`python -m benchmarks.products` shows the
gain). Both compute in float32 and differ only in the order of their sums. `product` is the product itself;
`quick_linears` lets a model's linear layers compute through it, forward and backward. On other CPUs, and on GPUs, both
leave everything to PyTorch.

Shapes: M rows, K inner size, N columns.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@cache
def onednn_is_faster() -> bool:
    """Whether this is a CPU with AVX-512 on which MKL does not use it."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    if not (torch.backends.mkl.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _applies(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.device.type == "cpu" and onednn_is_faster()


def product(left_MK: Tensor, right_NK: Tensor, bias_N: Tensor | None = None, onto_MN: Tensor | None = None) -> Tensor:
    """left @ right.T + bias + onto, without a gradient; `onto_MN` may be overwritten."""
    if _applies(left_MK) and _applies(right_NK):
        linear = torch.ops.mkldnn._linear_pointwise
        out: Tensor
        if onto_MN is None:
            out = linear(left_MK, right_NK, bias_N, "none", [], "")
        else:
            out = linear.binary(left_MK, onto_MN, right_NK, bias_N, "add")
        return out
    out = F.linear(left_MK, right_NK, bias_N)
    return out if onto_MN is None else onto_MN.add_(out)


class _Linear(torch.autograd.Function):
    """x @ weight.T + bias and its gradients, each one `product`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight_NK)
        ctx.has_bias = bias_N is not None
        return product(inputs, weight_NK, bias_N)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight_NK = ctx.saved_tensors
        by_output_MN, inputs_MK = upstream[0].flatten(0, -2), inputs.flatten(0, -2)
        by_inputs = product(upstream[0], weight_NK.T) if ctx.needs_input_grad[0] else None
        by_weight = product(by_output_MN.T, inputs_MK.T) if ctx.needs_input_grad[1] else None
        return by_inputs, by_weight, by_output_MN.sum(0) if ctx.has_bias else None


def _forward(layer: nn.Module, inputs: Tensor) -> Tensor:
    weight: Any = layer.weight if isinstance(layer, nn.Linear) else layer.weight.T
    if torch.is_autocast_enabled(inputs.device.type) or not (_applies(inputs) and _applies(weight)):
        return F.linear(inputs, weight, layer.bias)  # type: ignore[arg-type]
    if not torch.is_grad_enabled():
        return product(inputs, weight, layer.bias)  # type: ignore[arg-type]
    out: Tensor = _Linear.apply(inputs, weight, layer.bias)
    return out


def quick_linears(model: nn.Module) -> None:
    """Let the linear layers of `model` (`nn.Linear`, GPT-2's `Conv1D`) compute through `product` where that is faster;
    their weights, names and results stay what they are."""
    if not onednn_is_faster():
        return
    for layer in model.modules():
        # by name, since the core does not import transformers; its weight is the transpose of a Linear's
        if type(layer) is nn.Linear or type(layer).__name__ == "Conv1D":
            layer.forward = partial(_forward, layer)
