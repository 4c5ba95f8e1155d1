"""Corpus folders: accepted layouts, lazy clean lines, and one sentence for every input that cannot work."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from palenka_tune.data.corpus import open_corpus
from palenka_tune.errors import UserError


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


LAYOUTS = {
    "babylm": {"train_10M/childes.train": "a", "train_10M/bnc_spoken.train": "b", "dev/childes.dev": "c"},
    "plain names": {"train/x.train": "a", "dev/x.dev": "b", "test/x.test": "c"},
    "text files": {"train_100M/x.txt": "a", "validation/x.txt": "b", "test/x.txt": "c"},
    "flat": {"train.txt": "a", "valid.txt": "b"},
    "flat numbered": {"train_10M.txt": "a", "dev.txt": "b", "README.md": "no text"},
    "flat sources": {"childes.train": "a", "qed.train": "b", "childes.dev": "c"},
    "mixed": {"train/x.train": "a", "dev.txt": "b", ".hidden/x.train": "c", "notes/x.txt": "d"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str) -> None:
    corpus = open_corpus(write(tmp_path, LAYOUTS[layout]))
    expected = {name for name in LAYOUTS[layout] if not name.startswith((".", "notes", "README"))}
    assert {str(file.path.relative_to(tmp_path)) for file in corpus.files} == expected
    assert list(corpus.splits)[:2] == ["train", "dev"]
    assert all(file.source == file.path.stem for file in corpus.files)


def test_files_sorted_and_other_files_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"train/b.train": "2", "train/a.train": "1", "train/README.md": "x", "train/c.dev": "x", "dev/a.dev": "3"},
    )
    assert [file.source for file in open_corpus(tmp_path).splits["train"]] == ["a", "b"]


def test_lines_are_cleaned_by_source_and_keep_their_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "train/childes.train": "\ufeff*MOT: hi .\r\n\r\n@End\r\nold mac\rline",
            "train/other.train": "*MOT: stays .\n   \nlast line without an end",
            "dev/x.dev": "x",
        },
    )
    expected = ["hi.", "old mac", "line", "*MOT: stays .", "last line without an end"]
    assert list(open_corpus(tmp_path).lines("train")) == expected


def test_digests_follow_every_byte_and_name(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.train": "one", "dev/a.dev": "two"})
    before = open_corpus(tmp_path).digests("train")
    write(tmp_path, {"train/a.train": "onE"})
    changed = open_corpus(tmp_path).digests("train")
    (tmp_path / "train/a.train").rename(tmp_path / "train/childes.train")
    assert len({str(before), str(changed), str(open_corpus(tmp_path).digests("train"))}) == 3


def test_home_and_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(write(tmp_path, {"data/train.txt": "a", "data/dev.txt": "b"})))
    assert len(open_corpus("~/data").files) == 2


BROKEN = {
    "empty": ({}, "is empty"),
    "no train": ({"dev/a.dev": "x"}, "has no train split .it holds dev/"),
    "no dev": (
        {"train/a.train": "x", "test/a.test": "x"},
        r"has no dev split .it holds test/, train/.*train\.txt and dev\.txt",
    ),
    "two sizes": (
        {"train_10M/a.train": "x", "train_100M/a.train": "x", "dev/a.dev": "x"},
        "train_100M/ and train_10M/.*keep one",
    ),
    "folder and file": ({"train/a.train": "x", "train.txt": "x", "dev.txt": "x"}, r"train/ and train\.txt"),
    "folder and source files": ({"train/a.train": "x", "b.train": "x", "dev.txt": "x"}, r"train/ and b\.train"),
    "two devs": ({"train.txt": "x", "dev.txt": "x", "valid.txt": "x"}, r"dev\.txt and valid\.txt"),
    "wrong endings": (
        {"train/a.csv": "x", "dev/a.dev": "x"},
        r"train holds no file that ends in \.train, \.txt, \.md, \.jsonl, \.parquet",
    ),
    "empty files": ({"train/a.train": "", "train/b.train": "", "dev/a.dev": "x"}, "every file of the train split"),
    "trainer is no train": ({"trainer/a.train": "x", "dev/a.dev": "x"}, "no train split"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refused_with_one_sentence(tmp_path: Path, case: str) -> None:
    files, message = BROKEN[case]
    with pytest.raises(UserError, match=message) as caught:
        open_corpus(write(tmp_path, files))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path, {"storybook/train.txt": "a"})
    with pytest.raises(UserError, match=r"does not exist \(did you mean 'storybook'\?\)"):
        open_corpus(tmp_path / "storybok")
    with pytest.raises(UserError, match="does not exist; accepted are"):
        open_corpus(tmp_path / "nothing" / "there")


def test_a_single_file_is_split_by_its_documents(tmp_path: Path) -> None:
    file = write(tmp_path, {"all.txt": "".join(f"Story {n} begins\nand ends.\n\n" for n in range(200))}) / "all.txt"
    with pytest.raises(UserError, match=r"is a file; --set data\.dev_fraction=0\.05 keeps"):
        open_corpus(file)
    corpus = open_corpus(file, 0.2)
    train, dev = (list(corpus.lines(split)) for split in ("train", "dev"))
    assert sorted(train + dev) == sorted(line for n in range(200) for line in (f"Story {n} begins", "and ends."))
    assert 20 < len(dev) / 2 < 60
    assert all(line == "and ends." for line in dev[1::2])  # a document stays whole
    assert list(open_corpus(file, 0.2).lines("dev")) == dev
    with pytest.raises(UserError, match=r"splits a single file, and .* is a folder"):
        open_corpus(write(tmp_path, {"c/train.txt": "a", "c/dev.txt": "b"}) / "c", 0.1)


def test_every_kind_of_file_and_folders_below(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = json.dumps({"id": "x", "text": "One.\nTwo."}) + "\n\n" + json.dumps({"id": "y", "text": "Three."})
    files: dict[str, str | bytes] = {
        "train/sub/a.TXT": "Plain.\n",
        "train/b.md": "Marked.\n",
        "train/c.jsonl": record,
        "train/d.JSONL.gz": gzip.compress(json.dumps({"words": "Packed."}).encode()),
        "train/README.md": "no text",
        "train/e.csv": "no text",
        "dev/x.dev": "dev",
    }
    write(tmp_path, files)
    pq.write_table(pa.table({"text": ["Row one.", None, "Row two."], "n": [1, 2, 3]}), tmp_path / "train" / "f.parquet")
    corpus = open_corpus(tmp_path)
    expected = ["Marked.", "One.", "Two.", "Three.", "Packed.", "Row one.", "Row two.", "Plain."]
    assert list(corpus.lines("train")) == expected
    assert [file.name for file in corpus.splits["train"]][-1] == "sub/a.TXT"
    said = corpus.describe()
    assert said[0].startswith("train: 5 files, 0.00 MB: ")
    (ignored,) = corpus.describe_ignored()
    assert "README.md" in ignored
    assert "e.csv" in ignored
    assert [len(list(file.documents())) for file in corpus.splits["train"]] == [1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{', r"a\.jsonl, line 2, is not JSON"),
        ("a.jsonl", "[1]", r"a\.jsonl, line 1, is no record"),
        ("a.jsonl", '{"text": "x"}\n{"text": "\\ud83d"}', r"a\.jsonl, line 2: half a surrogate pair \(\\ud83d\)"),
        (
            "a.jsonl",
            '{"a": "x", "b": "y"}',
            r"must have a field 'text' or exactly one field of strings, and it has a, b",
        ),
        ("a.jsonl", '{"content": "x"}\n{"title": "y"}', r"line 2, has no text in its field 'content'"),
        ("a.jsonl", '{"text": {"en": "x"}}', r"line 1, has no text in its field 'text'"),
        ("a.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0", r"a\.txt is a Git LFS pointer"),
        ("a.parquet", "version https://git-lfs.github.com/spec/v1\n", r"a\.parquet is a Git LFS pointer"),
        ("a.parquet", "no parquet", r"a\.parquet cannot be read as Parquet"),
        ("a.jsonl.gz", "no gzip", r"a\.jsonl\.gz cannot be unpacked"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    write(tmp_path, {f"train/{name}": content, "dev/a.dev": "x"})
    with pytest.raises(UserError, match=message):
        list(open_corpus(tmp_path).lines("train"))


def test_a_record_without_a_text_is_left_out_and_none_of_its_other_fields_is_read(tmp_path: Path) -> None:
    records = [{"text": "One.", "source": "web"}, {"text": None, "source": "web"}, {"text": "Two."}]
    lines = "\ufeff" + "\n".join(map(json.dumps, records))
    write(tmp_path, {"train/a.jsonl": lines, "dev/a.dev": "x"})
    assert list(open_corpus(tmp_path).lines("train")) == ["One.", "Two."]


def test_a_column_of_parquet_may_keep_its_strings_in_any_way(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write(tmp_path, {"train/README.md": "", "dev/a.dev": "x"})
    rows = pa.array(["One.", "Two.", "One."])
    ways = {
        "large": rows.cast(pa.large_string()),
        "view": rows.cast(pa.string_view()),
        "dict": rows.dictionary_encode(),
    }
    for name, column in ways.items():
        pq.write_table(pa.table({"text": column}), tmp_path / "train" / f"{name}.parquet")
    assert list(open_corpus(tmp_path).lines("train")) == ["One.", "Two.", "One."] * 3


@pytest.mark.parametrize("name", ["train/b.train", "train/b.csv", "train/more", "other", "test"])
def test_a_link_to_nothing_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"train/a.train": "x", "dev/a.dev": "x"})
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=rf"{re.escape(name)} is a link to a file that is not there"):
        open_corpus(tmp_path)


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"c/train/a.train": "One.", "c/dev/a.dev": "x", "far/b.train": "Two.", "far/.c.train": "hidden"})
    (tmp_path / "c" / "train" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "c" / "train")
    assert list(open_corpus(tmp_path / "c").lines("train")) == ["One.", "Two."]


def test_what_is_not_read_is_listed(tmp_path: Path) -> None:
    """Beside the splits and in them, in one line, however much it is."""
    write(tmp_path, {"train/a.train": "x", "dev/a.dev": "x"})
    assert open_corpus(tmp_path).describe_ignored() == []
    write(tmp_path, {f"train/{n}.text": "x" * n for n in range(20)} | {"extra.doc": "x" * 10**6, "other/z.txt": "x"})
    (line,) = open_corpus(tmp_path).describe_ignored()
    assert line.startswith("not read: 21 files, 1.00 MB: other/, extra.doc (1.00 MB), 19.text (0.00 MB)")
    assert ", and 16 more; read are .train, .dev and .test, .txt" in line


LINE = "The cat sat on the mat.\n"


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (LINE.encode("utf-16-le"), "UTF-16LE"),
        (LINE.encode("utf-16-be"), "UTF-16BE"),
        (LINE.encode("utf-32-le"), "UTF-32LE"),
        (LINE.encode("utf-32-be"), "UTF-32BE"),
        ("Кошка сидит на окне.\n".encode("utf-16-le"), "UTF-16LE"),
        (LINE.encode("utf-16"), "UTF-16"),
        (LINE.encode("utf-32"), "UTF-32"),
        (b"\n\n" + LINE.encode("utf-16-le"), "UTF-16LE"),
        (gzip.compress(LINE.encode()), "gzip"),
        (b"PK\x03\x04\xff", "zip"),
        (bytes(range(256)), "binary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_refused_with_what_it_looks_like(tmp_path: Path, content: bytes, looks: str) -> None:
    write(tmp_path, {"train/a.train": content, "dev/a.dev": "x"})
    with pytest.raises(
        UserError, match=rf"a\.train is (no text|not UTF-8): byte 0x.. at .*\(it looks (like )?{looks}\); "
    ):
        list(open_corpus(tmp_path).lines("train"))


def test_a_single_nul_byte_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.train": LINE * 200 + "a\0b\n", "dev/a.dev": "x"})
    with pytest.raises(UserError, match=r"a\.train is no text: byte 0x00 at byte offset 4801 cannot be read; "):
        list(open_corpus(tmp_path).lines("train"))


@pytest.mark.parametrize(
    ("content", "offset", "byte"),
    [
        (b"caf\xe9\n", 3, "e9"),
        ("žluť\n".encode() * 1000 + b"ok \xff", 7003, "ff"),
        (b"\xff\xfea\x00", 0, "ff"),
        (b"x\nab\xc5", 4, "c5"),
    ],
)
def test_not_utf8_names_file_and_offset(tmp_path: Path, content: bytes, offset: int, byte: str) -> None:
    write(tmp_path, {"train/a.train": content, "dev/a.dev": "x"})
    with pytest.raises(UserError, match=rf"a\.train is not UTF-8: byte 0x{byte} at byte offset {offset} "):
        list(open_corpus(tmp_path).lines("train"))
