"""The commands of a page: every ```bash block as bash itself reads it, every ```python block as it stands.

A block runs in a bash that has no programs: whatever it would start is written down instead, with its arguments after
quoting, loops and variables, and counts as having succeeded.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "docs" / "tutorial.md",  # first: it makes the search that other pages speak of
    ROOT / "README.md",
    *sorted(set(ROOT.glob("docs/*.md")) - {ROOT / "docs" / "tutorial.md"}),
    *sorted(ROOT.glob("clusters/*.md")),
    ROOT / "CONTRIBUTING.md",
]
NOTEBOOK = ROOT / "docs" / "first_search.ipynb"
VARIABLES = ("MLFLOW_TRACKING_URI", "PALENKA_STUDY_STORAGE")

# Words end in a byte that no command has; a here-document is read where a program would read it. Each command goes to a
# file of its own, named by the time: what runs in the background would write into the middle of another.
RECORDER = r"""
record() {
  local body="" last="${!#}" words variables="" name
  if [[ $last == - ]]; then IFS= read -r -d '' body; fi
  printf -v words '%s\x1f' "$@"
  for name in VARIABLES; do variables+="$name=${!name-}"$'\x1f'; done
  printf '%s\x1d%s\x1d%s' "$words" "$body" "$variables" >"$RECORDS/$EPOCHREALTIME-$BASHPID"
}
command_not_found_handle() { record "$@"; }
source() { record source "$@"; }
.() { record source "$@"; }
cd() { record cd "$@"; }
EDITOR=editor PATH=/dev/null
""".replace("VARIABLES", " ".join(VARIABLES))


@dataclass(frozen=True)
class Command:
    """A program with its arguments; `body` is what it reads, `variables` what is set for it."""

    page: str
    argv: tuple[str, ...]
    body: str = ""
    variables: tuple[tuple[str, str], ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.argv)}"


def commands_in(block: str, page: str) -> list[Command]:
    """The commands of a bash block, in order; raises `ValueError` where bash cannot read it or it names a program by a
    path, which cannot be written down."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as records:
        finished = subprocess.run(
            [shutil.which("bash") or "bash", "-c", f"exec >&2\nRECORDS={shlex.quote(records)}\n{RECORDER}\n{block}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        entries = [path.read_text(encoding="utf-8") for path in sorted(Path(records).iterdir())]
    if finished.stderr:
        raise ValueError(f"{page}: bash says {finished.stderr.strip()!r} of:\n{block}")
    found = []
    for entry in entries:
        words, body, variables = entry.split("\x1d")
        pairs = (pair.partition("=") for pair in variables.split("\x1f")[:-1])
        given = tuple((name, value) for name, _, value in pairs if value)
        found.append(Command(page, one_spelling(tuple(words.split("\x1f")[:-1])), body, given))
    return found


def one_spelling(argv: tuple[str, ...]) -> tuple[str, ...]:
    """`palenka-tune NAME` and `python -m palenka_tune NAME` as `python -m palenka_tune.NAME`."""
    for start in (("palenka-tune",), ("python", "-m", "palenka_tune")):
        if argv[: len(start)] == start and len(argv) > len(start):
            return ("python", "-m", f"palenka_tune.{argv[len(start)]}", *argv[len(start) + 1 :])
    return argv


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@cache
def all_commands() -> list[Command]:
    """The commands of all pages, each once a page."""
    found = []
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for block in blocks(page, "bash"):
            found += commands_in(block, name)
    return list(dict.fromkeys(found))


def all_snippets() -> list[tuple[str, str]]:
    """(page, code) of each Python block, and of the notebook's cells together."""
    found = [(page.relative_to(ROOT).as_posix(), code) for page in PAGES for code in blocks(page, "python")]
    return [*found, (NOTEBOOK.relative_to(ROOT).as_posix(), notebook_code(NOTEBOOK))]


def notebook_code(path: Path) -> str:
    """The code of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
