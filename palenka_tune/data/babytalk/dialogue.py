"""Dialogues between a grown-up and a child: one turn a line, no speaker tags.

A dialogue is a chain of moves, each a question with its answer, a request with its reply, or a remark with a comment;
answers agree with the scene. A move that would say a combination that is held out is drawn again.
"""

from __future__ import annotations

from dataclasses import replace

from palenka_tune.data.babytalk.grammar import Grammar, Lines, Maker
from palenka_tune.data.babytalk.inflection import DEMONSTRATIVES, VerbPhrase, article, inflect, join, sentence
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns, verbs_of
from palenka_tune.data.babytalk.scene import Phrase, Thing, person, pet, the
from palenka_tune.data.babytalk.tables import PROFILES

REASONS = (
    "because {he} {is} hungry", "because {he} {is} tired", "because {he} fell", "because {he} {is} so happy",
    "because {he} lost {his} hat", "because it is late", "because {he} {is} cold", "because {he} saw a mouse",
    "because {he} can't find {his} shoe", "because it is raining",
)  # fmt: skip
ROUTINES = (
    ("It's time for bed.", "No, I'm not tired."), ("It's time for lunch.", "I want {food}."),
    ("Are you hungry?", "Yes, I want {food}."), ("Are you thirsty?", "Yes, can I have some juice?"),
    ("Are you all done?", "All done."), ("Wash your hands, please.", "My hands are clean."),
    ("Brush your teeth, please.", "I brushed them myself."), ("Let's go outside.", "Yes, let's go."),
    ("It's cold outside.", "I need my coat."), ("It's raining.", "Where are my boots?"),
    ("Good morning, {child}.", "Good morning, {adult}."), ("Good night, {child}.", "Good night, {adult}."),
    ("I love you.", "I love you too."), ("Come here, {child}.", "I'm coming."),
    ("Be careful, {child}.", "Okay, {adult}."), ("Do you want some more milk?", "No, thank you."),
    ("What do you say?", "Thank you, {adult}."), ("Give me a hug.", "A big hug!"),
)  # fmt: skip
SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "pig": "oink", "sheep": "baa", "lion": "roar",
    "bee": "buzz", "owl": "hoo", "frog": "ribbit", "mouse": "squeak", "horse": "neigh", "bird": "tweet",
}  # fmt: skip
COMMENTS = (
    "Yes.", "That's right.", "Good job, {child}.", "Oh no!", "Really?", "Wow!", "Okay.", "I see.", "Very good.",
    "Oh dear.", "Let me see.", "Look!", "Good {girl}!", "Yes, {child}.", "Uh oh.",
)  # fmt: skip
COUNTABLE = ("toy", "clothes", "food", "animal", "person", "house", "dish", "body", "nature", "vehicle")


