"""What to reproduce, where, and on what to score it (imports nothing heavy: bad input is refused at once)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from palenka_tune.data.prepare import BABYTALK
from palenka_tune.errors import UserError
from palenka_tune.search.config import check_name
from palenka_tune.search.method import CORRECTED

SUITES = ("blimp", "blimp_supplement", "ewok")


@dataclass(frozen=True)
class ReproduceConfig:
    """What to reproduce and where. `rows` None: all ten. `suites` are (name, folder) pairs to score on; `concurrent`
    None: as many students at a time as there are cores, or what a GPU holds."""

    scale: str = "tiny"
    method: str = CORRECTED
    rows: tuple[str, ...] | None = None
    source: str = BABYTALK
    seed: int = 0
    storage: str = "./palenka_runs"
    name: str | None = None
    suites: tuple[tuple[str, str], ...] = ()
    address: str | None = None
    concurrent: int | None = None

    @property
    def run_name(self) -> str:
        return check_name(self.name or f"poster-{self.scale}-{self.method.replace('_', '-')}")


def find_suites(source: str | None) -> tuple[tuple[str, str], ...]:
    """The suites that a folder holds, as (name, folder); raises `UserError` if it holds none."""
    if source is None:
        return ()
    folder = Path(source).expanduser().absolute()
    found = tuple((name, str(folder / name)) for name in SUITES if (folder / name).is_dir())
    if not found:
        raise UserError(f"--source {source} holds none of {', '.join(SUITES)}; give a folder with one folder per suite")
    return found
