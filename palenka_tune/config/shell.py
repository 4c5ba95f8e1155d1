"""Commands as a person types them into the shell of this system: what a message that says how to go on is made of."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable


def command_line(words: Iterable[str]) -> str:
    """The words in one line, quoted where the shell would take them apart."""
    return subprocess.list2cmdline(list(words)) if sys.platform == "win32" else shlex.join(words)
