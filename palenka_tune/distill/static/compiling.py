"""Which functions of a step `torch.compile` makes into kernels of their own, and whether it does.

Functions are compiled by themselves (`compiled`), not the step as a whole: another trial of the same sizes then uses
what is there, whatever its losses. They are compiled on CUDA alone; on a CPU, and where compiling failed, they run as
they are written.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)
SHAPES = 256  # of one function: torch stops at 8, and a search has many widths of projections
_off: list[str] = []  # why nothing is compiled here, said once
_made: dict[Callable[..., Any], Callable[..., Any]] = {}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled at its first call with tensors of a GPU."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if _off or not _on_gpu(args):
            return function(*args)
        if function not in _made:
            _made[function] = _compile(function)
        return _made[function](*args)

    return call


def switch_off(reason: str) -> None:
    """Run every function as it is written from now on."""
    if not _off:
        logger.warning(f"torch.compile does not work here ({reason}); a step runs without it, and slower")
    _off.append(reason)


def switch_on() -> None:
    """Compile again."""
    _off.clear()


def is_off() -> bool:
    """Whether functions run as they are written, on every device."""
    return bool(_off)


def _on_gpu(args: Any) -> bool:
    first = next((each for each in args if isinstance(each, Tensor)), None)
    return first is not None and first.device.type == "cuda"


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.config.recompile_limit = SHAPES
    torch._dynamo.config.accumulated_recompile_limit = 8 * SHAPES
    return torch.compile(function, fullgraph=True, dynamic=False)
