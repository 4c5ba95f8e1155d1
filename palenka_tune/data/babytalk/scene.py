"""Scenes: a place, the people and animals in it, and the things that lie around, all fixed for one document.

What a document says about a thing (its colour, where it lies) and about a child (pet, best friend, dearest toy) comes
from its scene, so that later sentences can be predicted from earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.inflection import be
from palenka_tune.data.babytalk.lexicon import Noun, adjectives_of, kind, members, nouns, own_order
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

    def _pronoun(self, case: int) -> str:
        return PRONOUNS[self.gender if self.agreement == "sg" else self.agreement][case]

    @property
    def he(self) -> str:
        """The subject pronoun."""
        return self._pronoun(0)

    @property
    def him(self) -> str:
        """The object pronoun."""
        return self._pronoun(1)

    @property
    def his(self) -> str:
        """The possessive determiner."""
        return self._pronoun(2)

    @property
    def himself(self) -> str:
        """The reflexive pronoun."""
        return self._pronoun(3)

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


@dataclass
class Scene:
    """What a document is about: `at` says where, `cast` has the hero first."""

    at: str
    cast: list[Phrase]
    things: list[Thing]
    animals: list[Noun]


def the(noun: Noun, number: str) -> Phrase:
    """The definite noun phrase."""
    return Phrase(f"the {noun.form(number)}", number, noun)


def person(name: str) -> Phrase:
    """A named child or relative."""
    return Phrase(name, "sg", nouns()[name])


def child(draw: Draw) -> Phrase:
    """One of the children, the first ones of the list more often."""
    return person(draw.zipf(tuple(PROFILES)))


def adult(draw: Draw) -> Phrase:
    """Mommy, Daddy, Grandma or Grandpa."""
    return person(draw.zipf((*members("@kin"), "Mommy", "Mommy", "Daddy")))


def pet(owner: Phrase) -> Phrase:
    """The pet of a child, under its own name."""
    species, name, *_ = PROFILES[owner.text].split()
    return Phrase(name, "sg", nouns()[species], owner.gender)


def hero(draw: Draw) -> Phrase:
    """One of the animals that tales are about."""
    label, species = draw.zipf(HEROES.replace("\n", " ").split(",")).split()
    name, gender = label.split(":")
    return Phrase(name, "sg", nouns()[species], gender)


def stranger(draw: Draw, kind_name: str) -> Phrase:
    """Somebody without a name: "the old farmer", "the little mouse"."""
    noun = draw.zipf(kind(kind_name))
    adjective = draw.zipf(adjectives_of(noun))
    gender = noun.gender if noun.gender != "n" else draw.pick("mf")
    return Phrase(f"the {adjective} {noun.singular}", "sg", noun, gender)


def things_of(draw: Draw, place: str, count: int) -> list[Thing]:
    """`count` different things that can lie around at `place`."""
    _, cells, spots = PLACES[place]
    pool = own_order(place, tuple(members(cells)))
    things: dict[str, Thing] = {}
    for _ in range(4 * count):
        noun = nouns()[draw.zipf(pool)]
        adjective = draw.zipf(adjectives_of(noun))
        where = draw.pick([spot for spot in spots.split("/") if noun.singular not in spot.split()])
        number = "pl" if draw.chance(0.3) else "sg"
        if len(things) < count and noun.singular not in things:
            text = f"the {noun.form(number)}"
            things[noun.singular] = Thing(text, number, noun, adjective=adjective, where=where)
    return list(things.values())


def scene(draw: Draw, cast: list[Phrase]) -> Scene:
    """A scene with `cast` at one of the places of its hero."""
    place = draw.zipf(own_order(cast[0].text, tuple(PLACES)))
    animals = own_order(place, tuple(members("@animal")))
    things = things_of(draw, place, draw.between(3, 5))
    return Scene(PLACES[place][0], cast, things, [nouns()[draw.zipf(animals)] for _ in range(3)])
