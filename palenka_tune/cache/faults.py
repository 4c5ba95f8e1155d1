"""Why a shard could not be written, as one sentence: what a worker gives back in place of an exception."""

from __future__ import annotations

from palenka_tune.errors import first_line

OUT_OF_MEMORY = "the GPU's memory is too small"


def reason(error: Exception) -> str:
    """For the message that ends the build."""
    import torch  # a worker has set its threads before

    if isinstance(error, torch.OutOfMemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
    return first_line(error)
