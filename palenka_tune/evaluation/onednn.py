"""A model's linear layers through oneDNN while it is only read, on x86 CPUs with AVX-512.

PyTorch multiplies float32 matrices with Intel's MKL, which takes its AVX2 path on CPUs that are not Intel's; oneDNN,
which PyTorch ships as well, uses what the CPU has: 250 instead of 115 GFLOP/s on one core of an AMD EPYC with AVX-512.
Both compute in float32. There is no gradient, so this is for evaluation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@contextlib.contextmanager
def onednn_linears(model: nn.Module) -> Iterator[None]:
    """`nn.Linear` and GPT-2's `Conv1D` of `model` compute through oneDNN, where it is there and AVX-512 with it.

    A layer whose `forward` somebody else has replaced keeps that one.
    """
    layers = [layer for layer in model.modules() if type(layer) in (nn.Linear, Conv1D) and "forward" not in vars(layer)]
    layers = [layer for layer in layers if _applies(layer.weight)]
    for layer in layers:
        layer.forward = partial(_linear, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # what the class has comes back


def _applies(weight: Any) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _linear(layer: nn.Module, inputs: Tensor) -> Tensor:
    weight: Any = layer.weight
    if not isinstance(layer, nn.Linear):
        weight = weight.t()  # Conv1D keeps (inputs, outputs)
    outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, layer.bias, "none", [], "")
    return outputs
