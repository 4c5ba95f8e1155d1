"""Accuracies on minimal pairs with standard errors, as the BabyLM challenge and lm-evaluation-harness report them.

In: counts per paradigm. Out: accuracy per paradigm and over the suite. Chance is 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ParadigmResult:
    """Counts of one paradigm. A pair is correct if the good sentence scores strictly higher; a tie is not correct."""

    uid: str
    term: str | None
    pairs: int
    correct: int
    ties: int

    @property
    def accuracy(self) -> float:
        """Share of the pairs that are correct."""
        return self.correct / self.pairs

    @property
    def stderr(self) -> float | None:
        """Standard error of the accuracy, sqrt(p (1 - p) / (n - 1)); None for a single pair."""
        if self.pairs < 2:
            return None
        return math.sqrt(self.accuracy * (1 - self.accuracy) / (self.pairs - 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("uid", "term", "pairs", "correct", "ties", "accuracy", "stderr")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class MinimalPairResults:
    """A whole suite: its paradigms, and `seconds` of wall time for reading, tokenising and scoring."""

    paradigms: tuple[ParadigmResult, ...]
    seconds: float

    @property
    def pairs(self) -> int:
        """Pairs of all paradigms."""
        return sum(paradigm.pairs for paradigm in self.paradigms)

    @property
    def ties(self) -> int:
        """Pairs whose sentences score alike (counted as wrong)."""
        return sum(paradigm.ties for paradigm in self.paradigms)

    @property
    def accuracy(self) -> float:
        """The suite's score as the BabyLM challenge reports it: the mean over paradigms, each weighing the same."""
        return sum(paradigm.accuracy for paradigm in self.paradigms) / len(self.paradigms)

    @property
    def pair_weighted_accuracy(self) -> float:
        """The mean over pairs, so that larger paradigms weigh more; equal to `accuracy` where all are of one size."""
        return sum(paradigm.correct for paradigm in self.paradigms) / self.pairs

    @property
    def stderr(self) -> float | None:
        """The pooled standard error that lm-evaluation-harness gives a group of tasks.

        With n_i pairs and standard error s_i, it is sqrt(sum_i (n_i - 1) n_i s_i^2 / (sum_i n_i - k) / sum_i n_i) over
        k paradigms: within-paradigm variance only, paradigms taken as fixed. None if no paradigm has two pairs.
        """
        spare = self.pairs - len(self.paradigms)
        if spare == 0:
            return None
        squares = sum((p.pairs - 1) * p.pairs * p.stderr**2 for p in self.paradigms if p.stderr is not None)
        return math.sqrt(squares / spare / self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the suite's figures first."""
        names = ("accuracy", "stderr", "pair_weighted_accuracy", "pairs", "ties", "seconds")
        return {name: getattr(self, name) for name in names} | {"paradigms": [p.to_dict() for p in self.paradigms]}
