"""Numbers as people read them."""

from __future__ import annotations

import pytest

from palenka_tune.report.words import duration


@pytest.mark.parametrize(("seconds", "text"), [(41.2, "41 s"), (390, "6.5 min"), (11_520, "3.2 h")])
def test_durations_are_short(seconds, text) -> None:
    assert duration(seconds) == text
