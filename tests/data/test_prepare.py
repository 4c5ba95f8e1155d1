"""From settings to a store: reuse, fingerprints that follow every input, and refusals before and during the work."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from palenka_tune.data.prepare import DataSettings, check, glance, prepare
from palenka_tune.data.tokenizer import load_tokenizer
from palenka_tune.errors import PalenkaError, UserError

WORDS = ("the", "a", "cat", "dog", "owl", "saw", "met", "liked", "big", "small", "red", "and", "then")


def sentences(count: int, seed: int) -> str:
    draw = random.Random(seed)
    return "\n".join(" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) + "." for _ in range(count)) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "train/a.train": sentences(300, 0),
        "train/b.train": sentences(50, 1),
        "dev/a.dev": sentences(40, 2),
    }.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "corpus"


def settings(folder: Path, **changes: int | str) -> DataSettings:
    return DataSettings(source=str(folder), **{"vocabulary": 300, "window": 32, **changes})


@pytest.mark.parametrize(("unit", "noted"), [("line", {}), ("paragraph", {"unit": "paragraph"})])
def test_a_model_notes_what_its_texts_were(folder: Path, tmp_path: Path, unit: str, noted: dict[str, str]) -> None:
    """So that it is measured on texts of the same kind."""
    from palenka_tune.models.build import build_for_store
    from palenka_tune.models.presets import get_preset

    store = prepare(settings(folder, unit=unit), tmp_path / "runs").store
    assert build_for_store(get_preset("GPT2-tiny"), store, seed=0).config.palenka_tune == {"window": 32, **noted}


def test_prepare_and_reuse(folder: Path, tmp_path: Path, logged) -> None:
    check(settings(folder))
    data = prepare(settings(folder), tmp_path / "runs")
    assert data.tokenizer_dir.parent == tmp_path / "runs/artifacts/tokenizers"
    assert data.store.folder.parent == tmp_path / "runs/artifacts/tokens"
    assert data.fingerprint == data.store.fingerprint == data.store.folder.name
    assert data.minimal_pairs is None
    assert any("tokenizer trained" in line for line in logged)
    line = f"tokens train {data.store.tokens('train'):,}, dev {data.store.tokens('dev'):,}"
    assert line in data.describe()
    assert "\n" not in data.describe()
    text = load_tokenizer(data.tokenizer_dir).decode(data.store.windows("train").ravel().tolist())
    assert (
        text.split() == (folder / "train/a.train").read_text().split() + (folder / "train/b.train").read_text().split()
    )

    files = [path for path in (tmp_path / "runs/artifacts").rglob("*.*") if path.is_file() and path.suffix != ".lock"]
    stamps = {path: path.stat().st_mtime_ns for path in files}
    logged.clear()
    again = prepare(settings(folder), tmp_path / "runs")
    assert again.fingerprint == data.fingerprint
    assert logged == []
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_the_place_of_the_text_does_not_matter(folder: Path, tmp_path: Path) -> None:
    first = prepare(settings(folder), tmp_path / "one")
    moved = folder.rename(tmp_path / "moved")
    assert prepare(settings(moved), tmp_path / "two").fingerprint == first.fingerprint


@pytest.mark.parametrize("changed", ["train/b.train", "dev/a.dev", "vocabulary", "window", "name"])
def test_fingerprint_follows(folder: Path, tmp_path: Path, changed: str) -> None:
    before = prepare(settings(folder), tmp_path / "runs")
    other = settings(folder)
    if changed == "name":
        (folder / "train/a.train").rename(folder / "train/qed.train")
    elif changed in ("vocabulary", "window"):
        other = settings(folder, **{changed: {"vocabulary": 290, "window": 33}[changed]})
    else:
        content = bytearray((folder / changed).read_bytes())
        content[10] ^= 1
        (folder / changed).write_bytes(content)
    after = prepare(other, tmp_path / "runs")
    assert after.fingerprint != before.fingerprint
    same_tokenizer = changed in ("dev/a.dev", "window")
    assert (after.tokenizer_dir == before.tokenizer_dir) == same_tokenizer


def test_settings() -> None:
    assert DataSettings() == DataSettings("babytalk", 2048, 64)
    with pytest.raises(UserError, match="vocabulary is 100"):
        DataSettings(vocabulary=100)
    with pytest.raises(UserError, match="window is 1; it must be from 2 to 8,192 tokens"):
        DataSettings(window=1)
    with pytest.raises(UserError, match="data source is empty"):
        DataSettings(source=" ")
    with pytest.raises(ValidationError, match="vocab_size"):
        TypeAdapter(DataSettings).validate_python({"vocab_size": 300})


def test_a_dev_smaller_than_a_window(folder: Path, tmp_path: Path) -> None:
    """Cheaply by its bytes when that is certain, exactly by its tokens otherwise."""
    (folder / "dev/a.dev").write_text("a cat\n")
    with pytest.raises(
        UserError, match=r"dev split of .* has at most 8 tokens, which is less than one window of 32; add"
    ):
        check(settings(folder))
    (folder / "dev/a.dev").write_text("the big cat saw the small red dog and then the owl.\n")
    check(settings(folder))
    with pytest.raises(UserError, match=r"dev split of .* has 1[0-9] tokens, which is less than one window of 32; add"):
        prepare(settings(folder), tmp_path / "runs")
    assert not list((tmp_path / "runs/artifacts/tokens").glob("*/")), "a refused store leaves nothing behind"


def test_text_that_cleans_to_nothing(folder: Path) -> None:
    (folder / "dev/a.dev").write_text("----\n" * 100)
    with pytest.raises(UserError, match=r"dev split of .* has at most 0 tokens"):
        check(settings(folder))


@pytest.mark.parametrize("change", [str, lambda text: text.replace("\n", "\r\n\r\n"), str.rstrip])
def test_dev_that_is_a_file_of_train_is_refused(folder: Path, change) -> None:
    (folder / "dev/a.dev").write_text(change((folder / "train/b.train").read_text()))
    with pytest.raises(UserError, match=r"a\.dev of dev has the same lines as .*b\.train of train"):
        check(settings(folder))
    (folder / "dev/a.dev").write_text(sentences(40, 2))
    for split in ("train", "dev"):
        (folder / split / f"blank.{split}").write_text("\n\n")
    assert check(settings(folder)).doubts == ()
    (folder / "train/c.train").write_text("One short line.\n")  # a small part of dev is told and taken
    (folder / "dev/d.dev").write_text("One short line.\n")
    assert check(settings(folder)).doubts == ("d.dev of dev has the same lines as c.train of train",)


WRAPPED = "It was a dark and stormy night; the rain fell in torrents {} except\n"


@pytest.mark.parametrize(("unit", "noticed"), [("line", 1), ("paragraph", 0)])
def test_hard_wrapped_text_is_noticed_once_before_and_in_the_work(
    folder: Path, tmp_path: Path, logged, unit: str, noticed: int
) -> None:
    """By the default path, whose tokenizer is trained on the same lines, and by file."""
    (folder / "train/book.train").write_text("".join(map(WRAPPED.format, range(400))))
    (folder / "train/e.csv").write_text("x")
    for told in (check(settings(folder, unit=unit)), glance(settings(folder, unit=unit))):
        assert sum("most lines of book.train end in mid-sentence" in line for line in told.doubts) == noticed
        assert any("not read: 1 file, 0.00 MB: e.csv" in line for line in told.doubts)
    prepare(settings(folder, unit=unit), tmp_path / "runs")
    assert sum("most lines of book.train end in mid-sentence" in line for line in logged) == noticed
    assert any("train: 3 files" in line for line in logged)


def test_a_glance_at_a_large_corpus_reads_the_beginnings(folder: Path, monkeypatch) -> None:
    (folder / "train/b.train").write_bytes((sentences(5000, 3) + "\0").encode())
    with pytest.raises(UserError, match="is no text"):
        glance(settings(folder))
    monkeypatch.setattr("palenka_tune.data.prepare.GLANCE", 1000)
    glance(settings(folder))
    (folder / "train/b.train").write_bytes(sentences(50, 3).encode("utf-16-le"))
    with pytest.raises(UserError, match="looks like UTF-16LE"):
        glance(settings(folder))


def test_check_reads_every_byte(folder: Path) -> None:
    """A bad byte at the end of the last file is found before the work, and nothing is written."""
    with (folder / "train/b.train").open("ab") as file:
        file.write(b"\xff")
    with pytest.raises(UserError, match=r"b\.train is not UTF-8"):
        check(settings(folder))


def test_a_damaged_artifact_is_told(folder: Path, tmp_path: Path) -> None:
    data = prepare(settings(folder), tmp_path / "runs")
    path = data.store.folder / "train.arrow"
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(PalenkaError, match="damaged; delete the folder"):
        prepare(settings(folder), tmp_path / "runs")


def test_babytalk(tmp_path: Path) -> None:
    check(DataSettings())
    data = prepare(DataSettings(), tmp_path)
    assert data.minimal_pairs is not None
    assert list(data.minimal_pairs.glob("*.jsonl"))
    assert data.minimal_pairs.parent.parent == tmp_path / "artifacts/corpora"
    assert data.store.tokens("dev") > 64


def test_storybook(tmp_path: Path) -> None:
    folder = Path(os.environ.get("PALENKA_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "storybook"
    if not folder.is_dir():
        pytest.skip("the storybook corpus is not in PALENKA_TEST_DATA nor in ../shared/data")
    data = prepare(DataSettings(source=str(folder)), tmp_path)
    assert data.store.vocabulary_size == 2048
    assert data.store.words("train") == 1_248_720, "clean text passes the general steps whole"
    assert 1.4 < data.store.tokens("train") / data.store.words("train") < 1.8
