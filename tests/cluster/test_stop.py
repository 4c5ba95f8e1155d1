"""How signals end a command, and how a search is patient with the first of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from palenka_tune.cluster.stop import Fault, Interrupted, Patience, handled, interrupt
from palenka_tune.commands import options


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_a_command_that_is_stopped_says_so_and_has_its_exit_code(number, code):
    program = (
        "import sys, time; from palenka_tune.commands import options\n"
        "def cli(argv):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "sys.exit(options.run(cli, []))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said == f"stopped by {signal.Signals(number).name}\n"


def test_what_ray_makes_of_a_signal_while_it_waits_is_still_that_signal():
    program = (
        "import sys, time, ray; from palenka_tune.cluster import session; from palenka_tune.commands import options\n"
        "def cli(argv):\n"
        "    with session.ray_session(None, cpus=1):\n"
        "        waits = ray.remote(lambda: time.sleep(600)).remote()\n"
        "        print('ready', flush=True)\n"
        "        ray.get(waits)\n"
        "sys.exit(options.run(cli, []))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)  # it waits by now
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143
    assert said.endswith("stopped by SIGTERM\n")


def test_a_signal_of_an_earlier_command_is_forgotten(capsys):
    def raises(error):
        def cli(argv):
            raise error

        return cli

    with pytest.raises(Interrupted), handled(interrupt):
        signal.raise_signal(signal.SIGTERM)
    assert options.run(raises(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == "stopped by SIGINT\n"


def test_the_hint_is_printed(capsys):
    def cli(argv):
        error = Interrupted(signal.SIGTERM)
        error.hint = "go on with: this"
        raise error

    assert options.run(cli, []) == 143
    assert capsys.readouterr().err == "stopped by SIGTERM; go on with: this\n"


def test_the_first_signal_is_noted_and_the_second_ends():
    asked = []
    patience = Patience(asked.append)
    with handled(patience):
        signal.raise_signal(signal.SIGTERM)
        assert patience.number == signal.SIGTERM
        assert asked == ["SIGTERM"]
        with pytest.raises(Interrupted) as ended:
            signal.raise_signal(signal.SIGINT)
        assert ended.value.exit_code == 130
        with pytest.raises(Interrupted):
            patience.settle()
    assert asked == ["SIGTERM"]


def test_a_fault_from_another_thread_is_raised_in_the_main_one():
    patience = Patience(print)
    other = threading.Thread(target=patience.end, args=(RuntimeError("gone"),))

    def work() -> None:
        other.start()
        time.sleep(10)

    with handled(patience), pytest.raises(Fault, match="gone"):  # no ordinary exception: nothing swallows it
        work()
    with pytest.raises(RuntimeError, match="gone"):
        patience.settle()


def test_handlers_are_given_back_and_can_be_taken_again():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    with handled(interrupt) as take:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as Ray Tune does when it begins
        take()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGUSR1)
    assert {number: signal.getsignal(number) for number in before} == before


def test_outside_the_main_thread_nothing_is_changed():
    before, errors = signal.getsignal(signal.SIGINT), []

    def use() -> None:
        try:
            with handled(interrupt) as take:
                take()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert errors == []
    assert signal.getsignal(signal.SIGINT) is before
