"""What a process does before it computes: how many threads it takes, and that it keeps the memory which it has had.

A step over a large vocabulary makes tensors of 50 MB and more. The C library takes each from the system and gives it
back at once, and the system clears every page of it anew: at 49,152 tokens that was a third of a step on a CPU.
"""

from __future__ import annotations

import contextlib
import ctypes

# of mallopt(3)
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
MOST, STEP = 2**31 - 1, 64 << 20  # bytes


def begin(threads: int) -> None:
    """Let torch compute with so many threads in this process, and keep what memory it frees for its next tensors."""
    import torch

    torch.set_num_threads(threads)
    keep_memory()


def keep_memory() -> None:
    """Serve large blocks from memory that is kept, and give back what was kept until now: call it before a training,
    which frees blocks of other sizes than the one before. Another C library than glibc is left as it is."""
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, MOST), (TOP_PAD, STEP)):
            library.mallopt(parameter, value)
        library.malloc_trim(0)
