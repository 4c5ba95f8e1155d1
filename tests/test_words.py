"""How figures are written where a person reads them."""

from __future__ import annotations

import pytest

from palenka_tune.words import plural


@pytest.mark.parametrize(
    ("count", "words", "shown"),
    [
        (1, ("trial",), "1 trial"),
        (0, ("trial",), "0 trials"),
        (2048, ("trial",), "2,048 trials"),
        (1, ("entry", "entries"), "1 entry"),
        (2, ("entry", "entries"), "2 entries"),
    ],
)
def test_a_number_has_its_noun(count: int, words: tuple[str, ...], shown: str) -> None:
    assert plural(count, *words) == shown
