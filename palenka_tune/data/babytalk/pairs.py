"""Minimal pairs for babytalk, in BLiMP's format: a grammatical and an ungrammatical sentence that differ in one point.

A method of `PairMaker` draws candidates for a paradigm; those are kept that turn on a combination of words that
`heldout.held_out` keeps out of the corpus, so that none of the sentences can have been seen; each word alone is in the
corpus. Paradigms that BLiMP has too carry BLiMP's name (Warstadt et al., 2020, TACL 8).
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from palenka_tune.config.files import write_text
from palenka_tune.data.babytalk.corpus import WORDS, generate
from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.heldout import Combination, combinations, held_out, sentences
from palenka_tune.data.babytalk.inflection import DEMONSTRATIVES, STATIVE, VerbPhrase, inflect, join, sentence
from palenka_tune.data.babytalk.lexicon import Noun, Verb, kind, nouns, pluralise, reflexive_verbs, verb_named, verbs
from palenka_tune.data.babytalk.scene import Phrase, person, the
from palenka_tune.errors import UserError

OFTEN = 3  # times that the train split has a word of a pair at least
_WORD = re.compile(r"[a-z']+")
PATIENCE = 10_000  # candidates without a new pair after which a paradigm counts as used up

OTHER = {"sg": "pl", "pl": "sg"}
THINGS = ("toy", "food", "clothes", "dish", "house", "nature", "vehicle")
NEAR = ("near", "behind", "beside", "next to", "by")
COMPANIONS = ("see", "like", "love", "help", "watch", "follow", "scare", "touch")  # verbs of relative clauses
# Verbs that no English speaker leaves without an object, so that a missing one is a gap.
STRICT = "want find like love take need get make bring catch carry lose touch lick"
# Verbs with a form that the corpus has only a few times.
UNCOMMON = """pop swing sink freeze tear burn slide shake ring hop swim bark kick build cut choose fix smile buy wave
    dance shout kiss hold visit ride throw giggle laugh feed fly wear thank crack"""


@dataclass(frozen=True)
class Pair:
    """A good and a bad sentence, and the combination that the pair turns on."""

    good: str
    bad: str
    combination: Combination


def _pair(start: str, good: str, bad: str, *combination: str, mark: str = ".") -> Pair:
    """The pair of two ends after the same start."""
    words = tuple(word.lower() for word in combination)
    return Pair(sentence(start, good, mark=mark), sentence(start, bad, mark=mark), words)


Maker = Callable[..., Pair | None]


@dataclass(frozen=True)
class Paradigm:
    """BLiMP's labels for a paradigm, and what draws a candidate: None where what it drew does not fit together."""

    term: str
    field: str
    make: Maker


PARADIGMS: dict[str, Paradigm] = {}


def _paradigm(uid: str, term: str, field: str, **options: bool) -> Callable[[Maker], Maker]:
    """Register a method of `PairMaker`, called with `options`, under BLiMP's name, term and field of its paradigm."""

    def register(make: Maker) -> Maker:
        PARADIGMS[uid] = Paradigm(term, field, functools.partial(make, **options))
        return make

    return register


@functools.cache
def _verbs_for(subject: Noun, frame: str, target: Noun | None = None) -> tuple[Verb, ...]:
    """The verbs of a frame that `subject` can do (to `target`), but for the uncommon ones."""
    return tuple(
        verb
        for verb in verbs()
        if verb.frame == frame
        and subject.singular in verb.subjects
        and verb.base not in UNCOMMON.split()
        and not verb.preposition
        and (not target or target.singular in verb.objects)
    )


