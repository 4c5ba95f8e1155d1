"""Begin: write DIR/search_space.yaml, the default search space with every setting, what it means and what it may be,
and DIR/search_space.schema.json, by which an editor completes and checks it (VS Code: the YAML extension by Red Hat).

--data is checked: its splits, its encoding, text in train and dev. A single file is split by --set data.dev_fraction.
What --set sets is written out in the space. Nothing is trained and no file is replaced.

Examples:
  python -m palenka_tune.init my_search
      the built-in corpus, minutes on two CPU cores
  python -m palenka_tune.init my_search --data ../babylm_10M --scale small
      a BabyLM folder (train*/, dev*/), for one GPU
  python -m palenka_tune.init my_search --data book.txt --set data.dev_fraction=0.05
      a single file, of which a twentieth of the documents is dev
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_text
from palenka_tune.config.options import option, settings_of
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.spaces import schema, template
from palenka_tune.spaces.options import ExperimentOptions
from palenka_tune.spaces.resolve import DEFAULT_SPACE, resolve


@dataclass(frozen=True, kw_only=True)
class InitOptions(ExperimentOptions):
    """Where to begin, and with what."""

    folder: str = option("a folder, made if it does not exist", "DIR", default=dataclasses.MISSING, positional=True)


def parser() -> Parser:
    """The options of the command."""
    return Parser("init", __doc__, options=InitOptions)


def cli(argv: Sequence[str]) -> int:
    """Parse, write, return the exit code."""
    main(InitOptions(**parser().keywords(argv)))
    return 0


def main(options: InitOptions) -> Path:
    """Write the search space and its schema and print the next commands; returns the space's path.

    Raises `UserError` if a file exists already, or for data or a scale that cannot be.
    """
    folder = Path(options.folder).expanduser()
    space, beside = folder / template.SPACE_FILE, folder / template.SCHEMA_FILE
    for path in (space, beside):
        if path.exists():
            raise UserError(f"{path} exists and may hold your changes; give another folder, or delete it")
    if options.data is not None and (corpus := Path(options.data).expanduser()).exists():
        options = dataclasses.replace(options, data=str(corpus.absolute()))  # to be found from any working folder
    resolved = resolve(DEFAULT_SPACE, options=settings_of(options), assignments=[*options.settings.items()])
    data.check(resolved.experiment.data)
    search = shlex.join(["python", "-m", "palenka_tune.search", str(space)])
    try:
        write_text(beside, schema.as_text())
        write_text(space, template.space_text(resolved, DEFAULT_SPACE, f"{search} --dry-run"))
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{options.folder} is not a folder; give another one") from None
    print(f"{space}: every setting with its meaning and its allowed values")
    print(f"{beside}: for editors, which complete by it")
    print(f"next:\n  {search} --dry-run    check it and print the plan\n  {search}    search")
    return space
