"""Line-by-line cleaning of corpus text, with rules for the artefacts of each BabyLM source.

A raw line goes in, a clean line comes out, or `""` for a line that is all artefact. A rule is a list of `Step`s, each
with one line on what it removes and why that is no text. Every source, known or not, also gets the general steps: NFC,
no control characters, single spaces, no line without a letter or digit. `cleaner(source)` repeats the steps until the
line no longer changes, so cleaning is idempotent; a line is never split or joined with another. Change
`CLEANING_VERSION` with any rule: it is part of every data fingerprint.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

CLEANING_VERSION = 1


@dataclass(frozen=True)
class Step:
    """One thing to remove or repair in a line; `what` says it in a line."""

    what: str
    apply: Callable[[str], str]


def _sub(what: str, pattern: str, replacement: str = "", *, flags: int = 0) -> Step:
    """A step that replaces every match of `pattern`."""
    compiled = re.compile(pattern, flags)
    return Step(what, lambda line: compiled.sub(replacement, line))


def _drop(what: str, pattern: str, *, flags: int = 0) -> Step:
    """A step that drops a line in which `pattern` is found."""
    compiled = re.compile(pattern, flags)
    return Step(what, lambda line: "" if compiled.search(line) else line)


_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_READABLE = re.compile(r"[^\W_]")


def _tidy(line: str) -> str:
    """NFC, no control or invisible characters, single spaces; a line without any letter or digit is empty."""
    if not (line.isascii() and line.isprintable()):
        line = _INVISIBLE.sub("", unicodedata.normalize("NFC", line))
    line = _CONTROL.sub(" ", line).strip()
    return line if _READABLE.search(line) else ""


def _heading(line: str) -> str:
    return line.strip("= ") if line.startswith("=") and line.endswith("=") else line


TAGS = _sub("markup tags: <i>, </font>, <pause dur=3>", r"</?[A-Za-z][^<>]*/?>")
ENTITIES = Step("character references of HTML and SGML: &amp;, &quot;, &#39;", html.unescape)
LEADING_DASH = _sub("the hyphen or dash that marks a new speaker", r"^\s*[-–—]+\s+(?=\S)")
SPACED_PUNCTUATION = _sub(
    "the space that a removed piece or a tokeniser left before punctuation", r"\s+([.,;:?!])(?=[\s\"')]|$)", r"\1"
)
FILE_MARK = _drop("the file marks between works: = = = PG1234 = = =", r"^\s*= = = .* = = =\s*$")
SPEAKER_ARROWS = _sub("the >> that marks a new speaker in captions", r"^\s*>>+\s*")
EVENTS = _sub("descriptions of sounds in brackets: [laughs], [MUSIC]", r"\[[^\[\]]*\]")

CHILDES = (
    _drop("headers (@Begin) and annotation tiers (%mor:) of the CHAT format", r"^\s*(@[A-Z]|%[a-z]{3}:)"),
    _sub("the time marks of the media, in milliseconds: 1200_2340", r"\b\d+_\d+\b"),
    _sub("the speaker of a main tier: *MOT:", r"^\s*\*[A-Z0-9]{2,4}:\s*"),
    _sub("codes in brackets: [//], [=! laughing], [: because]", r"\[[^\[\]]*\]"),
    _sub("linkers at the start of an utterance: +<, +^, ++", r"(^|\s)\+[<^+,\"]+(?=\s)", " "),
    _sub("the angle brackets around a retraced or overlapped stretch, whose words stay", r"[<>]"),
    _sub("events and fragments: &=laughs, &+fr, &~gaga", r"&[=+~][^\s.?!]*"),
    _sub("the mark of a filled pause, whose word stays: &-uh", r"(?<![\w&-])(&-?)++(?=[a-z])"),
    _sub("unintelligible, phonetic and untranscribed stretches: xxx, yyy, www", r"\b(xxx|yyy|www|xx|yy)\b"),
    _sub("pauses: (.), (..), (1.5)", r"\((\.+|\d+\.\d*)\)"),
    _sub("the parentheses around sounds left out: (be)cause", r"\((\w+)\)(?=\w)|(?<=\w)\((\w+)\)", r"\1\2"),
    _sub("special form markers: woofwoof@o", r"(?<=\w)@[a-z:]+"),
    _sub("special terminators: +..., +/., +//?", r"\+[/\"]*(?=[.?!])"),
    _sub("the underscore that ties a compound: Mr_Rogers", r"(?<=[^\W_])_++(?=\w)", " "),
    SPACED_PUNCTUATION,
)
SWITCHBOARD = (
    _sub("the speaker of a turn: A:", r"^\s*@?[AB](\.\d+)?(\s+utt\d+)?:\s*"),
    _sub("noises and comments: <laughter>, [noise], <<talks to child>>", r"(?<!<)<++[^<>]*>++|\[[\w-]+\]"),
    _sub("the marks of a restart, whose words stay: [ I, + I ]", r"(^|\s)[\[+](?=\s)|\s\](?=\s|$)", " "),
    _sub("the braces of fillers and discourse marks, whose words stay: {F uh, }", r"\{[A-Z]\s+([^{}]*)\}", r"\1"),
    _sub("slashes that end a unit", r"\s+-?/(?=\s|$)"),
    SPACED_PUNCTUATION,
)
BNC_SPOKEN = (
    ENTITIES,
    TAGS,
    _sub("the code of a speaker: PS0X8:", r"^\s*(PS|KB)[0-9A-Z]{3,4}\s*:\s*"),
    _sub(
        "gaps, pauses and voice events in brackets: [unclear], (pause)", r"\[[^\[\]]*\]|\((pause|unclear|laugh|cough)\)"
    ),
    SPACED_PUNCTUATION,
)
OPEN_SUBTITLES = (
    _sub("position and style codes: {\\an8}, {y:i}", r"\{[^{}]*\}"),
    _sub("the line break of subtitle files: \\N", r"\\[Nn](?=\W|[A-Z]|$)", " "),
    TAGS,
    _drop(
        "credits and advertisements of the subtitles' makers",
        r"^\W*(subtitles?|captions?|captioned|sync|synced|synchroni[sz]ed|resync|corrections?|transcripts?|ripped) +"
        r"(and +\w+ +)?by\b"
        r"|opensubtitles|addic7ed|subscene|\bwww\.|https?://|advertise your product|support us and become",
        flags=re.IGNORECASE,
    ),
    _sub("music notes, whose lyrics stay", r"[♩♪♫♬]+|^\s*#\s+|\s+#\s*$"),
    _sub("sounds for the deaf: [door opens], (SIGHS)", r"\[[^\[\]]*\]|\([A-Z][A-Z' -]+\)"),
    _sub("the name of the speaker in capitals: JOHN:", r"^\s*(-\s*)?[A-Z][A-Z.' ]*[A-Z]\d*:\s+"),
    LEADING_DASH,
    _sub("a lower-case l read for a capital I: l'm, l'll", r"\bl(?='(m|ll|ve|d)\b)", "I"),
)
QED = (
    ENTITIES,
    TAGS,
    _sub("style codes in braces: {y:i}", r"\{\w+:[^{}]*\}"),
    _sub("the line break of subtitle files: \\N", r"\\[Nn](?=\W|[A-Z]|$)", " "),
    EVENTS,
    SPEAKER_ARROWS,
    LEADING_DASH,
    SPACED_PUNCTUATION,
)
GUTENBERG = (
    FILE_MARK,
    _drop(
        "the lines that begin and end an electronic text", r"^\s*\*\*\*.*PROJECT GUTENBERG.*\*\*\*", flags=re.IGNORECASE
    ),
    _sub("the places of pictures: [Illustration: A cat]", r"\[Illustrations?\b[^\[\]]*(\]|$)", flags=re.IGNORECASE),
    _sub(
        "the places and the texts of footnotes: [3], [A], [Footnote 3: ...]",
        r"\[(\d+|[A-Z*†])\]|\[Footnote\b[^\[\]]*(\]|$)",
    ),
    _sub("page numbers: [Pg 12], {12}", r"\[(Pg|Page|p\.)\s*\w+\]|\{\d+\}", flags=re.IGNORECASE),
    _sub("the underscores of italics: _very_", r"(?<!\w)_++(?=\S)|(?<=[^\s_])_++(?!\w)"),
    _sub("the equals signs of bold type: =very=", r"(?<![\w=])=(?=\w)([^=]*)(?<=\S)=(?![\w=])", r"\1"),
    SPACED_PUNCTUATION,
)
CBT = (
    _sub("the name of the book: _BOOK_TITLE_ : ...", r"^\s*_BOOK_TITLE_\s*:.*"),
    _sub("the opening parenthesis of the Penn Treebank, with its space", r"-L[RCS]B-\s*", "("),
    _sub("the closing parenthesis of the Penn Treebank, with its space", r"\s*-R[RCS]B-", ")"),
    _sub("opening double quotes, with their space", r"``\s*", '"'),
    _sub("closing double quotes, with their space", r"\s*''", '"'),
    _sub("opening single quotes, with their space", r"`\s*", "'"),
    _sub("the space that the tokeniser put before n't", r"(?<=\w)\s+(?=n't\b)", flags=re.IGNORECASE),
    _sub(
        "the space that the tokeniser put before a clitic: 's, 'll",
        r"(?<=\w)\s+(?='(s|re|ve|ll|d|m)\b)",
        flags=re.IGNORECASE,
    ),
    SPACED_PUNCTUATION,
)
WIKIPEDIA = (
    Step("the equals signs of a heading, whose words stay: = = History = =", _heading),
    _sub("references with their text: <ref>...</ref>", r"<ref\b[^<>]*>[^<>]*</ref>|<ref\b[^<>]*/>"),
    TAGS,
    _sub("templates: {{cite web}}", r"\{\{[^{}]*\}\}"),
    _sub(
        "the brackets of a link, whose visible words stay: [[cat|cats]]", r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1"
    ),
    _sub("references: [12], [a], [citation needed]", r"\[(\d+|[a-z]|note \d+|citation needed|who\?|when\?|update)\]"),
    _sub("joiners of the tokeniser: 3 @-@ 4, 1 @,@ 000", r"\s*@([-,.])@\s*", r"\1"),
    _sub("parentheses that a removed template left empty: (), (; )", r"\([,;:\s]*\)"),
    _sub("what a removed template left at a parenthesis' start: (; born 1900)", r"\(\s?[,;:]+\s?", "("),
    _sub("the marks of list items: *, #", r"^\s*[*#]+\s*"),
    SPACED_PUNCTUATION,
)

RULES: dict[str, tuple[Step, ...]] = {
    "childes": CHILDES,
    "aochildes": CHILDES,
    "switchboard": SWITCHBOARD,
    "bnc_spoken": BNC_SPOKEN,
    "open_subtitles": OPEN_SUBTITLES,
    "qed": QED,
    "gutenberg": GUTENBERG,
    "gutenberg_fixed": GUTENBERG,
    "children_stories": GUTENBERG,
    "cbt": CBT,
    "simple_wiki": WIKIPEDIA,
    "simple_wikipedia": WIKIPEDIA,
    "wikipedia": WIKIPEDIA,
}
"""The steps of each known source, by file stem; any other source gets the general steps alone."""


def cleaner(source: str) -> Callable[[str], str]:
    """The function that cleans one line of `source`; unknown sources get the general steps."""
    steps = [step.apply for step in RULES.get(source.lower(), ())]

    def clean(line: str) -> str:
        while True:
            before = line
            line = _tidy(line)
            for apply in steps:
                line = apply(line)
            line = _tidy(line)
            if line == before:
                return line

    return clean
