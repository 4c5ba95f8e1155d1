"""The words of babytalk: nouns with their plurals and genders, verbs with their forms and arguments, adjectives.

In: the strings of `tables`. Out: `Noun` and `Verb`, which the grammar inflects. A verb knows who does it and to what,
and every word has an order of its own for the words that it goes with, so that the corpus has selectional preferences
to learn.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass

from palenka_tune.data.babytalk.tables import (
    ALTERNATING,
    INTRANSITIVE,
    KIN,
    MASS_NOUNS,
    NAMES,
    NOUN_TABLE,
    OPTIONAL,
    PLACE_NOUNS,
    REFLEXIVE_ONLY,
    TRANSITIVE,
)

VOWELS = "aeiou"


@dataclass(frozen=True)
class Noun:
    """A noun: `kind` is its semantic class, `gender` m, f or n, `proper` for names (no determiner, no plural)."""

    singular: str
    plural: str
    kind: str
    gender: str = "n"
    proper: bool = False

    def form(self, number: str) -> str:
        """The form for `number`, "sg" or "pl"."""
        return self.plural if number == "pl" else self.singular

    @property
    def animate(self) -> bool:
        """True for people and animals."""
        return self.kind in ("person", "animal", "name", "kin")

    @property
    def irregular(self) -> bool:
        """True if the plural is not the rule's."""
        return not self.proper and self.plural != pluralise(self.singular)


@dataclass(frozen=True)
class Verb:
    """A verb: its five forms, its frame, who does it (kinds or nouns) and to what (nouns, singular forms).

    Frames: `transitive`, `intransitive`, `optional` (the object may drop) and `alternating` (causative with an
    object, inchoative with the object as subject).
    """

    base: str
    third: str
    past: str
    participle: str
    ing: str
    frame: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    preposition: str = ""

    @property
    def regular(self) -> bool:
        """True if past tense and past participle are the same word."""
        return self.past == self.participle


def pluralise(word: str) -> str:
    """The regular plural of an English noun (also the third person of a verb)."""
    if re.search(r"(s|x|ch|sh|z)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def _doubled(word: str) -> str:
    return word + word[-1] if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", word) else word


def regular_past(word: str) -> str:
    """The regular past tense of an English verb."""
    if word.endswith("e"):
        return word + "d"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    return _doubled(word) + "ed"


def progressive(word: str) -> str:
    """The -ing form of an English verb."""
    if word.endswith("e") and not word.endswith("ee"):
        return word[:-1] + "ing"
    return _doubled(word) + "ing"


@functools.cache
def nouns() -> dict[str, Noun]:
    """All nouns by their singular, in the order of the tables."""
    found: dict[str, Noun] = {}
    for kind, text in (*NOUN_TABLE.items(), ("place", PLACE_NOUNS)):
        for entry in text.split():
            word, _, gender = entry.partition(":")
            singular, _, plural = word.partition("/")
            found[singular] = Noun(singular, plural or pluralise(singular), kind, gender or "n")
    for word in (*MASS_NOUNS.split(), "song"):
        found.setdefault(word, Noun(word, pluralise(word), "mass" if word in MASS_NOUNS.split() else "thing"))
    for gender, names in NAMES.items():
        for name in names.split():
            found[name] = Noun(name, "", "name", gender, proper=True)
    for name, gender in KIN.items():
        found[name] = Noun(name, "", "kin", gender, proper=True)
    return found


@functools.cache
def kind(name: str) -> tuple[Noun, ...]:
    """The nouns of a semantic class, commonest first."""
    return tuple(noun for noun in nouns().values() if noun.kind == name)


@functools.cache
def own_order(key: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """`words` with their frequency ranks disturbed in a way fixed by `key`: its idiosyncratic preferences."""

    def rank(item: tuple[int, str]) -> tuple[float, str]:
        digest = hashlib.sha256(f"{key}/{item[1]}".encode()).digest()
        return item[0] / len(words) + digest[0] / 128, item[1]

    return tuple(word for _, word in sorted(enumerate(words), key=rank))


_ABBREVIATIONS = {"P": "@person @name @kin", "A": "@animal", "PA": "@person @name @kin @animal"}


def _expand(cell: str, verb: str) -> tuple[str, ...]:
    """Nouns of a table's cell: those named first, then the members of its kinds in an order of the verb's own."""
    entries = " ".join(_ABBREVIATIONS.get(entry, entry) for entry in cell.split()).split()
    named = [entry for entry in entries if not entry.startswith("@")]
    members = tuple(noun.singular for entry in entries if entry.startswith("@") for noun in kind(entry[1:]))
    return tuple(dict.fromkeys((*named, *own_order(verb, members))))


@functools.cache
def verbs() -> tuple[Verb, ...]:
    """All verbs, commonest first within each frame. `hide` is there twice: with an object and without."""
    found = []
    tables = {
        "transitive": TRANSITIVE + REFLEXIVE_ONLY,
        "optional": OPTIONAL,
        "alternating": ALTERNATING,
        "intransitive": INTRANSITIVE,
    }
    for frame, table in tables.items():
        for line in filter(str.strip, table.splitlines()):
            forms, preposition, subjects, objects = (cell.strip() for cell in line.split("|"))
            base, past, participle = [*forms.split(), "", ""][:3]
            past = past or regular_past(base)
            found.append(
                Verb(
                    base,
                    pluralise(base),
                    past,
                    participle or past,
                    progressive(base),
                    frame,
                    _expand(subjects, base),
                    _expand(objects, base),
                    preposition,
                )
            )
    return tuple(found)


@functools.cache
def verb_named(base: str) -> Verb:
    """The verb with this base form; the one with an object where there are two."""
    return next(verb for verb in verbs() if verb.base == base)
