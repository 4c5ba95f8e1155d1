"""The grammar of babytalk: noun phrases, predicates and clauses that agree, about one scene.

Text comes out without capitals and final marks. A scene's own things are taken first; `inflection` has the forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from palenka_tune.data.babytalk.heldout import allowed
from palenka_tune.data.babytalk.inflection import DEMONSTRATIVES, STATIVE, VerbPhrase, article, copula, inflect, join
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns, reflexive_verbs, verbs, verbs_of
from palenka_tune.data.babytalk.scene import PLACES, Phrase, Scene, person, the

Lines = list[str]
Maker = Callable[[], Lines]

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
INFINITIVE_VERBS = ("want", "try", "like", "need")
WH_VERBS = ("know knew", "see saw", "forget forgot", "remember", "wonder")
THAT_VERBS = ("think thought", "know knew", "see saw", "say said", "remember")
SEEN_VERBS = ("see", "like", "chase", "find", "love", "want", "help", "watch", "follow", "hear", "carry", "need")


class Grammar(Scene):
    """Phrases and clauses about the scene, which a subclass sets; `topic` is whom the last one was about."""

    topic: Phrase | None = None

    def permitted(self, make: Maker) -> Lines:
        """What `make` draws, drawn again where it has a combination that is held out; nothing after twelve times."""
        topic = self.topic
        for _ in range(12):
            lines = [line for line in make() if line]
            if all(allowed(line) for line in lines):
                return lines
            self.topic = topic
        return []

    def noun_phrase(self, noun: Noun, polarity: str = "positive", owner: Phrase | None = None) -> Phrase:
        """A noun with a determiner and perhaps an adjective; `any` needs a negation or a question."""
        if noun.proper:
            return person(noun.singular)
        if noun.kind == "mass":
            some = "any" if polarity != "positive" and self.chance(0.5) else "some"
            return Phrase(f"{self.either('the', some, some)} {noun.singular}", "sg", noun)
        number = "pl" if self.chance(0.35) else "sg"
        adjective = self.zipf(noun.adjectives) if self.chance(0.25) and noun.adjectives else ""
        core = join(adjective, noun.form(number))
        style = self.weighted({"the": 0.4, "a": 0.2, "demonstrative": 0.2, "his": 0.14, "quantified": 0.06})
        if style == "his" and owner is not None and noun.kind not in ("person", "nature"):
            text = f"{owner.his} {core}"
        elif style == "demonstrative":
            text = f"{self.pick(DEMONSTRATIVES[number])} {core}"
        elif style == "quantified":
            every = "every" if polarity == "positive" else "any"
            text = f"{self.zipf((every, 'another', 'each'))} {core}" if number == "sg" else f"all the {core}"
        elif style == "a" and number == "sg":
            text = article(core)
        elif style == "a":
            text = f"{'any' if polarity != 'positive' and self.chance(0.6) else self.zipf(NUMBERS)} {core}"
        else:
            text = f"the {core}"
        return Phrase(text, number, noun)

    def object_of(self, verb: Verb, subject: Phrase, polarity: str = "positive") -> Phrase:
        """An object that the verb can take: mostly a thing or a person of the scene."""
        near = [thing for thing in self.things if thing.noun.singular in verb.objects]
        if near and self.chance(0.6):
            thing = self.zipf(near)
            core = join(thing.adjective if self.chance(0.35) else "", thing.name)
            owned = thing.noun.kind not in ("nature", "house") and self.chance(0.45)
            return replace(thing, text=f"{subject.his if owned else 'the'} {core}")
        others = [who for who in self.cast if who.text not in subject.text and who.he != subject.text]
        others = [who for who in others if who.noun.singular in verb.objects or "girl" in verb.objects]
        if others and self.chance(0.4):
            return self.zipf(others)
        choices = [item for item in verb.objects if item != subject.noun.singular]
        return self.noun_phrase(nouns()[self.zipf(choices)], polarity, subject)

    def anywhere(self) -> str:
        """At one of all places."""
        return PLACES[self.zipf(tuple(PLACES))][0]

    def place_phrase(self) -> str:
        """Where: at the scene, at one of its spots, or elsewhere."""
        style = self.weighted({"scene": 0.3, "spot": 0.4, "place": 0.3})
        if style == "spot":
            return self.pick(self.things).where
        return self.at if style == "scene" else self.anywhere()

    def adjunct(self, tense: str) -> str:
        """A closing adverb or place, or nothing."""
        group = "now" if tense in ("progressive", "modal", "perfect") else tense.split("_")[0]
        style = self.weighted({"none": 0.62, "place": 0.2, "adverb": 0.18})
        if style == "none":
            return ""
        return self.place_phrase() if style == "place" else self.zipf(ADVERBS[group])

    def action(self, subject: Phrase, tense: str, polarity: str = "positive") -> VerbPhrase:
        """What `subject` does: a verb that it can do, with what the verb needs."""
        if not subject.noun.animate:
            return self.happening(subject, tense)
        frame = self.weighted({frame: share for frame, share in FRAMES.items() if verbs_of(subject.noun, frame)})
        verb = self.zipf(verbs_of(subject.noun, frame))
        target = ""
        if frame in ("transitive", "alternating") or (frame == "optional" and self.chance(0.75)):
            target = self.object_of(verb, subject, polarity).text
        style = self.weighted({"adjunct": 0.88, "alone": 0.07, "gerund": 0.05})
        closing = self.adjunct(tense)
        if style == "alone":
            closing = self.zipf(("by ", "all by ")) + subject.himself
        elif style == "gerund" and tense != "present":
            closing = self.gerund(subject)
        rest = join(verb.preposition, target, closing)
        return inflect(verb, tense, subject.agreement, rest, self.zipf(MODALS))

    def gerund(self, subject: Phrase) -> str:
        """An adverbial clause without a subject: "before washing the cup"."""
        frame = self.weighted({"transitive": 0.7, "intransitive": 0.3})
        verb = self.zipf([verb for verb in verbs_of(subject.noun, frame) if verb.base not in STATIVE])
        target = self.object_of(verb, subject).text if frame == "transitive" else ""
        word = self.zipf(("before", "after", "while", "without"))
        return join(word, verb.ing, verb.preposition, target)

    def happening(self, subject: Phrase, tense: str) -> VerbPhrase:
        """What happens to a thing: an inchoative verb, or a description where the thing has none."""
        choices = subject.noun.happenings
        if not choices:
            return self.description(subject, tense)
        verb, adjunct = self.zipf(choices), self.adjunct(tense)
        return inflect(verb, tense, subject.agreement, adjunct, self.zipf(("will", "can")))

    def alternating(self) -> tuple[Verb, list[Noun]]:
        """A verb such as "break", and the things of the scene that it can happen to."""
        verb = self.zipf([verb for verb in verbs() if verb.frame == "alternating"])
        return verb, [thing.noun for thing in self.things if thing.noun.singular in verb.objects]

    def description(self, subject: Phrase, tense: str) -> VerbPhrase:
        """A form of be with an adjective or a place."""
        if self.chance(0.65):
            degree = self.weighted({"": 0.6, "very": 0.25, "so": 0.15})
            return copula(tense, subject.agreement, join(degree, self.zipf(subject.noun.adjectives)))
        return copula(tense, subject.agreement, self.place_phrase())

    def predicate(self, subject: Phrase, tense: str, polarity: str = "positive", depth: int = 0) -> VerbPhrase:
        """Any predicate that fits `subject`; `depth` counts embedded clauses."""
        if not subject.noun.animate:
            return self.weighted({self.happening: 0.5, self.description: 0.5})(subject, tense)
        predicate = self.weighted(
            {
                self.action: 0.57,
                self.description: 0.13,
                self.reflexive: 0.14,
                self.infinitive: 0.08,
                self.thought: 0.08 * (depth < 1),
            }
        )
        return self.action(subject, tense, polarity) if predicate == self.action else predicate(subject, tense)

    def reflexive(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Something that `subject` does to itself."""
        verb = self.zipf(reflexive_verbs())
        return inflect(verb, tense, subject.agreement, join(subject.himself, self.adjunct(tense)))

    def infinitive(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Wants, tries, likes, needs to do something."""
        tense = "present" if tense in ("progressive", "perfect") else "past" if tense == "past_progressive" else tense
        wants = Verb.parse(self.zipf(INFINITIVE_VERBS))
        inner = self.action(subject, "present")
        while inner.form in STATIVE:
            inner = self.action(subject, "present")
        return inflect(wants, tense, subject.agreement, join("to", inner.form, inner.rest))

    def thought(self, subject: Phrase, tense: str) -> VerbPhrase:
        """Knows, thinks, sees or says that something is so, or what somebody did (a gap where its object was)."""
        tense = "past" if tense.startswith("past") else "present"
        wh = self.chance(0.5)
        knows = Verb.parse(self.zipf(WH_VERBS if wh else THAT_VERBS))
        inner = self.wh_clause(subject) if wh else "that " + self.that_clause(subject, self.either("past", tense))
        return inflect(knows, tense, subject.agreement, inner)

    def that_clause(self, subject: Phrase, tense: str) -> str:
        """A clause inside another, sometimes about the same one."""
        if self.chance(0.35):
            return self.predicate(subject, tense, depth=1).statement(subject.he)
        return self.clause(tense, depth=1)

    def wh_clause(self, subject: Phrase) -> str:
        """An embedded question: what somebody did it to (object gap), who did it (subject gap), or where it is."""
        style = self.weighted({"object": 0.6, "subject": 0.2, "where": 0.2})
        if style == "where":
            thing = self.pick(self.things)
            return f"where {thing.text} {thing.was}"
        if style == "subject":
            return self.action(Phrase("who", "sg", nouns()["boy"]), "past").statement("who")
        agent = self.agent(avoid=subject)
        return self.gapped(agent, "past").statement(f"what {agent.text}")

    def gapped(self, agent: Phrase, tense: str) -> VerbPhrase:
        """A transitive verb whose object is somewhere else in the sentence."""
        frame = self.weighted({"transitive": 0.7, "alternating": 0.12, "optional": 0.18})
        choices = [verb for verb in verbs_of(agent.noun, frame) if len(verb.objects) > 1]
        verb = self.zipf(choices or verbs_of(agent.noun, "transitive"))
        where = self.place_phrase() if self.chance(0.12) else ""
        return inflect(verb, tense, agent.agreement, join(verb.preposition, where))

    def agent(self, avoid: Phrase | None = None) -> Phrase:
        """Somebody who can act: one of the cast, or people or animals in general."""
        cast = [who for who in self.cast if avoid is None or who.noun != avoid.noun]
        if self.chance(0.6):
            who = self.zipf(cast)
            titled = who.noun.kind == "name" and self.chance(0.25)
            return replace(who, text=f"{self.zipf(TITLES[who.gender])} {who.text}") if titled else who
        noun = self.zipf(self.animals if self.chance(0.25) else kind(self.either("person", "animal")))
        return self.noun_phrase(nouns()["friend"] if avoid is not None and noun == avoid.noun else noun)

    def subject(self) -> Phrase:
        """A subject: mostly bare, sometimes with a preposition phrase or a relative clause that holds another noun."""
        style = self.weighted({"agent": 0.7, "thing": 0.12, "preposition": 0.09, "relative": 0.09})
        if style == "agent":
            return self.agent()
        if style == "thing":
            return self.pick(self.things)
        head = self.common(animate=self.chance(0.75))
        modifier = self.modifier(head.noun) if style == "preposition" else self.relative(head)
        return replace(head, text=f"{head.text} {modifier}")

    def common(self, *, animate: bool) -> Phrase:
        """A common noun that can be told apart by a modifier."""
        if animate:
            pool = self.either(kind("person"), kind("animal"), self.animals)
        else:
            pool = kind(self.zipf(("toy", "vehicle", "food", "dish", "house", "clothes", "nature")))
        noun = self.zipf(pool)
        number = self.either("sg", "pl")
        this, that = DEMONSTRATIVES[number]
        determiner = self.weighted({"the": 0.75, this: 0.12, that: 0.13})
        adjective = self.zipf(noun.adjectives) if self.chance(0.15) else ""
        return Phrase(join(determiner, adjective, noun.form(number)), number, noun)

    def modifier(self, head: Noun) -> str:
        """A preposition phrase after a noun."""
        group = self.either("house", "nature", "vehicle", "toy", "person", "animal")
        noun = self.zipf([noun for noun in kind(group) if noun != head])
        return f"{self.zipf(PREPOSITIONS)} {the(noun, self.either('sg', 'pl')).text}"

    def relative(self, head: Phrase) -> str:
        """A relative clause: that does something (subject gap) or that somebody does something to (object gap)."""
        tense = self.zipf(("present", "progressive", "past", "perfect"))
        if self.chance(0.55):
            action = self.action(replace(head, text="that"), tense)
            if self.chance(0.12):
                return action.negation("that", contracted=self.chance(0.5))
            return action.statement("that")
        other = self.common(animate=True)
        plain = the(other.noun, other.agreement).text
        whose = self.weighted({plain: 0.86, f"only {plain}": 0.1, f"even {plain}": 0.04})
        choices = [verb for verb in verbs_of(other.noun, "transitive") if verb.base in SEEN_VERBS]
        verb = self.zipf([verb for verb in choices if head.noun.singular in verb.objects] or choices)
        return inflect(verb, tense, other.agreement).statement(f"that {whose}")

    def clause(self, tense: str, depth: int = 0) -> str:
        """A whole positive clause."""
        subject = self.subject()
        return self.predicate(subject, tense, depth=depth).statement(subject.text)
