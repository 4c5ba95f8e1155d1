"""Forms that agree: sentences from parts, and verb phrases with their auxiliary apart.

`inflect` makes a `VerbPhrase` of a verb, a tense and an agreement (sg, pl, 1 for I, 2 for you), which gives the
statement, its negation and its question.
"""

from __future__ import annotations

from dataclasses import dataclass

from palenka_tune.data.babytalk.lexicon import Verb

CONTRACTIONS = {"can": "can't", "will": "won't", "am": "am not", "must": "must not"}
STATIVE = ("want", "like", "love", "need", "see", "hear", "lose", "find")
DEMONSTRATIVES = {"sg": ("this", "that"), "pl": ("these", "those")}


def join(*parts: str) -> str:
    """The parts that are not empty, a space between."""
    return " ".join(part for part in parts if part)


def sentence(*parts: str, mark: str = ".") -> str:
    """The parts as a sentence: a capital first, `mark` last."""
    return capital(join(*parts)) + mark


def capital(text: str) -> str:
    """`text` with a capital first."""
    return text[0].upper() + text[1:]


def article(*parts: str) -> str:
    """The parts after "a" or "an"."""
    text = join(*parts)
    return ("an " if text[0] in "aeiou" else "a ") + text


def be(agreement: str, *, past: bool = False) -> str:
    """The form of "be"."""
    if past:
        return "was" if agreement in ("sg", "1") else "were"
    return {"sg": "is", "1": "am"}.get(agreement, "are")


@dataclass(frozen=True)
class VerbPhrase:
    """A predicate: the auxiliary with the verb form after it, "does eat", and how a statement says both, "eats"."""

    aux: str
    form: str
    rest: str = ""
    simple: str = ""

    def statement(self, subject: str = "", adverb: str = "") -> str:
        """After its subject; `adverb` stands before the main verb."""
        if self.simple:
            return join(subject, adverb, self.simple, self.rest)
        return join(subject, self.aux, adverb, self.form, self.rest)

    def negation(self, subject: str = "", adverb: str = "", *, contracted: bool = True) -> str:
        """The negative after its subject, with n't or not."""
        aux = CONTRACTIONS.get(self.aux, f"{self.aux}n't") if contracted else f"{self.aux} not"
        return join(subject, aux, adverb, self.form, self.rest)

    def question(self, subject: str, adverb: str = "") -> str:
        """Subject-auxiliary inversion."""
        return join(self.aux, subject, adverb, self.form, self.rest)


def inflect(verb: Verb, tense: str, agreement: str, rest: str = "", modal: str = "can") -> VerbPhrase:
    """The verb phrase of `verb` in a tense: present, past, progressive, past_progressive, perfect or modal."""
    singular, past = agreement == "sg", tense.startswith("past")
    if verb.base in STATIVE and "progressive" in tense:
        tense = "past" if past else "present"
    match tense:
        case "present":
            return VerbPhrase("does" if singular else "do", verb.base, rest, verb.third if singular else verb.base)
        case "past":
            return VerbPhrase("did", verb.base, rest, verb.past)
        case "progressive" | "past_progressive":
            return VerbPhrase(be(agreement, past=past), verb.ing, rest)
        case "perfect":
            return VerbPhrase("has" if singular else "have", verb.participle, rest)
    return VerbPhrase(modal, verb.base, rest)


def copula(tense: str, agreement: str, rest: str) -> VerbPhrase:
    """A form of "be" with its complement; every tense but past counts as present."""
    return VerbPhrase(be(agreement, past=tense.startswith("past")), "", rest)
