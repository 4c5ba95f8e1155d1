"""Short tales and picture-book pages: a paragraph a line.

In: a stream of random choices. Out: a list of paragraphs. A tale has a hero, a plot in beats (opening, trouble,
meetings, end) and, between the beats, things that its characters do; a picture book says in the present what one sees.
A subject pronoun refers to the last character named. A paragraph with a held-out combination is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.grammar import Grammar
from palenka_tune.data.babytalk.heldout import allowed
from palenka_tune.data.babytalk.inflection import adjectives_of, article, finish, join
from palenka_tune.data.babytalk.lexicon import kind, nouns, verb_named, verbs
from palenka_tune.data.babytalk.scene import (
    PLACES,
    Phrase,
    Thing,
    adult,
    child,
    hero,
    person,
    pet,
    scene,
    stranger,
    things_of,
)
from palenka_tune.data.babytalk.tables import PROFILES

Sentences = list[str]
Paragraph = Callable[[], Sentences]

FEELINGS = ("happy", "sad", "tired", "hungry", "angry", "very happy", "very sad", "so tired", "brave")
ENDINGS = (
    "And {name} slept all night.", "It was a good day.", "{name} was happy again.", "Then {name} went home.",
    "{name} never lost {it} again.", "They were friends from then on.", "And that was the end of the day.",
    "{name} told {adult} all about it.", "After that, {name} always looked {where} first.", "Everybody was happy.",
)  # fmt: skip


class Tale(Grammar):
    """One tale or picture book."""

    def __init__(self, draw: Draw) -> None:
        if draw.chance(0.55):
            self.hero = child(draw)
            self.friend = pet(self.hero.text) if draw.chance(0.5) else person(PROFILES[self.hero.text].split()[2])
        else:
            self.hero = hero(draw)
            self.friend = hero(draw) if draw.chance(0.4) else stranger(draw, "animal")
            if self.friend.noun == self.hero.noun:
                self.friend = stranger(draw, "person")
        self.elder = adult(draw)
        self.strangers = [stranger(draw, draw.pick(("person", "animal"))) for _ in range(3)]
        super().__init__(draw, scene(draw, [self.hero, self.friend, *self.strangers[:1]]))
        self.thing: Thing = self.scene.things[0]
        self.topic: Phrase | None = None

    def refer(self, who: Phrase) -> Phrase:
        """`who` by name, or by a pronoun if the last sentence was about them."""
        if self.topic == who and self.draw.chance(0.7):
            return who.pronoun()
        self.topic = who
        return who

    def event(self, who: Phrase, tense: str = "past") -> str:
        """A sentence about what somebody did, with an opening word or a second clause now and then."""
        draw = self.draw
        subject = self.refer(who)
        phrase = self.predicate(subject, tense)
        negative = draw.chance(0.08)
        said = phrase.negation(contracted=draw.chance(0.6)) if negative else phrase.statement()
        first = join(subject.text, said)
        style = draw.weighted({"plain": 0.55, "opening": 0.2, "and": 0.13, "because": 0.06, "when": 0.06})
        again = who.pronoun()
        match style:
            case "opening":
                words = ("then", "one day,", "soon", "so", "after that,", "suddenly,", "the next day,", "at night,")
                return finish(join(draw.zipf(words), first))
            case "and":
                return finish(join(first, draw.zipf(("and", "and then", "but")), self.second(again, tense)))
            case "because":
                return finish(join(first, "because", again.he, self.predicate(again, tense, depth=1).statement()))
            case "when":
                other = draw.pick((self.friend, *self.strangers))
                return finish(join("when", self.clause_of(other, tense) + ",", first))
        return finish(first)

    def second(self, who: Phrase, tense: str) -> str:
        """A coordinated predicate, with or without its pronoun."""
        phrase = self.action(who, tense).statement()
        return join(who.he, phrase) if self.draw.chance(0.4) else phrase

    def clause_of(self, who: Phrase, tense: str) -> str:
        """A clause about somebody by name."""
        return join(who.text, self.action(who, tense).statement())

    def said(self, who: Phrase, words: str, mark: str = ",") -> str:
        """Direct speech."""
        verb = {"?": "asked", "!": "shouted"}.get(mark, "said")
        name = who.he if self.topic == who and self.draw.chance(0.4) else who.text
        return f'"{finish(words, mark)}" {verb} {name}.'

    def opening(self) -> Sentences:
        """Who the hero is and where it starts."""
        draw, name, at = self.draw, self.hero.text, self.scene.at
        species, home = self.hero.noun, PLACES[draw.zipf(tuple(PLACES))][0]
        adjective = draw.zipf(adjectives_of(species))
        what = species.singular if not species.proper else "girl" if self.hero.gender == "f" else "boy"
        first = draw.pick(
            (
                f"Once there was {article(f'{adjective} {what}')} named {name}.",
                f"{name} was {article(f'{adjective} {what}')}.",
                f"{name} lived {home} with {self.friend.text}.",
                f"One day, {name} was {at}.",
                f"One morning, {name} and {self.friend.text} went for a walk.",
            )
        )
        has = f"{self.hero.he} had {article(f'{self.thing.adjective} {self.thing.noun.singular}')}"
        best = f"{self.hero.his} best friend was {self.friend.text}"
        self.topic = self.hero
        return [first, finish(draw.pick((has, best, has))), *self.events(draw.between(0, 2))]

    def events(self, count: int) -> Sentences:
        """What the characters do, mostly the hero."""
        people = [self.hero, self.hero, self.friend, *self.strangers[:1]]
        return [self.event(self.draw.zipf(people)) for _ in range(count)]

    def loss(self) -> Sentences:
        """The hero cannot find something."""
        draw, thing, who = self.draw, self.thing, self.hero
        self.topic = who
        first = draw.pick(
            (
                f"{who.text} could not find {who.his} {thing.name}.",
                f"{who.text} lost the {thing.adjective} {thing.name}.",
                f"Then {who.text} saw that the {thing.name} {'were' if thing.number == 'pl' else 'was'} not there.",
            )
        )
        feeling = finish(f"{who.he} was {draw.zipf(FEELINGS[1:])}")
        return [first, feeling, self.said(who, f"where {thing.be} my {thing.name}", "?")]

    def meeting(self) -> Sentences:
        """Somebody is asked for help."""
        draw, thing, who = self.draw, self.thing, self.hero
        other = draw.pick([self.elder, self.friend, *self.strangers])
        self.topic = who
        first = f"{who.text} {draw.pick(('met', 'saw', 'asked', 'ran to', 'went to'))} {other.text}."
        question = draw.pick(
            (
                f"have you seen my {thing.name}",
                f"do you know where my {thing.name} {thing.be}",
                f"did you take my {thing.name}",
                f"have you ever seen {article(thing.noun.singular)}",
            )
        )
        answer = draw.pick(
            (
                f"I have not seen any {thing.noun.plural}",
                f"I don't know where {thing.it} {thing.be}",
                f"I think that {thing.it} {thing.be} {draw.pick(self.scene.things).where}",
                f"{self.friend.text} took {thing.them}" if other is not self.friend else f"I didn't take {thing.them}",
                f"I only saw {draw.pick(self.strangers).text}",
                f"I know who took {thing.them}",
            )
        )
        return [first, self.said(who, question, "?"), self.said(other, answer), *self.events(draw.between(0, 2))]

    def finding(self) -> Sentences:
        """The thing turns up where the scene has it."""
        draw, thing, who = self.draw, self.thing, self.hero
        self.topic = who
        was = "were" if thing.number == "pl" else "was"
        first = draw.pick(
            (
                f"then {who.text} looked {thing.where}",
                f"at last, {who.text} found {thing.the} {thing.where}",
                f"{self.friend.text} knew where {thing.the} {was}",
            )
        )
        joy = draw.pick(("thank you", f"here {thing.it} {thing.be}", f"I love my {thing.name}"))
        return [finish(first), finish(f"{thing.the} {was} {thing.where} all the time", "!"), self.said(who, joy, "!")]

    def making(self) -> Sentences:
        """The hero makes or gets something for the friend."""
        draw, who = self.draw, self.hero
        made = nouns()[draw.zipf(verb_named("make").objects)].singular
        self.topic = who
        wish = f"{who.text} wanted to make {article(made)} for {self.friend.text}."
        alone = finish(f"{who.he} made the {made} by {who.himself}")
        helped = f"{self.friend.text} helped {who.him}."
        given = f"{who.text} gave the {made} to {self.friend.text}."
        thanks = self.said(self.friend, draw.pick((f"I like this {made}", "thank you", f"what a nice {made}")), "!")
        return [wish, *self.events(draw.between(1, 2)), draw.pick((alone, helped)), given, thanks]

    def accident(self) -> Sentences:
        """Something breaks, or opens, or rolls away."""
        draw, who = self.draw, self.hero
        verb = draw.zipf([verb for verb in verbs() if verb.frame == "alternating"])
        near = [thing.noun for thing in self.scene.things if thing.noun.singular in verb.objects]
        noun = draw.pick(near) if near else nouns()[draw.zipf(verb.objects)]
        theme = Phrase(f"the {noun.singular}", "sg", "n", noun)
        agent = draw.pick((who, self.friend, *self.strangers))
        self.topic = who
        first = draw.pick(
            (
                f"{agent.text} {verb.past} {theme.text}.",
                f"{theme.text} {verb.past}.",
                f"Suddenly, {theme.text} {verb.past} {self.place_phrase()}.",
                f"{agent.text} did not want to {verb.base} {theme.text}, but it {verb.past}.",
            )
        )
        question = self.said(self.elder, f"who {verb.past} {theme.text}", "?")
        answer = self.said(agent, draw.pick((f"I {verb.past} it", f"it {verb.past} by itself", "I am sorry")))
        feeling = f"{who.text} was {draw.zipf(FEELINGS)}."
        return [first[0].upper() + first[1:], *([question, answer] if draw.chance(0.5) else [feeling])]

    def trip(self) -> Sentences:
        """The hero goes somewhere and looks around."""
        draw, who = self.draw, self.hero
        place = draw.zipf(tuple(PLACES))
        seen = draw.sample(kind("animal"), 2)
        self.scene.things = [self.thing, *things_of(draw, place, 3)]
        self.scene.at = PLACES[place][0]
        going = draw.pick(("walked", "ran", "played"))
        first = draw.pick((f"The next day, {who.text} was {self.scene.at}.", f"{who.text} {going} all day."))
        saw = f"{who.text} saw {article(seen[0].singular)} and two {seen[1].plural} {self.scene.at}."
        views = [finish(self.clause(draw.pick(("past", "past_progressive")))) for _ in range(draw.between(1, 3))]
        self.topic = None
        return [first, saw, *views]

    def thinking(self) -> Sentences:
        """What the characters know, think, want or do to themselves."""
        draw = self.draw
        who = draw.pick((self.hero, self.friend, *self.strangers))
        subject = self.refer(who)
        inner = draw.pick((self.thought, self.reflexive, self.infinitive))(subject, "past").statement()
        return [finish(join(subject.text, inner)), *self.events(draw.between(1, 2))]

    def telling(self) -> Sentences:
        """Sentences about anybody, with longer subjects."""
        tenses = ("past", "past_progressive", "perfect", "past")
        self.topic = None
        return [finish(self.clause(self.draw.pick(tenses))) for _ in range(self.draw.between(1, 3))]

    def ending(self) -> Sentences:
        """The last words."""
        last = self.draw.pick(ENDINGS).format(
            name=self.hero.text, it=self.thing.them, adult=self.elder.text, where=self.thing.where
        )
        return [*self.events(self.draw.between(0, 2)), last[0].upper() + last[1:]]

    def page(self) -> Sentences:
        """A page of a picture book, in the present."""
        draw = self.draw
        found = []
        for _ in range(draw.between(2, 4)):
            tense = draw.zipf(("present", "present", "progressive", "perfect"))
            noun = (
                draw.pick(self.scene.animals) if draw.chance(0.4) else draw.zipf(kind(draw.pick(("person", "animal"))))
            )
            many = Phrase(noun.plural, "pl", noun.gender, noun)
            style = draw.weighted({"clause": 0.55, "there": 0.12, "kind": 0.2, "every": 0.08, "ever": 0.05})
            match style:
                case "there":
                    number = draw.zipf(("two", "three", "some", "many"))
                    found.append(finish(f"there are {number} {noun.plural} {self.place_phrase()}"))
                case "kind":
                    found.append(finish(join(noun.plural, self.predicate(many, "present").statement())))
                case "every":
                    every = replace(many, text=f"every {noun.singular}", agreement="sg")
                    found.append(finish(join(every.text, self.predicate(every, tense).statement())))
                case "ever":
                    phrase = self.action(many, "perfect", "negative")
                    found.append(finish(join("the", noun.plural, phrase.negation("ever", contracted=draw.chance(0.4)))))
                case _:
                    found.append(finish(self.clause(tense)))
        return found

    def plot(self) -> list[Paragraph]:
        """The beats of one document."""
        draw = self.draw
        fillers: list[Paragraph] = [self.thinking, self.telling, self.trip, self.accident, lambda: self.events(3)]
        middle = draw.sample(fillers, 2) * 2
        match draw.weighted({"lost": 0.25, "gift": 0.17, "day": 0.2, "picture": 0.38}):
            case "lost":
                meetings = [self.meeting for _ in range(draw.between(1, 3))]
                return [self.opening, middle[0], self.loss, *meetings, middle[1], self.finding, self.ending]
            case "gift":
                return [self.opening, middle[0], self.making, middle[1], self.ending]
            case "day":
                return [self.opening, *middle, draw.pick((self.trip, self.accident)), self.ending]
        pages = [self.page for _ in range(draw.between(4, 8))]
        return pages

    def paragraphs(self) -> list[str]:
        """The document."""
        found = []
        for beat in self.plot():
            for _ in range(12):
                topic = self.topic
                text = " ".join(beat())
                if allowed(text):
                    found.append(text)
                    break
                self.topic = topic
        return found
