"""What one text is: a line, a paragraph or a document, made of the cleaned lines of a file.

A text stands between the tokenizer's start and end token. Lines suit corpora of a sentence or an utterance a line. In
hard-wrapped text a line ends in the middle of a sentence, and a paragraph is what lies between blank lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Unit = Literal["line", "paragraph", "document"]
PARAGRAPH_END = "\n\n"


def texts(lines: Iterable[str], unit: Unit) -> Iterator[str]:
    """The texts of a file from its cleaned `lines`; an empty one was blank, or all artefact.

    The lines of a paragraph are joined by a space, the paragraphs of a document, which is the file, by a blank line.
    """
    if unit == "line":
        yield from (line for line in lines if line)
    elif unit == "paragraph":
        yield from _paragraphs(lines)
    elif document := PARAGRAPH_END.join(_paragraphs(lines)):
        yield document


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        if line:
            held.append(line)
        elif held:
            yield " ".join(held)
            held = []
    if held:
        yield " ".join(held)


class Wrapped:
    """Notices hard-wrapped text: most lines have the length of one and end in mid-sentence."""

    FEWEST, MOST = 200, 4000  # lines below which nothing is said, and lines that are enough
    SHARE = 0.6
    LENGTHS = range(40, 101)  # characters of a line that was wrapped
    ENDS = frozenset(".!?:;\"'”’)]…")

    def __init__(self) -> None:
        self.lines, self.open_ends = 0, 0

    def see(self, line: str) -> None:
        """Count a cleaned line."""
        if line:
            self.lines += 1
            self.open_ends += line[-1] not in self.ENDS and len(line) in self.LENGTHS

    @property
    def found(self) -> bool:
        return self.lines >= self.FEWEST and self.open_ends > self.SHARE * self.lines
