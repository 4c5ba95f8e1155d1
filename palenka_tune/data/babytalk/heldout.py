"""Which combinations of words the corpus never says, so that the minimal pairs test grammar and not memory.

The hash of a lexical combination alone decides whether it is held out, so that train, dev and test leave out the same
ones for every seed, and the suite is built from exactly those. Single words are never held out. The rules look at the
text, not at how it was made, so that no template of the grammar can slip past them.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Iterator

from palenka_tune.data.babytalk.inflection import DEMONSTRATIVES
from palenka_tune.data.babytalk.lexicon import nouns, verbs

Combination = tuple[str, ...]

DETERMINERS = frozenset(DEMONSTRATIVES["sg"] + DEMONSTRATIVES["pl"])
REFLEXIVES = ("myself", "yourself", "himself", "herself", "itself", "themselves", "ourselves")
# Share of the combinations of each rule that is held out, in percent.
SHARES = {
    "determiner": 15,  # (determiner, noun form), neighbours
    "adjective": 20,  # (determiner, adjective, noun form), neighbours
    "pair": 7,  # (noun, verb): neighbours among the content words, in either order
    "attractor": 6,  # (noun, noun, verb): in this order anywhere in the sentence
    "clause": 6,  # (noun, verb, noun): neighbours among the content words
    "chain": 12,  # (verb, verb, noun): neighbours among the content words
    "reflexive": 20,  # (noun, verb), neighbours, then a reflexive pronoun
    "polarity": 12,  # (noun, verb) in a sentence with "ever", in this order
}


@functools.cache
def held_out(combination: Combination) -> bool:
    """True if the corpus must not contain `combination`, a rule's name and its words."""
    digest = hashlib.sha256("|".join(combination).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < SHARES[combination[0]]


@functools.cache
def _readings() -> dict[str, tuple[tuple[str, str], ...]]:
    """Each content word's readings as ("n", "v" or "r" for a reflexive pronoun, dictionary form)."""
    readings: dict[str, set[tuple[str, str]]] = {word: {("r", word)} for word in REFLEXIVES}
    for noun in nouns().values():
        for form in {noun.singular, noun.plural} - {""}:
            readings.setdefault(form.lower(), set()).add(("n", noun.singular.lower()))
    for verb in verbs():
        for form in (verb.base, verb.third, verb.past, verb.participle, verb.ing):
            readings.setdefault(form, set()).add(("v", verb.base))
    return {form: tuple(sorted(entries)) for form, entries in readings.items()}


def sentences(line: str) -> list[list[str]]:
    """A line's sentences as lower-case words without punctuation."""
    return [words for part in re.split(r"[.?!]", line.lower()) if (words := re.findall(r"[a-z']+", part))]


def combinations(words: list[str]) -> Iterator[Combination]:
    """The combinations of one sentence, given as lower-case words, under every rule."""
    for first, second, third in itertools.zip_longest(words, words[1:], words[2:], fillvalue=""):
        if first in DETERMINERS:
            yield "determiner", first, second
            yield "adjective", first, second, third
    readings = _readings()
    tagged = [reading for word in words for reading in readings.get(word, ())]
    for (kind1, a), (kind2, b), (kind3, c) in itertools.zip_longest(tagged, tagged[1:], tagged[2:], fillvalue=("", "")):
        match kind1 + kind2 + kind3:
            case "nvn":
                yield "clause", a, b, c
            case "vvn":
                yield "chain", a, b, c
            case "nvr":
                yield "reflexive", a, b
        match kind1 + kind2:
            case "nv":
                yield "pair", a, b
            case "vn":
                yield "pair", b, a
    for (kind1, a), (kind2, b) in itertools.combinations(tagged, 2):
        if kind1 + kind2 == "nv" and "ever" in words:
            yield "polarity", a, b
    for (kind1, a), (kind2, b), (kind3, c) in itertools.combinations(tagged, 3):
        if kind1 + kind2 + kind3 == "nnv":
            yield "attractor", a, b, c


def allowed(line: str) -> bool:
    """True if no sentence of `line` contains a combination that is held out."""
    return not any(held_out(combination) for words in sentences(line) for combination in combinations(words))
