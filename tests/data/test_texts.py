"""What one text is, and how hard-wrapped text is noticed."""

from __future__ import annotations

import pytest

from palenka_tune.data.texts import Wrapped, texts

FILE = ["", "It was a dark", "and stormy night.", "", "", "The rain", "fell.", ""]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("line", ["It was a dark", "and stormy night.", "The rain", "fell."]),
        ("paragraph", ["It was a dark and stormy night.", "The rain fell."]),
        ("document", ["It was a dark and stormy night.\n\nThe rain fell."]),
    ],
)
def test_units_of_a_file(unit, expected):
    assert list(texts(FILE, unit)) == expected
    assert list(texts(["", ""], unit)) == []


@pytest.mark.parametrize(
    ("line", "wrapped"),
    [
        ("It was a dark and stormy night; the rain fell in torrents except", True),
        ("It was a dark and stormy night; the rain fell in torrents.", False),
        ("hello there", False),  # an utterance without a full stop
        ("x" * 400, False),  # a paragraph without one
    ],
)
def test_hard_wrapped_text_is_noticed(line, wrapped):
    seen = Wrapped()
    for _ in range(Wrapped.FEWEST):
        seen.see(line)
    assert seen.found == wrapped
    assert not Wrapped().found
