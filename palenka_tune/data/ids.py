"""How token ids are stored. Standard library only."""

from __future__ import annotations

MOST_UINT16 = 2**16  # entries whose ids fit in 16 bits


def id_type(vocabulary_size: int) -> str:
    """The name of the type of a vocabulary's ids: `uint16`, or `int32` (torch computes little with uint32)."""
    return "uint16" if vocabulary_size <= MOST_UINT16 else "int32"
