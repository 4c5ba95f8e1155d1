"""What to reproduce, where, and on what to score it (imports nothing heavy: bad input is refused at once)."""

from __future__ import annotations

from dataclasses import dataclass

from palenka_tune.data.prepare import BABYTALK
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.runs.run_folder import check_name
from palenka_tune.spaces.poster_method import CORRECTED


@dataclass(frozen=True)
class ReproduceConfig:
    """What to reproduce and where. `rows` None: all ten. `suites` are those to score on; `concurrent` None: as many
    students at a time as there are cores, or GPUs."""

    scale: str = "tiny"
    method: str = CORRECTED
    rows: tuple[str, ...] | None = None
    source: str = BABYTALK
    seed: int = 0
    storage: str = "./palenka_runs"
    name: str | None = None
    suites: tuple[SuiteChoice, ...] = ()
    address: str | None = None
    concurrent: int | None = None

    @property
    def run_name(self) -> str:
        return check_name(self.name or f"poster-{self.scale}-{self.method.replace('_', '-')}")
