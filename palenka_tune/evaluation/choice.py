"""Which suites a run scores its models on, as plain data that any process can be given.

In: a folder, as `--minimal-pairs` or `--source` name it. Out: `SuiteChoice`s, whose `read` gives the suites themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.config.files import file_sha256, fingerprint
from palenka_tune.errors import UserError
from palenka_tune.evaluation.suite import Suite
from palenka_tune.evaluation.suites import FILTERED, SUITES, read_suites
from palenka_tune.evaluation.vocabulary import read_vocabulary


@dataclass(frozen=True)
class SuiteChoice:
    """One suite: a name of `SUITES` with its `source`, or a folder of pairs.

    `label` is what a folder of pairs is called (None: the folder's name), `vocabulary` the file or corpus folder by
    which items are filtered (None: not).
    """

    name: str
    source: str | None = None
    label: str | None = None
    vocabulary: str | None = None

    def digest(self) -> str:
        """16 hex digits over the suite's files, so that scores of other items are not taken for its own."""
        folders = (
            [Path(self.name)] if self.source is None else [Path(self.source) / inside for inside in self._inside()]
        )
        files = sorted(path for folder in folders for path in folder.glob("*.*") if path.is_file())
        return fingerprint([(path.name, file_sha256(path)) for path in files])

    def _inside(self) -> list[str]:
        """The names that the suite's folder may have in its source."""
        return [name for name in (self.name, SUITES[self.name].other_folder) if name]

    def read(self) -> Suite:
        """The suite; raises `UserError` as `suites.read_suites` does."""
        known = None if self.vocabulary is None else read_vocabulary(self.vocabulary)
        (suite,) = read_suites([self.name], self.source, known)
        return suite if self.label is None else dataclasses.replace(suite, name=self.label)


def choices_in(folder: str | Path, option: str = "--minimal-pairs") -> tuple[SuiteChoice, ...]:
    """What a folder offers: itself, if it holds pairs in BLiMP's format, else the known suites among its folders.

    Raises:
        UserError: if it holds neither.
    """
    path = Path(folder).expanduser().absolute()
    if any(path.glob("*.jsonl")):
        return (SuiteChoice(str(path)),)
    found = tuple(
        SuiteChoice(name, str(path))
        for name, suite in SUITES.items()
        if any((path / inside).is_dir() for inside in (name, suite.other_folder) if inside)
    )
    if not found:
        known = ", ".join(f"{name}/" for name in SUITES)
        raise UserError(
            f"{option} {folder} holds neither .jsonl files of pairs nor any of {known}; give a folder that does"
        )
    return found


def filtered(choices: Sequence[SuiteChoice], vocabulary: str | Path) -> tuple[SuiteChoice, ...]:
    """The challenge's way: BLiMP and EWoK filtered by the words of the training corpus; its supplement, and what is
    called filtered, as they are."""
    names = {choice.name for choice in choices}
    return tuple(
        dataclasses.replace(choice, vocabulary=str(vocabulary)) if choice.name in ("blimp", "ewok") else choice
        for choice in choices
        if choice.name.removesuffix(FILTERED) not in names - {choice.name}  # filtered here, not twice
    )
