"""The grammar of babytalk: noun phrases, predicates and clauses that agree.

In: a stream of random choices and a scene. Out: text without capitals and final marks. A scene's own things are taken
first; `inflection` has the forms.
"""

from __future__ import annotations

from dataclasses import replace

from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.inflection import (
    STATIVE,
    VerbPhrase,
    adjectives_of,
    article,
    copula,
    happenings_of,
    inflect,
    join,
    reflexive_verbs,
    verbs_of,
)
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns
from palenka_tune.data.babytalk.scene import PLACES, Phrase, Scene
from palenka_tune.data.babytalk.tables import MASS_NOUNS

PREPOSITIONS = ("near", "behind", "with", "beside", "under", "next to", "by")
NUMBERS = ("two", "three", "many", "some", "four", "five", "a few")
MODALS = ("can", "will", "should", "could", "must")
ADVERBS = {
    "present": ("every day", "every night", "a lot", "all the time", "very well"),
    "past": ("yesterday", "again", "last night", "all day", "this morning", "very fast", "for a long time"),
    "now": ("now", "again", "right now", "today", "too"),
}
FRAMES = {"transitive": 0.5, "intransitive": 0.22, "alternating": 0.16, "optional": 0.12}
TITLES = {"f": ("Miss", "Aunt", "my sister", "little Miss"), "m": ("Mister", "Uncle", "my brother", "little Mister")}
WH_VERBS = (("know", "knew"), ("see", "saw"), ("forget", "forgot"), ("remember", "remembered"), ("wonder", "wondered"))
THAT_VERBS = (("think", "thought"), ("know", "knew"), ("see", "saw"), ("say", "said"), ("remember", "remembered"))