class Dialogue(Grammar):
    """One dialogue: its speakers, its scene, and its moves."""

    def __init__(self, *parts: str | int) -> None:
        super().__init__(*parts)
        self.child = self.any_child()
        self.adult = self.any_adult()
        _, _, friend, toy, food, self.colour = PROFILES[self.child.text].split()
        cast = [self.child, pet(self.child), self.adult]
        if self.chance(0.6):
            cast.append(person(friend) if self.chance(0.7) else self.any_adult())
        self.set_scene(cast)
        self.toy, self.food = nouns()[toy], nouns()[food]
        self.i = Phrase("I", "1", nouns()["child"])
        self.you = replace(self.i, text="you", agreement="2")
        self.moves: dict[Maker, float] = {
            self.name: 8, self.where: 8, self.wish: 6, self.who: 6, self.what: 7, self.doing: 7, self.animal: 4,
            self.count: 4, self.ever: 4, self.request: 7, self.reason: 6, self.demonstrative: 14, self.picture: 13,
            self.know: 8, self.self_help: 12, self.report: 6, self.routine: 6, self.accident: 7, self.quantity: 6,
            self.compare: 3, self.body: 5, self.polar: 7, self.only: 6, self.before: 3, self.giving: 4, self.family: 9,
        }  # fmt: skip

    def thing(self) -> Thing:
        """One of the scene's things."""
        return self.zipf(self.things)

    def other(self) -> Phrase:
        """Somebody of the cast who is not the child."""
        return self.pick(self.cast[1:])

    def some_noun(self) -> Noun:
        """A noun that can be counted: of the scene, or any."""
        return self.either(self.pick(self.animals), self.thing().noun, self.zipf(kind(self.pick(COUNTABLE))))

    def fill(self, text: str) -> str:
        """A stock turn with the names of this dialogue."""
        girl = "girl" if self.child.gender == "f" else "boy"
        food = article(self.food.singular) if self.chance(0.6) else f"some {self.food.plural}"
        return text.format(child=self.child.text, adult=self.adult.text, girl=girl, food=food)

    def comment(self, share: float = 0.4) -> Lines:
        """Perhaps a short reply."""
        return [self.fill(self.zipf(COMMENTS))] if self.chance(share) else []

    def name(self) -> Lines:
        """What's this?"""
        thing = self.thing()
        it, be = thing.he, thing.be
        this = self.pick(DEMONSTRATIVES[thing.agreement])
        answer = sentence(it, be, thing.name if thing.agreement == "pl" else article(thing.name))
        colour = self.either("red", "blue", "green", "new", "big")
        follow = self.either(
            [f"Yes, {this} {thing.name} {be} {thing.adjective}."],
            [sentence(be, it, colour, mark="?"), f"No, {it} {be} {thing.adjective}."],
            [sentence(it, be, thing.where)],
            [f"Do you like {thing.him}?", f"Yes, I like {this} {thing.name}."],
            [f"What is {thing.where}?", sentence(thing.text)],
        )
        return [f"What {be} {this}?", answer, *follow]

    def where(self) -> Lines:
        """Where is it? The answer is where the scene has it."""
        thing, who = self.thing(), self.other().text
        it, be, them = thing.he, thing.be, thing.him
        question = self.either(
            f"Where {be} {thing.text}?",
            f"Where {be} my {thing.adjective} {thing.name}?",
            f"Do you know where {thing.text} {be}?",
            f"I can't find {thing.text}.",
            f"Where did you put {thing.text}?",
        )
        answer = self.either(
            sentence(it, be, thing.where),
            f"Look {thing.where}.",
            f"{who} put {them} {thing.where}.",
            f"I don't know where {it} {be}.",
            f"Maybe {who} took {them}.",
            f"I think that {it} {be} {thing.where}.",
        )
        end = self.either(f"Oh, I see {them}.", f"Here {it} {be}.", f"You found {them}!", "Thank you.")
        return [question, answer] + ([end] if self.chance(0.4) else [])

    def wish(self) -> Lines:
        """Do you want it?"""
        thing = self.thing()
        first = self.either(thing.text, f"the {thing.adjective} {thing.name}", f"some {self.food.plural}")
        other = self.either(f"my {self.toy.singular}", article(self.food.singular), f"the {self.colour} one")
        question = self.either(f"Do you want {first}?", f"Would you like {first}?", f"You want {first}.")
        answer = self.either(f"Yes, I want {first}.", f"No, I want {other}.", f"I don't want {first}.", "Yes, please.")
        end = self.either(f"You can have {first} later.", f"Here you are, {self.child.text}.", "Say please.", "")
        return [question, answer, end]

    def animal(self) -> Lines:
        """What do animals say and do?"""
        species = self.zipf(tuple(SOUNDS))
        one, sound, animals = article(species), SOUNDS[species], nouns()[species].plural
        habit = self.action(Phrase("", "pl", nouns()[species]), "present").statement()
        turns = self.either(
            [f"What does {self.either(f'the {species}', one)} say?", f"The {species} says {sound}."],
            [f"What do {animals} say?", sentence(animals, "say", sound)],
            [sentence(f"{sound}, {sound}", mark="!"), f"Is that {one}?", f"Yes, that is {one}."],
        )
        return turns + ([sentence(animals, habit)] if self.chance(0.5) else [])

    def count(self) -> Lines:
        """How many are there?"""
        animals = self.some_noun().plural
        number = self.zipf(("three", "four", "five", "two", "six"))
        where = self.either(self.at, self.thing().where)
        question = self.either(
            f"How many {animals} are there?", f"How many {animals} do you see?", f"Can you count the {animals}?"
        )
        counting = ["One, two, three."] if self.chance(0.3) else []
        return [question, *counting, f"There are {number} {animals} {where}.", *self.comment()]

    def request(self) -> Lines:
        """Please do it, or don't."""
        thing, who = self.thing(), self.other().text
        action = self.action(self.you, "present")
        do = join(action.form, action.rest)
        text = self.either(
            f"Put {thing.text} {self.pick(self.things).where}.",
            f"Please give {who} {thing.text}.",
            f"Can you give me {thing.text}?",
            f"Can you bring {who} the {thing.adjective} {thing.name}?",
            f"Show me {thing.text}.",
            f"Don't {do}.",
            f"Let's {do}.",
            f"Please {do}.",
        )
        here, mine = f"Here {thing.he} {thing.be}.", f"I put {thing.him} {thing.where}."
        stock = ("Okay.", "No, I don't want to.", "Why?", f"Yes, {self.adult.text}.")
        return [text, self.either(here, mine, f"I can't find {thing.him}.", *stock)]

    def demonstrative(self) -> Lines:
        """This one, those ones."""
        noun = self.either(self.thing().noun, self.zipf(kind(self.pick(COUNTABLE))))
        number = self.either("sg", "pl")
        this = self.pick(DEMONSTRATIVES[number])
        phrase = Phrase("", number, noun, "n")
        adjective = self.zipf(noun.adjectives) if self.chance(0.45) else ""
        that = join(this, adjective, phrase.name)
        who = self.agent()
        takers = [verb for verb in verbs_of(who.noun, "transitive") if noun.singular in verb.objects]
        tense = self.zipf(("past", "present", "progressive", "perfect"))
        turns = [
            f"Look at {that}.",
            f"I like {that}.",
            f"Do you like {that}?",
            f"Whose {phrase.name} {phrase.be} {this}?",
            sentence(self.description(phrase, "present").statement(that)),
            sentence(self.predicate(phrase, "present").statement(that)),
        ]
        if takers and self.chance(0.4):
            verb = self.zipf(takers)
            action = inflect(verb, tense, who.agreement, join(verb.preposition, that))
            turns = [sentence(action.statement(who.text))]
        return [self.pick(turns), *self.comment()]

    def quantity(self) -> Lines:
        """There is a, there are no; every and all."""
        noun = self.some_noun()
        one, many = noun.singular, noun.plural
        where = self.either(self.at, self.thing().where, self.modifier(noun))
        is_one = (f"is {article(one)}", f"is no {one}", f"was {article(one)}")
        are_many = ("are some", "are many", "are no", "aren't any", "were two", "are a few")
        there = f"There {self.pick(is_one) if self.chance(0.4) else f'{self.pick(are_many)} {many}'} {where}."
        every = Phrase(f"{self.either('every', 'each')} {one}", "sg", noun)
        every_all = self.either(every, replace(every, text=f"{self.either('all the', 'most')} {many}", agreement="pl"))
        claim = self.predicate(every_all, self.either("present", "progressive")).statement(every_all.text)
        question = f"Are there any {many} {where}?"
        answer = self.either("Yes, there are.", f"No, there aren't any {many}.", f"Yes, there are some {many}.")
        return self.either([there, *self.comment()], [there], [question, answer], [sentence(claim)])

    def compare(self) -> Lines:
        """Bigger and smaller."""
        noun = self.some_noun()
        more = self.zipf(("bigger", "smaller", "older", "faster", "softer", "nicer")) + " than"
        one, two = self.sample(kind("animal"), 2)
        question = f"Is {article(one.singular)} {more} {article(two.singular)}?"
        return self.either(
            [f"This {noun.singular} is {more} that {noun.singular}.", *self.comment()],
            [f"These {noun.plural} are {more} those {noun.plural}.", *self.comment()],
            [question, self.either("Yes.", "No.", "I think so.")],
            [sentence(one.plural, "are", more, two.plural), "Yes, they are."],
        )

    def body(self) -> Lines:
        """Noses and toes."""
        noun = self.pick(kind("body"))
        part = Phrase("", "sg" if noun.singular in ("nose", "tummy") else "pl", noun)
        name, be, it = part.name, part.be, part.he
        these = "This is" if part.agreement == "sg" else "These are"
        return self.either(
            [f"Where {be} your {name}?", f"Here {be} my {name}."],
            [f"Touch your {name}.", f"{these} my {name}."],
            [f"Show me your {noun.singular}.", f"This is my {noun.singular}."],
            [sentence(be, "your", name, "clean", mark="?"), f"No, {it} {be} dirty."],
            [f"I hurt my {noun.singular} on {self.thing().text}.", "Oh no, let me see."],
        )

    def accident(self) -> Lines:
        """Causative and inchoative: who broke it? It broke."""
        verb, near = self.alternating()
        noun = self.zipf(near) if near else nouns()[self.zipf(verb.objects)]
        theme = the(noun, self.zipf(("sg", "sg", "pl")))
        who = self.agent()
        happening = inflect(verb, self.zipf(("past", "progressive", "perfect")), theme.agreement)
        happened = sentence(happening.statement(theme.text))
        did = inflect(verb, "past", who.agreement, theme.text)
        did_it = inflect(verb, "past", who.agreement, theme.him)
        return self.either(
            [happened, self.either("Oh no!", "Look!", "Why?", "I see.")],
            [happened, f"Who {verb.past} {theme.him}?", sentence(did_it.statement(who.text))],
            [sentence(did.statement(who.text)), *self.comment()],
            [sentence(did.negation(who.text)), sentence(theme.he, verb.past, "by", theme.himself)],
            [sentence(did.question(who.text), mark="?"), f"No, {theme.he} just {verb.past}."],
        )

    def somebody(self) -> Phrase:
        """A person or an animal, perhaps with a modifier."""
        who = self.subject()
        return who if who.noun.animate else self.other()

    def who(self) -> Lines:
        """A question about the subject: who did it?"""
        agent = self.agent()
        tense = self.zipf(("past", "progressive", "present", "perfect")) if agent.agreement == "sg" else "past"
        action = self.action(replace(agent, agreement="sg"), tense)
        answer = self.either(f"{agent.text} {action.aux}", "I don't know who did", action.statement(agent.text))
        return [sentence(action.statement("who"), mark="?"), sentence(answer), *self.comment()]

    def what(self) -> Lines:
        """A question about the object: what did somebody do it to?"""
        agent = self.agent()
        frames = [verbs_of(agent.noun, frame) for frame in ("transitive", "transitive", "optional")]
        verb = self.zipf(self.pick([frame for frame in frames if frame]))
        target = self.object_of(verb, agent)
        if target.noun.proper:
            return self.doing()
        tense = self.zipf(("past", "progressive", "present", "modal", "perfect"))
        phrase = inflect(verb, tense, agent.agreement, verb.preposition, "will")
        where = self.at if self.chance(0.2) else ""
        wh = "who" if target.noun.kind == "person" else self.either("what", "what", f"which {target.name}")
        full = join(phrase.statement(agent.he), target.text, where)
        answer = self.either(target.text, full, "I don't know")
        return [sentence(wh, phrase.question(agent.text), where, mark="?"), sentence(answer), *self.comment()]

    def doing(self) -> Lines:
        """What is somebody doing?"""
        agent = self.somebody()
        question = f"What {agent.be} {agent.text} doing?"
        answer = sentence(self.action(agent, "progressive").statement(agent.he))
        more = sentence(self.predicate(agent, "present").statement(agent.he))
        return [question, answer, *([more] if self.chance(0.3) else self.comment())]

    def ever(self) -> Lines:
        """Have you ever? The answers license "ever" and "any" by negation."""
        who = self.either(self.you, self.you, self.agent(), self.agent())
        phrase = self.action(who, "perfect", "question")
        reply = "I" if who is self.you else who.he
        done = join(phrase.form, phrase.rest)
        answers = (
            f"no, {reply} {phrase.aux} never {done}",
            f"{reply} {phrase.aux} never {phrase.form}",
            f"yes, {reply} {phrase.aux}",
            f"no, {reply} {phrase.aux}n't",
            phrase.negation(reply, "ever", contracted=False),
            f"no {self.zipf(kind('person')).singular} has ever {phrase.form}",
            f"nobody has ever {done}",
        )
        mine = self.subject()
        predicate = self.predicate(mine, self.either("present", "past", "perfect"), "negative", depth=1)
        adverb = "ever" if self.chance(0.3) and predicate.form else ""
        extra = sentence(predicate.negation(mine.text, adverb, contracted=self.chance(0.5)))
        turns = [sentence(phrase.question(who.text, "ever"), mark="?"), sentence(self.pick(answers))]
        return turns + ([extra] if self.chance(0.6) else [])

    def only(self) -> Lines:
        """Only somebody has ever done it; others have also done it, or even they have done it."""
        who = self.somebody()
        phrase = self.action(who, "perfect")
        style = self.weighted({"only": 0.3, "no": 0.15, "even": 0.35, "also": 0.2})
        if style == "only" and self.chance(0.7):
            text = phrase.statement(f"only {who.text}", "ever")
        elif style == "no":
            nobody = replace(self.common(animate=True), agreement="sg")
            text = self.action(nobody, "perfect").statement(f"no {nobody.noun.singular}", "ever")
        elif style in ("even", "only"):
            predicate = self.predicate(who, self.either("past", "perfect", "progressive"))
            text = predicate.statement(f"{style} {who.text}")
        else:
            text = phrase.statement(who.text, self.either("also", "really", "just", "already"))
        return [sentence(text), *self.comment()]

    def giving(self) -> Lines:
        """Two objects: what did somebody give somebody?"""
        who, thing = self.agent(), self.thing().text
        verb = Verb.parse(self.zipf(("give gave", "show", "bring brought")))
        to = self.agent(avoid=who).text
        full = sentence(who.text, verb.past, to, thing)
        style = self.weighted({"what": 0.5, "who": 0.2, "plain": 0.3})
        if style == "what":
            question = self.either(f"what did {who.text} {verb.base} {to}", f"what {who.be} {who.text} {verb.ing} {to}")
            return [sentence(question, mark="?"), self.either(sentence(thing), full)]
        if style == "who":
            return [f"Who {verb.past} {to} {thing}?", sentence(who.text, "did"), *self.comment()]
        return [full, *self.comment()]

    def reason(self) -> Lines:
        """Why? Because."""
        who = self.agent()
        phrase = self.either(self.action, self.description)(who, self.zipf(("progressive", "past")))
        why = self.zipf(REASONS).replace("{is}", who.be).format(he=who.he, his=who.his)
        statement = phrase.statement(who.text)
        asked = [sentence("why", phrase.question(who.text), mark="?"), sentence(why)]
        return self.either([sentence(statement), "Why?", sentence(why)], [sentence(statement, why)], asked)

    def picture(self) -> Lines:
        """What a picture book shows, in the present."""
        opening = self.either("Look at the picture.", "Let's read the book.", "What do you see?", "", "", "")
        tenses = ("progressive", "present", "present", "perfect")
        shown = [sentence(self.clause(self.zipf(tenses))) for _ in range(self.between(1, 3))]
        return [opening, *shown, *self.comment()]

    def know(self) -> Lines:
        """Embedded questions and that-clauses."""
        who = self.either(self.you, self.agent())
        wh = self.wh_clause(who)
        inner = self.clause(self.either("past", "progressive"), depth=1)
        return self.either(
            [f"Do you know {wh}?", self.either(f"No, I don't know {wh}.", f"I think that {inner}.", "No.")],
            [sentence(self.thought(who, "present").statement(who.text))],
            [f"I know {wh}.", self.either("What?", "Tell me.", "I know too.", "Who told you?")],
            [f"Can you tell me {wh}?", "I forgot."],
            [f"I think that {inner}.", self.either("I think so too.", "I don't think so.", "Yes.")],
            [sentence(self.thought(who, "past").statement(who.text))],
        )

    def gendered(self) -> Phrase:
        """A man, woman, boy or girl, by name or not."""
        pool = self.either(kind("person"), kind("name"), kind("name"), kind("kin"))
        return self.noun_phrase(self.pick([noun for noun in pool if noun.gender != "n"]))

    def family(self) -> Lines:
        """Who is a boy, who is a girl, and what is theirs."""
        who, thing = self.gendered(), self.thing()
        if who.agreement == "pl":
            return self.doing()
        young, old = {"f": ("girl", "woman"), "m": ("boy", "man")}[who.gender]
        what = old if who.noun.kind == "kin" else self.zipf((young, old))
        adjective = self.zipf(who.noun.adjectives)
        is_what = sentence(who.he, "is", article(self.either(what, f"{adjective} {what}")))
        his = sentence(who.his, thing.name, thing.be, thing.adjective)
        return self.either(
            [f"Who is {who.text}?", is_what],
            [sentence(who.text, "is", article(adjective, what)), *self.comment()],
            [f"Is {who.text} {adjective}?", self.either(f"Yes, {who.he} is.", f"No, {who.he} isn't.")],
            [f"Where is {who.text}?", sentence(who.he, "is", self.place_phrase())],
            [f"What does {who.text} have?", sentence(who.he, "has", who.his, thing.name)],
            [sentence(who.text, "has", article(thing.adjective, thing.noun.singular)), his],
            [sentence(who.text, "loves", who.his, thing.name), his],
        )

    def self_help(self) -> Lines:
        """Reflexives."""
        gendered = self.gendered()
        who = self.either(self.i, self.you, gendered, gendered, self.agent(), self.somebody())
        phrase = self.reflexive(who, self.zipf(("past", "progressive", "modal", "present", "perfect")))
        if self.chance(0.4):
            return [sentence(phrase.question(who.text), mark="?"), self.either("Yes.", "No.", "I think so.")]
        return [sentence(phrase.statement(who.text)), *self.comment()]

    def report(self) -> Lines:
        """What somebody did yesterday."""
        who = self.agent()
        turns = [sentence(self.action(who, "past").statement(who.text))]
        for _ in range(self.between(1, 2)):
            then = "then" if self.chance(0.4) else ""
            turns.append(sentence(then, self.predicate(who, "past").statement(who.he)))
        return [" ".join(turns)] if self.chance(0.5) else turns

    def routine(self) -> Lines:
        """Stock exchanges of the day."""
        return [self.fill(turn) for turn in self.zipf(ROUTINES)]

    def polar(self) -> Lines:
        """Yes or no."""
        who = self.either(self.you, self.agent(), self.subject())
        phrase = self.predicate(who, self.zipf(("present", "past", "progressive", "modal", "perfect")), "question")
        reply, aux = who.he, phrase.aux
        if who is self.you:
            reply, aux = "I", {"are": "am", "were": "was"}.get(aux, aux)
        answer = f"yes, {reply} {aux}" if self.chance(0.5) else f"no, {VerbPhrase(aux, '').negation(reply)}"
        return [sentence(phrase.question(who.text), mark="?"), sentence(answer), *self.comment(0.2)]

    def before(self) -> Lines:
        """Adjuncts: what did somebody do it to before doing something else?"""
        who = self.agent()
        verb = self.zipf(verbs_of(who.noun, "transitive"))
        target = self.object_of(verb, who)
        phrase = inflect(verb, "past", who.agreement, verb.preposition)
        question = sentence("what", phrase.question(who.text), self.gerund(who), mark="?")
        return [question, sentence(target.text)]

    def document(self) -> Lines:
        """The turns of the dialogue, of about 80 to 220 words."""
        dialogue: Lines = []
        words, count = self.between(80, 220), 0
        while count < words:
            turns = self.permitted(self.weighted(self.moves))
            dialogue += turns
            count += sum(len(turn.split()) for turn in turns)
        return dialogue
