"""A function without arguments, made once into operations on fixed memory and then repeated without Python.

On CUDA that is a CUDA graph. The function must ask the device for no value, must not depend on anything that changes in
Python, and must leave its results in tensors that exist before it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch


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
    # warmed up and captured on one side stream: cuBLAS has its workspace there, and autograd remembers on which stream
    # a parameter was first used
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm_up):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        body()
    return graph
