"""Search: Ray Tune runs the trials, Optuna proposes them, ASHA stops them on the student's own dev cross-entropy.

From Python: `search.run`, `search.configure` and `search.load`; they are loaded when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palenka_tune.search.api import configure, load, run

__all__ = ["configure", "load", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from palenka_tune.search import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
