"""Scenes: a place, the people and animals in it, and the things that lie around, all fixed for one document.

What a document says about a thing (its colour, where it lies) and about a child (pet, best friend, dearest toy) comes
from its scene, so that later sentences can be predicted from earlier ones.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.inflection import be
from palenka_tune.data.babytalk.lexicon import Noun, kind, members, nouns, own_order
from palenka_tune.data.babytalk.tables import HEROES, PLACE_TABLE, PROFILES

PRONOUNS = {  # subject, object, possessive, reflexive
    "m": ("he", "him", "his", "himself"),
    "f": ("she", "her", "her", "herself"),
    "n": ("it", "it", "its", "itself"),
    "pl": ("they", "them", "their", "themselves"),
    "1": ("I", "me", "my", "myself"),
    "2": ("you", "you", "your", "yourself"),
}
PLACES = {place: cells for place, *cells in (line.strip().split(" | ") for line in PLACE_TABLE.strip().splitlines())}


def _pronoun(case: int) -> functools.cached_property[str]:
    """The attribute that is a phrase's pronoun in a case of `PRONOUNS`."""
    return functools.cached_property(lambda of: PRONOUNS[of.gender if of.agreement == "sg" else of.agreement][case])


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: `agreement` is sg, pl, 1 (I) or 2 (you); `noun` is its head, whose verbs and gender it takes.

    A `gender` that is given replaces the noun's: that of a pet, whose noun has none.
    """

    text: str
    agreement: str
    noun: Noun
    gender: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gender", self.gender or self.noun.gender)

    he = _pronoun(0)
    him = _pronoun(1)
    his = _pronoun(2)
    himself = _pronoun(3)

    @property
    def be(self) -> str:
        """The form of "be" in the present."""
        return be(self.agreement)

    @property
    def was(self) -> str:
        """The form of "be" in the past."""
        return be(self.agreement, past=True)

    @property
    def name(self) -> str:
        """The bare noun in its number."""
        return self.noun.form(self.agreement)

    def pronoun(self) -> Phrase:
        """The same referent as a subject pronoun."""
        return replace(self, text=self.he)


@dataclass(frozen=True, kw_only=True)
class Thing(Phrase):
    """An object of a scene, "the cups", with its one adjective and its place."""

    adjective: str
    where: str


def the(noun: Noun, number: str) -> Phrase:
    """The definite noun phrase."""
    return Phrase(f"the {noun.form(number)}", number, noun)


def person(name: str) -> Phrase:
    """A named child or relative."""
    return Phrase(name, "sg", nouns()[name])


def pet(owner: Phrase) -> Phrase:
    """The pet of a child, under its own name."""
    species, name, *_ = PROFILES[owner.text].split()
    return Phrase(name, "sg", nouns()[species], owner.gender)


class Scene(Draw):
    """What a document is about: `at` says where, `cast` has the hero first, `things` lie around, `animals` are near."""

    def set_scene(self, cast: list[Phrase]) -> None:
        """Put `cast` at one of the places of its hero."""
        place = self.zipf(own_order(cast[0].text, tuple(PLACES)))
        animals = own_order(place, tuple(members("@animal")))
        self.at, self.cast = PLACES[place][0], cast
        self.things = self.things_of(place, self.between(3, 5))
        self.animals = [nouns()[self.zipf(animals)] for _ in range(3)]

    def things_of(self, place: str, count: int) -> list[Thing]:
        """`count` different things that can lie around at `place`."""
        _, cells, spots = PLACES[place]
        pool = own_order(place, tuple(members(cells)))
        things: dict[str, Thing] = {}
        for _ in range(4 * count):
            noun = nouns()[self.zipf(pool)]
            adjective = self.zipf(noun.adjectives)
            where = self.pick([spot for spot in spots.split("/") if noun.singular not in spot.split()])
            number = "pl" if self.chance(0.3) else "sg"
            if len(things) < count and noun.singular not in things:
                text = f"the {noun.form(number)}"
                things[noun.singular] = Thing(text, number, noun, adjective=adjective, where=where)
        return list(things.values())

    def any_child(self) -> Phrase:
        """One of the children, the first ones of the list more often."""
        return person(self.zipf(tuple(PROFILES)))

    def any_adult(self) -> Phrase:
        """Mommy, Daddy, Grandma or Grandpa."""
        return person(self.zipf((*members("@kin"), "Mommy", "Mommy", "Daddy")))

    def any_hero(self) -> Phrase:
        """One of the animals that tales are about."""
        label, species = self.zipf(HEROES.replace("\n", " ").split(",")).split()
        name, gender = label.split(":")
        return Phrase(name, "sg", nouns()[species], gender)

    def stranger(self, kind_name: str) -> Phrase:
        """Somebody without a name: "the old farmer", "the little mouse"."""
        noun = self.zipf(kind(kind_name))
        adjective = self.zipf(noun.adjectives)
        gender = noun.gender if noun.gender != "n" else self.pick("mf")
        return Phrase(f"the {adjective} {noun.singular}", "sg", noun, gender)
