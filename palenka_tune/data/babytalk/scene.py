"""Scenes: a place, the people and animals in it, and the things that lie around, all fixed for one document.

In: a stream of random choices. Out: `Scene`. What a document says about a thing (its colour, where it lies) and about a
child (pet, best friend, dearest toy) comes from here, so that later sentences can be predicted from earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.lexicon import Noun, kind, nouns, own_order
from palenka_tune.data.babytalk.tables import ADJECTIVES, HEROES, KIN, NAMES, PROFILES

PRONOUNS = {  # subject, object, possessive, reflexive
    "m": ("he", "him", "his", "himself"),
    "f": ("she", "her", "her", "herself"),
    "n": ("it", "it", "its", "itself"),
    "pl": ("they", "them", "their", "themselves"),
    "1": ("I", "me", "my", "myself"),
    "2": ("you", "you", "your", "yourself"),
}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: `agreement` is sg, pl, 1 (I) or 2 (you); `noun` is its head, whose verbs it takes."""

    text: str
    agreement: str
    gender: str
    noun: Noun

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
        return {"sg": "is", "1": "am"}.get(self.agreement, "are")

    def pronoun(self) -> Phrase:
        """The same referent as a subject pronoun."""
        return replace(self, text=self.he)


@dataclass
class Thing:
    """An object of a scene with its one adjective and its place."""

    noun: Noun
    adjective: str
    number: str
    where: str

    @property
    def it(self) -> str:
        """The pronoun for it."""
        return "they" if self.number == "pl" else "it"

    @property
    def them(self) -> str:
        """The object pronoun for it."""
        return "them" if self.number == "pl" else "it"

    @property
    def be(self) -> str:
        """The form of "be" in the present."""
        return "are" if self.number == "pl" else "is"

    @property
    def name(self) -> str:
        """The bare noun in its number."""
        return self.noun.form(self.number)

    @property
    def the(self) -> str:
        """The definite noun phrase."""
        return f"the {self.name}"


# place: how one is in it; kinds and nouns of its things; spots; kinds of its animals
PLACES = {
    "kitchen": (
        "in the kitchen",
        "@food @dish @food",
        "on the table/in the bowl/under the chair/on the shelf/in the box",
    ),
    "bedroom": (
        "in the bedroom",
        "@toy @clothes pillow blanket",
        "under the bed/on the bed/in the box/behind the door",
    ),
    "garden": ("in the garden", "@nature @toy ball", "under the tree/behind the bush/near the flowers/in the basket"),
    "park": ("at the park", "@toy @vehicle @nature", "near the pond/under the tree/on the hill/behind the rock"),
    "farm": ("on the farm", "@food @nature egg tractor", "in the barn/behind the barn/in the basket/near the pond"),
    "room": ("in the living room", "@toy @house book", "under the table/on the chair/behind the door/in the bag"),
    "bathroom": (
        "in the bathroom",
        "towel @toy @clothes @dish",
        "on the chair/in the basket/under the towel/on the shelf",
    ),
    "zoo": ("at the zoo", "balloon @food camera hat", "near the window/behind the rock/in the bag/on the wagon"),
    "beach": ("at the beach", "shell stone @toy boat @food", "near the boat/under the towel/in the bag/on the rock"),
    "forest": ("in the forest", "@nature @nature acorn", "under the leaves/behind the tree/near the pond/in the nest"),
    "yard": ("in the yard", "@toy @vehicle stick", "under the bush/behind the wagon/near the door/in the box"),
    "store": ("at the store", "@food @clothes @toy", "on the shelf/in the bag/near the door/in the basket"),
    "school": ("at school", "book crayon @toy @clothes", "on the table/under the chair/in the bag/on the shelf"),
    "playground": (
        "at the playground",
        "@toy @vehicle @clothes",
        "near the tree/in the bag/behind the bush/on the hill",
    ),
    "castle": ("in the castle", "@house @clothes key bell", "on the bed/behind the door/in the box/near the window"),
    "village": ("in the village", "@food @vehicle @house", "on the wagon/near the pond/behind the house/in the basket"),
}


@dataclass
class Scene:
    """What a document is about; `cast` has the hero first."""

    place: str
    at: str
    cast: list[Phrase]
    things: list[Thing]
    animals: list[Noun]


def person(name: str) -> Phrase:
    """A named child or relative."""
    noun = nouns()[name]
    return Phrase(name, "sg", noun.gender, noun)


def child(draw: Draw) -> Phrase:
    """One of the children, the first ones of the list more often."""
    return person(draw.zipf(tuple(PROFILES)))


def adult(draw: Draw) -> Phrase:
    """Mommy, Daddy, Grandma or Grandpa."""
    return person(draw.zipf((*KIN, "Mommy", "Mommy", "Daddy")))


def pet(name: str) -> Phrase:
    """The pet of a child, under its own name."""
    species, own_name = PROFILES[name].split()[:2]
    gender = "m" if name in NAMES["m"].split() else "f"
    return Phrase(own_name, "sg", gender, nouns()[species])


def hero(draw: Draw) -> Phrase:
    """One of the animals that tales are about."""
    label, species = draw.zipf(HEROES.replace("\n", " ").split(",")).split()
    name, gender = label.split(":")
    return Phrase(name, "sg", gender, nouns()[species])


def stranger(draw: Draw, kind_name: str) -> Phrase:
    """Somebody without a name: "the old farmer", "the little mouse"."""
    noun = draw.zipf(kind(kind_name))
    adjective = draw.zipf(own_order(noun.singular, tuple(ADJECTIVES[kind_name].split())))
    gender = noun.gender if noun.gender != "n" else draw.pick("mf")
    return Phrase(f"the {adjective} {noun.singular}", "sg", gender, noun)


def things_of(draw: Draw, place: str, count: int) -> list[Thing]:
    """`count` different things that can lie around at `place`."""
    _, cells, spots = PLACES[place]
    pool = [
        noun
        for cell in cells.split()
        for noun in (kind(cell[1:]) if cell.startswith("@") else [nouns()[cell]] if cell in nouns() else [])
    ]
    found: dict[str, Thing] = {}
    for _ in range(4 * count):
        noun = draw.zipf(own_order(place, tuple(item.singular for item in pool)))
        thing = nouns()[noun]
        adjective = draw.zipf(own_order(noun, tuple(ADJECTIVES[thing.kind].split())))
        where = draw.pick([spot for spot in spots.split("/") if noun not in spot.split()])
        number = "pl" if draw.chance(0.3) else "sg"
        if len(found) < count:
            found.setdefault(noun, Thing(thing, adjective, number, where))
    return list(found.values())


def scene(draw: Draw, cast: list[Phrase], place: str | None = None) -> Scene:
    """A scene with `cast` at `place` (drawn if not given)."""
    place = place or draw.zipf(own_order(cast[0].text, tuple(PLACES)))
    animals = own_order(place, tuple(noun.singular for noun in kind("animal")))
    return Scene(
        place,
        PLACES[place][0],
        cast,
        things_of(draw, place, draw.between(3, 5)),
        [nouns()[draw.zipf(animals)] for _ in range(3)],
    )
