"""Distillation core: losses, projections, layer maps, schedules and the training loop. Needs torch alone.

From Python: `distill.run` trains one student as the command does, and is loaded, with all that it needs, when it is
asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palenka_tune.commands.distill import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from palenka_tune.commands import distill

    return getattr(distill, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
