"""Which suites a folder offers, and what becomes of them."""

from __future__ import annotations

import json

import pytest

from palenka_tune.errors import UserError
from palenka_tune.evaluation.choice import SuiteChoice, choices_in, filtered

PAIR = {"sentence_good": "The cats run.", "sentence_bad": "The cats runs."}
ITEM = {"Context1": "A.", "Context2": "B.", "Target1": "C.", "Target2": "D.", "Domain": "toys"}


@pytest.fixture
def source(tmp_path):
    for name, record in (("blimp", PAIR), ("supplement_filtered", PAIR), ("ewok", ITEM)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "set.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path


def test_a_folder_of_pairs_is_a_suite_by_its_own_name_or_a_label(source):
    (choice,) = choices_in(source / "blimp")
    assert choice.read().name == "blimp"
    assert SuiteChoice(str(source / "blimp"), label="babytalk pairs").read().name == "babytalk pairs"


def test_a_folder_of_suites_offers_those_that_are_known(source):
    (source / "other").mkdir()
    choices = choices_in(source)
    assert [choice.name for choice in choices] == ["blimp", "blimp_supplement", "ewok"]
    assert [choice.read().pairs for choice in choices] == [1, 1, 2]


def test_what_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--source .* holds neither \.jsonl files of pairs nor any of blimp/"):
        choices_in(tmp_path, "--source")


def test_the_challenges_filter_leaves_the_supplement_alone(source, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("the\ncats\nrun\nruns\na\nb\nc\nd\n")
    suites = [choice.read() for choice in filtered(choices_in(source), words)]
    assert [suite.name for suite in suites] == ["blimp_filtered", "blimp_supplement", "ewok_filtered"]
    words.write_text("the\ncats\nrun\n")
    with pytest.raises(UserError, match="none of its 1 pairs"):
        filtered(choices_in(source), words)[0].read()
