"""What babytalk's minimal pairs are made of: subjects, objects, relative clauses, verbs that a subject can do.

In: a stream of random choices. Out: phrases for `pair_maker`, from words that the corpus has often.
"""

from __future__ import annotations

from dataclasses import dataclass

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.heldout import Combination
from palenka_tune.data.babytalk.inflection import VerbPhrase, inflect
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns, verb_named, verbs
from palenka_tune.data.babytalk.scene import Phrase

DEMONSTRATIVES = {"sg": ("this", "that"), "pl": ("these", "those")}
OTHER = {"sg": "pl", "pl": "sg"}
THINGS = ("toy", "food", "clothes", "dish", "house", "nature", "vehicle")
# Verbs that no English speaker leaves without an object, so that a missing one is a gap.
_STRICT = "want find like love take need get make bring catch carry lose touch lick"
STRICT = frozenset(_STRICT.split())
# Verbs with a form that the corpus has only a few times.
_UNCOMMON = """pop swing sink freeze tear burn slide shake ring hop swim bark kick build cut choose fix smile buy wave
    dance shout kiss hold visit ride throw giggle laugh feed fly wear thank crack"""
UNCOMMON = frozenset(_UNCOMMON.split())
NEAR = ("near", "behind", "beside", "next to", "by")
COMPANIONS = ("see", "like", "love", "help", "watch", "follow", "scare", "touch")  # verbs of relative clauses


@dataclass(frozen=True)
class Pair:
    """A good and a bad sentence, and the combination that the pair turns on."""

    good: str
    bad: str
    combination: Combination


def verbs_for(subject: Noun, frame: str, target: Noun | None = None) -> list[Verb]:
    """The verbs of a frame that `subject` can do (to `target`), but for the uncommon ones."""
    return [
        verb
        for verb in verbs()
        if verb.frame == frame
        and subject.singular in verb.subjects
        and verb.base not in UNCOMMON
        and not verb.preposition
        and (not target or target.singular in verb.objects)
    ]


class PairParts:
    """Draws the subjects, objects and clauses that pairs are made of."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def being(self, gender: str = "", number: str = "", *, names: bool = False) -> Phrase:
        """A person or an animal: "the dogs", "the farmer", "Mia"; `names` allows for names."""
        draw = self.draw
        pools = [kind("person"), *([] if gender else [kind("animal")]), *([kind("name"), kind("kin")] if names else [])]
        nouns_here = [noun for noun in draw.pick(pools) if noun.plural != noun.singular]
        noun = draw.zipf([noun for noun in nouns_here if not gender or noun.gender == gender])
        if noun.proper:
            return Phrase(noun.singular, "sg", noun.gender, noun)
        number = number or draw.pick(("sg", "pl"))
        return Phrase(f"the {noun.form(number)}", number, noun.gender, noun)

    def thing(self) -> Noun:
        """A noun for something without life."""
        return self.draw.zipf(kind(self.draw.pick(THINGS)))

    def target(self, verb: Verb) -> str:
        """A plain object for `verb`."""
        noun = nouns()[self.draw.zipf(verb.objects)]
        return f"the {noun.form('sg' if noun.kind in ('mass', 'body') else self.draw.pick(('sg', 'pl')))}"

    def countable(self, *, irregular: bool) -> Noun:
        """A noun with two forms, by the rule or not."""
        groups = (*THINGS, "person", "animal", *(("body",) if irregular else ()))
        pool = [
            noun
            for noun in kind(self.draw.pick(groups))
            if noun.irregular == irregular and noun.plural != noun.singular
        ]
        return self.draw.zipf(pool) if pool else self.countable(irregular=irregular)

    def perfect(self, subject: Phrase) -> tuple[Verb, VerbPhrase]:
        """A verb of `subject` and its phrase in the perfect."""
        frame = self.draw.pick(("intransitive", "transitive"))
        verb = self.draw.zipf(verbs_for(subject.noun, frame))
        return verb, inflect(verb, "perfect", subject.agreement, "" if frame == "intransitive" else self.target(verb))

    def companion(self, subject: Phrase, other: Phrase) -> str:
        """A relative clause about `other`, with a subject or an object gap."""
        verb = verb_named(self.draw.pick(COMPANIONS))
        if self.draw.chance(0.5):
            return f"that {inflect(verb, 'present', subject.agreement).statement()} {other.text}"
        return f"that {other.text} {inflect(verb, 'present', other.agreement).statement()}"
