"""Accuracies on minimal pairs with standard errors, as the BabyLM challenge and lm-evaluation-harness report them.

In: counts per paradigm, and the scores that they come from. Out: accuracy per paradigm, per phenomenon and over the
suite. Chance is 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ParadigmResult:
    """Counts of one set of pairs. A pair is correct if the good text scores at least as high: a tie is correct."""

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
    """A whole suite: its sets of pairs, and `seconds` of wall time for scoring.

    `scores` (pairs, 2) are the log-probabilities in nats of good and bad text, set after set; `greedy` (pairs, 2) says
    whether each text was the model's most probable one token by token, if that was asked for. `swapped_contexts` are
    the results of the suite's other reading: for EWoK the same target after the two contexts, its authors' own score.
    """

    paradigms: tuple[ParadigmResult, ...]
    seconds: float
    scores: np.ndarray = field(default_factory=lambda: np.empty((0, 2)), compare=False, repr=False)
    greedy: np.ndarray | None = field(default=None, compare=False, repr=False)
    swapped_contexts: MinimalPairResults | None = None

    @property
    def correct(self) -> np.ndarray:
        """Which pairs (pairs,) are correct, set after set in the order of `paradigms`: what a bootstrap draws from."""
        return self.scores[:, 0] >= self.scores[:, 1]

    @property
    def pairs(self) -> int:
        """Pairs of all paradigms."""
        return sum(paradigm.pairs for paradigm in self.paradigms)

    @property
    def ties(self) -> int:
        """Pairs whose texts score alike (counted as correct)."""
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
        k paradigms: within-paradigm variance only, paradigms taken as fixed. None if no paradigm has two pairs. It is
        the error of the mean over pairs; that of `accuracy` is `unweighted_mean_stderr`.
        """
        spare = self.pairs - len(self.paradigms)
        if spare == 0:
            return None
        squares = sum((p.pairs - 1) * p.pairs * p.stderr**2 for p in self.paradigms if p.stderr is not None)
        return math.sqrt(squares / spare / self.pairs)

    @property
    def unweighted_mean_stderr(self) -> float | None:
        """The standard error that belongs to `accuracy`: sqrt(sum_i s_i^2) / k over k paradigms.

        None if a paradigm has a single pair, whose own error is not known.
        """
        errors = [paradigm.stderr for paradigm in self.paradigms]
        known = [error for error in errors if error is not None]
        return math.sqrt(sum(error**2 for error in known)) / len(errors) if len(known) == len(errors) else None

    @property
    def terms(self) -> dict[str, MinimalPairResults]:
        """The sets of each phenomenon (BLiMP's `linguistics_term`) as results of their own, without scores."""
        names = dict.fromkeys(paradigm.term for paradigm in self.paradigms if paradigm.term is not None)
        return {name: MinimalPairResults(tuple(self._of_term(name)), 0.0) for name in names}

    def _of_term(self, name: str) -> Iterable[ParadigmResult]:
        return (paradigm for paradigm in self.paradigms if paradigm.term == name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the suite's figures first."""
        names = ("accuracy", "stderr", "unweighted_mean_stderr", "pair_weighted_accuracy", "pairs", "ties", "seconds")
        values = {name: getattr(self, name) for name in names}
        values["paradigms"] = [paradigm.to_dict() for paradigm in self.paradigms]
        values["terms"] = {
            name: {
                "accuracy": term.accuracy,
                "stderr": term.stderr,
                "paradigms": len(term.paradigms),
                "pairs": term.pairs,
            }
            for name, term in self.terms.items()
        }
        if self.swapped_contexts is not None:
            values["same_target_after_two_contexts"] = self.swapped_contexts.to_dict()
        return values
