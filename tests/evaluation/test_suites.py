"""Suites by name: every one of the registry read, filtered, tokenised, evaluated; from folders and from a hub; and
which suites a folder offers."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.ewok_items import items, write_items
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.evaluation import hub_suites
from palenka_tune.evaluation.minimal_pairs import evaluate, tokenise_suite
from palenka_tune.evaluation.suites import (
    SUITES,
    SuiteChoice,
    choices_in,
    filter_choices,
    filter_suite,
    read_suite,
    read_suites,
)
from palenka_tune.evaluation.vocabulary import Vocabulary

PAIRS = {
    "agreement": [("The cats are happy.", "The cats is happy."), ("The dogs were not.", "The dogs was not.")],
    "islands": [("Who had seen?", "Who had seen who?"), ("Who thinks?", "Who thinks who?"), ("same", "same")],
}


def write_pairs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for uid, pairs in PAIRS.items():
        records = [
            {"sentence_good": good, "sentence_bad": bad, "UID": uid, "linguistics_term": uid[:3]} for good, bad in pairs
        ]
        (folder / f"{uid}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a folder for each suite of the registry."""
    for name in SUITES:
        if name.startswith("ewok"):
            write_items(tmp_path / "data" / name)
        else:
            write_pairs(tmp_path / "data" / name)
    return tmp_path / "data"


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_is_read_tokenised_and_evaluated(
    name: str, source: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    (suite,) = read_suites([name], source)
    assert suite.name == name
    calls: list[tuple[int, int]] = []
    results = evaluate(model, [tokenise_suite(tokenizer, suite)], progress=lambda *call: calls.append(call))
    found = results[name]
    assert calls[-1][0] == calls[-1][1] > 0
    assert found.pairs == suite.pairs == len(found.correct)
    correct = np.split(found.correct, np.cumsum([len(paradigm.pairs) for paradigm in suite.paradigms])[:-1])
    assert [paradigm.uid for paradigm in found.paradigms] == [paradigm.uid for paradigm in suite.paradigms]
    for paradigm, right in zip(found.paradigms, correct, strict=True):
        assert right.dtype == bool
        assert (len(right), right.sum()) == (paradigm.pairs, paradigm.correct)
    values = json.loads(json.dumps(results.to_dict()))[name]
    assert (values["read"], values["kept"], values["filtered_out"], values["left_out"]) == (
        suite.pairs,
        suite.pairs,
        0,
        [],
    )
    assert values["accuracy"] == np.mean([right.mean() for right in correct])
    assert ("same_target_after_two_contexts" in values) == name.startswith("ewok")


def test_several_suites_in_the_order_asked_and_a_folder_beside_them(source: Path, tmp_path: Path) -> None:
    mine = write_pairs(tmp_path / "mine")
    suites = read_suites(["ewok", str(mine), "blimp"], source)
    assert [suite.name for suite in suites] == ["ewok", "mine", "blimp"]
    (source / "blimp_supplement").rename(source / "supplement_filtered")  # as the challenge calls it
    assert read_suites(["blimp_supplement"], source)[0].pairs == 5


def test_the_filter_keeps_counts_and_names_what_is_left_out(
    source: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    words = Vocabulary(frozenset(["the", "cats", "are", "is", "happy", "dogs", "were", "was", "not", "same"]), "a list")
    suite = filter_suite(read_suite("blimp", source), words)
    assert suite.name == "blimp_filtered"
    assert (suite.pairs, suite.filtered_out, suite.left_out) == (3, 2, ())
    suite = filter_suite(read_suite("blimp", source), Vocabulary(words.words - {"same"}, "a list"))
    assert (suite.pairs, suite.filtered_out, suite.left_out) == (2, 3, ("islands",))
    values = evaluate(model, [tokenise_suite(tokenizer, suite)]).to_dict()["blimp_filtered"]
    assert (values["read"], values["kept"], values["filtered_out"], values["left_out"]) == (5, 2, 3, ["islands"])
    assert filter_suite(read_suite("blimp_filtered", source), words).name == "blimp_filtered"
    with pytest.raises(UserError, match="'blimp': none of its 5 pairs has all its words in nothing"):
        filter_suite(read_suite("blimp", source), Vocabulary(frozenset(), "nothing"))


def test_an_ewok_item_needs_the_words_of_all_its_texts(source: Path) -> None:
    (suite,) = read_suites(["ewok"], source)
    item = items()[0]
    words = {
        word for name in ("Context1", "Context2", "Target1", "Target2") for word in item[name].lower()[:-1].split()
    }
    kept = filter_suite(suite, Vocabulary(frozenset(words), "one item"))
    assert (kept.name, kept.pairs, len(kept.swapped_contexts[0].pairs)) == ("ewok_filtered", 2, 2)
    only_in_context2 = "none"
    assert only_in_context2 in words
    with pytest.raises(UserError, match="none of its"):
        filter_suite(suite, Vocabulary(frozenset(words - {only_in_context2}), "one word less"))


def test_names_and_folders_that_are_not_there(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no suite 'blmp' \(did you mean 'blimp'\?\)"):
        read_suites(["blmp"], source)
    with pytest.raises(UserError, match=r"no suite 'glue' \(known: blimp, "):
        read_suites(["glue"], source)
    with pytest.raises(UserError, match="suite 'ewok' needs its files; give --source a folder that holds ewok/, or"):
        read_suites(["ewok"])
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_suites(["ewok"], tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no folder ewok/ \(it holds no folder\)"):
        read_suites(["ewok"], tmp_path / "empty")
    with pytest.raises(UserError, match="'blimp' is given twice"):
        read_suites(["blimp", str(source / "blimp")], source)
    with pytest.raises(UserError, match="suite 'blimp_supplement' is not on the hub"):
        read_suites(["blimp_supplement"], "hub")
    with pytest.raises(UserError, match="no_such is not a folder"):
        read_suites([str(tmp_path / "no_such")], source)


def fake_hub(monkeypatch: pytest.MonkeyPatch, load) -> None:
    """The `datasets` library, answering from here."""
    names = lambda dataset: list(PAIRS)  # noqa: E731
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load, get_dataset_config_names=names))
    monkeypatch.setattr(hub_suites, "require_datasets", lambda source: None)


def test_the_hub_gives_the_same_suites_as_folders(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(dataset: str, name: str | None = None, *, split: str):
        if dataset == hub_suites.EWOK:
            assert (name, split) == (None, "test")
            return items()
        assert (dataset, split) == (hub_suites.BLIMP, "train")
        return [
            {"sentence_good": g, "sentence_bad": b, "linguistics_term": name[:3], "field": "f"} for g, b in PAIRS[name]
        ]

    fake_hub(monkeypatch, load)
    there, here = read_suites(["blimp", "ewok"], "hub"), read_suites(["blimp", "ewok"], source)
    for one, other in zip(there, here, strict=True):
        sets = {paradigm.uid: [pair.good for pair in paradigm.pairs] for paradigm in one.paradigms}
        assert sets == {paradigm.uid: [pair.good for pair in paradigm.pairs] for paradigm in other.paradigms}
    assert [paradigm.term for paradigm in there[0].paradigms] == ["agr", "isl"]


def test_who_has_no_access_reads_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise PermissionError("Dataset is a gated dataset.\nAsk for access.")

    fake_hub(monkeypatch, refuse)
    with pytest.raises(
        UserError, match=r"accept the terms on https://huggingface\.co/datasets/ewok-core/.*hf auth login"
    ):
        read_suites(["ewok"], "hub")
    with pytest.raises(PalenkaError, match=r"does not give nyu-mll/blimp.*; try again later") as error:
        read_suites(["blimp"], "hub")
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, UserError)


def test_the_hub_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'palenka-tune\[hub\]'"):
        read_suites(["ewok"], "hub")


def test_blimp_and_the_supplement_as_released(blimp: Path) -> None:
    suites = read_suites(["blimp", "blimp_supplement"], blimp.parent)
    assert [(len(suite.paradigms), suite.pairs) for suite in suites] == [(67, 67_000), (5, 5_218)]


PAIR = {"sentence_good": "The cats run.", "sentence_bad": "The cats runs."}
ITEM = {"Context1": "A.", "Context2": "B.", "Target1": "C.", "Target2": "D.", "Domain": "toys"}


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """Three suites of one item, the supplement under the challenge's name."""
    for name, record in (("blimp", PAIR), ("supplement_filtered", PAIR), ("ewok", ITEM)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "set.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path


def test_a_folder_of_pairs_is_a_suite_by_its_own_name_or_a_label(offered: Path) -> None:
    (choice,) = choices_in(offered / "blimp")
    assert choice.read().name == "blimp"
    assert SuiteChoice(str(offered / "blimp"), label="babytalk pairs").read().name == "babytalk pairs"


def test_a_folder_of_suites_offers_those_that_are_known(offered: Path) -> None:
    (offered / "other").mkdir()
    choices = choices_in(offered)
    assert [choice.name for choice in choices] == ["blimp", "blimp_supplement", "ewok"]
    assert [choice.read().pairs for choice in choices] == [1, 1, 2]


def test_what_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--source .* holds neither \.jsonl files of pairs nor any of blimp/"):
        choices_in(tmp_path, "--source")


def test_the_challenges_filter_leaves_the_supplement_alone(offered: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("the\ncats\nrun\nruns\na\nb\nc\nd\n")
    suites = [choice.read() for choice in filter_choices(choices_in(offered), words)]
    assert [suite.name for suite in suites] == ["blimp_filtered", "blimp_supplement", "ewok_filtered"]
    words.write_text("the\ncats\nrun\n")
    with pytest.raises(UserError, match="none of its 1 pairs"):
        filter_choices(choices_in(offered), words)[0].read()
    both = [SuiteChoice("blimp_filtered", "x"), SuiteChoice("blimp", "x"), SuiteChoice("ewok_filtered", "x")]
    assert filter_choices(both, "y") == (SuiteChoice("blimp", "x", vocabulary="y"), both[2])


def test_the_digest_is_of_the_files_of_the_suite(offered: Path) -> None:
    first = {choice.name: choice.digest() for choice in choices_in(offered)}
    assert first["blimp"] == first["blimp_supplement"] == SuiteChoice(str(offered / "blimp")).digest()  # the same file
    with (offered / "supplement_filtered" / "set.jsonl").open("a") as file:
        file.write(json.dumps(PAIR) + "\n")
    then = {choice.name: choice.digest() for choice in choices_in(offered)}
    assert {name for name in first if first[name] != then[name]} == {"blimp_supplement"}
