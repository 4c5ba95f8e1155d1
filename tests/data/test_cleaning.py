"""Cleaning: every step on an example, and one contract over all sources."""

from __future__ import annotations

import random
import unicodedata

import pytest

from palenka_tune.data.cleaning import RULES, Step, cleaner

EXAMPLES = [
    ("childes", "@Begin", ""),
    ("childes", "%mor:\tpro|you v|want", ""),
    ("childes", "*MOT:\tlook at that . \x151200_2340\x15", "look at that."),
    ("childes", "you want [//] you need [=! laughing] it ?", "you want you need it?"),
    ("childes", "<I want> [/] I want more", "I want I want more"),
    ("childes", "+< that one &=laughs &+fr &~gaga !", "that one!"),
    ("childes", "&-uh I know &um", "uh I know um"),
    ("childes", "xxx and yyy .", "and."),
    ("childes", "well (.) no (1.5) yes", "well no yes"),
    ("childes", "(be)cause he is go(ing)", "because he is going"),
    ("childes", "woofwoof@o says Mr_Rogers", "woofwoof says Mr Rogers"),
    ("childes", "I was +/.", "I was."),
    ("switchboard", "A:\tUh-huh.", "Uh-huh."),
    ("switchboard", "@B.12 utt1: yeah <laughter> [noise] <<coughs>>", "yeah"),
    ("switchboard", "[ I, + I ] think so /", "I, I think so"),
    ("switchboard", "well , <laughter> .", "well,."),
    ("switchboard", "{F Uh, } it is. -/", "Uh, it is."),
    ("bnc_spoken", "PS0X8: right [unclear] (pause) then <pause dur=3>", "right then"),
    ("bnc_spoken", "is it [unclear] ?", "is it?"),
    ("bnc_spoken", "bread &amp; butter", "bread & butter"),
    ("open_subtitles", "{\\an8}<i>Wait.</i>\\NFor me.", "Wait. For me."),
    ("open_subtitles", "Subtitles by somebody", ""),
    ("open_subtitles", "Sync and corrections by somebody", ""),
    ("open_subtitles", "Downloaded from www.example.org", ""),
    ("open_subtitles", "♪ Hold me now ♪", "Hold me now"),
    ("open_subtitles", "# Hold me now #", "Hold me now"),
    ("open_subtitles", "[door opens] Hello. (SIGHS)", "Hello."),
    ("open_subtitles", "- JOHN: Who is there?", "Who is there?"),
    ("open_subtitles", "- Me.", "Me."),
    ("open_subtitles", "l'm sure l'll come", "I'm sure I'll come"),
    ("qed", "&amp;quot;Hello,&amp;quot; <b>she</b> said", '"Hello," she said'),
    ("qed", "{y:i}>> So [Music] we start\\NThank you", "So we start Thank you"),
    ("qed", "- Yes ?", "Yes?"),
    ("gutenberg", "= = = PG17670 = = =", ""),
    ("gutenberg", "*** START OF THE PROJECT GUTENBERG EBOOK ***", ""),
    ("gutenberg", "[Illustration: A cat] The cat.[3] [Footnote 3: a pet]", "The cat."),
    ("gutenberg", "[Illustration: A cat that goes on", ""),
    ("gutenberg", "He was _very_ =very= cold [Pg 12]{13}", "He was very very cold"),
    ("gutenberg", "He went home [4], late [Pg 3].", "He went home, late."),
    ("gutenberg", "*       *       *", ""),
    ("children_stories", "the _Nautilus_,", "the Nautilus,"),
    ("cbt", "_BOOK_TITLE_ : Andrew_Lang___Prince_Prigio.txt.out", ""),
    ("cbt", "`` I do n't know , '' she said -LRB- it 's late -RRB- .", "\"I don't know,\" she said (it's late)."),
    ("cbt", "She said `` hush '' twice .", 'She said "hush" twice.'),
    ("cbt", "` Ah '", "'Ah '"),
    ("simple_wiki", "= = = Early life = = =", "Early life"),
    ("simple_wiki", "Paris (; ) is big [12][citation needed] .", "Paris is big."),
    ("simple_wiki", "She (, born 1900) wrote {{lang|fr}} [[novel|novels]].", "She (born 1900) wrote novels."),
    ("simple_wiki", "It has 3 @-@ 4 or 1 @,@ 000 parts<ref name=a>x</ref>", "It has 3-4 or 1,000 parts"),
    ("wikipedia", "* An item <br/>", "An item"),
    ("anything", "  a\tb\u00a0 c\u200b\u2028d ", "a b c d"),
    ("anything", "cafe\u0301", "café"),
    ("anything", "----", ""),
]
ORDINARY = [
    "The cat sat on the mat.",
    "do you want to come with me?",
    '"No!" said Alice, "I won\'t; it\'s 3.5 miles (or 4)."',
    "Mr. Smith's dog -- a well-known one -- ran away...",
    "Žofie a Jiří jedí 2 & půl chleba, že ano?",
    "Who's there: friend or foe?",
    "Subtitles are small.",
    "ill winds; Ill will",
]
FRAGMENTS = """
*MOT: _a_ [x] [[a|b]] {{t}} {F uh, } <i> </i> &amp; &amp;lt;b&amp;gt; &-uh &=x xxx (.) (be)cause = == ` `` '' n't 's
-LRB- -RRB- @-@ () (; [12] A: >> - -- # ♪ ♪♪ \x15 1_2 \u200b e\u0301 \u212b +/. +< , . ... ! \\N {y:i} JOHN: l'm cat the
"""


