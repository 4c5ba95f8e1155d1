"""Moves of a dialogue about things at hand: naming, finding, wanting, counting, comparing, asking for.

In: a scene. Out: a few turns. `dialogue.Dialogue` mixes them with the moves about people and events.
"""

from __future__ import annotations

from dataclasses import replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.grammar import Grammar
from palenka_tune.data.babytalk.inflection import adjectives_of, article, finish, inflect, join, verbs_of
from palenka_tune.data.babytalk.lexicon import Noun, kind, nouns, verbs
from palenka_tune.data.babytalk.scene import Phrase, Thing, adult, child, person, pet, scene
from palenka_tune.data.babytalk.tables import PROFILES

Turns = list[str]

SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "pig": "oink", "sheep": "baa", "lion": "roar",
    "bee": "buzz", "owl": "hoo", "frog": "ribbit", "mouse": "squeak", "horse": "neigh", "bird": "tweet",
}  # fmt: skip
COMMENTS = (
    "Yes.", "That's right.", "Good job, {child}.", "Oh no!", "Really?", "Wow!", "Okay.", "I see.", "Very good.",
    "Oh dear.", "Let me see.", "Look!", "Good {girl}!", "Yes, {child}.", "Uh oh.",
)  # fmt: skip
COUNTABLE = ("toy", "clothes", "food", "animal", "person", "house", "dish", "body", "nature", "vehicle")


