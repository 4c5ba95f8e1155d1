"""Suites by name: what the BabyLM challenge scores a model on, and what a folder offers, read and filtered.

A folder `source` holds a folder a suite: `blimp/`, `blimp_supplement/`, `ewok/`, and the challenge's own filtered ones
under their names; `hub` stands for the Hugging Face hub (`hub_suites`). A folder in BLiMP's format is a suite too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from palenka_tune.config.files import file_sha256, fingerprint
from palenka_tune.errors import UserError, nearest
from palenka_tune.evaluation.blimp import read_blimp
from palenka_tune.evaluation.ewok import read_ewok
from palenka_tune.evaluation.hub_suites import HUB, load_blimp, load_ewok
from palenka_tune.evaluation.suite import Paradigm, Suite
from palenka_tune.evaluation.vocabulary import Vocabulary, read_vocabulary


@dataclass(frozen=True)
class SuiteSource:
    """Where a suite comes from: `read` takes its folder, which bears its name or `other_folder`; `load` fetches it from
    the hub (None: it is not there)."""

    read: Callable[[Path, str], Suite]
    load: Callable[[], Suite] | None = None
    other_folder: str | None = None


FILTERED = "_filtered"
"""What a suite's name ends in if its items were filtered by a vocabulary."""

SUITES = {
    "blimp": SuiteSource(read_blimp, load_blimp),
    "blimp_supplement": SuiteSource(read_blimp, other_folder="supplement_filtered"),
    "ewok": SuiteSource(read_ewok, load_ewok),
    # as the challenge publishes them, filtered by its own vocabulary
    "blimp_filtered": SuiteSource(read_blimp),
    "ewok_filtered": SuiteSource(read_ewok),
}


def read_suites(names: Sequence[str], source: str | Path | None = None) -> list[Suite]:
    """The suites called `names`, in that order; raises `UserError` as `read_suite` does, and for a name given twice."""
    suites = [read_suite(name, source) for name in names]
    twice = {suite.name for suite in suites if sum(other.name == suite.name for other in suites) > 1}
    if twice:
        raise UserError(f"suite {min(twice)!r} is given twice; give each suite once, folders under different names")
    return suites


def read_suite(name: str, source: str | Path | None = None) -> Suite:
    """A suite of `SUITES` from `source`, which is a folder with a folder a suite, or `hub`; or the suite in the folder
    `name`, which is in BLiMP's format.

    Raises:
        UserError: for an unknown name, or a suite that is not in `source` or cannot be read as meant.
    """
    if name not in SUITES:
        folder = Path(name).expanduser()
        if folder.is_dir() or len(folder.parts) > 1:
            return read_blimp(folder, folder.resolve().name)
        raise UserError(f"there is no suite {name!r}{nearest(name, SUITES)}; give a known one or a folder of pairs")
    if source is None:
        raise UserError(f"suite {name!r} needs its files; give --source a folder that holds {name}/, or --source {HUB}")
    suite = SUITES[name]
    if str(source) == HUB:
        if suite.load is None:
            raise UserError(f"suite {name!r} is not on the hub; give --source a folder that holds {name}/")
        return suite.load()
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(f"--source {source} is not a folder; give a folder that holds {name}/, or {HUB}")
    if folders := _folders(name, folder):
        return suite.read(folders[0], name)
    held = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())[:8]) or "no folder"
    raise UserError(f"--source {source} has no folder {name}/ (it holds {held}); put the suite's files there")


def _folders(name: str, source: Path) -> list[Path]:
    """The folders in `source` that the suite `name` of `SUITES` may be read from, the first one first."""
    names = (name, SUITES[name].other_folder)
    return [source / folder for folder in names if folder is not None and (source / folder).is_dir()]


def filter_suite(suite: Suite, vocabulary: Vocabulary) -> Suite:
    """Keep the items whose every word is in `vocabulary`; the name then ends in `_filtered`.

    Raises:
        UserError: if no item is left.
    """

    def keep(paradigm: Paradigm) -> Paradigm:
        return replace(paradigm, pairs=tuple(pair for pair in paradigm.pairs if vocabulary.covers(*pair.texts)))

    main, swapped = (tuple(map(keep, paradigms)) for paradigms in (suite.paradigms, suite.swapped_contexts))
    left_out = tuple(paradigm.uid for paradigm in main if not paradigm.pairs)
    if len(left_out) == len(main):
        raise UserError(
            f"suite {suite.name!r}: none of its {suite.pairs:,} pairs has all its words in {vocabulary.source}; give a "
            "larger corpus or list to --filter-vocabulary, or leave it out"
        )
    return Suite(
        suite.name.removesuffix(FILTERED) + FILTERED,
        tuple(paradigm for paradigm in main if paradigm.pairs),
        suite.pairs,
        left_out,
        tuple(paradigm for paradigm in swapped if paradigm.pairs),
    )


@dataclass(frozen=True)
class SuiteChoice:
    """A suite that a run scores on, as plain data for any process: `name` and `source` as of `read_suite`.

    `label` is what a folder of pairs is called (None: the folder's name), `vocabulary` the file or corpus folder by
    which items are filtered (None: not).
    """

    name: str
    source: str | None = None
    label: str | None = None
    vocabulary: str | None = None

    def digest(self) -> str:
        """16 hex digits over the suite's files, so that scores of other items are not taken for its own."""
        folders = [Path(self.name)] if self.source is None else _folders(self.name, Path(self.source))
        files = sorted(path for folder in folders for path in folder.glob("*.*") if path.is_file())
        return fingerprint([(path.name, file_sha256(path)) for path in files])

    def read(self) -> Suite:
        """The suite; raises `UserError` as `read_suite` and `filter_suite` do."""
        suite = read_suite(self.name, self.source)
        if self.vocabulary is not None:
            suite = filter_suite(suite, read_vocabulary(self.vocabulary))
        return suite if self.label is None else replace(suite, name=self.label)


def choices_in(folder: str | Path, option: str = "--minimal-pairs") -> tuple[SuiteChoice, ...]:
    """What a folder offers: itself, if it holds pairs in BLiMP's format, else the known suites among its folders.

    Raises:
        UserError: if it holds neither.
    """
    path = Path(folder).expanduser().absolute()
    if any(path.glob("*.jsonl")):
        return (SuiteChoice(str(path)),)
    choices = tuple(SuiteChoice(name, str(path)) for name in SUITES if _folders(name, path))
    if not choices:
        known = ", ".join(f"{name}/" for name in SUITES)
        raise UserError(
            f"{option} {folder} holds neither .jsonl files of pairs nor any of {known}; give a folder that does"
        )
    return choices


def filter_choices(choices: Sequence[SuiteChoice], vocabulary: str | Path) -> tuple[SuiteChoice, ...]:
    """The challenge's way: BLiMP and EWoK filtered by the words of the training corpus, the rest as it is.

    The published filtered one of a suite is left out where the whole suite is given too.
    """
    names = {choice.name for choice in choices}
    return tuple(
        replace(choice, vocabulary=str(vocabulary)) if choice.name in ("blimp", "ewok") else choice
        for choice in choices
        if choice.name.removesuffix(FILTERED) not in names - {choice.name}
    )
