import json
from pathlib import Path

import pytest

from palenka_tune.errors import UserError
from palenka_tune.evaluation.blimp import read_blimp
from palenka_tune.evaluation.suite import MinimalPair

LINE = json.dumps({"sentence_good": "The cats run.", "sentence_bad": "The cats runs."})


def test_reads_labels_and_lines(tmp_path: Path) -> None:
    labelled = json.dumps(json.loads(LINE) | {"UID": "agreement", "linguistics_term": "sva", "field": "morphology"})
    (tmp_path / "b.jsonl").write_text(f"{labelled}\n\n{labelled}\r\n")
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + LINE.encode())
    (tmp_path / "._a.jsonl").write_bytes(b"\x00resource fork")
    (tmp_path / "README.md").write_text("not a paradigm")
    suite = read_blimp(tmp_path)
    first, second = suite.paradigms
    assert (suite.name, first.uid, first.term) == ("blimp", "a", None)
    assert (second.uid, second.term, second.path) == ("agreement", "sva", tmp_path / "b.jsonl")
    assert second.pairs[1].record == json.loads(labelled)
    assert second.pairs == tuple(MinimalPair("The cats run.", "The cats runs.", line) for line in (1, 3))


def test_several_paradigms_in_one_file_are_told_apart(tmp_path: Path) -> None:
    records = [json.dumps(json.loads(LINE) | {"UID": uid}) for uid in ("x", "y", "x")]
    (tmp_path / "all.jsonl").write_text("\n".join(records))
    assert [(paradigm.uid, len(paradigm.pairs)) for paradigm in read_blimp(tmp_path).paradigms] == [("x", 2), ("y", 1)]


def test_folders_without_a_suite(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_blimp(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"has no \.jsonl file; give"):
        read_blimp(tmp_path)
    (tmp_path / "blimp").mkdir()
    (tmp_path / "blimp" / "a.jsonl").write_text(LINE)
    with pytest.raises(UserError, match=r"has no \.jsonl file; did you mean .*blimp\?"):
        read_blimp(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{LINE}\n{{"sentence_good": "torn', r"a\.jsonl, line 2: not JSON"),
        (f"{LINE}\n\n[1]\n", r"a\.jsonl, line 3: a JSON list"),
        (LINE.replace("sentence_bad", "bad"), r"line 1: no field 'sentence_bad' \(fields: sentence_good, bad\)"),
        (LINE.replace('"The cats run."', "null"), "line 1: sentence_good is None; it must be a sentence"),
        (LINE.replace("The cats runs.", " "), "line 1: sentence_bad is ' '"),
        ("\n", r"a\.jsonl: no item in it"),
        (b"\xff\xfe" + LINE.encode(), r"a\.jsonl, line 1: not JSON"),
    ],
)
def test_files_that_cannot_be_read_as_meant(content: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message):
        read_blimp(tmp_path)


def test_one_paradigm_in_two_files_is_not_counted_twice(tmp_path: Path) -> None:
    labelled = json.dumps(json.loads(LINE) | {"UID": "agreement"})
    (tmp_path / "agreement.jsonl").write_text(labelled)
    (tmp_path / "agreement (1).jsonl").write_text(labelled)
    with pytest.raises(UserError, match=r"paradigm 'agreement' is in agreement \(1\)\.jsonl too"):
        read_blimp(tmp_path)


def test_blimp_as_released(blimp: Path) -> None:
    paradigms = read_blimp(blimp).paradigms
    assert (len(paradigms), sum(len(paradigm.pairs) for paradigm in paradigms)) == (67, 67_000)
    assert len({paradigm.term for paradigm in paradigms}) == 13
    assert sum(pair.good == pair.bad for paradigm in paradigms for pair in paradigm.pairs) == 7
