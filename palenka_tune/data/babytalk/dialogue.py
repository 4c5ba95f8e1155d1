"""Dialogues between a grown-up and a child: one turn a line, no speaker tags.

In: a stream of random choices. Out: a list of turns. A dialogue is a chain of moves, each a question with its answer, a
request with its reply, or a remark with a comment; answers agree with the scene. A move that would say a combination
that is held out is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.heldout import allowed
from palenka_tune.data.babytalk.inflection import adjectives_of, article, finish, inflect, join, verbs_of
from palenka_tune.data.babytalk.lexicon import kind
from palenka_tune.data.babytalk.moves import ThingMoves, Turns
from palenka_tune.data.babytalk.scene import Phrase

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


class Dialogue(ThingMoves):
    """The moves of one dialogue."""

    def __init__(self, draw: Draw) -> None:
        super().__init__(draw)
        self.moves: dict[Callable[[], Turns], float] = {
            self.name: 8, self.where: 8, self.wish: 6, self.who: 6, self.what: 7, self.doing: 7, self.animal: 4,
            self.count: 4, self.ever: 4, self.request: 7, self.reason: 6, self.demonstrative: 14, self.picture: 13,
            self.know: 8, self.self_help: 12, self.report: 6, self.routine: 6, self.accident: 7, self.quantity: 6,
            self.compare: 3, self.body: 5, self.polar: 7, self.only: 6, self.before: 3, self.giving: 4, self.family: 9,
        }  # fmt: skip

    def somebody(self) -> Phrase:
        """A person or an animal, perhaps with a modifier."""
        who = self.subject()
        return who if who.noun.animate else self.other()

    def who(self) -> Turns:
        """A question about the subject: who did it?"""
        draw, agent = self.draw, self.agent()
        tense = draw.zipf(("past", "progressive", "present", "perfect")) if agent.agreement == "sg" else "past"
        action = self.action(replace(agent, agreement="sg"), tense)
        answers = (
            f"{agent.text} {action.aux or action.support}",
            "I don't know who did",
            join(agent.text, action.statement()),
        )
        if action.aux and agent.agreement != "sg":
            answers = answers[1:2] * 3
        return [finish("who " + action.statement(), "?"), finish(draw.pick(answers)), *self.comment()]

    def what(self) -> Turns:
        """A question about the object: what did somebody do it to?"""
        draw, agent = self.draw, self.agent()
        frames = [verbs_of(agent.noun.singular, frame) for frame in ("transitive", "transitive", "optional")]
        verb = draw.zipf(draw.pick([frame for frame in frames if frame]))
        target = self.object_of(verb, agent)
        if target is None or target.noun.proper:
            return self.doing()
        tense = draw.zipf(("past", "progressive", "present", "modal", "perfect"))
        phrase = inflect(verb, tense, agent.agreement, verb.preposition, "will")
        where = self.scene.at if draw.chance(0.2) else ""
        which = f"which {target.noun.form(target.agreement)}"
        wh = "who" if target.noun.kind == "person" else draw.pick(("what", "what", which))
        question = finish(join(wh, phrase.question(agent.text), where), "?")
        full = join(agent.he, phrase.statement(), target.text, where)
        return [question, finish(draw.pick((target.text, full, "I don't know"))), *self.comment()]

    def doing(self) -> Turns:
        """What is somebody doing?"""
        draw, agent = self.draw, self.somebody()
        turns = [f"What {agent.be} {agent.text} doing?"]
        turns.append(finish(join(agent.he, self.action(agent, "progressive").statement())))
        more = finish(join(agent.he, self.predicate(agent, "present").statement()))
        return [*turns, more] if draw.chance(0.3) else turns + self.comment()

    def ever(self) -> Turns:
        """Have you ever? The answers license "ever" and "any" by negation."""
        draw = self.draw
        who = draw.pick((self.you, self.you, self.agent(), self.agent()))
        phrase = self.action(who, "perfect", "question")
        aux = phrase.aux or "have"
        reply = self.i if who is self.you else who.pronoun()
        answers = (
            f"no, {reply.he} {aux} never {join(phrase.finite, phrase.rest)}",
            f"{reply.he} {aux} never {phrase.finite}",
            f"yes, {reply.he} {aux}",
            f"no, {reply.he} {aux}n't",
            f"{reply.he} {phrase.negation('ever', contracted=False)}",
            f"no {draw.zipf(kind('person')).singular} has ever {phrase.finite}",
            f"nobody has ever {join(phrase.finite, phrase.rest)}",
        )
        mine = self.subject()
        tense = draw.pick(("present", "past", "perfect"))
        sentence = self.predicate(mine, tense, "negative", depth=1)
        adverb = "ever" if draw.chance(0.3) and sentence.bare else ""
        extra = finish(join(mine.text, sentence.negation(adverb, contracted=draw.chance(0.5))))
        question = finish(phrase.question(who.text, "ever"), "?")
        return [question, finish(draw.pick(answers))] + ([extra] if draw.chance(0.6) else [])

    def only(self) -> Turns:
        """Only somebody has ever done it; others have also done it, or even they have done it."""
        draw, who = self.draw, self.somebody()
        phrase = self.action(who, "perfect")
        style = draw.weighted({"only": 0.3, "no": 0.15, "even": 0.35, "also": 0.2})
        ever = "ever" if phrase.aux else ""
        if style == "only" and draw.chance(0.7):
            said = join("only", who.text, phrase.statement(ever))
        elif style == "no":
            nobody = replace(self.common(animate=True), agreement="sg")
            said = join("no", nobody.noun.singular, self.action(nobody, "perfect").statement(ever))
        elif style in ("even", "only"):
            said = join(style, who.text, self.predicate(who, draw.pick(("past", "perfect", "progressive"))).statement())
        else:
            said = join(who.text, phrase.statement(draw.pick(("also", "really", "just", "already"))))
        return [finish(said), *self.comment()]

    def giving(self) -> Turns:
        """Two objects: what did somebody give somebody?"""
        draw, who, thing = self.draw, self.agent(), self.thing()
        base, past, ing = draw.zipf(
            (("give", "gave", "giving"), ("show", "showed", "showing"), ("bring", "brought", "bringing"))
        )
        to = self.agent(avoid=who)
        full = f"{who.text} {past} {to.text} {thing.the}"
        style = draw.weighted({"what": 0.5, "who": 0.2, "plain": 0.3})
        if style == "what":
            progressive = f"what {who.be} {who.text} {ing} {to.text}"
            question = draw.pick((f"what did {who.text} {base} {to.text}", progressive))
            return [finish(question, "?"), finish(draw.pick((thing.the, full)))]
        if style == "who":
            return [finish(f"who {past} {to.text} {thing.the}", "?"), finish(f"{who.text} did"), *self.comment()]
        return [finish(full), *self.comment()]

    def reason(self) -> Turns:
        """Why? Because."""
        draw, who = self.draw, self.agent()
        phrase = draw.pick((self.action, self.description))(who, draw.zipf(("progressive", "past")))
        why = draw.zipf(REASONS).replace("{is}", who.be).format(he=who.he, his=who.his)
        statement = join(who.text, phrase.statement())
        asked = [finish("why " + phrase.question(who.text), "?"), finish(why)]
        return draw.pick(([finish(statement), "Why?", finish(why)], [finish(join(statement, why))], asked))

    def picture(self) -> Turns:
        """What a picture book shows, in the present."""
        draw = self.draw
        opening = draw.pick(("Look at the picture.", "Let's read the book.", "What do you see?", "", "", ""))
        tenses = ("progressive", "present", "present", "perfect")
        shown = [finish(self.clause(draw.zipf(tenses))) for _ in range(draw.between(1, 3))]
        return [opening, *shown, *self.comment()]

    def know(self) -> Turns:
        """Embedded questions and that-clauses."""
        draw = self.draw
        who = draw.pick((self.you, self.agent()))
        wh = self.wh_clause(who)
        inner = self.clause(draw.pick(("past", "progressive")), depth=1)
        return draw.pick(
            (
                [f"Do you know {wh}?", draw.pick((f"No, I don't know {wh}.", f"I think that {inner}.", "No."))],
                [finish(join(who.text, self.thought(who, "present").statement()))],
                [f"I know {wh}.", draw.pick(("What?", "Tell me.", "I know too.", "Who told you?"))],
                [f"Can you tell me {wh}?", "I forgot."],
                [f"I think that {inner}.", draw.pick(("I think so too.", "I don't think so.", "Yes."))],
                [finish(join(who.text, self.thought(who, "past").statement()))],
            )
        )

    def gendered(self) -> Phrase:
        """A man, woman, boy or girl, by name or not."""
        pool = self.draw.pick((kind("person"), kind("name"), kind("name"), kind("kin")))
        return self.noun_phrase(self.draw.pick([noun for noun in pool if noun.gender != "n"]))

    def family(self) -> Turns:
        """Who is a boy, who is a girl, and what is theirs."""
        draw, who, thing = self.draw, self.gendered(), self.thing()
        if who.agreement == "pl":
            return self.doing()
        girl = {"f": ("girl", "woman"), "m": ("boy", "man")}[who.gender]
        old = who.noun.kind == "kin"
        what = girl[1] if old else draw.zipf((girl[0], girl[1]))
        adjective = draw.zipf(adjectives_of(who.noun))
        is_what = f"{who.he} is {article(draw.pick((what, f'{adjective} {what}')))}"
        his = f"{who.his} {thing.name} {thing.be} {thing.adjective}"
        return draw.pick(
            (
                [f"Who is {who.text}?", finish(is_what)],
                [finish(f"{who.text} is {article(f'{adjective} {what}')}"), *self.comment()],
                [f"Is {who.text} {adjective}?", draw.pick((f"Yes, {who.he} is.", f"No, {who.he} isn't."))],
                [f"Where is {who.text}?", finish(f"{who.he} is {self.place_phrase()}")],
                [f"What does {who.text} have?", finish(f"{who.he} has {who.his} {thing.name}")],
                [finish(f"{who.text} has {article(f'{thing.adjective} {thing.noun.singular}')}"), finish(his)],
                [finish(f"{who.text} loves {who.his} {thing.name}"), finish(his)],
            )
        )

    def self_help(self) -> Turns:
        """Reflexives."""
        draw = self.draw
        known = self.gendered()
        who = draw.pick((self.i, self.you, known, known, self.agent(), self.somebody()))
        phrase = self.reflexive(who, draw.zipf(("past", "progressive", "modal", "present", "perfect")))
        if draw.chance(0.4):
            return [finish(phrase.question(who.text), "?"), draw.pick(("Yes.", "No.", "I think so."))]
        return [finish(join(who.text, phrase.statement())), *self.comment()]

    def report(self) -> Turns:
        """What somebody did yesterday."""
        draw, who = self.draw, self.agent()
        turns = [finish(join(who.text, self.action(who, "past").statement()))]
        for _ in range(draw.between(1, 2)):
            then = "then" if draw.chance(0.4) else ""
            turns.append(finish(join(then, who.he, self.predicate(who, "past").statement())))
        return [" ".join(turns)] if draw.chance(0.5) else turns

    def routine(self) -> Turns:
        """Stock exchanges of the day."""
        return [self.fill(turn) for turn in self.draw.zipf(ROUTINES)]

    def polar(self) -> Turns:
        """Yes or no."""
        draw = self.draw
        who = draw.pick((self.you, self.agent(), self.subject()))
        phrase = self.predicate(who, draw.zipf(("present", "past", "progressive", "modal", "perfect")), "question")
        aux = phrase.aux or phrase.support
        reply = who.pronoun()
        if who is self.you:
            reply, aux = self.i, {"are": "am", "were": "was"}.get(aux, aux)
        negated = replace(phrase, aux=aux, finite="", rest="").negation()
        answer = f"yes, {reply.he} {aux}" if draw.chance(0.5) else f"no, {reply.he} {negated}"
        return [finish(phrase.question(who.text), "?"), finish(answer), *self.comment(0.2)]

    def before(self) -> Turns:
        """Adjuncts: what did somebody do it to before doing something else?"""
        draw, who = self.draw, self.agent()
        target = self.object_of(verb := draw.zipf(verbs_of(who.noun.singular, "transitive")), who)
        phrase = inflect(verb, "past", who.agreement, verb.preposition)
        question = finish(join("what", phrase.question(who.text), self.gerund(who)), "?")
        return [question, finish(target.text if target else "I don't know")]

    def turns(self, words: int) -> Turns:
        """About `words` words of dialogue."""
        found: Turns = []
        said = 0
        while said < words:
            move = self.draw.weighted(self.moves)
            for _ in range(12):
                turns = [turn for turn in move() if turn]
                if all(allowed(turn) for turn in turns):
                    found += turns
                    said += sum(len(turn.split()) for turn in turns)
                    break
        return found