class PairMaker(Draw):
    """Draws candidate pairs from words that the corpus has often."""

    def number(self) -> str:
        return self.either("sg", "pl")

    def being(self, gender: str = "", number: str = "", *, names: bool = False) -> Phrase:
        """A person or an animal: "the dogs", "the farmer", "Mia"; `names` allows for names."""
        pools = [kind("person"), *([] if gender else [kind("animal")]), *([kind("name"), kind("kin")] if names else [])]
        nouns_here = [noun for noun in self.pick(pools) if noun.plural != noun.singular]
        noun = self.zipf([noun for noun in nouns_here if not gender or noun.gender == gender])
        return person(noun.singular) if noun.proper else the(noun, number or self.number())

    def thing(self) -> Noun:
        """A noun for something without life."""
        return self.zipf(kind(self.pick(THINGS)))

    def target(self, verb: Verb) -> str:
        """A plain object for `verb`, or nothing where it takes none."""
        if not verb.objects:
            return ""
        noun = nouns()[self.zipf(verb.objects)]
        return the(noun, "sg" if noun.kind in ("mass", "body") else self.number()).text

    def near(self, noun: Noun, number: str = "") -> str:
        """A preposition phrase: "near the trees"."""
        return f"{self.pick(NEAR)} {the(noun, number or self.number()).text}"

    def countable(self, *, irregular: bool) -> Noun:
        """A noun with two forms, by the rule or not."""
        group = self.either(*THINGS, "person", "animal", *(("body",) if irregular else ()))
        pool = [
            noun
            for noun in kind(group)
            if (noun.plural != pluralise(noun.singular)) == irregular and noun.plural != noun.singular
        ]
        return self.zipf(pool) if pool else self.countable(irregular=irregular)

    def perfect(self, subject: Phrase) -> tuple[Verb, VerbPhrase]:
        """A verb of `subject` and its phrase in the perfect."""
        verb = self.zipf(_verbs_for(subject.noun, self.either("intransitive", "transitive")))
        return verb, inflect(verb, "perfect", subject.agreement, self.target(verb))

    def companion(self, subject: Phrase, other: Phrase) -> str:
        """A relative clause about `other`, with a subject or an object gap."""
        verb = verb_named(self.pick(COMPANIONS))
        if self.chance(0.5):
            return f"{inflect(verb, 'present', subject.agreement).statement('that')} {other.text}"
        return inflect(verb, "present", other.agreement).statement(f"that {other.text}")

    @_paradigm(
        "determiner_noun_agreement_with_adj_irregular_1", "determiner_noun_agreement", "morphology", irregular=True
    )
    @_paradigm("determiner_noun_agreement_with_adjective_1", "determiner_noun_agreement", "morphology")
    @_paradigm("determiner_noun_agreement_1", "determiner_noun_agreement", "morphology", described=False)
    def determiner(self, *, described: bool = True, irregular: bool = False) -> Pair | None:
        """Mommy found this cup / cups; this red cup / cups; these little children / child."""
        noun = self.countable(irregular=irregular)
        adjective = self.zipf(noun.adjectives) if described else ""
        number = self.number()
        who = self.being(names=True)
        takers = _verbs_for(who.noun, "transitive", noun)
        if not takers:
            return None
        this = self.pick(DEMONSTRATIVES[number])
        action = inflect(self.zipf(takers), self.either("past", "perfect"), who.agreement).statement(who.text)
        good, bad = noun.form(number), noun.form(OTHER[number])
        key = ("adjective", this, adjective, good) if adjective else ("determiner", this, good)
        return _pair(join(action, this, adjective), good, bad, *key)

    def _agree(self, subject: Phrase, middle: str, rule: str, *attractor: str) -> Pair:
        """The verb's number as the difference, after `subject` and `middle`."""
        tense = self.either("present", "progressive")
        frame = self.either("intransitive", "transitive")
        verb = self.zipf([verb for verb in _verbs_for(subject.noun, frame) if verb.base not in STATIVE])
        rest = self.target(verb)
        good = inflect(verb, tense, subject.agreement, rest).statement()
        bad = inflect(verb, tense, OTHER[subject.agreement], rest).statement()
        return _pair(join(subject.text, middle), good, bad, rule, subject.noun.singular, *attractor, verb.base)

    @_paradigm("regular_plural_subject_verb_agreement_1", "subject_verb_agreement", "morphology")
    def agreement(self) -> Pair:
        """The dogs bark / barks."""
        return self._agree(self.being(), "", "pair")

    @_paradigm("distractor_agreement_prepositional_phrase", "subject_verb_agreement", "morphology")
    def agreement_preposition(self) -> Pair:
        """The dog near the cats sleeps / sleep."""
        subject = self.being()
        other = self.zipf(kind(self.either("person", "animal", "house", "nature", "vehicle", "toy")))
        where = self.near(other, OTHER[subject.agreement])
        return self._agree(subject, where, "attractor", other.singular)

    @_paradigm("distractor_agreement_relative_clause", "subject_verb_agreement", "morphology")
    def agreement_relative(self) -> Pair:
        """The dog that the cats see sleeps / sleep."""
        subject = self.being()
        other = self.being(number=OTHER[subject.agreement])
        return self._agree(subject, self.companion(subject, other), "attractor", other.noun.singular)

    def _self(self, subject: Phrase, wrong: str, middle: str = "", rule: str = "reflexive", *attractor: str) -> Pair:
        """The reflexive as the difference, after `subject` and `middle`."""
        verb = self.zipf(reflexive_verbs())
        tense = self.either("past", "past", "perfect", "modal")
        start = inflect(verb, tense, subject.agreement).statement(join(subject.text, middle))
        return _pair(start, subject.himself, wrong, rule, subject.noun.singular, *attractor, verb.base)

    @_paradigm("anaphor_gender_agreement", "anaphor_agreement", "morphology")
    def reflexive_gender(self) -> Pair:
        """Mia washed herself / himself."""
        subject = self.being(self.pick("mf"), "sg", names=True)
        return self._self(subject, "himself" if subject.gender == "f" else "herself")

    @_paradigm("anaphor_number_agreement", "anaphor_agreement", "morphology")
    def reflexive_number(self) -> Pair:
        """The boys washed themselves / himself."""
        subject = self.being(self.pick("mf"))
        return self._self(subject, replace(subject, agreement=OTHER[subject.agreement]).himself)

    @_paradigm("principle_A_c_command", "binding", "syntax_semantics")
    def reflexive_command(self) -> Pair:
        """The girl that the boy sees washed herself / himself: only what c-commands a reflexive can bind it."""
        gender, wrong = self.either(("f", "m"), ("m", "f"))
        subject, other = self.being(gender, "sg"), self.being(wrong, "sg")
        middle = self.companion(subject, other)
        return self._self(subject, other.himself, middle, "attractor", other.noun.singular)

    @_paradigm("sentential_negation_npi_licensor_present", "npi_licensing", "semantics")
    def polarity_negation(self) -> Pair:
        """The dog has not / also ever slept."""
        subject = self.being(names=True)
        verb, phrase = self.perfect(subject)
        bad = phrase.statement(adverb=self.either("also", "really", "just") + " ever")
        good = phrase.negation(adverb="ever", contracted=False)
        return _pair(subject.text, good, bad, "polarity", subject.noun.singular, verb.base)

    @_paradigm("only_npi_licensor_present", "npi_licensing", "semantics")
    def polarity_only(self) -> Pair:
        """Only / even Mia has ever slept; only / even the dog near the tree has ever slept."""
        subject = self.being(names=True)
        verb, phrase = self.perfect(subject)
        where = ""
        if not subject.noun.proper and self.chance(0.5):
            where = f"{self.pick(NEAR)} {the(self.thing(), self.number()).text}"
        rest = phrase.statement(join(subject.text, where), "ever")
        return _pair("", f"only {rest}", f"even {rest}", "polarity", subject.noun.singular, verb.base)

    @_paradigm("only_npi_scope", "npi_licensing", "syntax_semantics")
    def polarity_scope(self) -> Pair:
        """Only the dog that the cat has seen has ever slept / the dog that only the cat has seen has ever slept."""
        subject, other = self.being(), self.being()
        inner = inflect(verb_named(self.pick(COMPANIONS)), "perfect", other.agreement).statement(other.text)
        verb, outer = self.perfect(subject)
        rest = f"{inner} {outer.statement(adverb='ever')}"
        good, bad = f"only {subject.text} that {rest}", f"{subject.text} that only {rest}"
        return _pair("", good, bad, "attractor", subject.noun.singular, other.noun.singular, verb.base)

    @_paradigm("causative", "argument_structure", "syntax")
    def causative(self) -> Pair | None:
        """Mia opened / fell the box: only some verbs have a causative."""
        subject = self.being(names=True)
        alternating = _verbs_for(subject.noun, "alternating")
        if not alternating:
            return self.causative()
        verb = self.zipf(alternating)
        theme = nouns()[self.zipf(verb.objects)]
        wrong = verb_named(self.either("fall", "sleep", "sit", "stay", "arrive", "disappear", "walk"))
        tense = self.either("past", "progressive", "perfect")
        rest = the(theme, self.number()).text
        good, bad = (inflect(v, tense, subject.agreement, rest).statement() for v in (verb, wrong))
        return _pair(subject.text, good, bad, "clause", subject.noun.singular, verb.base, theme.singular)

    @_paradigm("inchoative", "argument_structure", "syntax")
    def inchoative(self) -> Pair:
        """The box opened / found: only some verbs can leave out who did it."""
        verb = self.pick(_verbs_for(nouns()["girl"], "alternating"))
        theme = nouns()[self.zipf(verb.objects)]
        wrong = self.zipf(_verbs_for(nouns()["girl"], "transitive", theme))
        number = self.number()
        adjective = self.zipf(theme.adjectives) if self.chance(0.5) else ""
        tense = self.either("past", "past", "perfect")
        start = join(self.either("the", *DEMONSTRATIVES[number]), adjective, theme.form(number))
        key = ["pair", theme.singular, verb.base]
        if self.chance(0.5):
            other = self.thing()
            start = f"{start} {self.near(other)}"
            key = ["attractor", theme.singular, other.singular, verb.base]
        good, bad = (inflect(v, tense, number).statement() for v in (verb, wrong))
        return _pair(start, good, bad, *key)

    @_paradigm("wh_vs_that_no_gap", "filler_gap_dependency", "syntax", gap=False)
    @_paradigm("wh_vs_that_with_gap", "filler_gap_dependency", "syntax", gap=True)
    def embedded(self, *, gap: bool) -> Pair:
        """Mia knows what / that the dog found; Mia knows that / what the dog found the ball."""
        subject, agent = self.being(names=True), self.being(names=True)
        know = Verb.parse(self.either("know knew", "see saw", "remember", "forget forgot"))
        start = inflect(know, self.either("present", "past"), subject.agreement).statement(subject.text)
        done = self.zipf([verb for verb in _verbs_for(agent.noun, "transitive") if verb.base in STRICT.split()])
        clause = join(agent.text, done.past, "" if gap else self.target(done))
        good, bad = ("what", "that") if gap else ("that", "what")
        nouns_verb = (subject.noun.singular, agent.noun.singular, done.base)
        return _pair(start, f"{good} {clause}", f"{bad} {clause}", "attractor", *nouns_verb)

    @_paradigm("adjunct_island", "island_effects", "syntax")
    def adjunct(self) -> Pair:
        """What did Mia hold before washing the cup / hold the cup before washing? No gap inside an adjunct."""
        subject = self.being(names=True)
        pool = [verb for verb in _verbs_for(subject.noun, "transitive") if verb.base not in STATIVE]
        first, second = self.zipf(pool), self.zipf(pool)
        theme = nouns()[self.zipf(second.objects)]
        what = the(theme, self.number()).text
        start = f"what did {subject.text} {first.base}"
        when = f"{self.either('before', 'after', 'while', 'without')} {second.ing}"
        key = ("chain", first.base, second.base, theme.singular)
        return _pair(start, f"{when} {what}", f"{what} {when}", *key, mark="?")

    @_paradigm("irregular_past_participle_verbs", "irregular_forms", "morphology")
    def participle(self) -> Pair:
        """Mia has eaten / ate the cake."""
        subject = self.being(names=True)
        frames = ("transitive", "alternating", "optional")
        pool = [verb for frame in frames for verb in _verbs_for(subject.noun, frame) if verb.past != verb.participle]
        verb = self.zipf(pool)
        theme = nouns()[self.zipf(verb.objects)]
        rest = the(theme, "sg" if theme.kind == "mass" else self.number()).text
        start = f"{subject.text} {'has' if subject.agreement == 'sg' else 'have'}"
        key = ("clause", subject.noun.singular, verb.base, theme.singular)
        return _pair(start, f"{verb.participle} {rest}", f"{verb.past} {rest}", *key)