@pytest.mark.parametrize(("source", "raw", "expected"), EXAMPLES)
def test_a_step_does_what_it_says(source: str, raw: str, expected: str) -> None:
    assert cleaner(source)(raw) == expected


@pytest.mark.parametrize("source", sorted(RULES))
def test_every_step_changes_some_example(source: str) -> None:
    """A step that no example of its rule needs is a step without a test."""
    same_rule = [name for name in RULES if RULES[name] is RULES[source]]
    raws = [raw for name, raw, _ in EXAMPLES if name in same_rule]
    for step in RULES[source]:
        assert any(_without(source, step, raw) != cleaner(source)(raw) for raw in raws), step.what


def _without(source: str, step: Step, raw: str) -> str:
    kept = tuple(other for other in RULES[source] if other is not step)
    try:
        RULES["without"] = kept
        return cleaner("without")(raw)
    finally:
        del RULES["without"]


@pytest.mark.parametrize("source", [*sorted(RULES), "unknown"])
def test_contract(source: str) -> None:
    """Idempotent, NFC, without control characters, one line in and at most one out, ordinary sentences unchanged."""
    clean = cleaner(source)
    assert [clean(line) for line in ORDINARY] == ORDINARY
    draw, pieces = random.Random(source), FRAGMENTS.split()
    lines = [" ".join(draw.choices(pieces, k=draw.randint(1, 12))) for _ in range(1500)]
    lines += ["".join(draw.choices(pieces, k=draw.randint(1, 12))) for _ in range(500)]
    for line in lines:
        once = clean(line)
        assert clean(once) == once, line
        assert unicodedata.is_normalized("NFC", once), line
        assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in once), line
        assert len(once.splitlines()) <= 1, line
        assert once == once.strip(), line


@pytest.mark.parametrize("source", sorted(RULES))
@pytest.mark.parametrize(
    "char", ["=", " ", "[", "{", "(", "<", "`", "A", "_", "-", "*", "&", "= ", "( ", "&-", "{F ", " ,"]
)
@pytest.mark.timeout(10)
def test_long_runs_do_not_stall(source: str, char: str) -> None:
    """No pattern backtracks badly on a long run of one character, as tables and rules of old files hold them."""
    clean = cleaner(source)
    assert len(clean("x" + char * (10_000 // len(char)) + "y")) <= 10_002


def test_source_names_ignore_case() -> None:
    assert cleaner("CHILDES")("*MOT: hi .") == "hi."
