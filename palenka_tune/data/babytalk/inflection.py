"""Forms that agree: verb phrases with their auxiliary apart, and what each word goes with.

In: nouns and verbs of the lexicon, a tense, an agreement. Out: `VerbPhrase`, which gives the statement, its negation
and its question; and the verbs and adjectives of a noun in the noun's own order of preference.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from palenka_tune.data.babytalk.lexicon import VOWELS, Noun, Verb, own_order, verbs
from palenka_tune.data.babytalk.tables import ADJECTIVES, REFLEXIVE_VERBS

CONTRACTIONS = {"can": "can't", "will": "won't", "am": "am not", "must": "must not"}
STATIVE = ("want", "like", "love", "need", "see", "hear", "lose", "find")


@dataclass(frozen=True)
class VerbPhrase:
    """A predicate with its auxiliary apart: `support` (do, does, did) is said where `aux` is empty."""

    aux: str
    support: str
    finite: str
    bare: str
    rest: str = ""

    def statement(self, adverb: str = "") -> str:
        """As after a subject; `adverb` stands before the main verb."""
        return join(self.aux, adverb, self.finite, self.rest)

    def negation(self, adverb: str = "", *, contracted: bool = True) -> str:
        """The negative predicate, with n't or not."""
        aux = self.aux or self.support
        negative = CONTRACTIONS.get(aux, f"{aux}n't") if contracted else f"{aux} not"
        return join(negative, adverb, self.finite if self.aux else self.bare, self.rest)

    def question(self, subject: str, adverb: str = "") -> str:
        """Subject-auxiliary inversion."""
        return join(self.aux or self.support, subject, adverb, self.finite if self.aux else self.bare, self.rest)


def join(*parts: str) -> str:
    """The parts that are there, a space between."""
    return " ".join(part for part in parts if part)


def finish(text: str, mark: str = ".") -> str:
    """A sentence: capital, final mark."""
    return text[0].upper() + text[1:] + mark


def article(text: str) -> str:
    """`text` after "a" or "an"."""
    return ("an " if text[0] in VOWELS else "a ") + text


def inflect(verb: Verb, tense: str, agreement: str, rest: str = "", modal: str = "can") -> VerbPhrase:
    """The verb phrase of `verb` in a tense: present, past, progressive, past_progressive, perfect or modal."""
    singular = agreement == "sg"
    if verb.base in STATIVE and "progressive" in tense:
        tense = "past" if tense.startswith("past") else "present"
    be = {"sg": "is", "1": "am"}.get(agreement, "are")
    match tense:
        case "present":
            finite = verb.third if singular else verb.base
            return VerbPhrase("", "does" if singular else "do", finite, verb.base, rest)
        case "past":
            return VerbPhrase("", "did", verb.past, verb.base, rest)
        case "progressive":
            return VerbPhrase(be, be, verb.ing, verb.ing, rest)
        case "past_progressive":
            was = "was" if agreement in ("sg", "1") else "were"
            return VerbPhrase(was, was, verb.ing, verb.ing, rest)
        case "perfect":
            has = "has" if singular else "have"
            return VerbPhrase(has, has, verb.participle, verb.participle, rest)
    return VerbPhrase(modal, modal, verb.base, verb.base, rest)


def copula(tense: str, agreement: str, rest: str) -> VerbPhrase:
    """A form of "be" with its complement; every tense but past counts as present."""
    if tense.startswith("past"):
        be = "was" if agreement in ("sg", "1") else "were"
    else:
        be = {"sg": "is", "1": "am"}.get(agreement, "are")
    return VerbPhrase(be, be, "", "", rest)


@functools.cache
def verbs_of(subject: str, frame: str) -> tuple[Verb, ...]:
    """The verbs of `frame` that `subject` can do, first those that few others can do, then its favourites."""
    found = {verb.base: verb for verb in verbs() if verb.frame == frame and subject in verb.subjects}
    order = own_order(subject, tuple(found))
    return tuple(sorted((found[base] for base in order), key=lambda verb: len(verb.subjects) > 15))


@functools.cache
def happenings_of(theme: str) -> tuple[Verb, ...]:
    """The verbs that can happen to a thing with no agent: inchoatives and a few intransitives."""
    found = {verb.base: verb for verb in verbs() if verb.frame == "alternating" and theme in verb.objects}
    found |= {verb.base: verb for verb in verbs() if verb.frame == "intransitive" and theme in verb.subjects}
    return tuple(found[base] for base in own_order(theme, tuple(found)))


@functools.cache
def adjectives_of(noun: Noun) -> tuple[str, ...]:
    """The adjectives that describe a noun, its favourites first."""
    return own_order(noun.singular, tuple(ADJECTIVES.get(noun.kind, "").split()))


@functools.cache
def reflexive_verbs() -> tuple[Verb, ...]:
    """The verbs that people do to themselves."""
    by_base = {verb.base: verb for verb in verbs() if verb.objects}
    return tuple(by_base[base] for base in REFLEXIVE_VERBS.split())
