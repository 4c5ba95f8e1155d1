"""Minimal pairs for babytalk, in BLiMP's format: a grammatical and an ungrammatical sentence that differ in one point.

In: a seed and a number of pairs. Out: for each paradigm, records with BLiMP's six fields. Every pair turns on a
combination of words that `heldout.held_out` keeps out of the corpus, so that none of its sentences can have been seen;
each word alone is in the corpus. Paradigms that BLiMP has too carry BLiMP's name (Warstadt et al., 2020, TACL 8).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import write_text
from palenka_tune.data.babytalk.draw import Draw
from palenka_tune.data.babytalk.heldout import combinations, held_out, sentences
from palenka_tune.data.babytalk.pair_maker import PairMaker
from palenka_tune.data.babytalk.pair_parts import Pair
from palenka_tune.errors import UserError

PATIENCE = 10_000  # candidates without a new pair after which a paradigm counts as used up


@dataclass(frozen=True)
class Paradigm:
    """BLiMP's labels for a paradigm, and what makes its pairs."""

    term: str
    field: str
    make: Callable[[PairMaker], Pair | None]


PARADIGMS: dict[str, Paradigm] = {
    "determiner_noun_agreement_1": Paradigm("determiner_noun_agreement", "morphology", PairMaker.determiner),
    "determiner_noun_agreement_with_adjective_1": Paradigm(
        "determiner_noun_agreement", "morphology", PairMaker.determiner_adjective
    ),
    "determiner_noun_agreement_with_adj_irregular_1": Paradigm(
        "determiner_noun_agreement", "morphology", PairMaker.determiner_irregular
    ),
    "regular_plural_subject_verb_agreement_1": Paradigm("subject_verb_agreement", "morphology", PairMaker.agreement),
    "distractor_agreement_prepositional_phrase": Paradigm(
        "subject_verb_agreement", "morphology", PairMaker.agreement_preposition
    ),
    "distractor_agreement_relative_clause": Paradigm(
        "subject_verb_agreement", "morphology", PairMaker.agreement_relative
    ),
    "anaphor_gender_agreement": Paradigm("anaphor_agreement", "morphology", PairMaker.reflexive_gender),
    "anaphor_number_agreement": Paradigm("anaphor_agreement", "morphology", PairMaker.reflexive_number),
    "principle_A_c_command": Paradigm("binding", "syntax_semantics", PairMaker.reflexive_command),
    "sentential_negation_npi_licensor_present": Paradigm("npi_licensing", "semantics", PairMaker.polarity_negation),
    "only_npi_licensor_present": Paradigm("npi_licensing", "semantics", PairMaker.polarity_only),
    "only_npi_scope": Paradigm("npi_licensing", "syntax_semantics", PairMaker.polarity_scope),
    "causative": Paradigm("argument_structure", "syntax", PairMaker.causative),
    "inchoative": Paradigm("argument_structure", "syntax", PairMaker.inchoative),
    "wh_vs_that_with_gap": Paradigm("filler_gap_dependency", "syntax", PairMaker.gap),
    "wh_vs_that_no_gap": Paradigm("filler_gap_dependency", "syntax", PairMaker.no_gap),
    "adjunct_island": Paradigm("island_effects", "syntax", PairMaker.adjunct),
    "irregular_past_participle_verbs": Paradigm("irregular_forms", "morphology", PairMaker.participle),
}


def paradigm_pairs(uid: str, *, seed: int = 0, pairs: int = 200) -> list[Pair]:
    """`pairs` different pairs of one paradigm, each with a held-out combination that its good sentence contains."""
    maker = PairMaker(Draw("babytalk/pairs", seed, uid))
    found: dict[str, Pair] = {}
    in_vain = 0
    while len(found) < pairs and in_vain < PATIENCE:
        in_vain += 1
        pair = PARADIGMS[uid].make(maker)
        if pair is None or not held_out(pair.combination) or len(set(pair.combination)) < len(pair.combination):
            continue
        contained = any(pair.combination in set(combinations(words)) for words in sentences(pair.good))
        if contained and pair.good not in found:
            found[pair.good] = pair
            in_vain = 0
    if len(found) < pairs:
        raise UserError(f"babytalk has only {len(found)} minimal pairs of {uid}, not {pairs}; ask for fewer pairs")
    return list(found.values())


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
