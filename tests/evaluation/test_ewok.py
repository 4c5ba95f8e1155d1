"""Items in EWoK's format: both scores against a slow loop, and files that cannot be read. All items are our own."""

import csv
import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.ewok_items import items, write_items
from palenka_tune.errors import UserError
from palenka_tune.evaluation.ewok import FIELDS, read_ewok
from palenka_tune.evaluation.minimal_pairs import evaluate, tokenise_suite

ITEM = {
    "Context1": "The bag is full of stones.",
    "Context2": "The bag is full of feathers.",
    "Target1": "It is heavy.",
    "Target2": "It is light.",
}


def turned(item: dict[str, str]) -> dict[str, str]:
    """Contexts and targets swapped, as the challenge's files repeat each item."""
    return {
        **item,
        **dict(zip(FIELDS, (item[name] for name in ("Context2", "Context1", "Target2", "Target1")), strict=True)),
    }


def test_domains_pairs_and_both_readings(tmp_path: Path) -> None:
    lines = [ITEM | {"Domain": "weight"}, ITEM | {"Domain": "other"}]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "bags.jsonl").write_text(json.dumps(ITEM))
    suite = read_ewok(tmp_path)
    assert (suite.name, [paradigm.uid for paradigm in suite.paradigms]) == ("ewok", ["weight", "other", "bags"])
    first, second = suite.paradigms[0].pairs
    assert (first.good_context, first.good, first.bad_context, first.bad) == (
        ITEM["Context1"],
        ITEM["Target1"],
        ITEM["Context1"],
        ITEM["Target2"],
    )
    assert (second.good_context, second.good, second.bad) == (ITEM["Context2"], ITEM["Target2"], ITEM["Target1"])
    one, other = suite.swapped_contexts[0].pairs
    assert (one.good, one.bad, one.good_context, one.bad_context) == (
        ITEM["Target1"],
        ITEM["Target1"],
        ITEM["Context1"],
        ITEM["Context2"],
    )
    assert (other.good, other.good_context, other.bad_context) == (ITEM["Target2"], ITEM["Context2"], ITEM["Context1"])
    assert set(first.texts) == set(ITEM.values())
    assert suite.pairs == 6


def test_the_challenges_files_say_each_item_twice_and_count_once(tmp_path: Path) -> None:
    for folder, double in (("once", False), ("twice", True)):
        (tmp_path / folder).mkdir()
        lines = [line for item in items()[:9] for line in ([item, turned(item)] if double else [item])]
        (tmp_path / folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    once, twice = (read_ewok(tmp_path / folder) for folder in ("once", "twice"))
    assert once.pairs == twice.pairs == 18
    assert [pair.good for pair in once.paradigms[0].pairs] == [pair.good for pair in twice.paradigms[0].pairs]


def test_csv_with_quotes_and_line_breaks_reads_like_jsonl(tmp_path: Path) -> None:
    records = [
        ITEM | {"Domain": "weight"},
        items()[-1],
        ITEM | {"Target1": 'She said: "heavy,\nvery"', "Domain": "weight"},
    ]
    for folder in ("csv", "jsonl"):
        (tmp_path / folder).mkdir()
    with (tmp_path / "csv" / "x.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["Domain", *FIELDS])
        writer.writeheader()
        writer.writerows(records)
    (tmp_path / "jsonl" / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pairs = [
        [
            (paradigm.uid, pair.good_context, pair.good, pair.bad)
            for paradigm in suite.paradigms
            for pair in paradigm.pairs
        ]
        for suite in (read_ewok(tmp_path / folder) for folder in ("csv", "jsonl"))
    ]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 6


def slow_score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, context: str, target: str) -> float:
    """log p(" target" | context) in float64; this tokenizer puts no special tokens."""
    given, whole = (tokenizer(text)["input_ids"] for text in (context, f"{context} {target}"))
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([whole[:-1]])).logits.double(), -1)[0]
    return float(sum(log_p[place - 1, whole[place]] for place in range(len(given), len(whole))))


def test_both_scores_equal_a_slow_reference(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    assert write_items(tmp_path) >= 56
    suite = read_ewok(tmp_path)
    found = evaluate(model, [tokenise_suite(tokenizer, suite)])["ewok"]
    reference = model.double().eval()
    babylm: dict[str, list[bool]] = {}
    own: dict[str, list[bool]] = {}
    for item in items():
        c1, c2, t1, t2 = (item[name] for name in FIELDS)
        score = {(c, t): slow_score(reference, tokenizer, c, t) for c in (c1, c2) for t in (t1, t2)}
        babylm.setdefault(item["Domain"], []).extend([score[c1, t1] >= score[c1, t2], score[c2, t2] >= score[c2, t1]])
        own.setdefault(item["Domain"], []).extend([score[c1, t1] >= score[c2, t1], score[c2, t2] >= score[c1, t2]])
    assert found.swapped_contexts is not None
    for result, expected in ((found, babylm), (found.swapped_contexts, own)):
        assert {p.uid: (p.pairs, p.correct) for p in result.paradigms} == {
            domain: (len(right), sum(right)) for domain, right in expected.items()
        }
    assert 0.2 < found.accuracy < 0.8
    assert found.correct.tolist() != found.swapped_contexts.correct.tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", json.dumps(ITEM) + "\n{torn", r"a\.jsonl, line 2: not JSON"),
        (
            "a.jsonl",
            json.dumps({k: v for k, v in ITEM.items() if k != "Target2"}),
            r"line 1: no field 'Target2' .*EWoK's",
        ),
        ("a.jsonl", json.dumps(ITEM | {"Context2": " "}), "line 1: Context2 is ' '; it must be a sentence"),
        ("a.jsonl", "\n", r"a\.jsonl: no item in it"),
        (
            "a.csv",
            "Stones.,Feathers.,Heavy.,Light.\nStones.,Feathers.,Heavy.,Light.\n",
            r"a\.csv, line 1: no header \(it reads",
        ),
        ("a.csv", "Context1,Context2,Target1\nA b,C d,E f\n", r"a\.csv, line 2: no field 'Target2'"),
        ("a.csv", "Context1,Context2,Target1,Target2\nA b,C d,E f\n", r"a\.csv, line 2: Target2 is None"),
        ("a.csv", "Context1,Context2,Target1,Target2\na,b,c,d,e\n", "line 2: more cells than the header"),
        ("a.csv", "Context1,Context2,Target1,Target2\n", r"a\.csv: no item in it"),
        ("a.csv", b"Context1\n\xff\n", r"a\.csv is not UTF-8 \(byte 9\)"),
        ("a.csv", 'Context1,Context2,Target1,Target2\na,b,c,"d\n', r"a\.csv, line 2: not CSV"),
        ("a.txt", "nothing", r"has no \.jsonl or \.csv file"),
    ],
)
def test_files_that_cannot_be_read_as_meant(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message):
        read_ewok(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"EWoK: .*nowhere is not a folder"):
        read_ewok(tmp_path / "nowhere")
