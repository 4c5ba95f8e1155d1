"""Candidates for babytalk's minimal pairs: a method a paradigm.

In: a stream of random choices. Out: `Pair`, a good and a bad sentence that differ in one point, with the combination of
words that the pair turns on. `pairs` keeps those whose combination is held out of the corpus.
"""

from __future__ import annotations

from palenka_tune.data.babytalk.heldout import Combination
from palenka_tune.data.babytalk.inflection import STATIVE, adjectives_of, finish, inflect, join, reflexive_verbs
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns, verb_named
from palenka_tune.data.babytalk.pair_parts import (
    COMPANIONS,
    DEMONSTRATIVES,
    NEAR,
    OTHER,
    STRICT,
    Pair,
    PairParts,
    verbs_for,
)
from palenka_tune.data.babytalk.scene import Phrase


class PairMaker(PairParts):
    """Draws candidate pairs; a method gives None where what it drew does not fit together."""

    def _demonstrative(self, noun: Noun, adjective: str) -> Pair | None:
        draw = self.draw
        number = draw.pick(("sg", "pl"))
        who = self.being(names=True)
        takers = verbs_for(who.noun, "transitive", noun)
        if not takers:
            return None
        this = draw.pick(DEMONSTRATIVES[number])
        action = inflect(draw.zipf(takers), draw.pick(("past", "perfect")), who.agreement).statement()
        start = join(who.text, action, this, adjective)
        good, bad = noun.form(number), noun.form(OTHER[number])
        key = ("adjective", this, adjective, good) if adjective else ("determiner", this, good)
        return Pair(finish(join(start, good)), finish(join(start, bad)), key)

    def determiner(self) -> Pair | None:
        """Mommy found this cup / cups."""
        return self._demonstrative(self.countable(irregular=False), "")

    def determiner_adjective(self) -> Pair | None:
        """Mommy found this red cup / cups."""
        noun = self.countable(irregular=False)
        return self._demonstrative(noun, self.draw.zipf(adjectives_of(noun)))

    def determiner_irregular(self) -> Pair | None:
        """Mommy saw these little children / child."""
        noun = self.countable(irregular=True)
        return self._demonstrative(noun, self.draw.zipf(adjectives_of(noun)))

    def _agree(self, subject: Phrase, middle: str) -> tuple[str, str, str]:
        """Good and bad sentence with the verb's number as the difference, and the verb's base."""
        draw = self.draw
        tense = draw.pick(("present", "progressive"))
        frame = draw.pick(("intransitive", "transitive"))
        verb = draw.zipf([v for v in verbs_for(subject.noun, frame) if v.base not in STATIVE])
        rest = "" if frame == "intransitive" else self.target(verb)
        good = inflect(verb, tense, subject.agreement, rest).statement()
        bad = inflect(verb, tense, OTHER[subject.agreement], rest).statement()
        start = join(subject.text, middle)
        return finish(join(start, good)), finish(join(start, bad)), verb.base

    def agreement(self) -> Pair:
        """The dogs bark / barks."""
        subject = self.being()
        good, bad, verb = self._agree(subject, "")
        return Pair(good, bad, ("pair", subject.noun.singular, verb))

    def agreement_preposition(self) -> Pair:
        """The dog near the cats sleeps / sleep."""
        subject = self.being()
        other = self.draw.zipf(kind(self.draw.pick(("person", "animal", "house", "nature", "vehicle", "toy"))))
        where = self.draw.pick(NEAR)
        good, bad, verb = self._agree(subject, f"{where} the {other.form(OTHER[subject.agreement])}")
        return Pair(good, bad, ("attractor", subject.noun.singular, other.singular, verb))

    def agreement_relative(self) -> Pair:
        """The dog that the cats see sleeps / sleep."""
        subject = self.being()
        other = self.being(number=OTHER[subject.agreement])
        good, bad, verb = self._agree(subject, self.companion(subject, other))
        return Pair(good, bad, ("attractor", subject.noun.singular, other.noun.singular, verb))

    def _self(self, subject: Phrase, wrong: str, middle: str = "") -> tuple[str, str, str]:
        """Good and bad sentence with the reflexive as the difference, and the verb's base."""
        verb = self.draw.zipf(reflexive_verbs())
        tense = self.draw.pick(("past", "past", "perfect", "modal"))
        start = join(subject.text, middle, inflect(verb, tense, subject.agreement, modal="can").statement())
        return finish(join(start, subject.himself)), finish(join(start, wrong)), verb.base

    def reflexive_gender(self) -> Pair:
        """Mia washed herself / himself."""
        subject = self.being(self.draw.pick("mf"), "sg", names=True)
        good, bad, verb = self._self(subject, "himself" if subject.gender == "f" else "herself")
        return Pair(good, bad, ("reflexive", subject.noun.singular.lower(), verb))

    def reflexive_number(self) -> Pair:
        """The boys washed themselves / himself."""
        gender = self.draw.pick("mf")
        subject = self.being(gender)
        singular = "himself" if gender == "m" else "herself"
        good, bad, verb = self._self(subject, "themselves" if subject.agreement == "sg" else singular)
        return Pair(good, bad, ("reflexive", subject.noun.singular, verb))

    def reflexive_command(self) -> Pair:
        """The girl that the boy sees washed herself / himself: only what c-commands a reflexive can bind it."""
        gender, wrong = self.draw.pick((("f", "m"), ("m", "f")))
        subject, other = self.being(gender, "sg"), self.being(wrong, "sg")
        good, bad, verb = self._self(subject, other.himself, self.companion(subject, other))
        return Pair(good, bad, ("attractor", subject.noun.singular, other.noun.singular, verb))

    def _polarity(self, subject: Phrase, good: str, bad: str, base: str) -> Pair:
        return Pair(finish(good), finish(bad), ("polarity", subject.noun.singular.lower(), base))

    def polarity_negation(self) -> Pair:
        """The dog has not / also ever slept."""
        subject = self.being(names=True)
        verb, phrase = self.perfect(subject)
        also = self.draw.pick(("also", "really", "just"))
        negated = phrase.negation("ever", contracted=False)
        other = phrase.statement(f"{also} ever")
        return self._polarity(subject, f"{subject.text} {negated}", f"{subject.text} {other}", verb.base)

    def polarity_only(self) -> Pair:
        """Only / even Mia has ever slept; only / even the dog near the tree has ever slept."""
        subject = self.being(names=True)
        verb, phrase = self.perfect(subject)
        where = ""
        if not subject.noun.proper and self.draw.chance(0.5):
            where = f"{self.draw.pick(NEAR)} the {self.thing().form(self.draw.pick(('sg', 'pl')))}"
        said = join(subject.text, where, phrase.statement("ever"))
        return self._polarity(subject, f"only {said}", f"even {said}", verb.base)

    def polarity_scope(self) -> Pair:
        """Only the dog that the cat has seen has ever slept / the dog that only the cat has seen has ever slept."""
        subject, other = self.being(), self.being()
        companion = verb_named(self.draw.pick(COMPANIONS))
        inner = inflect(companion, "perfect", other.agreement).statement()
        verb, outer = self.perfect(subject)
        good = join("only", subject.text, "that", other.text, inner, outer.statement("ever"))
        bad = join(subject.text, "that only", other.text, inner, outer.statement("ever"))
        return Pair(finish(good), finish(bad), ("attractor", subject.noun.singular, other.noun.singular, verb.base))

    def causative(self) -> Pair:
        """Mia opened / fell the box: only some verbs have a causative."""
        draw = self.draw
        subject = self.being(names=True)
        alternating = verbs_for(subject.noun, "alternating")
        if not alternating:
            return self.causative()
        verb = draw.zipf(alternating)
        theme = nouns()[draw.zipf(verb.objects)]
        wrong = verb_named(draw.pick(("fall", "sleep", "sit", "stay", "arrive", "disappear", "walk")))
        tense = draw.pick(("past", "progressive", "perfect"))
        rest = f"the {theme.form(draw.pick(('sg', 'pl')))}"
        good, bad = (join(subject.text, inflect(v, tense, subject.agreement, rest).statement()) for v in (verb, wrong))
        return Pair(finish(good), finish(bad), ("clause", subject.noun.singular.lower(), verb.base, theme.singular))

    def inchoative(self) -> Pair:
        """The box opened / found: only some verbs can leave out who did it."""
        draw = self.draw
        verb = draw.pick(verbs_for(nouns()["girl"], "alternating"))
        theme = nouns()[draw.zipf(verb.objects)]
        wrong = draw.zipf(verbs_for(nouns()["girl"], "transitive", theme))
        number = draw.pick(("sg", "pl"))
        adjective = draw.zipf(adjectives_of(theme)) if draw.chance(0.5) else ""
        tense = draw.pick(("past", "past", "perfect"))
        start = join(draw.pick(("the", *DEMONSTRATIVES[number])), adjective, theme.form(number))
        key: Combination = ("pair", theme.singular, verb.base)
        if draw.chance(0.5):
            other = self.thing()
            start = f"{start} {draw.pick(NEAR)} the {other.form(draw.pick(('sg', 'pl')))}"
            key = ("attractor", theme.singular, other.singular, verb.base)
        good, bad = (join(start, inflect(v, tense, number).statement()) for v in (verb, wrong))
        return Pair(finish(good), finish(bad), key)

    def _embedded(self, *, gap: bool) -> Pair:
        draw = self.draw
        subject, agent = self.being(names=True), self.being(names=True)
        base, past = draw.pick((("know", "knew"), ("see", "saw"), ("remember", "remembered"), ("forget", "forgot")))
        know = Verb(base, base + "s", past, past, base + "ing", "", (), ())
        knows = inflect(know, draw.pick(("present", "past")), subject.agreement)
        verb = draw.zipf([verb for verb in verbs_for(agent.noun, "transitive") if verb.base in STRICT])
        start = join(subject.text, knows.statement())
        what = join("what", agent.text, verb.past, "" if gap else self.target(verb))
        that = "that" + what.removeprefix("what")
        good, bad = (what, that) if gap else (that, what)
        key = ("attractor", subject.noun.singular.lower(), agent.noun.singular.lower(), verb.base)
        return Pair(finish(join(start, good)), finish(join(start, bad)), key)

    def gap(self) -> Pair:
        """Mia knows what / that the dog found."""
        return self._embedded(gap=True)

    def no_gap(self) -> Pair:
        """Mia knows that / what the dog found the ball."""
        return self._embedded(gap=False)

    def adjunct(self) -> Pair:
        """What did Mia hold before washing the cup / hold the cup before washing? No gap inside an adjunct."""
        draw = self.draw
        subject = self.being(names=True)
        pool = [verb for verb in verbs_for(subject.noun, "transitive") if verb.base not in STATIVE]
        first, second = draw.zipf(pool), draw.zipf(pool)
        theme = nouns()[draw.zipf(second.objects)]
        what = f"the {theme.form(draw.pick(('sg', 'pl')))}"
        start = f"what did {subject.text} {first.base}"
        when = f"{draw.pick(('before', 'after', 'while', 'without'))} {second.ing}"
        key = ("chain", first.base, second.base, theme.singular)
        return Pair(finish(f"{start} {when} {what}", "?"), finish(f"{start} {what} {when}", "?"), key)

    def participle(self) -> Pair | None:
        """Mia has eaten / ate the cake."""
        draw = self.draw
        subject = self.being(names=True)
        frames = ("transitive", "alternating", "optional")
        pool = [verb for frame in frames for verb in verbs_for(subject.noun, frame) if not verb.regular]
        verb = draw.zipf(pool)
        theme = nouns()[draw.zipf(verb.objects)]
        rest = f"the {theme.singular if theme.kind == 'mass' else theme.form(draw.pick(('sg', 'pl')))}"
        has = "has" if subject.agreement == "sg" else "have"
        good, bad = (finish(join(subject.text, has, form, rest)) for form in (verb.participle, verb.past))
        return Pair(good, bad, ("clause", subject.noun.singular.lower(), verb.base, theme.singular))
