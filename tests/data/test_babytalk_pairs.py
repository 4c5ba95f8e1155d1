"""The minimal pairs: BLiMP's format, one difference, and nothing of them in the corpus but their words."""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from palenka_tune.data import babytalk
from palenka_tune.data.babytalk.heldout import SHARES, allowed, combinations, held_out, sentences
from palenka_tune.data.babytalk.lexicon import nouns, verbs
from palenka_tune.data.babytalk.pairs import OFTEN, PARADIGMS, Pair, paradigm_pairs
from palenka_tune.errors import UserError

FIELDS = ["sentence_good", "sentence_bad", "UID", "linguistics_term", "field", "pairID"]


@functools.cache
def corpus() -> list[list[str]]:
    """The sentences of the default train, dev and test splits, as lower-case words."""
    return [
        re.findall(r"[a-z']+", part)
        for split, words in babytalk.WORDS.items()
        for lines in babytalk.generate(split, words=words).values()
        for line in lines
        for part in re.split(r"[.?!]", line.lower())
    ]


@functools.cache
def where() -> dict[str, frozenset[int]]:
    """Each word's sentences."""
    index: dict[str, set[int]] = collections.defaultdict(set)
    for number, words in enumerate(corpus()):
        for word in words:
            index[word].add(number)
    return {word: frozenset(found) for word, found in index.items()}


@functools.cache
def suite() -> dict[str, list[dict[str, str]]]:
    return babytalk.minimal_pairs()


@functools.cache
def pairs_of(uid: str) -> list[Pair]:
    return paradigm_pairs(uid)


@functools.cache
def forms(lemma: str) -> frozenset[str]:
    """All forms of a noun or verb, from the lexicon alone."""
    found = {lemma}
    for noun in nouns().values():
        if noun.singular.lower() == lemma:
            found |= {noun.singular.lower(), noun.plural} - {""}
    for verb in verbs():
        if verb.base == lemma:
            found |= {verb.base, verb.third, verb.past, verb.participle, verb.ing}
    return frozenset(found)


def has_in_order(words: list[str], lemmas: tuple[str, ...], between: int | None) -> bool:
    """True if forms of `lemmas` follow each other in `words`, at most `between` words apart (None: any number)."""
    reach = {i for i, word in enumerate(words) if word in forms(lemmas[0])}
    for lemma in lemmas[1:]:
        reach = {
            j
            for i in reach
            for j in range(i + 1, len(words) if between is None else min(len(words), i + 2 + between))
            if words[j] in forms(lemma)
        }
    return bool(reach)


def test_records_have_blimps_fields_and_every_paradigm_its_pairs() -> None:
    assert 12 <= len(suite()) <= 20
    for uid, records in suite().items():
        assert len(records) == 200
        assert [record["pairID"] for record in records] == [str(i) for i in range(200)]
        for record in records:
            assert list(record) == FIELDS
            assert record["UID"] == uid
            assert all(isinstance(value, str) and value for value in record.values())
        assert len({record["sentence_good"] for record in records}) == 200


