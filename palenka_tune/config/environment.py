"""What libraries that we use read from the environment when they are imported; a user's own values win."""

from __future__ import annotations

import os


def calm_libraries() -> None:
    """transformers warns of errors only, and its parts neither report home nor start threads in forked processes."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