class ThingMoves(Grammar):
    """One dialogue's speakers and scene, and the moves about its things."""

    def __init__(self, draw: Draw) -> None:
        self.child = child(draw)
        self.adult = adult(draw)
        _, _, friend, toy, food, self.colour = PROFILES[self.child.text].split()
        cast = [self.child, pet(self.child.text), self.adult]
        if draw.chance(0.6):
            cast.append(person(friend) if draw.chance(0.7) else adult(draw))
        super().__init__(draw, scene(draw, cast))
        self.toy, self.food = nouns()[toy], nouns()[food]
        self.i = Phrase("I", "1", "n", nouns()["child"])
        self.you = replace(self.i, text="you", agreement="2")

    def thing(self) -> Thing:
        """One of the scene's things."""
        return self.draw.zipf(self.scene.things)

    def other(self) -> Phrase:
        """Somebody of the cast who is not the child."""
        return self.draw.pick(self.scene.cast[1:])

    def some_noun(self) -> Noun:
        """A noun that can be counted: of the scene, or any."""
        draw = self.draw
        return draw.pick((draw.pick(self.scene.animals), self.thing().noun, draw.zipf(kind(draw.pick(COUNTABLE)))))

    def fill(self, text: str) -> str:
        """A stock turn with the names of this dialogue."""
        girl = "girl" if self.child.gender == "f" else "boy"
        food = article(self.food.singular) if self.draw.chance(0.6) else f"some {self.food.plural}"
        return text.format(child=self.child.text, adult=self.adult.text, girl=girl, food=food)

    def comment(self, share: float = 0.4) -> Turns:
        """Perhaps a short reply."""
        return [self.fill(self.draw.zipf(COMMENTS))] if self.draw.chance(share) else []

    def name(self) -> Turns:
        """What's this?"""
        draw, thing = self.draw, self.thing()
        it, be, plural = thing.it, thing.be, thing.number == "pl"
        this = draw.pick(("these", "those") if plural else ("this", "that"))
        answer = f"{it} {be} {thing.name if plural else article(thing.name)}"
        colour = draw.pick(("red", "blue", "green", "new", "big"))
        follow = draw.pick(
            (
                [f"Yes, {this} {thing.name} {be} {thing.adjective}."],
                [finish(f"{be} {it} {colour}", "?"), f"No, {it} {be} {thing.adjective}."],
                [finish(f"{it} {be} {thing.where}")],
                [f"Do you like {thing.them}?", f"Yes, I like {this} {thing.name}."],
                [f"What is {thing.where}?", finish(thing.the)],
            )
        )
        return [f"What {be} {this}?", finish(answer), *follow]

    def where(self) -> Turns:
        """Where is it? The answer is where the scene has it."""
        draw, thing, who = self.draw, self.thing(), self.other().text
        it, be, them, the = thing.it, thing.be, thing.them, thing.the
        question = draw.pick(
            (
                f"Where {be} {the}?",
                f"Where {be} my {thing.adjective} {thing.name}?",
                f"Do you know where {the} {be}?",
                f"I can't find {the}.",
                f"Where did you put {the}?",
            )
        )
        answer = draw.pick(
            (
                finish(f"{it} {be} {thing.where}"),
                f"Look {thing.where}.",
                f"{who} put {them} {thing.where}.",
                f"I don't know where {it} {be}.",
                f"Maybe {who} took {them}.",
                f"I think that {it} {be} {thing.where}.",
            )
        )
        end = draw.pick((f"Oh, I see {them}.", f"Here {it} {be}.", f"You found {them}!", "Thank you."))
        return [question, answer] + ([end] if draw.chance(0.4) else [])

    def wish(self) -> Turns:
        """Do you want it?"""
        draw, thing = self.draw, self.thing()
        first = draw.pick((thing.the, f"the {thing.adjective} {thing.name}", f"some {self.food.plural}"))
        other = draw.pick((f"my {self.toy.singular}", article(self.food.singular), f"the {self.colour} one"))
        question = draw.pick((f"Do you want {first}?", f"Would you like {first}?", f"You want {first}."))
        answer = draw.pick((f"Yes, I want {first}.", f"No, I want {other}.", f"I don't want {first}.", "Yes, please."))
        end = draw.pick((f"You can have {first} later.", f"Here you are, {self.child.text}.", "Say please.", ""))
        return [question, answer, end]

    def animal(self) -> Turns:
        """What do animals say and do?"""
        draw = self.draw
        species = draw.zipf(tuple(SOUNDS))
        sound, animals = SOUNDS[species], nouns()[species].plural
        habit = self.action(Phrase("", "pl", "n", nouns()[species]), "present").statement()
        turns = draw.pick(
            (
                [f"What does {draw.pick((f'the {species}', article(species)))} say?", f"The {species} says {sound}."],
                [f"What do {animals} say?", finish(f"{animals} say {sound}")],
                [finish(f"{sound}, {sound}", "!"), f"Is that {article(species)}?", f"Yes, that is {article(species)}."],
            )
        )
        return turns + ([finish(f"{animals} {habit}")] if draw.chance(0.5) else [])

    def count(self) -> Turns:
        """How many are there?"""
        draw = self.draw
        animals = self.some_noun().plural
        number = draw.zipf(("three", "four", "five", "two", "six"))
        where = draw.pick((self.scene.at, self.thing().where))
        question = draw.pick(
            (f"How many {animals} are there?", f"How many {animals} do you see?", f"Can you count the {animals}?")
        )
        counting = ["One, two, three."] if draw.chance(0.3) else []
        return [question, *counting, f"There are {number} {animals} {where}.", *self.comment()]

    def request(self) -> Turns:
        """Please do it, or don't."""
        draw, thing, who = self.draw, self.thing(), self.other().text
        action = self.action(self.you, "present")
        do = join(action.bare, action.rest)
        text = draw.pick(
            (
                f"Put {thing.the} {draw.pick(self.scene.things).where}.",
                f"Please give {who} {thing.the}.",
                f"Can you give me {thing.the}?",
                f"Can you bring {who} the {thing.adjective} {thing.name}?",
                f"Show me {thing.the}.",
                f"Don't {do}.",
                f"Let's {do}.",
                f"Please {do}.",
            )
        )
        here = f"Here {thing.it} {thing.be}."
        mine = f"I put {thing.them} {thing.where}."
        stock = ("Okay.", "No, I don't want to.", "Why?", f"Yes, {self.adult.text}.")
        return [text, draw.pick((here, mine, f"I can't find {thing.them}.", *stock))]

    def demonstrative(self) -> Turns:
        """This one, those ones."""
        draw = self.draw
        noun = draw.pick((self.thing().noun, draw.zipf(kind(draw.pick(COUNTABLE)))))
        number = draw.pick(("sg", "pl"))
        this, be = draw.pick(
            (("this", "is"), ("that", "is")) if number == "sg" else (("these", "are"), ("those", "are"))
        )
        phrase = Phrase("", number, "n", noun)
        adjective = draw.zipf(adjectives_of(noun)) if draw.chance(0.45) else ""
        that = join(this, adjective, noun.form(number))
        who = self.agent()
        takers = [verb for verb in verbs_of(who.noun.singular, "transitive") if noun.singular in verb.objects]
        tense = draw.zipf(("past", "present", "progressive", "perfect"))
        said = [
            f"Look at {that}.",
            f"I like {that}.",
            f"Do you like {that}?",
            f"Whose {noun.form(number)} {be} {this}?",
            finish(join(that, self.description(phrase, "present").statement())),
            finish(join(that, self.predicate(phrase, "present").statement())),
        ]
        if takers and draw.chance(0.4):
            verb = draw.zipf(takers)
            action = inflect(verb, tense, who.agreement, join(verb.preposition, that))
            said = [finish(join(who.text, action.statement()))]
        return [draw.pick(said), *self.comment()]

    def quantity(self) -> Turns:
        """There is a, there are no; every and all."""
        draw, noun = self.draw, self.some_noun()
        one, many = noun.singular, noun.plural
        where = draw.pick((self.scene.at, self.thing().where, self.modifier(noun)))
        is_one = (f"is {article(one)}", f"is no {one}", f"was {article(one)}")
        are_many = ("are some", "are many", "are no", "aren't any", "were two", "are a few")
        there = f"There {draw.pick(is_one) if draw.chance(0.4) else f'{draw.pick(are_many)} {many}'} {where}."
        every = Phrase(f"{draw.pick(('every', 'each'))} {one}", "sg", noun.gender, noun)
        every_all = draw.pick((every, replace(every, text=f"{draw.pick(('all the', 'most'))} {many}", agreement="pl")))
        claim = join(every_all.text, self.predicate(every_all, draw.pick(("present", "progressive"))).statement())
        question = f"Are there any {many} {where}?"
        answer = draw.pick(("Yes, there are.", f"No, there aren't any {many}.", f"Yes, there are some {many}."))
        return draw.pick(([there, *self.comment()], [there], [question, answer], [finish(claim)]))

    def compare(self) -> Turns:
        """Bigger and smaller."""
        draw, noun = self.draw, self.some_noun()
        more = draw.zipf(("bigger", "smaller", "older", "faster", "softer", "nicer")) + " than"
        one, two = draw.sample(kind("animal"), 2)
        question = f"Is {article(one.singular)} {more} {article(two.singular)}?"
        return draw.pick(
            (
                [f"This {noun.singular} is {more} that {noun.singular}.", *self.comment()],
                [f"These {noun.plural} are {more} those {noun.plural}.", *self.comment()],
                [question, draw.pick(("Yes.", "No.", "I think so."))],
                [finish(f"{one.plural} are {more} {two.plural}"), "Yes, they are."],
            )
        )

    def body(self) -> Turns:
        """Noses and toes."""
        draw = self.draw
        part = draw.pick(kind("body"))
        plural = part.singular not in ("nose", "tummy")
        name, be, it = (part.plural, "are", "they") if plural else (part.singular, "is", "it")
        these = "These are" if plural else "This is"
        return draw.pick(
            (
                [f"Where {be} your {name}?", f"Here {be} my {name}."],
                [f"Touch your {name}.", f"{these} my {name}."],
                [f"Show me your {part.singular}.", f"This is my {part.singular}."],
                [finish(f"{be} your {name} clean", "?"), f"No, {it} {be} dirty."],
                [f"I hurt my {part.singular} on {self.thing().the}.", "Oh no, let me see."],
            )
        )

    def accident(self) -> Turns:
        """Causative and inchoative: who broke it? It broke."""
        draw = self.draw
        verb = draw.zipf([verb for verb in verbs() if verb.frame == "alternating"])
        near = [thing for thing in self.scene.things if thing.noun.singular in verb.objects]
        noun = draw.zipf(near).noun if near else nouns()[draw.zipf(verb.objects)]
        number = draw.zipf(("sg", "sg", "pl"))
        theme = Phrase(f"the {noun.form(number)}", number, "n", noun)
        who = self.agent()
        happened = inflect(verb, draw.zipf(("past", "progressive", "perfect")), theme.agreement)
        happening = finish(join(theme.text, happened.statement()))
        did = inflect(verb, "past", who.agreement, theme.text)
        did_it = finish(join(who.text, inflect(verb, "past", who.agreement, theme.him).statement()))
        return draw.pick(
            (
                [happening, draw.pick(("Oh no!", "Look!", "Why?", "I see."))],
                [happening, f"Who {verb.past} {theme.him}?", did_it],
                [finish(join(who.text, did.statement())), *self.comment()],
                [finish(join(who.text, did.negation())), finish(f"{theme.he} {verb.past} by {theme.himself}")],
                [finish(did.question(who.text), "?"), f"No, {theme.he} just {verb.past}."],
            )
        )