class Grammar:
    """Phrases and clauses about one scene."""

    def __init__(self, draw: Draw, scene: Scene) -> None:
        self.draw = draw
        self.scene = scene

    def noun_phrase(self, noun: Noun, polarity: str = "positive", owner: Phrase | None = None) -> Phrase:
        """A noun with a determiner and perhaps an adjective; `any` needs a negation or a question."""
        draw = self.draw
        if noun.proper:
            return Phrase(noun.singular, "sg", noun.gender, noun)
        gender = noun.gender if noun.gender != "n" or noun.kind not in ("person", "animal") else "n"
        if noun.singular in MASS_NOUNS.split():
            some = "any" if polarity != "positive" and draw.chance(0.5) else "some"
            return Phrase(f"{draw.pick(('the', some, some))} {noun.singular}", "sg", "n", noun)
        number = "pl" if draw.chance(0.35) else "sg"
        adjective = draw.zipf(adjectives_of(noun)) if draw.chance(0.25) and adjectives_of(noun) else ""
        core = join(adjective, noun.form(number))
        style = draw.weighted({"the": 0.4, "a": 0.2, "demonstrative": 0.2, "his": 0.14, "quantified": 0.06})
        if style == "his" and owner is not None and noun.kind not in ("person", "nature"):
            text = f"{owner.his} {core}"
        elif style == "demonstrative":
            text = f"{draw.pick(('this', 'that') if number == 'sg' else ('these', 'those'))} {core}"
        elif style == "quantified":
            every = "every" if polarity == "positive" else "any"
            text = f"{draw.zipf((every, 'another', 'each'))} {core}" if number == "sg" else f"all the {core}"
        elif style == "a" and number == "sg":
            text = article(core)
        elif style == "a":
            text = f"{'any' if polarity != 'positive' and draw.chance(0.6) else draw.zipf(NUMBERS)} {core}"
        else:
            text = f"the {core}"
        return Phrase(text, number, gender, noun)

    def object_of(self, verb: Verb, subject: Phrase, polarity: str = "positive") -> Phrase | None:
        """An object that the verb can take: mostly a thing or a person of the scene; None if there is none."""
        draw = self.draw
        near = [thing for thing in self.scene.things if thing.noun.singular in verb.objects]
        if near and draw.chance(0.6):
            thing = draw.zipf(near)
            core = join(thing.adjective if draw.chance(0.35) else "", thing.name)
            owned = thing.noun.kind not in ("nature", "house") and draw.chance(0.45)
            return Phrase(f"{subject.his if owned else 'the'} {core}", thing.number, "n", thing.noun)
        others = [who for who in self.scene.cast if who.text not in subject.text and who.he != subject.text]
        others = [who for who in others if who.noun.singular in verb.objects or "girl" in verb.objects]
        if others and draw.chance(0.4):
            return draw.zipf(others)
        choices = [item for item in verb.objects if item != subject.noun.singular]
        return self.noun_phrase(nouns()[draw.zipf(choices)], polarity, subject) if choices else None

    def place_phrase(self) -> str:
        """Where: at the scene, at one of its spots, or elsewhere."""
        draw = self.draw
        style = draw.weighted({"scene": 0.3, "spot": 0.4, "place": 0.3})
        if style == "spot":
            return draw.pick(self.scene.things).where
        return self.scene.at if style == "scene" else PLACES[draw.zipf(tuple(PLACES))][0]

    def adjunct(self, tense: str) -> str:
        """A closing adverb or place, or nothing."""
        group = "now" if tense in ("progressive", "modal", "perfect") else tense.split("_")[0]
        style = self.draw.weighted({"none": 0.62, "place": 0.2, "adverb": 0.18})
        if style == "none":
            return ""
        return self.place_phrase() if style == "place" else self.draw.zipf(ADVERBS[group])

    def action(self, subject: Phrase, tense: str, polarity: str = "positive") -> VerbPhrase:
        """What `subject` does: a verb that it can do, with what the verb needs."""
        draw = self.draw
        if not subject.noun.animate:
            return self.happening(subject, tense)
        frames = {frame: share for frame, share in FRAMES.items() if verbs_of(subject.noun.singular, frame)}
        frame = draw.weighted(frames)
        verb = draw.zipf(verbs_of(subject.noun.singular, frame))
        target: Phrase | None = None
        if frame in ("transitive", "alternating") or (frame == "optional" and draw.chance(0.75)):
            target = self.object_of(verb, subject, polarity)
        text = ""
        if target is not None:
            text = target.him if target.text == target.he else target.text
        style = draw.weighted({"adjunct": 0.88, "alone": 0.07, "gerund": 0.05})
        closing = self.adjunct(tense)
        if style == "alone":
            closing = draw.zipf(("by ", "all by ")) + subject.himself
        elif style == "gerund" and tense != "present":
            closing = self.gerund(subject)
        return inflect(verb, tense, subject.agreement, join(verb.preposition, text, closing), draw.zipf(MODALS))

    def gerund(self, subject: Phrase) -> str:
        """An adverbial clause without a subject: "before washing the cup"."""
        frame = self.draw.weighted({"transitive": 0.7, "intransitive": 0.3})
        verb = self.draw.zipf([verb for verb in verbs_of(subject.noun.singular, frame) if verb.base not in STATIVE])
        target = self.object_of(verb, subject) if frame == "transitive" else None
        text = "" if target is None else target.him if target.text == target.he else target.text
        word = self.draw.zipf(("before", "after", "while", "without"))
        return join(word, verb.ing, verb.preposition, text)

    def happening(self, subject: Phrase, tense: str) -> VerbPhrase:
        """What happens to a thing: an inchoative verb, or a description where the thing has none."""
        choices = happenings_of(subject.noun.singular)
        if not choices:
            return self.description(subject, tense)
        return inflect(
            self.draw.zipf(choices), tense, subject.agreement, self.adjunct(tense), self.draw.zipf(("will", "can"))
        )

    def description(self, subject: Phrase, tense: str) -> VerbPhrase:
        """A form of be with an adjective or a place."""
        draw = self.draw
        adjectives = adjectives_of(subject.noun)
        if draw.chance(0.65):
            degree = draw.weighted({"": 0.6, "very": 0.25, "so": 0.15})
            return copula(tense, subject.agreement, join(degree, draw.zipf(adjectives)))
        return copula(tense, subject.agreement, self.place_phrase())

    def predicate(self, subject: Phrase, tense: str, polarity: str = "positive", depth: int = 0) -> VerbPhrase:
        """Any predicate that fits `subject`; `depth` counts embedded clauses."""
        draw = self.draw
        if not subject.noun.animate:
            style = draw.weighted({"happening": 0.5, "description": 0.5})
            return self.happening(subject, tense) if style == "happening" else self.description(subject, tense)
        style = draw.weighted(
            {"action": 0.57, "description": 0.13, "reflexive": 0.14, "infinitive": 0.08, "thought": 0.08 * (depth < 1)}
        )
        match style:
            case "description":
                return self.description(subject, tense)
            case "reflexive":
                return self.reflexive(subject, tense)
            case "infinitive":
                return self.infinitive(subject, tense)
            case "thought":
                return self.thought(subject, tense)
        return self.action(subject, tense, polarity)

    def reflexive(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Something that `subject` does to itself."""
        verb = self.draw.zipf(reflexive_verbs())
        return inflect(verb, tense, subject.agreement, join(subject.himself, self.adjunct(tense)))

    def infinitive(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Wants, tries, likes, needs to do something."""
        tense = "present" if tense in ("progressive", "perfect") else "past" if tense == "past_progressive" else tense
        base, past = self.draw.zipf((("want", "wanted"), ("try", "tried"), ("like", "liked"), ("need", "needed")))
        verb = Verb(base, "tries" if base == "try" else base + "s", past, past, base + "ing", "", (), ())
        inner = self.action(subject, "present")
        while inner.bare in STATIVE:
            inner = self.action(subject, "present")
        return inflect(verb, tense, subject.agreement, join("to", inner.bare, inner.rest))

    def thought(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Knows, thinks, sees or says that something is so, or what somebody did (a gap where its object was)."""
        draw = self.draw
        tense = "past" if tense.startswith("past") else "present"
        wh = draw.chance(0.5)
        base, past = draw.zipf(WH_VERBS if wh else THAT_VERBS)
        verb = Verb(base, base + "s", past, past, base + "ing", "", (), ())
        inner = self.wh_clause(subject) if wh else "that " + self.that_clause(subject, draw.pick(("past", tense)))
        return inflect(verb, tense, subject.agreement, inner)

    def that_clause(self, subject: Phrase, tense: str) -> str:
        """A clause inside another, sometimes about the same one."""
        if self.draw.chance(0.35):
            return join(subject.he, self.predicate(subject, tense, depth=1).statement())
        return self.clause(tense, depth=1)

    def wh_clause(self, subject: Phrase) -> str:
        """An embedded question: what somebody did it to (object gap), who did it (subject gap), or where it is."""
        draw = self.draw
        style = draw.weighted({"object": 0.6, "subject": 0.2, "where": 0.2})
        if style == "where":
            thing = draw.pick(self.scene.things)
            return f"where {thing.the} {'was' if thing.number == 'sg' else 'were'}"
        if style == "subject":
            return "who " + self.action(Phrase("who", "sg", "m", nouns()["boy"]), "past").statement()
        agent = self.agent(avoid=subject)
        return "what " + join(agent.text, self.gapped(agent, "past").statement())

    def gapped(self, agent: Phrase, tense: str) -> VerbPhrase:
        """A transitive verb whose object is somewhere else in the sentence."""
        draw = self.draw
        frame = draw.weighted({"transitive": 0.7, "alternating": 0.12, "optional": 0.18})
        choices = [verb for verb in verbs_of(agent.noun.singular, frame) if len(verb.objects) > 1]
        verb = draw.zipf(choices or verbs_of(agent.noun.singular, "transitive"))
        where = self.place_phrase() if draw.chance(0.12) else ""
        return inflect(verb, tense, agent.agreement, join(verb.preposition, where))

    def agent(self, avoid: Phrase | None = None) -> Phrase:
        """Somebody who can act: one of the cast, or people or animals in general."""
        draw = self.draw
        cast = [who for who in self.scene.cast if avoid is None or who.noun != avoid.noun]
        if cast and draw.chance(0.6):
            who = draw.zipf(cast)
            titled = who.noun.kind == "name" and draw.chance(0.25)
            return replace(who, text=f"{draw.zipf(TITLES[who.gender])} {who.text}") if titled else who
        pool = self.scene.animals if draw.chance(0.25) else kind(draw.pick(("person", "animal")))
        noun = draw.zipf(pool)
        if avoid is not None and noun == avoid.noun:
            noun = nouns()["friend"]
        return self.noun_phrase(noun)

    def subject(self) -> Phrase:
        """A subject: mostly bare, sometimes with a preposition phrase or a relative clause that holds another noun."""
        draw = self.draw
        style = draw.weighted({"agent": 0.7, "thing": 0.12, "preposition": 0.09, "relative": 0.09})
        if style == "agent":
            return self.agent()
        if style == "thing":
            thing = draw.pick(self.scene.things)
            return Phrase(thing.the, thing.number, "n", thing.noun)
        head = self.common(draw.chance(0.75))
        if style == "preposition":
            return replace(head, text=f"{head.text} {self.modifier(head.noun)}")
        return replace(head, text=f"{head.text} {self.relative(head)}")

    def common(self, animate: bool) -> Phrase:
        """A common noun that can be told apart by a modifier."""
        draw = self.draw
        if animate:
            pool = draw.pick((kind("person"), kind("animal"), self.scene.animals))
        else:
            pool = kind(draw.zipf(("toy", "vehicle", "food", "dish", "house", "clothes", "nature")))
        noun = draw.zipf(pool)
        number = draw.pick(("sg", "pl"))
        determiner = draw.weighted({"the": 0.75, "this": 0.12, "that": 0.13})
        if number == "pl":
            determiner = {"the": "the", "this": "these", "that": "those"}[determiner]
        adjective = draw.zipf(adjectives_of(noun)) if draw.chance(0.15) else ""
        return Phrase(join(determiner, adjective, noun.form(number)), number, noun.gender, noun)

    def modifier(self, head: Noun) -> str:
        """A preposition phrase after a noun."""
        draw = self.draw
        groups = ("house", "nature", "vehicle", "toy", "person", "animal")
        pool = [noun for noun in kind(draw.pick(groups)) if noun != head]
        noun = draw.zipf(pool)
        return f"{draw.zipf(PREPOSITIONS)} the {noun.form(draw.pick(('sg', 'pl')))}"

    def relative(self, head: Phrase, tense: str | None = None) -> str:
        """A relative clause: that does something (subject gap) or that somebody does something to (object gap)."""
        draw = self.draw
        tense = tense or draw.zipf(("present", "progressive", "past", "perfect"))
        if draw.chance(0.55):
            subject = replace(head, text="that")
            action = self.action(subject, tense)
            return "that " + (action.negation(contracted=draw.chance(0.5)) if draw.chance(0.12) else action.statement())
        takers = ("see", "like", "chase", "find", "love", "want", "help", "watch", "follow", "hear", "carry", "need")
        other = self.common(animate=True)
        plain = f"the {other.noun.form(other.agreement)}"
        whose = draw.weighted({plain: 0.86, f"only {plain}": 0.1, f"even {plain}": 0.04})
        choices = [v for v in verbs_of(other.noun.singular, "transitive") if v.base in takers]
        verb = draw.zipf([v for v in choices if head.noun.singular in v.objects] or choices)
        return f"that {whose} {inflect(verb, tense, other.agreement).statement()}"

    def clause(self, tense: str, depth: int = 0) -> str:
        """A whole positive clause."""
        subject = self.subject()
        return join(subject.text, self.predicate(subject, tense, depth=depth).statement())
