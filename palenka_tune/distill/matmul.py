"""Matrix products on CPUs, by the library that is quickest there.

In float32 PyTorch multiplies matrices with Intel's MKL, which uses AVX2 at most on processors that are not Intel's.
oneDNN, which PyTorch ships too, uses AVX-512 on every processor that has it (`python -m benchmarks.products` shows the
gain). Both compute in float32 and differ only in the order of their sums.

Under autocast to bfloat16 the products of linear layers are bfloat16, and everything between them stays float32.
PyTorch's own autocast keeps bfloat16 between them too, which a CPU has to convert at every step of its way.

`product` is the product itself; `quick_linears` lets a model's linear layers compute through it, forward and backward.
On GPUs, and on CPUs where nothing of this is quicker, both leave everything to PyTorch.

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


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether `device` has instructions for it: most GPUs since 2020, CPUs with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private, and not in every torch
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in names)


def in_bfloat16(tensor: Tensor) -> bool:
    """Whether `tensor` is on a CPU under autocast to bfloat16."""
    if tensor.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") is torch.bfloat16


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


def _cast(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """`inputs` in `dtype`, made once for the layers that read the same (queries, keys and values, for one)."""
    if inputs.dtype is dtype or inputs.is_inference():  # which has no version
        return inputs.to(dtype)
    version, made = getattr(inputs, "_made", (None, None))
    if made is None or version != inputs._version or made.dtype is not dtype:
        made = inputs.detach().to(dtype)
        inputs._made = inputs._version, made  # type: ignore[attr-defined]
    return made


class _Linear(torch.autograd.Function):
    """x @ weight.T + bias in float32, and its gradients, each one `product` in `dtype`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight_NK: Tensor, bias_N: Tensor | None, dtype: torch.dtype) -> Tensor:
        narrow = _cast(inputs, dtype)
        ctx.save_for_backward(narrow, weight_NK)
        ctx.has_bias = bias_N is not None
        return product(narrow, weight_NK.to(dtype), None if bias_N is None else bias_N.to(dtype)).float()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight_NK = ctx.saved_tensors
        by_output = upstream[0].to(inputs.dtype)
        by_output_MN, inputs_MK = by_output.flatten(0, -2), inputs.flatten(0, -2)
        by_inputs = by_weight = None
        if ctx.needs_input_grad[0]:
            by_inputs = product(by_output, weight_NK.to(inputs.dtype).T).float()
        if ctx.needs_input_grad[1]:
            by_weight = product(by_output_MN.T, inputs_MK.T).float()
        return by_inputs, by_weight, upstream[0].flatten(0, -2).sum(0) if ctx.has_bias else None, None


def _forward(layer: nn.Module, inputs: Tensor) -> Tensor:
    weight: Any = layer.weight if isinstance(layer, nn.Linear) else layer.weight.T
    bias: Any = layer.bias
    narrow = in_bfloat16(inputs) and inputs.dtype is weight.dtype is torch.float32
    if not narrow and (torch.is_autocast_enabled(inputs.device.type) or not (_applies(inputs) and _applies(weight))):
        return F.linear(inputs, weight, bias)
    out: Tensor = _Linear.apply(inputs, weight, bias, torch.bfloat16 if narrow else torch.float32)
    return out


def quick_linears(model: nn.Module) -> None:
    """Let the linear layers of `model` (`nn.Linear`, GPT-2's `Conv1D`) compute through `product` where that is faster;
    their weights and names stay what they are, and their results up to rounding."""
    if not (onednn_is_faster() or multiplies_bfloat16(torch.device("cpu"))):
        return
    for layer in model.modules():
        # by name, since the core does not import transformers; its weight is the transpose of a Linear's
        if type(layer) is nn.Linear or type(layer).__name__ == "Conv1D":
            layer.forward = partial(_forward, layer)
