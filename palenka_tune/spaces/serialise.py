"""A resolved configuration as plain data, and as the text of `search.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from palenka_tune.config import provenance
from palenka_tune.config.build import dump_yaml
from palenka_tune.spaces.settings import SearchConfig


def search_yaml(config: SearchConfig, data_fingerprint: str) -> str:
    """The resolved configuration, from which the same search can be started, with its provenance as comments."""
    facts = {**provenance.versions(), "git commit": provenance.git_commit(), "data fingerprint": data_fingerprint}
    comments = "".join(f"# {name}: {value}\n" for name, value in facts.items() if value)
    return comments + dump_yaml(tree(config))


def tree(config: SearchConfig) -> dict[str, Any]:
    """The configuration as plain data, with folders as they are found from anywhere."""
    found = config.tree()
    found["data"]["source"] = _absolute(found["data"]["source"])
    for teacher in found["teachers"]:
        teacher["preset"] = _absolute(teacher["preset"])
    return found


def _absolute(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.absolute()) if path.is_dir() or (path.suffix and path.is_file()) else name
