"""Commands: `python -m palenka_tune.NAME`, each a typed `main(options)` and a thin parser around it.

Every module has `parser()`, the command's options without running anything, and `cli(argv)`, which parses and runs. Its
docstring is what `--help` shows; its options are fields of a dataclass (`palenka_tune.config.options`).
"""

from __future__ import annotations

import importlib
from types import ModuleType

COMMANDS = {
    "init": "begin: write a search space that explains itself, and print the next commands",
    "search": "search for the best way to distil a student, and keep it",
    "distill": "train one student with fixed settings",
    "train": "train one teacher",
    "cache": "keep the teachers' outputs: build, verify, info",
    "evaluate": "score a model on minimal pairs",
    "reproduce": "run the poster's ten systems, or its grid, at any scale",
    "status": "show a running or finished search, from any machine that sees its storage",
    "report": "write what a search found to one page with plots, or compare several",
    "doctor": "before a search: check that the cluster has all that it needs",
    "track": "send to MLflow what its server missed",
    "completion": "print the script with which a shell completes these commands",
}


def module_of(command: str) -> ModuleType:
    """The module of a command, imported now."""
    return importlib.import_module(f"palenka_tune.commands.{command}")
