"""Students: one ready to train (`bench`), trained to its end (`fit`), many on Ray (`jobs`), scored (`scoring`).

From Python, `students.run` trains one with fixed settings as `python -m palenka_tune.distill` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palenka_tune.students.distill import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:  # loaded when it is asked for, with torch and Ray
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from palenka_tune.students import distill

    return getattr(distill, name)
