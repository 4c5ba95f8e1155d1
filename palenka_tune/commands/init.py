"""`python -m palenka_tune.init DIR`: a search space that explains itself, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palenka_tune.commands.options import Parser
from palenka_tune.config.files import write_text
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.spaces import schema, template
from palenka_tune.spaces.resolve import DEFAULT_SPACE, resolve

DESCRIPTION = f"""\
Begin: write DIR/{template.SPACE_FILE}, the default search space with every setting, what it means and what it may be,
and DIR/{template.SCHEMA_FILE}, by which an editor completes and checks it (VS Code: the YAML extension by Red Hat).

--data is looked at: its splits, its encoding, text in train and dev. Nothing is trained and no file is replaced."""

EXAMPLES = """\
  python -m palenka_tune.init my_search
      the built-in corpus, minutes on two CPU cores
  python -m palenka_tune.init my_search --data ../babylm_10M --scale small
      a BabyLM folder (train*/, dev*/), for one GPU"""


@dataclass(frozen=True)
class InitConfig:
    """Where to begin, and with what: `data` and `scale` None are the defaults of a search."""

    folder: Path
    data: str | None = None
    scale: str | None = None


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("init", DESCRIPTION, EXAMPLES)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder, made if it is not there")
    parser.add_argument(
        "--data",
        default=None,
        metavar="DIR|babytalk|OWNER/NAME",
        help="a folder in BabyLM layout, a Hugging Face dataset id, or the built-in corpus (default: babytalk)",
    )
    parser.add_argument(
        "--scale", default=None, metavar="NAME", help="tiny (two cores, minutes), small (one GPU) or poster"
    )
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, write, return the exit code."""
    main(InitConfig(**vars(parser().parse_args(argv))))
    return 0


def main(config: InitConfig) -> Path:
    """Write the search space and its schema and print the next commands; returns the space's path.

    Raises `UserError` if a file is there already, or for data or a scale that cannot be.
    """
    space, beside = (config.folder.expanduser() / name for name in (template.SPACE_FILE, template.SCHEMA_FILE))
    for path in (space, beside):
        if path.exists():
            raise UserError(f"{path} is there already and may hold your changes; give another folder, or delete it")
    source = None if config.data is None else _found_from_anywhere(config.data)
    resolved = resolve(DEFAULT_SPACE, options={"data.source": source, "scale": config.scale})
    data.check(resolved.experiment.data)
    search = ["python", "-m", "palenka_tune.search", str(space)]
    try:
        write_text(beside, schema.as_text())
        write_text(space, template.space_text(resolved, DEFAULT_SPACE, shlex.join([*search, "--dry-run"])))
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{config.folder} is not a folder; give another one") from None
    print(
        f"{space}: every setting with its meaning and its allowed values\n{beside}: for editors, which complete by it"
    )
    print(f"next:\n  {shlex.join([*search, '--dry-run'])}    check it and print the plan")
    print(f"  {shlex.join(search)}    search")
    return space


def _found_from_anywhere(source: str) -> str:
    folder = Path(source).expanduser()
    return str(folder.absolute()) if folder.is_dir() else source
