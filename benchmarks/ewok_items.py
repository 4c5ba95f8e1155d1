"""Items in EWoK's format, written here: no item of EWoK itself, whose authors ask that it stays off the open web.

In: nothing. Out: records with Context1, Context2, Target1, Target2 and Domain; each target fits its own context. They
are for checking evaluators against one another, in seven domains of eight items or more; they measure nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

PEOPLE = ("Mara", "Tobias", "Ines", "Oskar")
PLACES = (("kitchen", "garden"), ("attic", "cellar"), ("barn", "mill"))


def items() -> list[dict[str, str]]:
    """All records, domain by domain."""
    makers = (_quantities, _weights, _directions, _materials, _feelings, _help, _motion)
    return [
        {"Domain": maker.__name__[1:], **dict(zip(("Context1", "Context2", "Target1", "Target2"), made, strict=True))}
        for maker in makers
        for made in maker()
    ]


def write_items(folder: Path) -> int:
    """Write one `.jsonl` file a domain; returns the number of items."""
    folder.mkdir(parents=True, exist_ok=True)
    found = items()
    for domain, records in itertools.groupby(found, key=lambda record: record["Domain"]):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{domain}.jsonl").write_text(text, encoding="utf-8")
    return len(found)


Made = Iterator[tuple[str, str, str, str]]


def _quantities() -> Made:
    for person, (few, many) in itertools.product(PEOPLE, ((2, 9), (3, 40), (1, 6))):
        yield (
            f"{person} had {many} plums and ate {few} of them.",
            f"{person} had {many} plums and ate none of them.",
            f"{person} has {many - few} plums now.",
            f"{person} still has all {many} plums.",
        )


def _weights() -> Made:
    for person, (heavy, light) in itertools.product(PEOPLE, (("anvil", "feather"), ("piano", "postcard"))):
        yield (
            f"{person} tries to lift the {heavy} with one hand.",
            f"{person} tries to lift the {light} with one hand.",
            "It does not move at all.",
            "It goes up at once.",
        )


def _directions() -> Made:
    for person, (here, there) in itertools.product(PEOPLE, PLACES):
        yield (
            f"{person} walks from the {here} to the {there}.",
            f"{person} walks from the {there} to the {here}.",
            f"{person} is in the {there}.",
            f"{person} is in the {here}.",
        )


def _materials() -> Made:
    for hard, soft in itertools.product(("glass", "brick", "iron", "marble"), ("wool", "sponge")):
        yield (
            f"The ball is made of {hard}.",
            f"The ball is made of {soft}.",
            "It makes a loud noise when it falls on the stairs.",
            "It makes hardly a sound when it falls on the stairs.",
        )


def _feelings() -> Made:
    for one, other in itertools.permutations(PEOPLE, 2):
        yield (
            f"{one} found the ring that {other} had lost.",
            f"{one} lost the ring that {other} had lent out.",
            f'"Thank you!" said {other}, and smiled.',
            f'"How could you?" said {other}, and frowned.',
        )


def _help() -> Made:
    for one, other in itertools.permutations(PEOPLE, 2):
        yield (
            f"{one} can't reach the shelf. {other} is taller.",
            f"{other} can't reach the shelf. {one} is taller.",
            f"{other} takes the jar down for {one}.",
            f"{one} takes the jar down for {other}.",
        )


def _motion() -> Made:
    for thing, person in itertools.product(("marble", "wheel"), PEOPLE):
        yield (
            f"{person} sets the {thing} on a steep slope and lets go.",
            f"{person} sets the {thing} on a level table and lets go.",
            f"The {thing} rolls away from {person}.",
            f"The {thing} stays where {person} put it.",
        )