@functools.cache
def known_words() -> frozenset[str]:
    """The words that the corpus' train split has often enough for a student to know them."""
    lines = (line.lower() for lines in generate("train", words=WORDS["train"]).values() for line in lines)
    counts = Counter(word for line in lines for word in _WORD.findall(line))
    return frozenset(word for word, count in counts.items() if count >= OFTEN)


def paradigm_pairs(uid: str, *, seed: int = 0, pairs: int = 200) -> list[Pair]:
    """`pairs` different pairs of one paradigm, each of known words, with a held-out combination that its good sentence
    contains."""
    maker = PairMaker("babytalk/pairs", seed, uid)
    drawn: dict[str, Pair] = {}
    in_vain = 0
    while len(drawn) < pairs and in_vain < PATIENCE:
        in_vain += 1
        pair = PARADIGMS[uid].make(maker)
        if pair is None or not held_out(pair.combination) or len(set(pair.combination)) < len(pair.combination):
            continue
        if not known_words().issuperset(_WORD.findall(f"{pair.good} {pair.bad}".lower())):
            continue
        contained = any(pair.combination in set(combinations(words)) for words in sentences(pair.good))
        if contained and pair.good not in drawn:
            drawn[pair.good] = pair
            in_vain = 0
    if len(drawn) < pairs:
        raise UserError(f"babytalk has only {len(drawn)} minimal pairs of {uid}, not {pairs}; ask for fewer pairs")
    return list(drawn.values())


def minimal_pairs(*, seed: int = 0, pairs: int = 200) -> dict[str, list[dict[str, str]]]:
    """The suite: paradigm to `pairs` records with BLiMP's fields. Raises `UserError` if there are not so many pairs."""
    suite = {}
    for uid, paradigm in PARADIGMS.items():
        labels = {"UID": uid, "linguistics_term": paradigm.term, "field": paradigm.field}
        suite[uid] = [
            {"sentence_good": pair.good, "sentence_bad": pair.bad, **labels, "pairID": str(number)}
            for number, pair in enumerate(paradigm_pairs(uid, seed=seed, pairs=pairs))
        ]
    return suite


def write_minimal_pairs(folder: Path, *, seed: int = 0, pairs: int = 200) -> None:
    """Write the suite as `<UID>.jsonl`, a record a line."""
    for uid, records in minimal_pairs(seed=seed, pairs=pairs).items():
        lines = (json.dumps(record, ensure_ascii=False) for record in records)
        write_text(Path(folder) / f"{uid}.jsonl", "".join(line + "\n" for line in lines))
