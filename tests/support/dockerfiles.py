"""What is wrong with a Dockerfile, found without Docker. In: its text and the folder that it is built from. Out:
findings, none if it is right. Instructions, stages, build arguments and copied files are checked; what commands do is
not.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from dockerfile_parse import DockerfileParser

INSTRUCTIONS = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD", "COMMENT"}
PREDEFINED = {"HOME", "PATH"}
VARIABLE = re.compile(r"\$\{?(\w+)")


def findings(text: str, context: Path, scratch: Path, arguments: dict[str, set[str]]) -> list[str]:
    """`arguments`: the values that a build argument may have, by name; `scratch` is an empty folder."""
    scratch.mkdir(exist_ok=True)
    (scratch / "Dockerfile").write_text(text, encoding="utf-8")
    found: list[str] = []
    defaults: dict[str, str] = {}
    stages: dict[str, set[str]] = {}  # what is declared where a stage ends
    declared: set[str] = set()
    used: set[str] = set()
    stage = None
    for step in DockerfileParser(path=str(scratch), cache_content=True).structure:
        instruction, value = step["instruction"], step["value"]
        if instruction not in INSTRUCTIONS:
            found.append(f"{instruction} is no instruction that is used here")
        if instruction in ("FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER"):
            names = {name for name in VARIABLE.findall(value) if name not in PREDEFINED}
            known = defaults.keys() if instruction == "FROM" else declared
            found += [f"{name} is used and not declared before" for name in sorted(names - known)]
            used |= names
        if instruction == "ARG":
            name, _, default = value.partition("=")
            if stage:
                declared.add(name)
            else:
                defaults[name] = default
        elif instruction == "ENV":
            declared |= {part.split("=")[0] for part in value.split()}
        elif instruction == "FROM":
            image, _, stage = value.partition(" AS ")
            if not stage:
                found.append(f"the stage {value} has no name")
            bases = _values(image, defaults, arguments)
            found += [f"{base} is no stage and no image" for base in bases if ":" not in base and base not in stages]
            declared = set().union(*(stages.get(base, set()) for base in bases))
        elif instruction == "COPY":
            sources = value.split()[:-1]
            found += [f"there is no {source} to copy" for source in sources if not (context / source).exists()]
        elif instruction == "RUN":
            parsed = subprocess.run(["sh", "-n", "-c", value], capture_output=True, text=True, check=False)
            found += [f"RUN {value[:30]}: {parsed.stderr.strip()}"] if parsed.returncode else []
        stages[stage or ""] = declared
    unused = defaults.keys() - used
    return found + [f"nothing uses the build argument {name}" for name in sorted(unused)]


def _values(text: str, defaults: dict[str, str], arguments: dict[str, set[str]]) -> set[str]:
    """`text` for every value that its build argument may have, the default among them."""
    names = VARIABLE.findall(text)
    if not names or names[0] not in defaults:
        return {text}
    choices = arguments.get(names[0], set()) | {defaults[names[0]]}
    return {re.sub(r"\$\{?" + names[0] + r"\}?", choice, text) for choice in choices}
