"""A function without arguments, made once into operations on fixed memory and then repeated without Python.

On CUDA that is a CUDA graph. The function must ask the device for no value, must not depend on anything that changes in
Python, and must leave its results in tensors that exist before it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch

from palenka_tune.errors import PalenkaError


class CaptureError(PalenkaError):
    """A step could not be made into a graph; the loop is as it was."""


class Graph(Protocol):
    """What `capture` gives."""

    def replay(self) -> None:
        """Do again what the function did when it was captured, on what now lies in the same memory."""


Capture = Callable[[Callable[[], None], int], Graph]


def cuda_graph(body: Callable[[], None], warm_up: int) -> Graph:
    """`body` as a CUDA graph, after `warm_up` calls. All of these calls and the captured one happen: the caller puts
    back what they changed.

    Raises RuntimeError if `body` does what a capture cannot hold.
    """
    stream, pool, _ = _side(torch.cuda.current_device())
    before = torch.cuda.current_stream()
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            for _ in range(warm_up):
                body()
        before.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads may go on with their work: one gathers the next batch
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            body()
    except BaseException:
        _side.cache_clear()  # a pool in which a capture broke off may take no other
        raise
    finally:
        torch.cuda.set_stream(before)  # which a capture that failed does not do
    return graph


@cache
def _side(device: int) -> tuple[torch.cuda.Stream, Any, torch.cuda.CUDAGraph]:
    """One stream to warm up and capture on, since cuBLAS keeps a workspace for each, and one pool of memory: no graph
    leaves anything there that is read after another has run. A small graph keeps the pool alive, which PyTorch gives up
    with the last of its graphs and does not take up again."""
    stream, pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
    anchor = torch.cuda.CUDAGraph()
    with torch.cuda.graph(anchor, pool=pool, stream=stream, capture_error_mode="thread_local"):
        torch.zeros(1, device=f"cuda:{device}")
    return stream, pool, anchor
