"""A stand-in for a CUDA graph on any device: it keeps the operations of one call and repeats them, blind to Python.

It refuses what a capture cannot hold: questions to the device, and tensors that are made from Python's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

ASKING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::repeat_interleave.Tensor",
    "aten::_unique2",
    "aten::bincount",
    "aten::lift_fresh",  # a tensor from numbers: a constant of the recording, and a copy that the host waits for
}


class Recording(TorchDispatchMode):
    """The operations below autograd of what runs within."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        full = f"{name}.{func._schema.overload_name}" if func._schema.overload_name else name
        asks = name in ASKING or full in ASKING
        if name in ("aten::index", "aten::index_put_"):  # by a mask there is a nonzero inside
            asks |= any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1])
        if asks:
            raise RuntimeError(f"{full} asks the device for a value in a step that must not")
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def replay(self) -> None:
        """Do the operations again: tensors that were made are made anew, all others are those of the recording."""
        made: dict[int, Tensor] = {}

        def now(tensor: Tensor) -> Tensor:
            return made.get(id(tensor), tensor)

        with torch.no_grad():
            for func, args, kwargs, out in self.calls:
                again = func(*tree_map_only(Tensor, now, args), **tree_map_only(Tensor, now, kwargs))
                for before, after in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(before, Tensor):
                        made[id(before)] = after


def record(body: Callable[[], None], warm_up: int) -> Recording:
    """What `palenka_tune.distill.static.graph.cuda_graph` does, on any device."""
    for _ in range(warm_up):
        body()
    recording = Recording()
    with recording:
        body()
    return recording