def test_labels_are_blimps() -> None:
    root = Path(os.environ.get("PALENKA_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    blimp = root / "blimp"
    if not blimp.is_dir():
        pytest.skip(f"no BLiMP in {root}; set PALENKA_TEST_DATA to a folder that holds blimp/")
    for uid, paradigm in PARADIGMS.items():
        path = blimp / f"{uid}.jsonl"
        if path.exists():
            first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
            assert list(first) == FIELDS
            assert (first["linguistics_term"], first["field"]) == (paradigm.term, paradigm.field)


@pytest.mark.parametrize("uid", PARADIGMS)
def test_good_and_bad_differ_in_one_point(uid: str) -> None:
    for record in suite()[uid]:
        good = re.findall(r"[\w']+", record["sentence_good"].lower())
        bad = re.findall(r"[\w']+", record["sentence_bad"].lower())
        assert good != bad
        if uid in ("adjunct_island", "only_npi_scope"):
            assert sorted(good) == sorted(bad)
        else:
            assert len(good) == len(bad)
            assert sum(one != other for one, other in zip(good, bad, strict=True)) == 1


def test_no_sentence_of_the_suite_is_in_the_corpus() -> None:
    seen = {" ".join(words) for words in corpus()}
    for records in suite().values():
        for record in records:
            for key in ("sentence_good", "sentence_bad"):
                assert " ".join(re.findall(r"[a-z']+", record[key].lower())) not in seen


@pytest.mark.parametrize("uid", PARADIGMS)
def test_no_combination_of_the_suite_is_in_the_corpus(uid: str) -> None:
    """Looks for the words' forms in the text itself, without the rules that the generator used."""
    for combination in {pair.combination for pair in pairs_of(uid)}:
        rule, *rest = combination
        lemmas = tuple(rest)
        candidates = [frozenset().union(*(where().get(form, frozenset()) for form in forms(word))) for word in lemmas]
        for number in frozenset.intersection(*candidates):
            words = corpus()[number]
            match rule:
                case "determiner" | "adjective":
                    assert not re.search(rf"\b{' '.join(lemmas)}\b", " ".join(words)), words
                case "attractor":
                    assert not has_in_order(words, lemmas, None), words
                case "polarity":
                    assert "ever" not in words or not has_in_order(words, lemmas, None), words
                case "reflexive":
                    noun, verb = ("|".join(forms(word)) for word in lemmas)
                    assert not re.search(rf"\b({noun}) ((has|have|can) )?({verb}) \w+(self|selves)\b", " ".join(words))
                case "pair" | "clause" | "chain":
                    assert not has_in_order(words, lemmas, 0), words


def test_every_word_of_the_suite_is_known_from_train() -> None:
    counts = collections.Counter(
        word
        for lines in babytalk.generate("train", words=babytalk.WORDS["train"]).values()
        for line in lines
        for word in re.findall(r"[a-z']+", line.lower())
    )
    words = {
        word
        for records in suite().values()
        for record in records
        for word in re.findall(r"[a-z']+", (record["sentence_good"] + " " + record["sentence_bad"]).lower())
    }
    assert not {word: counts[word] for word in words if counts[word] < OFTEN}


def test_every_split_and_seed_leaves_the_same_combinations_out() -> None:
    for split, seed in (("train", 3), ("dev", 4), ("test", 5)):
        for lines in babytalk.generate(split, words=4_000, seed=seed).values():
            assert all(allowed(line) for line in lines)


def test_the_rules_find_what_they_should() -> None:
    (words,) = sentences("The girl that the boys like has ever washed herself.")
    found = set(combinations(words))
    assert ("attractor", "girl", "boy", "wash") in found
    assert ("polarity", "girl", "wash") in found
    assert ("pair", "boy", "like") in found
    assert ("reflexive", "boy", "wash") not in found
    assert ("reflexive", "mia", "wash") in combinations(sentences("Mia has washed herself.")[0])
    assert ("adjective", "these", "red", "cups") in combinations(sentences("These red cups.")[0])
    assert ("chain", "eat", "wash", "cup") in combinations(sentences("What did she eat before washing the cup?")[0])


@pytest.mark.parametrize("rule", SHARES)
def test_about_the_stated_share_is_held_out(rule: str) -> None:
    share = sum(held_out((rule, str(i), "x")) for i in range(4_000)) / 40
    assert abs(share - SHARES[rule]) < 3


def test_a_combination_is_spread_over_few_pairs() -> None:
    for uid in PARADIGMS:
        counts = collections.Counter(pair.combination for pair in pairs_of(uid))
        assert len(counts) >= 60, uid
        assert counts.most_common(1)[0][1] <= 20, uid


def test_suite_is_the_same_each_time_and_changes_with_the_seed() -> None:
    again = babytalk.minimal_pairs(pairs=20)
    assert again == {uid: records[:20] for uid, records in suite().items()}
    assert babytalk.minimal_pairs(seed=1, pairs=20) != again


def test_files_are_json_lines(tmp_path: Path) -> None:
    babytalk.write_minimal_pairs(tmp_path, pairs=5)
    assert {path.stem for path in tmp_path.glob("*.jsonl")} == set(PARADIGMS)
    for path in tmp_path.glob("*.jsonl"):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert records == babytalk.minimal_pairs(pairs=5)[path.stem]


def test_too_many_pairs_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(UserError, match=r"has only \d+ minimal pairs"):
        paradigm_pairs("anaphor_number_agreement", pairs=3_000)


def test_suite_changes_only_with_the_version() -> None:
    """A frozen digest: change `VERSION` and this value together."""
    found = hashlib.sha256(repr(babytalk.minimal_pairs(pairs=20)).encode()).hexdigest()[:16]
    assert (babytalk.VERSION, found) == ("2", "d5dd1de4eccd38a1")
