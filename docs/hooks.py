"""Pages of the site that are not written but made: from the commands' parsers, the schema of search spaces, the
notebook, and files of the repository that lie outside `docs/`. mkdocs calls `on_files` before it reads any page, and
mkdocstrings uses `OptionsAsKeywords`."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from palenka_tune.commands import COMMANDS
from palenka_tune.spaces.resolve import shipped_spaces

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "first_search.ipynb"
SCHEMA = ROOT / "search_spaces" / "schema.json"

# where a file of the repository stands in the site
COPIED = {
    SCHEMA.name: SCHEMA,
    "changes.md": ROOT / "CHANGELOG.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    **{
        path.relative_to(ROOT).as_posix(): path
        for path in sorted((ROOT / "clusters").iterdir())
        if path.is_file() and path.suffix in {".md", ".yaml", ".txt", ".py", ".sbatch"}
    },
}
# what pages of docs/ link to in a checkout, and the page of the site that is made of it
IN_SITE = {
    "(first_search.ipynb)": "(first_search.md)",
    "(../clusters/README.md)": "(clusters/README.md)",
    "(../palenka_tune/commands/)": "(commands.md)",
    "(../search_spaces/schema.json)": "(settings.md)",
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
    """Turn links to files of a checkout into those to the site's pages; leave the words of a dropped link."""
    for there, here in IN_SITE.items():
        markdown = markdown.replace(there, here)
    for link in DROPPED_LINKS.get(page.file.src_uri, []):
        if link not in markdown:
            raise ValueError(f"{page.file.src_uri} has no link {link} any more; take it out of DROPPED_LINKS")
        markdown = markdown.replace(link, link[1 : link.index("]")])
    return markdown


class OptionsAsKeywords(griffe.Extension):
    """Show functions that take options with their keywords, which are not in the source that griffe reads."""

    def on_function(self, *, func: griffe.Function, **more: Any) -> None:
        """Take signature and docstring from the function itself."""
        if any(decorator.callable_path == "palenka_tune.config.options.takes_options" for decorator in func.decorators):
            live = griffe.inspect(func.module.path)[func.name]
            func.parameters, func.docstring.value = live.parameters, live.docstring.value


def commands() -> str:
    """Each command's `--help`."""
    parts = ["# Commands\n\nWhat `--help` says. `palenka-tune NAME` is the same as `python -m palenka_tune.NAME`.\n"]
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"palenka_tune.commands.{name}")
        with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
            said = module.parser().format_help()
        parts.append(f"## {name}\n\n{what[0].upper()}{what[1:]}.\n\n```text\n{said.rstrip()}\n```\n")
    return "\n".join(parts)


def settings() -> str:
    """Every setting of a search space, what it may be and its default, group by group, and the spaces that we ship."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [
        "# Settings and search spaces\n",
        "A search space is a YAML file with these groups, and `parameters`, which says what is searched. `--set` and "
        "the keywords of the Python functions take each setting by its dotted name, or by its last part where that is "
        "unique. A scale has defaults of its own: `--dry-run` shows what a search would use. The same as a "
        f"[JSON Schema]({SCHEMA.name}), by which editors complete and check a file. How to write one is in "
        "[write a search space](search_space.md).\n",
    ]
    top = {name: entry for name, entry in schema["properties"].items() if name not in ("description", "parameters")}
    said = "At the top of the file, beside a `description` in a line."
    for group, node in groups("", {"description": said, "properties": top}, schema).items():
        parts.append(f"## {group or 'Top level'}\n\n{node['description']}\n")
        rows = [
            f"| `{f'{group}.{name}'.lstrip('.')}` | {allowed(entry, schema)} | {default(entry)} |"
            for name, entry in node["properties"].items()
            if group_of(entry, schema) is None
        ]
        parts.append("\n".join(["| setting | may be | default |", "|---|---|---|", *rows]) + "\n")
    parameters = schema["properties"]["parameters"]
    kinds = resolved(next(iter(parameters["properties"].values())), schema)["properties"]
    rows = [f"| `{kind}` | {entry['description']} |" for kind, entry in kinds.items() if "description" in entry]
    table = "\n".join(["| kind | what is drawn |", "|---|---|", *rows])
    known = list(parameters["properties"])  # with short names such as `rank` too
    names = ", ".join(f"`{name}`" for name in known if not any(other.endswith(f".{name}") for other in known))
    parts.append(
        f"## parameters\n\n{parameters['description']} Such as `beta: {{log_uniform: [1, 30]}}`.\n\n{table}\n\n"
        "`when: {other: [values]}` beside a kind searches a setting only where another has one of the values.\n\n"
        f"These can be searched: {names}.\n"
    )
    parts.append("## The spaces that come with palenka_tune\n")
    parts += [f"### {path.stem}\n\n```yaml\n{path.read_text('utf-8').rstrip()}\n```\n" for path in shipped_spaces()]
    return "\n".join(parts)


def resolved(entry: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference such as `#/$defs/Recipe` stands for; anything else as it is."""
    while "$ref" in entry:
        found = schema
        for part in entry["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        entry = found
    return entry


def group_of(entry: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The group of settings that an entry is, with or without null; None for a single setting."""
    options = [resolved(option, schema) for option in entry.get("anyOf", [entry])]
    return next((option for option in options if "properties" in option), None)


def groups(path: str, node: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{dotted name: node} of a group of settings and of those within it, each kind of group once."""
    found = {path: node}
    for name, entry in node["properties"].items():
        inner = group_of(entry, schema) or group_of(entry.get("items", {}), schema)
        if inner is not None:
            found |= {
                key: each
                for key, each in groups(f"{path}.{name}".lstrip("."), inner, schema).items()
                if all(each is not known for known in found.values())
            }
    return found


def allowed(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a setting may be, in words, such as `integer, at least 1, or null`."""
    entry = resolved(entry, schema)
    if "anyOf" in entry:
        return ", or ".join(dict.fromkeys(allowed(option, schema) for option in entry["anyOf"]))
    if "enum" in entry:
        names = [f"`{json.dumps(value).strip(chr(34))}`" for value in entry["enum"]]
        return ", ".join(names[:8]) + (f", … ({len(names)} names)" if len(names) > 8 else "")
    if entry.get("type") == "array":
        return f"list of: {allowed(entry['items'], schema)}"
    if "pattern" in entry and ":" in entry["pattern"]:
        return "`every:N`"
    kinds = entry["type"] if isinstance(entry["type"], list) else [entry["type"]]
    words = {"string": "text", "object": "map", "boolean": "`true`, `false`"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [" or ".join(words.get(kind, kind) for kind in kinds)]
    said += [f"{what} {entry[bound]:,}" for bound, what in bounds.items() if bound in entry]
    return ", ".join(said)


def default(entry: dict[str, Any]) -> str:
    """A default as YAML writes it."""
    return f"`{json.dumps(entry['default'])}`" if "default" in entry else "the scale's"


def notebook() -> str:
    """The notebook's cells as Markdown; the site has the notebook too."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"Download it as a [notebook]({NOTEBOOK.name}), which CI runs.\n"])
