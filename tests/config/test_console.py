"""Output that nobody reads: the work goes on and ends with its own return code."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

WORK = """
import os, signal, sys
from palenka_tune.commands import options
from palenka_tune.config.console import OURS, make_console, output_is_gone, progress_on

def cli(argv):
    console = make_console()
    sys.stdin.read()  # until the test has closed what it closes
    with progress_on(console):
        for number in range(3):
            print("a line", "x" * 10000, flush=True)
            console.print("a table")
            OURS.info("progress")
            print("a warning", file=sys.stderr)
    with open(argv[0], "w") as file:
        file.write("gone" if output_is_gone() else "here")
    return 7

sys.exit(options.run(cli))
"""


@contextlib.contextmanager
def closed_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def full_disk() -> Iterator[int]:
    file = os.open("/dev/full", os.O_WRONLY)
    yield file
    os.close(file)


@contextlib.contextmanager
def closed_terminal() -> Iterator[int]:
    main, terminal = pty.openpty()
    os.close(main)
    yield terminal
    os.close(terminal)


@pytest.mark.parametrize(("output", "state"), [(closed_pipe, "gone"), (full_disk, "here"), (closed_terminal, "gone")])
def test_work_ends_with_its_own_code_whatever_its_output(tmp_path, output, state):
    with output() as stream:
        work = subprocess.run(
            [sys.executable, "-c", WORK, str(tmp_path / "done")], input=b"", stdout=stream, stderr=stream
        )
    assert work.returncode == 7
    assert (tmp_path / "done").read_text() == state


def test_work_outlives_its_terminal(tmp_path):
    main, terminal = pty.openpty()
    # a session of its own whose terminal it is: its end sends SIGHUP
    begin = "import fcntl, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0)\n"
    waiting = WORK.replace("sys.stdin.read()", "print('ready', flush=True); signal.sigwait([signal.SIGUSR2])")
    work = subprocess.Popen(
        [sys.executable, "-c", begin + waiting, str(tmp_path / "done")],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]),
    )
    os.close(terminal)
    assert os.read(main, 100).startswith(b"ready")
    os.close(main)
    work.send_signal(signal.SIGUSR2)
    assert work.wait() == 7
    assert (tmp_path / "done").read_text() == "gone"


def test_what_a_full_disk_takes_later_is_written(tmp_path):
    """Nothing but the lines that found no room is lost."""
    code = """
import os, sys
from palenka_tune.config.console import lasting_output
with lasting_output():
    log, full = os.dup(1), os.open("/dev/full", os.O_WRONLY)
    for name, descriptor in (("first", log), ("lost", full), ("last", log)):
        os.dup2(descriptor, 1)
        print(name, flush=True)
print("after", flush=True)
"""
    said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    assert said.split() == [b"first", b"last", b"after"]


def test_a_closed_stream_gives_its_number_to_no_file():
    code = """
import os
from palenka_tune.commands import options
def cli(argv):
    with open("/dev/zero") as file:
        return file.fileno()
os._exit(options.run(cli))
"""
    closed = subprocess.run(["bash", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code])
    assert closed.returncode > 2


@pytest.mark.parametrize("argv", [["--help"], ["search", "--help"], ["--version"]])
def test_help_that_is_not_read_ends_quietly(argv):
    with closed_pipe() as stream:
        ended = subprocess.run([sys.executable, "-m", "palenka_tune", *argv], stdout=stream, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0, b"")
