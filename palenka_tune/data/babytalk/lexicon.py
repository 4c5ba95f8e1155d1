"""The words of babytalk: nouns with their plurals and genders, verbs with their forms, and what each goes with.

`Noun` and `Verb` come from the strings of `tables`. A verb knows who does it and to what, and every word has an order
of its own for the words that it goes with, so that the corpus has selectional preferences to learn.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass

from palenka_tune.data.babytalk.tables import ADJECTIVES, NOUN_TABLE, REFLEXIVE_VERBS, VERB_TABLE

PROPER = ("name", "kin")
KINDS = {"P": "@person @name @kin", "A": "@animal", "PA": "@person @name @kin @animal"}


@dataclass(frozen=True)
class Noun:
    """A noun: `kind` is its semantic class, `gender` m, f or n; names have no plural."""

    singular: str
    plural: str
    kind: str
    gender: str

    def form(self, number: str) -> str:
        """The form for `number`, "sg" or "pl"."""
        return self.plural if number == "pl" else self.singular

    @property
    def proper(self) -> bool:
        """True for names, which have no determiner and no plural."""
        return self.kind in PROPER

    @property
    def animate(self) -> bool:
        """True for people and animals."""
        return self.proper or self.kind in ("person", "animal")

    @functools.cached_property
    def adjectives(self) -> tuple[str, ...]:
        """The adjectives that describe it, its favourites first."""
        return own_order(self.singular, tuple(ADJECTIVES.get(self.kind, "").split()))

    @functools.cached_property
    def happenings(self) -> tuple[Verb, ...]:
        """The verbs that can happen to it with no agent: inchoatives and a few intransitives."""
        theme = self.singular
        found = {verb.base: verb for verb in verbs() if verb.frame == "alternating" and theme in verb.objects}
        found |= {verb.base: verb for verb in verbs() if verb.frame == "intransitive" and theme in verb.subjects}
        return tuple(found[base] for base in own_order(theme, tuple(found)))


@dataclass(frozen=True)
class Verb:
    """A verb: its forms, its frame, who does it and to what (nouns, singular forms).

    Frames: `transitive`, `intransitive`, `optional` (the object may drop) and `alternating` (causative with an
    object, inchoative with the object as subject).
    """

    base: str
    past: str
    participle: str
    frame: str
    preposition: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...]

    @classmethod
    def parse(cls, forms: str, frame: str = "", preposition: str = "", subjects: str = "", objects: str = "") -> Verb:
        """The verb of a table's cells; `forms`: base, past, participle; regular ones may be left out."""
        base, past, participle = [*forms.split(), "", ""][:3]
        past = past or _regular_past(base)
        return cls(base, past, participle or past, frame, preposition, _expand(subjects, base), _expand(objects, base))

    @functools.cached_property
    def third(self) -> str:
        """The third person of the present."""
        return pluralise(self.base)

    @functools.cached_property
    def ing(self) -> str:
        """The -ing form."""
        if self.base.endswith("e") and not self.base.endswith("ee"):
            return self.base[:-1] + "ing"
        return _doubled(self.base) + "ing"


def pluralise(word: str) -> str:
    """The regular plural of an English noun (also the third person of a verb)."""
    if re.search(r"(s|x|ch|sh|z)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def _doubled(word: str) -> str:
    return word + word[-1] if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", word) else word


def _regular_past(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    return _doubled(word) + "ed"


@functools.cache
def nouns() -> dict[str, Noun]:
    """All nouns by their singular, in the order of the tables."""
    found: dict[str, Noun] = {}
    for kind_name, text in NOUN_TABLE.items():
        for entry in text.split():
            word, _, gender = entry.partition(":")
            singular, _, plural = word.partition("/")
            plural = plural or ("" if kind_name in PROPER else pluralise(singular))
            found[singular] = Noun(singular, plural, kind_name, gender or "n")
    return found


@functools.cache
def kind(name: str) -> tuple[Noun, ...]:
    """The nouns of a semantic class, commonest first."""
    return tuple(noun for noun in nouns().values() if noun.kind == name)


def members(cell: str) -> list[str]:
    """The nouns that a cell of a table names, in their order: each one itself, or after `@` all of its kind."""
    found = []
    for entry in cell.split():
        found += [noun.singular for noun in kind(entry[1:])] if entry.startswith("@") else [entry]
    return found


@functools.cache
def own_order(key: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """`words` with their frequency ranks disturbed in a way fixed by `key`: its idiosyncratic preferences."""

    def rank(item: tuple[int, str]) -> tuple[float, str]:
        digest = hashlib.sha256(f"{key}/{item[1]}".encode()).digest()
        return item[0] / len(words) + digest[0] / 128, item[1]

    return tuple(word for _, word in sorted(enumerate(words), key=rank))


def _expand(cell: str, base: str) -> tuple[str, ...]:
    """Nouns of a verb's cell: those named first, then the members of its kinds in an order of the verb's own."""
    entries = " ".join(KINDS.get(entry, entry) for entry in cell.split()).split()
    named = [entry for entry in entries if not entry.startswith("@")]
    of_kinds = members(" ".join(entry for entry in entries if entry.startswith("@")))
    return tuple(dict.fromkeys((*named, *own_order(base, tuple(of_kinds)))))


@functools.cache
def verbs() -> tuple[Verb, ...]:
    """All verbs, commonest first within each frame. `hide` is there twice: with an object and without."""
    found = []
    for frame, table in VERB_TABLE.items():
        for line in table.strip().splitlines():
            forms, *others = (cell.strip() for cell in line.split("|"))
            found.append(Verb.parse(forms, frame, *others))
    return tuple(found)


@functools.cache
def verb_named(base: str) -> Verb:
    """The verb with this base form; the one with an object where there are two."""
    return next(verb for verb in verbs() if verb.base == base)


@functools.cache
def reflexive_verbs() -> tuple[Verb, ...]:
    """The verbs that people do to themselves."""
    return tuple(verb_named(base) for base in REFLEXIVE_VERBS.split())


@functools.cache
def verbs_of(subject: Noun, frame: str) -> tuple[Verb, ...]:
    """The verbs of `frame` that `subject` can do, first those that few others can do, then its favourites."""
    found = {verb.base: verb for verb in verbs() if verb.frame == frame and subject.singular in verb.subjects}
    order = own_order(subject.singular, tuple(found))
    return tuple(sorted((found[base] for base in order), key=lambda verb: len(verb.subjects) > 15))
