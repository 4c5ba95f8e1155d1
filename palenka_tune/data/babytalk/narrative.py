"""Short tales and picture-book pages: a paragraph a line.

A tale has a hero, a plot in beats (opening, trouble, meetings, end) and, between the beats, things that its characters
do; a picture book says in the present what one sees. A subject pronoun refers to the last character named. A paragraph
with a held-out combination is drawn again.
"""

from __future__ import annotations

from palenka_tune.data.babytalk.grammar import Grammar, Lines, Maker
from palenka_tune.data.babytalk.inflection import article, capital, sentence
from palenka_tune.data.babytalk.lexicon import kind, nouns, verb_named
from palenka_tune.data.babytalk.scene import PLACES, Phrase, person, pet, the
from palenka_tune.data.babytalk.tables import PROFILES

FEELINGS = ("happy", "sad", "tired", "hungry", "angry", "very happy", "very sad", "so tired", "brave")
ENDINGS = (
    "And {name} slept all night.", "It was a good day.", "{name} was happy again.", "Then {name} went home.",
    "{name} never lost {it} again.", "They were friends from then on.", "And that was the end of the day.",
    "{name} told {adult} all about it.", "After that, {name} always looked {where} first.", "Everybody was happy.",
)  # fmt: skip


class Tale(Grammar):
    """One tale or picture book."""

    def __init__(self, *parts: str | int) -> None:
        super().__init__(*parts)
        if self.chance(0.55):
            self.hero = self.any_child()
            self.friend = pet(self.hero) if self.chance(0.5) else person(PROFILES[self.hero.text].split()[2])
        else:
            self.hero = self.any_hero()
            self.friend = self.any_hero() if self.chance(0.4) else self.stranger("animal")
            if self.friend.noun == self.hero.noun:
                self.friend = self.stranger("person")
        self.elder = self.any_adult()
        self.strangers = [self.stranger(self.either("person", "animal")) for _ in range(3)]
        self.set_scene([self.hero, self.friend, *self.strangers[:1]])
        self.thing = self.things[0]

    def refer(self, who: Phrase) -> Phrase:
        """`who` by name, or by a pronoun if the last sentence was about them."""
        if self.topic == who and self.chance(0.7):
            return who.pronoun()
        self.topic = who
        return who

    def turn_to_hero(self) -> Phrase:
        """The hero, whom the next sentence is about."""
        self.topic = self.hero
        return self.hero

    def event(self, who: Phrase) -> str:
        """A sentence about what somebody did, with an opening word or a second clause now and then."""
        subject = self.refer(who)
        phrase = self.predicate(subject, "past")
        if self.chance(0.08):
            first = phrase.negation(subject.text, contracted=self.chance(0.6))
        else:
            first = phrase.statement(subject.text)
        they = who.pronoun()
        match self.weighted({"plain": 0.55, "opening": 0.2, "and": 0.13, "because": 0.06, "when": 0.06}):
            case "opening":
                words = ("then", "one day,", "soon", "so", "after that,", "suddenly,", "the next day,", "at night,")
                return sentence(self.zipf(words), first)
            case "and":
                word, second = self.zipf(("and", "and then", "but")), self.action(they, "past").statement()
                return sentence(first, word, they.he if self.chance(0.4) else "", second)
            case "because":
                return sentence(first, "because", self.predicate(they, "past", depth=1).statement(they.he))
            case "when":
                other = self.either(self.friend, *self.strangers)
                return sentence("when", self.action(other, "past").statement(other.text) + ",", first)
        return sentence(first)

    def speech(self, who: Phrase, words: str, mark: str = ",") -> str:
        """Direct speech."""
        verb = {"?": "asked", "!": "shouted"}.get(mark, "said")
        name = who.he if self.topic == who and self.chance(0.4) else who.text
        return f'"{sentence(words, mark=mark)}" {verb} {name}.'

    def opening(self) -> Lines:
        """Who the hero is and where it starts."""
        name, species = self.hero.text, self.hero.noun
        home = self.anywhere()
        adjective = self.zipf(species.adjectives)
        what = species.singular if not species.proper else "girl" if self.hero.gender == "f" else "boy"
        first = self.either(
            f"Once there was {article(adjective, what)} named {name}.",
            f"{name} was {article(adjective, what)}.",
            f"{name} lived {home} with {self.friend.text}.",
            f"One day, {name} was {self.at}.",
            f"One morning, {name} and {self.friend.text} went for a walk.",
        )
        has = sentence(self.hero.he, "had", article(self.thing.adjective, self.thing.noun.singular))
        best = sentence(self.hero.his, "best friend was", self.friend.text)
        self.topic = self.hero
        return [first, self.either(has, best, has), *self.events(self.between(0, 2))]

    def events(self, count: int) -> Lines:
        """What the characters do, mostly the hero."""
        people = [self.hero, self.hero, self.friend, *self.strangers[:1]]
        return [self.event(self.zipf(people)) for _ in range(count)]

    def loss(self) -> Lines:
        """The hero cannot find something."""
        thing, who = self.thing, self.turn_to_hero()
        first = self.either(
            f"{who.text} could not find {who.his} {thing.name}.",
            f"{who.text} lost the {thing.adjective} {thing.name}.",
            f"Then {who.text} saw that {thing.text} {thing.was} not there.",
        )
        feeling = sentence(who.he, "was", self.zipf(FEELINGS[1:]))
        return [first, feeling, self.speech(who, f"where {thing.be} my {thing.name}", "?")]

    def meeting(self) -> Lines:
        """Somebody is asked for help."""
        thing, who = self.thing, self.turn_to_hero()
        other = self.either(self.elder, self.friend, *self.strangers)
        first = f"{who.text} {self.either('met', 'saw', 'asked', 'ran to', 'went to')} {other.text}."
        question = self.either(
            f"have you seen my {thing.name}",
            f"do you know where my {thing.name} {thing.be}",
            f"did you take my {thing.name}",
            f"have you ever seen {article(thing.noun.singular)}",
        )
        answer = self.either(
            f"I have not seen any {thing.noun.plural}",
            f"I don't know where {thing.he} {thing.be}",
            f"I think that {thing.he} {thing.be} {self.pick(self.things).where}",
            f"{self.friend.text} took {thing.him}" if other is not self.friend else f"I didn't take {thing.him}",
            f"I only saw {self.pick(self.strangers).text}",
            f"I know who took {thing.him}",
        )
        return [first, self.speech(who, question, "?"), self.speech(other, answer), *self.events(self.between(0, 2))]

    def finding(self) -> Lines:
        """The thing turns up where the scene has it."""
        thing, who = self.thing, self.turn_to_hero()
        first = self.either(
            f"then {who.text} looked {thing.where}",
            f"at last, {who.text} found {thing.text} {thing.where}",
            f"{self.friend.text} knew where {thing.text} {thing.was}",
        )
        joy = self.either("thank you", f"here {thing.he} {thing.be}", f"I love my {thing.name}")
        there = sentence(thing.text, thing.was, thing.where, "all the time", mark="!")
        return [sentence(first), there, self.speech(who, joy, "!")]

    def making(self) -> Lines:
        """The hero makes or gets something for the friend."""
        who = self.turn_to_hero()
        made = self.zipf(verb_named("make").objects)
        wish = f"{who.text} wanted to make {article(made)} for {self.friend.text}."
        alone = sentence(who.he, "made the", made, "by", who.himself)
        helped = f"{self.friend.text} helped {who.him}."
        given = f"{who.text} gave the {made} to {self.friend.text}."
        thanks = self.speech(self.friend, self.either(f"I like this {made}", "thank you", f"what a nice {made}"), "!")
        return [wish, *self.events(self.between(1, 2)), self.either(alone, helped), given, thanks]

    def accident(self) -> Lines:
        """Something breaks, or opens, or rolls away."""
        who = self.turn_to_hero()
        verb, near = self.alternating()
        noun = self.pick(near) if near else nouns()[self.zipf(verb.objects)]
        theme = the(noun, "sg").text
        agent = self.either(who, self.friend, *self.strangers)
        first = self.either(
            f"{agent.text} {verb.past} {theme}.",
            f"{theme} {verb.past}.",
            f"Suddenly, {theme} {verb.past} {self.place_phrase()}.",
            f"{agent.text} did not want to {verb.base} {theme}, but it {verb.past}.",
        )
        question = self.speech(self.elder, f"who {verb.past} {theme}", "?")
        answer = self.speech(agent, self.either(f"I {verb.past} it", f"it {verb.past} by itself", "I am sorry"))
        feeling = f"{who.text} was {self.zipf(FEELINGS)}."
        return [capital(first), *([question, answer] if self.chance(0.5) else [feeling])]

    def trip(self) -> Lines:
        """The hero goes somewhere and looks around."""
        who = self.hero
        place = self.zipf(tuple(PLACES))
        one, two = self.sample(kind("animal"), 2)
        self.things = [self.thing, *self.things_of(place, 3)]
        self.at = PLACES[place][0]
        going = self.either("walked", "ran", "played")
        first = self.either(f"The next day, {who.text} was {self.at}.", f"{who.text} {going} all day.")
        saw = f"{who.text} saw {article(one.singular)} and two {two.plural} {self.at}."
        views = [sentence(self.clause(self.either("past", "past_progressive"))) for _ in range(self.between(1, 3))]
        self.topic = None
        return [first, saw, *views]

    def thinking(self) -> Lines:
        """What the characters know, think, want or do to themselves."""
        subject = self.refer(self.either(self.hero, self.friend, *self.strangers))
        inner = self.either(self.thought, self.reflexive, self.infinitive)(subject, "past")
        return [sentence(inner.statement(subject.text)), *self.events(self.between(1, 2))]

    def telling(self) -> Lines:
        """Sentences about anybody, with longer subjects."""
        tenses = ("past", "past_progressive", "perfect", "past")
        self.topic = None
        return [sentence(self.clause(self.pick(tenses))) for _ in range(self.between(1, 3))]

    def ending(self) -> Lines:
        """The last words."""
        last = self.pick(ENDINGS).format(
            name=self.hero.text, it=self.thing.him, adult=self.elder.text, where=self.thing.where
        )
        return [*self.events(self.between(0, 2)), capital(last)]

    def page(self) -> Lines:
        """A page of a picture book, in the present."""
        return [sentence(self.view()) for _ in range(self.between(2, 4))]

    def view(self) -> str:
        """What one sees on a page, often of a kind of animal or person."""
        tense = self.zipf(("present", "present", "progressive", "perfect"))
        noun = self.pick(self.animals) if self.chance(0.4) else self.zipf(kind(self.either("person", "animal")))
        many = Phrase(noun.plural, "pl", noun)
        match self.weighted({"clause": 0.55, "there": 0.12, "kind": 0.2, "every": 0.08, "ever": 0.05}):
            case "there":
                number = self.zipf(("two", "three", "some", "many"))
                return f"there are {number} {noun.plural} {self.place_phrase()}"
            case "kind":
                return self.predicate(many, "present").statement(many.text)
            case "every":
                every = Phrase(f"every {noun.singular}", "sg", noun)
                return self.predicate(every, tense).statement(every.text)
            case "ever":
                phrase = self.action(many, "perfect", "negative")
                return phrase.negation(f"the {noun.plural}", "ever", contracted=self.chance(0.4))
        return self.clause(tense)

    def plot(self) -> list[Maker]:
        """The beats of one document."""
        fillers: list[Maker] = [self.thinking, self.telling, self.trip, self.accident, lambda: self.events(3)]
        first, second = self.sample(fillers, 2)
        match self.weighted({"lost": 0.25, "gift": 0.17, "day": 0.2, "picture": 0.38}):
            case "lost":
                meetings = [self.meeting] * self.between(1, 3)
                return [self.opening, first, self.loss, *meetings, second, self.finding, self.ending]
            case "gift":
                return [self.opening, first, self.making, second, self.ending]
            case "day":
                last = self.either(self.trip, self.accident)
                return [self.opening, first, second, first, second, last, self.ending]
        return [self.page] * self.between(4, 8)

    def document(self) -> Lines:
        """The paragraphs of the tale or picture book."""
        paragraphs = [" ".join(self.permitted(beat)) for beat in self.plot()]
        return [paragraph for paragraph in paragraphs if paragraph]
