"""What models scored, typed: by model, by suite of minimal pairs, on text; as tables and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palenka_tune.evaluation.suite import Suite

if TYPE_CHECKING:
    from rich.console import Console

    from palenka_tune.evaluation.suites import SuiteResults
    from palenka_tune.evaluation.text import TextResult


@dataclass(frozen=True)
class ModelScores:
    """What one model scored.

    Attributes:
        name: What tables call it: as many last parts of its path as tell the models apart.
        path: Its folder.
        suites: Results by suite; `suites["blimp"].accuracy` is from 0 to 1, with chance at 0.5.
        text: Results by split of a corpus; `text["dev"].nats_per_token`.
    """

    name: str
    path: str
    suites: SuiteResults
    text: dict[str, TextResult]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        text = {split: result.to_dict() for split, result in self.text.items()}
        return {"name": self.name, "model": self.path, "suites": self.suites.to_dict(), "text": text}


@dataclass(frozen=True)
class EvaluationResult(Mapping[str, ModelScores]):
    """The scores of all models, by the model's name; `models` has them in the order in which they were given.

    Attributes:
        models: A `ModelScores` each.
        suites: What they were scored on, as read and filtered.
    """

    models: tuple[ModelScores, ...]
    suites: tuple[Suite, ...] = field(repr=False)

    def __getitem__(self, name: str) -> ModelScores:
        return {each.name: each for each in self.models}[name]

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in self.models)

    def __len__(self) -> int:
        return len(self.models)

    def show(self, console: Console, *, per_set: bool = False) -> None:
        """Print the tables; `per_set` adds a row for each phenomenon and set of pairs."""
        from palenka_tune.evaluation.tables import accuracy_table, suite_lines, text_table

        found = {name: each.suites for name, each in self.items()}
        for line in suite_lines(self.suites, found):
            console.print(line, markup=False)
        if self.suites:
            alone = len(self.suites) == len(self.models) == 1
            console.print(accuracy_table(self.suites, found, per_set=per_set or alone))
        if any(each.text for each in self.models):
            console.print(text_table({name: each.text for name, each in self.items()}))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; for one model and one suite its figures also stand at the top."""
        everything: dict[str, Any] = {"models": [each.to_dict() for each in self.models]}
        if len(self.models) == 1 and len(self.models[0].suites) == 1:
            name, figures = next(iter(self.models[0].suites.to_dict().items()))
            return {"model": self.models[0].path, "suite": name, **figures, **everything}
        return everything
