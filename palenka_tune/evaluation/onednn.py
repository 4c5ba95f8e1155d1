"""A model's linear layers through oneDNN while it is only read, on x86 CPUs with AVX-512.

PyTorch multiplies float32 matrices with Intel's MKL, which takes its AVX2 path on CPUs that are not Intel's; oneDNN,
which PyTorch ships as well, uses what the CPU has: 250 instead of 115 GFLOP/s on one core of an AMD EPYC with AVX-512.
Both compute in float32. There is no gradient, so this is for evaluation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D


@contextlib.contextmanager
def onednn_linears(model: torch.nn.Module) -> Iterator[None]:
    """`torch.nn.Linear` and GPT-2's `Conv1D` of `model` compute through oneDNN; nothing changes where that is no gain."""
    layers = [m for m in model.modules() if type(m) in (torch.nn.Linear, Conv1D) and _applies(m.weight)]
    for layer in layers:
        layer.forward = partial(_linear, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # what the class has comes back


def _applies(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear(layer: torch.nn.Module, inputs: Tensor) -> Tensor:
    weight = layer.weight if isinstance(layer, torch.nn.Linear) else layer.weight.t()
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, layer.bias, "none", [], "")
