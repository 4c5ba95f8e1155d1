"""Pages of the site that are not written but made: from the commands' parsers, the settings' dataclasses, the notebook,
and files of the repository that lie outside `docs/`. mkdocs calls `on_files` before it reads any page."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import TypeAdapter

from palenka_tune.__main__ import COMMANDS
from palenka_tune.search.config import SearchSettings, shipped_spaces
from palenka_tune.search.experiment import Experiment

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "first_search.ipynb"

# where a file of the repository stands in the site
COPIED = {
    "changes.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    **{
        path.relative_to(ROOT).as_posix(): path
        for path in sorted((ROOT / "clusters").iterdir())
        if path.is_file() and path.suffix in {".md", ".yaml", ".txt", ".py", ".sbatch"}
    },
}
# links of these pages to what the site does not have
DROPPED_LINKS = {"clusters/README.md": ["[`.rayignore`](../.rayignore)"]}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages and the copied files."""
    for name, path in COPIED.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    made = {"commands.md": commands, "settings.md": settings, "first_search.md": notebook}
    for name, make in made.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the words of a dropped link, without the link."""
    for link in DROPPED_LINKS.get(page.file.src_uri, []):
        if link not in markdown:
            raise ValueError(f"{page.file.src_uri} has no link {link} any more; take it out of DROPPED_LINKS")
        markdown = markdown.replace(link, link[1 : link.index("]")])
    return markdown


def commands() -> str:
    """Each command's `--help`."""
    parts = ["# Commands\n\nWhat `--help` says. `palenka-tune NAME` is the same as `python -m palenka_tune.NAME`.\n"]
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"palenka_tune.commands.{name}")
        said = io.StringIO()
        wide = mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"})
        with wide, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            module.cli(["--help"])
        parts.append(f"## {name}\n\n{what[0].upper()}{what[1:]}.\n\n```text\n{said.getvalue().rstrip()}\n```\n")
    return "\n".join(parts)


def settings() -> str:
    """Every setting of a search space with its type and default, group by group, and the spaces that come with us."""
    parts = [
        "# Settings and search spaces\n",
        "A search space is a YAML file with these groups, and `parameters`, which says what is searched. `--set` and "
        "the keywords of the Python functions take each setting by its dotted name, or by its last part where that is "
        "unique. Scales give other defaults than those below: `--dry-run` shows what a search would use.\n",
        "## parameters\n\n"
        "| kind | what is drawn |\n|---|---|\n"
        "| `{choice: [a, b]}` | one of the values |\n"
        "| `{uniform: [low, high]}` | a number of that range |\n"
        "| `{log_uniform: [low, high]}` | the same, evenly in its logarithm |\n"
        "| `{int: [low, high]}` | a whole number of that range, both ends included |\n\n"
        "`when: {other: [values]}` beside a kind searches a setting only where another one has one of the values. "
        "Settings of `distill` and `recipe` can be searched.\n",
    ]
    for prefix, schema in (("", schema_of(Experiment)), ("search", schema_of(SearchSettings))):
        for group, description, rows in groups(prefix, schema, schema.get("$defs", {})):
            parts.append(f"## {group or 'Top level'}\n\n{description}\n")
            if rows:
                table = [f"| `{name}` | {kind} | {default} |" for name, kind, default in rows]
                parts.append("\n".join(["| setting | type | default |", "|---|---|---|", *table]) + "\n")
    parts.append("## The spaces that come with palenka_tune\n")
    parts += [f"### {path.stem}\n\n```yaml\n{path.read_text('utf-8').rstrip()}\n```\n" for path in shipped_spaces()]
    return "\n".join(parts)


def schema_of(settings: type) -> dict[str, Any]:
    """The JSON Schema of a dataclass, with its docstrings."""
    return TypeAdapter(settings).json_schema()


def groups(
    prefix: str, schema: dict[str, Any], known: dict[str, Any]
) -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """(dotted name, description, [(setting, type, default)]) of a group of settings and of those within it."""
    rows, inner = [], []
    for name, entry in schema["properties"].items():
        path = f"{prefix}.{name}".lstrip(".")
        reference = entry.get("$ref") or entry.get("items", {}).get("$ref")
        if reference:
            inner.append((path, known[reference.rpartition("/")[2]]))
        else:
            rows.append((path, kind_of(entry), json.dumps(entry["default"]) if "default" in entry else "of the scale"))
    yield prefix, schema["description"], rows
    for path, found in inner:
        yield from groups(path, found, known)


def kind_of(entry: dict[str, Any]) -> str:
    """A type in words, such as `integer or null`."""
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "anyOf" in entry:
        return " or ".join(kind_of(each) for each in entry["anyOf"])
    if entry.get("type") == "array":
        return f"list of {kind_of(entry['items'])}s"
    if entry.get("type") == "object":
        return "map"
    return str(entry["type"])


def notebook() -> str:
    """The notebook's cells as Markdown; the site has the notebook too."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"Download it as a [notebook]({NOTEBOOK.name}), which CI runs.\n"])
