"""Numbers, settings and names as the report writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from palenka_tune.report.data import Setting


def shown(value: Any, name: str = "") -> str:
    """The value of the setting `name`."""
    if value is None:
        return "full" if name.endswith("rank") else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def described(values: Mapping[str, Any], settings: Iterable[Setting]) -> str:
    """A trial's settings on one line."""
    names = {setting.name: setting.short for setting in settings}
    return ", ".join(f"{names.get(name, name)} {shown(value, name)}" for name, value in values.items())


def percent(accuracy: float, stderr: float | None, digits: int = 1) -> str:
    """An accuracy in percent with its standard error, `53.0 ± 0.2`. An error below 1 % has a decimal in any case."""
    if stderr is None:
        return f"{100 * accuracy:.{digits}f}"
    return f"{100 * accuracy:.{digits}f} ± {100 * stderr:.{max(digits, 0 if stderr >= 0.01 else 1)}f}"


def duration(seconds: float) -> str:
    """`41 s`, `6.5 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
